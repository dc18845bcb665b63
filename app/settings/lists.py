"""Settings of a list that is read page by page: its request, its items, and how pages continue.

    next_cursor, next_url   the answer has the cursor or the address of the next page
    next_header             a header has it: `Link` (RFC 8288), `Next-Page`, `X-Next-Page`
    row_cursor              the last item of a page has the cursor of the next one
    page_parameter          pages have numbers
    offset_parameter        a page begins at any item, by its number
    none of them            one answer has the whole list

A list may end only where the service shows it. If nothing in the answers does, an empty page is the
end, never a short one.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, JsonValue, ValidationError, model_validator

from app.expressions.escapes import Escape
from app.expressions.places import KEY
from app.settings.base import (
    Each,
    HeaderName,
    HeaderValue,
    ParameterName,
    ParameterValue,
    ParameterValues,
    SettingsModel,
    UrlPath,
    in_words,
    refuse,
)
from app.settings.request import BodyRequest, EachRequest
from app.settings.response import (
    AnswerSettings,
    FieldName,
    Fields,
    Meaning,
    MoreSettings,
    Path,
    Somewhere,
    Status,
    within_rows,
)

_LIST_NAME = "^[a-z][a-z0-9_]{0,63}$"
ListName: TypeAlias = Annotated[
    str,
    Field(pattern=_LIST_NAME),
    in_words(
        _LIST_NAME,
        "expected small letters, digits and _ (64 at most, a letter first), such as open_tickets",
    ),
]
"""The name of a list, such as ``invoices``."""


class PagingWay(Enum):
    """How the next page of a list is requested."""

    NAMED = "the answer names the next page"
    ROW = "the last item has the cursor of the next page"
    PAGE = "by the number of the page"
    OFFSET = "by the number of items before it"
    WHOLE = "not at all: one answer has the whole list"

    @property
    def counts(self) -> bool:
        """Whether pages are requested by numbers that the gateway counts itself."""
        return self is PagingWay.PAGE or self is PagingWay.OFFSET


class ListSettings(SettingsModel):
    """A list of a source, of which a call has one page of one user."""

    path: UrlPath = Field(
        description="Path of the request, below `base_url`. The user replaces `{key}` in it, and in"
        " values of `parameters` and `headers`.",
        examples=["/v1/invoices", "/customers/{key}/invoices"],
    )
    parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the user, if the user has no other place.",
        examples=["customer"],
    )
    value: Each = Field(
        default=KEY,
        description="Value of `parameter`, in which the user replaces `{key}`.",
        examples=["eq.{key}"],
    )
    escape: Escape = Field(
        default="refuse",
        description="How a quote within a user's id is escaped, as in `request.escape`.",
    )
    parameters: Mapping[ParameterName, ParameterValue | ParameterValues] = Field(
        default={},
        description="Query parameters of every request; a list repeats its parameter. Do not write"
        " secrets here.",
        examples=[{"sort": "-created"}],
    )
    headers: Mapping[HeaderName, HeaderValue] = Field(
        default={},
        description="Headers of every request. Do not write secrets here.",
        examples=[{"Prefer": "count=exact"}],
    )
    template: Annotated[str, Field(max_length=16_384)] | None = Field(
        default=None,
        description="A body in JSON, an object, that is sent by `method`; the user replaces `{key}`"
        " in it. The parameters of a page are then its members, not in the query. The request must"
        " have no side effects, because the gateway may repeat it.",
        examples=['{"filter": {"customer": "{key}"}}'],
    )
    method: Literal["POST", "QUERY", "SEARCH"] = Field(
        default="POST", description="HTTP method of a request with `template`."
    )
    page_size_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the maximum number of items of a page.",
        examples=["limit", "per_page"],
    )
    max_page_size: int = Field(
        default=100,
        ge=1,
        le=1_000,
        description="The greatest number that the service accepts there. With `page_parameter`,"
        " every page has this size.",
    )
    rows: Path = Field(
        default=(),
        description="Path in the answer to the items; empty if the answer itself is the list.",
        examples=[["data"]],
    )
    fields: Fields | None = Field(
        default=None,
        description="Expression (JMESPath) for each field of an item. When absent, items have the"
        " fields of the default contract.",
        examples=[{"number": "number || id", "issued_at": "unix_seconds(created)"}],
    )
    words: Mapping[FieldName, Mapping[str, str]] = Field(
        default={},
        description="For a field with text: the words of the service, and the word that clients get"
        " instead of each. Other words stay as they are.",
        examples=[{"status": {"uncollectible": "lost"}}],
    )
    defaults: Mapping[FieldName, JsonValue] = Field(
        default={},
        description="The value of a field that is missing or null in an item. Without it, such an"
        " item does not fit, because every item has all fields.",
        examples=[{"number": "(draft)"}],
    )
    status: Mapping[Status, Meaning] = Field(
        default={},
        description="Meaning of statuses that the service uses in its own way, as in"
        " `answer.status`. By default, 404 is `absent` (the service does not know the user) if the"
        " user is in `path`, and a failure otherwise, because the path is wrong then.",
        examples=[{"404": "absent"}],
    )
    next_cursor: Somewhere | None = Field(
        default=None,
        description="Path in the answer to the cursor or number of the next page. On the last page"
        " the value is null, empty, 0 or missing.",
        examples=[["meta", "next"]],
    )
    next_url: Somewhere | None = Field(
        default=None,
        description="Path in the answer to the address of the next page. On the last page the value"
        " is null, empty or missing. The gateway takes only `cursor_parameter` from the address.",
        examples=[["links", "next"]],
    )
    next_header: HeaderName | None = Field(
        default=None,
        description="Header with the address or the cursor of the next page; missing or empty on"
        " the last page. In `Link` it is the address with `rel=next`.",
        examples=["Link", "Next-Page"],
    )
    row_cursor: Somewhere | None = Field(
        default=None,
        description="Path in the last item of a page to the cursor of the next page.",
        examples=[["id"]],
    )
    cursor_parameter: ParameterName = Field(
        default="cursor",
        description="Query parameter for the cursor of a page.",
        examples=["starting_after", "page[after]"],
    )
    page_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the number of a page.",
        examples=["page"],
    )
    first_page: int = Field(default=1, ge=0, le=1, description="Number of the first page: 0 or 1.")
    offset_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the number of the first item of a page.",
        examples=["offset", "startIndex"],
    )
    first_offset: int = Field(
        default=0, ge=0, le=1, description="Number of the first item of all: 0 or 1."
    )
    has_more: Somewhere | None = Field(
        default=None,
        description="Path in the answer to a value that says whether more items follow: true or"
        " false.",
        examples=[["has_more"]],
    )
    total: Somewhere | None = Field(
        default=None,
        description="Path in the answer to the number of items on all pages. It shows the end of a"
        " list whose pages are requested by number or offset.",
        examples=[["meta", "total"]],
    )

    @property
    def way(self) -> PagingWay:
        """How the next page is requested."""
        if self.row_cursor is not None:
            return PagingWay.ROW
        if self.page_parameter is not None:
            return PagingWay.PAGE
        if self.offset_parameter is not None:
            return PagingWay.OFFSET
        named = (self.next_cursor, self.next_url, self.next_header)
        return PagingWay.WHOLE if named == (None, None, None) else PagingWay.NAMED

    @property
    def shows_end(self) -> bool:
        """Whether each answer shows whether more items follow."""
        if self.has_more is not None or self.total is not None:
            return True
        way = self.way
        return way is PagingWay.NAMED or way is PagingWay.WHOLE

    @property
    def request(self) -> EachRequest | BodyRequest:
        """The request for a user, without the parameters of a page."""
        common = {
            "path": self.path,
            "parameters": self.parameters,
            "headers": self.headers,
            "escape": self.escape,
        }
        if self.template is not None:
            body = {"form": "body", "template": self.template, "method": self.method}
            return BodyRequest.model_validate({**body, **common})
        each = {"form": "each", "parameter": self.parameter, "value": self.value, **common}
        return EachRequest.model_validate(each)

    @property
    def answer(self) -> AnswerSettings:
        """How an answer is read."""
        return AnswerSettings(rows=self.rows, status=self.status)

    @property
    def more(self) -> MoreSettings:
        """What in an answer shows whether more items follow."""
        return MoreSettings(
            has_more=self.has_more,
            total=self.total,
            next_cursor=self.next_cursor,
            next_url=self.next_url,
            next_header=self.next_header,
        )

    @property
    def all_parameters(self) -> tuple[str, ...]:
        """All query parameters of requests, fixed or not."""
        own = (
            self.parameter,
            self.page_size_parameter,
            self.page_parameter,
            self.offset_parameter,
            None if self.way.counts else self.cursor_parameter,
        )
        return (*(name for name in own if name is not None), *self.parameters)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require settings that fit together.

        Raises:
            ValueError: A name is used twice, a setting is missing, or there are several ways to
                the next page.
        """
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        try:
            request = self.request
        except ValidationError as error:
            # The names of the settings are the same there.
            for one in error.errors():
                yield one["msg"].removeprefix("Value error, ")
        else:
            if isinstance(request, BodyRequest):
                yield from self._mistakes_of_template(request)
        yield from self._mistakes_of_way()
        yield from within_rows(self, self.rows)
        names = self.all_parameters
        if len(set(names)) < len(names):
            yield "expected each query parameter once"

    def _mistakes_of_template(self, request: BodyRequest) -> Iterator[str]:
        """Yield why a page has no place in the body."""
        if self.parameter is not None:
            yield "expected no parameter beside template: the user is in the body"
        if not request.template.lstrip().startswith("{"):
            yield "expected an object in template: a page is requested by members of it"

    def _mistakes_of_way(self) -> Iterator[str]:
        """Yield which settings of pages contradict each other."""
        ways = (
            self.next_cursor,
            self.next_url,
            self.next_header,
            self.row_cursor,
            self.page_parameter,
            self.offset_parameter,
        )
        if sum(way is not None for way in ways) > 1:
            yield (
                "expected at most one of next_cursor, next_url, next_header, row_cursor,"
                " page_parameter and offset_parameter"
            )
        if self.has_more is not None and self.way is PagingWay.WHOLE:
            yield (
                "expected beside has_more how pages continue: next_cursor, next_url, next_header,"
                " row_cursor, page_parameter or offset_parameter"
            )
        if self.total is not None and self.way in {PagingWay.NAMED, PagingWay.ROW}:
            yield "expected no total beside a cursor: a page does not show how many came before it"
        if self.total is not None and self.way is PagingWay.PAGE and not self.page_size_parameter:
            yield (
                "expected page_size_parameter beside total and page_parameter: without it, the"
                " number of items on earlier pages is not known"
            )
