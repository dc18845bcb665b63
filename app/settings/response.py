"""Settings of a service's answers: the place of the rows, their keys, and how pages continue.

A path is a list of segments rather than a dotted text, because names may contain dots and colons
(``["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "manager"]``). A segment is the
name of a member, or the position in a list, from 0.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StrictInt, StrictStr, model_validator

from app.expressions.expression import checked_expression
from app.settings.base import HeaderName, ParameterName, SettingsModel, refuse

Segment: TypeAlias = (
    Annotated[StrictStr, Field(max_length=1_000)] | Annotated[StrictInt, Field(ge=0, le=1_000_000)]
)
Path: TypeAlias = Annotated[tuple[Segment, ...], Field(max_length=16)]
"""A path in an answer; empty for the answer itself."""

Somewhere: TypeAlias = Annotated[tuple[Segment, ...], Field(min_length=1, max_length=16)]
"""A path of at least one segment."""

Status: TypeAlias = Annotated[int, Field(ge=201, le=599)]
Meaning: TypeAlias = Literal["rows", "partial", "absent", "auth", "retry", "failure"]
ExpressionText: TypeAlias = Annotated[str, AfterValidator(checked_expression)]
FieldName: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]

Fields: TypeAlias = Mapping[FieldName, ExpressionText]
"""The expression for each field of a record, by the name of the field in JSON (``displayName``) or
in Python (``display_name``)."""


class MoreSettings(SettingsModel):
    """How an answer shows that more rows follow, and how the next page is requested.

    A user who is missing in such an answer is not unknown yet: the gateway searches the next pages,
    and reports a failure if it cannot get them. A ``Link`` header (RFC 8288), ``Content-Range``
    (RFC 9110, section 14.4) and status 206 are always understood.
    """

    has_more: Somewhere | None = Field(
        default=None,
        description="Path in the answer to a value that says whether more rows follow: true or"
        " false.",
        examples=[["has_more"]],
    )
    total: Somewhere | None = Field(
        default=None,
        description="Path in the answer to the number of rows on all pages.",
        examples=[["totalResults"]],
    )
    next_url: Somewhere | None = Field(
        default=None,
        description="Path in the answer to the address of the next page. On the last page the value"
        " is null, empty or missing.",
        examples=[["links", "next"]],
    )
    next_cursor: Somewhere | None = Field(
        default=None,
        description="Path in the answer to the cursor or number of the next page. On the last page"
        " the value is null, empty, 0 or missing.",
        examples=[["meta", "next"]],
    )
    next_header: HeaderName | None = Field(
        default=None,
        description="Header with the address or the cursor of the next page; missing or empty on"
        " the last page. `Link` needs no setting.",
        examples=["Next-Page"],
    )
    row_cursor: Somewhere | None = Field(
        default=None,
        description="Path in the last row to the cursor of the next page, if the answer itself has"
        " only `has_more`.",
        examples=[["id"]],
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Maximum number of rows of an answer, if the service cuts longer answers off"
        " without any sign.",
    )
    cursor_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the cursor of a page.",
        examples=["cursor", "starting_after"],
    )
    offset_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the number of the first row of a page.",
        examples=["offset", "startIndex"],
    )
    first_offset: int = Field(
        default=0, ge=0, le=1, description="Number of the first row of all: 0 or 1."
    )
    max_pages: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Maximum number of pages that are read for one call.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        """Require at most one way to the next page.

        Raises:
            ValueError: There are several, or ``row_cursor`` without ``has_more``.
        """
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        ways = [self.next_url, self.next_cursor, self.next_header, self.row_cursor]
        if sum(way is not None for way in ways) > 1:
            yield "expected one of next_url, next_cursor, next_header and row_cursor at most"
        if self.row_cursor is not None and self.has_more is None:
            yield "expected has_more beside row_cursor"


BESIDE_ROWS = ("has_more", "total", "next_url", "next_cursor")
"""The settings of paths in an answer beside its rows."""


def within_rows(more: SettingsModel, rows: Path) -> Iterator[str]:
    """Find paths within the rows, where nothing says whether more follow.

    Each answer would look complete.

    Args:
        more: Settings with the names of ``BESIDE_ROWS``.
        rows: Path of the rows.

    Yields:
        What is expected instead of each such path.
    """
    for name in BESIDE_ROWS:
        path: Path | None = getattr(more, name)
        if path is not None and path[: len(rows)] == rows:
            if not rows:
                yield f"expected rows beside {name}: without it, the answer is the rows"
            else:
                yield f"expected {name} outside of rows: each value within them is a row"


class GroupSettings(SettingsModel):
    """Several rows of one user, which together are what the expressions read: a list."""

    order: ExpressionText | None = Field(
        default=None,
        description="Expression (JMESPath) for the value of a row by which the rows of a user are"
        " sorted: text or a number. By default they stay in the order of the answer.",
        examples=["occurred_at"],
    )
    descending: bool = Field(
        default=False, description="Whether the greatest value comes first, such as the newest."
    )
    max: int = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="Maximum number of rows of a user that the expressions get; the first ones.",
    )

    @model_validator(mode="after")
    def _has_order(self) -> Self:
        """Require an order for ``descending``.

        Raises:
            ValueError: There is none.
        """
        if self.descending and self.order is None:
            raise ValueError("expected order beside descending = true")
        return self


class PartSettings(SettingsModel):
    """The parts of the answer of a batch API: each item of the list is an answer of its own.

    An item has the row of one user below `row`, and may have a status below `status`.
    """

    row: Path = Field(
        default=(),
        description="Path in an item to the row; empty if the item is the row.",
        examples=[["body"]],
    )
    status: Somewhere | None = Field(
        default=None,
        description="Path in an item to the status of that user's answer. 200 is a row, 404 means"
        " that the user is unknown, and any other status is a failure of this user; `answer.status`"
        " says otherwise. When absent, an item without a row means that the user is unknown.",
        examples=[["status"]],
    )
    key: ExpressionText | None = Field(
        default=None,
        description="Expression (JMESPath) that reads the user's key from an item, if the items are"
        " not in the order of the users (`answer.match`).",
        examples=["id"],
    )
    per_user: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Number of items of each user. If it is more than 1, the expressions of the"
        " fields read the list of the user's rows. An item of an unknown user is `null` in it. If"
        " one of the items is a failure, the user is.",
    )
    name: ExpressionText | None = Field(
        default=None,
        description="Expression (JMESPath) that reads from an item which one of the user's items it"
        " is. The expressions of the fields then read an object with the rows by these names.",
        examples=["after(id, ':')"],
    )

    @model_validator(mode="after")
    def _name_fits(self) -> Self:
        """Require several items of a user for ``name``.

        Raises:
            ValueError: There is only one.
        """
        if self.name is not None and self.per_user == 1:
            raise ValueError("expected per_user beside name: the number of items of each user")
        return self


class AnswerSettings(SettingsModel):
    """How the answers of a service are read."""

    rows: Path = Field(
        default=(),
        description="Path in the answer to the rows; empty if the answer itself is the rows.",
        examples=[["data", "users"]],
    )
    many: bool = Field(
        default=True, description="Whether there is a list of rows at that path, or only one row."
    )
    by_key: bool = Field(
        default=False,
        description="Whether there is an object at that path, with each row under its key.",
    )
    key: Somewhere | None = Field(
        default=None,
        description="Path in a row to its key, which is text or a number. By default it is the name"
        " of the key in the record. Only one row (`many` = false) may have no key: it then belongs"
        " to the requested user, unless the default contract's key in it names another user.",
        examples=[["properties", "id"]],
    )
    match: Literal["key", "position"] = Field(
        default="key",
        description="What says whose a row is: its `key`, or its `position` in the list, which has"
        " an item for each requested user in the order of the request. An item `null` is an unknown"
        " user. A list of another length is malformed. If `key` is set, too, each row must have the"
        " key of its user there.",
    )
    parts: PartSettings | None = Field(
        default=None,
        description="If the rows are within answers of their own, as in the answer of a batch API:"
        " how each item of the list is read.",
        examples=[{"status": ["status"], "row": ["body"]}],
    )
    group: GroupSettings | None = Field(
        default=None,
        description="If a user has several rows: how they are grouped. The expressions then read"
        " the list of a user's rows, for example `[0].plan` or `length(@)`. When absent, a user has"
        " one row.",
        examples=[{"order": "occurred_at", "descending": True, "max": 20}],
    )
    absent: ExpressionText | None = Field(
        default=None,
        description="Expression (JMESPath) that is true for a row that does not count, such as the"
        " row of a deleted user. It is evaluated on each row.",
        examples=["deleted || status == 'erased'"],
    )
    without_row: Literal["unknown", "defaults"] = Field(
        default="unknown",
        description="What a user without a row is: not known to the source (`unknown`), or a user"
        " with the values of `defaults` (`defaults`). With `group`, the expressions read an empty"
        " list first.",
    )
    fold_case: bool = Field(
        default=False,
        description="Whether keys that differ only in the case of ASCII letters are the same, as"
        " UUIDs always are. If several rows match a key, one with exactly that key is preferred.",
    )
    status: Mapping[Status, Meaning] = Field(
        default={},
        description="Meaning of statuses that the service uses in its own way: `rows` (as 200),"
        " `partial` (as 206), `absent` (no requested user is known), `auth` (the gateway has no"
        " access), `retry` (a later call may succeed), `failure` (nothing of this, also where 404"
        " is `absent` by default).",
        examples=[{"404": "absent"}],
    )
    max_rows: int = Field(
        default=5_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of rows of one answer that are read. A longer answer counts as"
        " cut off.",
    )
    more: MoreSettings = Field(
        default=MoreSettings(), description="How an answer shows that more rows follow."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        """Require settings that fit together.

        Raises:
            ValueError: Another setting contradicts ``by_key`` or ``group``.
        """
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        yield from within_rows(self.more, self.rows)
        if self.by_key and not self.many:
            yield "expected many = true beside by_key = true"
        if self.by_key and self.key is not None:
            yield "expected no key beside by_key = true: the names are the keys"
        if self.group is not None and not self.many:
            yield "expected many = true beside group: it groups several rows"
        if self.group is not None and self.by_key:
            yield "expected no group beside by_key = true: each name has one row"
        if self.match == "position" or self.parts is not None:
            yield from _mistakes_of_parts(self, self.parts or PartSettings())


def _mistakes_of_parts(answer: AnswerSettings, parts: PartSettings) -> Iterator[str]:
    """Yield which other settings contradict ``match`` or ``parts``."""
    which = "parts" if answer.match == "key" else 'match = "position"'
    if not answer.many or answer.by_key:
        yield f"expected a list beside {which}: many = true and by_key = false"
    if answer.group is not None:
        yield f"expected no group beside {which}: parts.per_user says how many there are"
    if answer.more != MoreSettings():
        yield f"expected no more beside {which}: the answer has all items"
    if answer.match == "key" and parts.key is None:
        yield 'expected parts.key, or match = "position": whose an item is'
    if answer.match == "position" and parts.key is not None:
        yield 'expected no parts.key beside match = "position"'
