"""Settings of the requests to a service: how they name users and fields.

How a request names the wanted fields of each row:

parameter = "fields"                                        ?fields=id,name
parameter = "$select"                                       ?$select=id,name
parameter = "fields", wrap = "items({fields})"              ?fields=items(id,name)
none, with `"properties": "{fields}"` in the body's template  {"properties": ["id", "name"]}

How a request names the users:

form      the request, and the place of the keys
repeat    ``GET /users?id=a&id=b``
list      ``GET /users?id=in.("a","b")``
filter    ``GET /Users?filter=id eq "a" or id eq "b"``
body      ``POST /users/read``, or QUERY or SEARCH, with ``{"inputs": [{"id": "a"}, {"id": "b"}]}``
each      ``GET /users/a`` and ``GET /users/b``

A key cannot change the rest of a request. A key that cannot be written safely at its place is not
sent (``app/sources/mapping/requests.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from app.expressions.escapes import Escape, quote_around
from app.expressions.places import KEY
from app.expressions.template import Template, cut_template
from app.settings.base import (
    Between,
    Each,
    HeaderName,
    HeaderValue,
    ParameterName,
    ParameterValue,
    ParameterValues,
    SettingsModel,
    UrlPath,
    Wrap,
    refuse,
)
from app.settings.response import FieldName

FIELDS = "{fields}"
"""The place for the names of fields."""


def _check_wrap(text: str) -> str:
    """Check a text with one place for the names of fields."""
    if text.count(FIELDS) != 1:
        raise ValueError(f"expected {FIELDS} in it, once")
    return text


def _check_name(name: str) -> str:
    """Check the name of a field in a service; braces are reserved for places."""
    if not name.isprintable() or not {" ", "{", "}"}.isdisjoint(name):
        raise ValueError("expected no spaces and no braces in the name of a field")
    return name


RawName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_check_name)
]
"""The name of a field at a service."""


class SelectSettings(SettingsModel):
    """How a request selects fields, at a service that can return only some."""

    parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the names of the wanted fields, if the service can return"
        " only some. With `body`, the names may be in `template` instead, in place of"
        ' `"{fields}"`.',
        examples=["fields", "attributes", "$select"],
    )
    separator: Between = Field(default=",", description="Text between two names.")
    wrap: Annotated[str, Field(max_length=1_024), AfterValidator(_check_wrap)] = Field(
        default=FIELDS,
        description="Text around all names, which replace `{fields}`.",
        examples=["items({fields})"],
    )
    always: tuple[RawName, ...] = Field(
        default=(),
        description="Names that are always requested, in addition to the key.",
        examples=[["updated_at"]],
    )
    names: Mapping[FieldName, tuple[RawName, ...]] = Field(
        default={},
        description="The service's names for each field of the record. By default the members of a"
        " row that the field's expression reads, or the name in the record.",
        examples=[{"display_name": ["first_name", "last_name"]}],
    )


_FORM = (
    "Place of the users in the request: one query parameter for each user (`repeat`), one parameter"
    " with a list (`list`) or with a filter expression (`filter`), a JSON body (`body`),"
    " or one call for each user (`each`). With the user in the path of `each`, status 404"
    " means that the user is unknown."
)
_PARAMETER = (
    "Query parameter for the users. With `each` it may be absent: the user then replaces `{key}` in"
    " `path`, in values of `parameters`, or in values of `headers`."
)
_WRAP = "Text around all users, which replace `{keys}`."
_ESCAPE = (
    "How a quote within a user's id is escaped."
    " `backslash`: with a backslash before each quote and each backslash. `double`: each quote is"
    " written twice. `json`: as in a JSON string. `refuse`: no escape; users with a quote, a"
    " backslash or a control character in their id are not requested."
)


class _Request(SettingsModel):
    """The settings of all forms."""

    path: UrlPath = Field(description="Path of the request, below `base_url`.", examples=["/users"])
    parameters: Mapping[ParameterName, ParameterValue | ParameterValues] = Field(
        default={},
        description="Query parameters of every request; a list repeats its parameter. Do not write"
        " secrets here.",
        examples=[{"active": "true", "expand": ["emails", "photos"]}],
    )
    headers: Mapping[HeaderName, HeaderValue] = Field(
        default={},
        description="Headers of every request. Do not write secrets here.",
        examples=[{"X-Api-Version": "2026-01"}],
    )
    page_size_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the maximum number of rows of an answer.",
        examples=["limit"],
    )
    page_size: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Value of that parameter. One call requests no more users than that.",
        examples=[100],
    )

    select: SelectSettings | None = Field(
        default=None,
        description="How a request selects the wanted fields. When absent, the service returns all"
        " fields.",
    )

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are not fixed."""
        selecting = None if self.select is None else self.select.parameter
        every = (self.page_size_parameter, selecting)
        return tuple(name for name in every if name is not None)

    @property
    def has_place_for_fields(self) -> bool:
        """Whether the names of the wanted fields have a place outside the query."""
        return False

    @property
    def all_parameters(self) -> tuple[str, ...]:
        """All query parameters, fixed or not."""
        return (*self.own_parameters, *self.parameters)

    @property
    def has_one_key(self) -> bool:
        """Whether each request has one key, which may then be at any place of it."""
        return False

    @property
    def places(self) -> Sequence[str]:
        """The texts of path, parameters and headers that have a place for a key."""
        every = [self.path, *self.headers.values()]
        for value in self.parameters.values():
            every += [value] if isinstance(value, str) else value
        return [text for text in every if KEY in text]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require settings that fit together.

        Raises:
            ValueError: A name is used twice, or a setting is missing.
        """
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if (self.page_size is None) != (self.page_size_parameter is None):
            yield "expected page_size and page_size_parameter both, or neither"
        names = self.all_parameters
        if len(set(names)) < len(names):
            yield "expected each query parameter once"
        if len({name.lower() for name in self.headers}) < len(self.headers):
            yield "expected each header once, in upper or lower case"
        if self.select is not None and self.select.parameter is None:
            if not self.has_place_for_fields:
                yield "expected select.parameter: the names need a place"
        elif self.has_place_for_fields:
            yield (
                f'expected no "{FIELDS}" in template'
                + (" without select" if self.select is None else " beside select.parameter")
            )
        if self.places and not self.has_one_key:
            yield (
                f"expected no {KEY} in {self.places[0]}: requests have several users, and this form"
                " has another place for them"
            )


class _Queried(_Request):
    """The settings of the forms that put keys into one query parameter."""

    parameter: ParameterName = Field(description=_PARAMETER, examples=["id", "ids", "filter"])

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are not fixed."""
        return (self.parameter, *super().own_parameters)


class RepeatRequest(_Queried):
    """A parameter that is repeated for each user."""

    form: Literal["repeat"] = Field(description=_FORM)
    value: Each = Field(
        default=KEY,
        description="Value of the parameter for one user, who replaces `{key}`.",
        examples=["id:{key}"],
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)


class ListRequest(_Queried):
    """A parameter with a list of users."""

    form: Literal["list"] = Field(description=_FORM)
    separator: Between = Field(default=",", description="Text between two users.")
    quote: Literal["", '"', "'"] = Field(
        default="",
        description="Quote before and after each user. Without it, only users with safe ids are"
        " requested: word characters and `-.~@:+/=|`, but not the separator.",
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)
    wrap: Wrap = Field(
        default="{keys}",
        description=_WRAP,
        examples=["in.({keys})"],
    )

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        yield from super()._mistakes()
        yield from _mistakes_of_escape(self.escape, self.quote)


class FilterRequest(_Queried):
    """A parameter with an expression that names each user."""

    form: Literal["filter"] = Field(description=_FORM)
    each: Each = Field(
        default='id eq "{key}"',
        description="The expression for one user, who replaces `{key}`. If `{key}` is not between"
        " quotes, only users whose ids are whole numbers or UUIDs are requested.",
    )
    join: Between = Field(default=" or ", description="Text between two of these expressions.")
    wrap: Wrap = Field(
        default="{keys}",
        description=_WRAP,
        examples=["active eq true and ({keys})"],
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)

    @property
    def quote(self) -> str:
        """The quote around a key; empty if there is none."""
        before, _, after = self.each.partition(KEY)
        return quote_around(before, after)

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        yield from super()._mistakes()
        yield from _mistakes_of_escape(self.escape, self.quote)


class BodyRequest(_Request):
    """A JSON body that names all users.

    The service must treat it as a read without side effects, because the gateway repeats it after
    some failures, as any other request.
    """

    form: Literal["body"] = Field(description=_FORM)
    method: Literal["POST", "QUERY", "SEARCH"] = Field(
        default="POST",
        description="HTTP method of the request. `QUERY` (an HTTP draft for requests that only"
        " read) and `SEARCH` (RFC 5323) say by themselves that it has no side effects. A `POST`"
        " must not have any, either: the gateway repeats it as the others.",
    )
    template: Annotated[str, Field(max_length=16_384)] = Field(
        description='The body, in JSON. `"{keys}"` is replaced by the list of users. `{key}`, in'
        " the strings of each item of a list, is replaced by one user, and the items are repeated"
        " for each user. Outside of lists, `{key}` is the one user of a request. A user is escaped"
        " for everything that it is in: a URL, text in quotes, the JSON string. The request must"
        " have no side effects, because the gateway may repeat it.",
        examples=['{"inputs": [{"id": "{key}"}]}'],
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)
    numbers: bool = Field(
        default=False,
        description="Whether users are written as numbers. Then only users whose ids are whole"
        " numbers are requested.",
    )
    max_body_bytes: int = Field(
        default=262_144,
        ge=256,
        le=1_048_576,
        description="Maximum number of bytes of the body. More users are split into several calls.",
    )

    @property
    def has_place_for_fields(self) -> bool:
        """Whether the names of the wanted fields have a place outside the query."""
        return f'"{FIELDS}"' in self.template

    @model_validator(mode="after")
    def _template_fits(self) -> Self:
        """Require a template that is JSON and has one place for keys.

        Raises:
            ValueError: It is not JSON, or has not exactly one place.
        """
        _ = self.cut
        return self

    @property
    def cut(self) -> Template:
        """The template, split at its places for users."""
        return cut_template(self.template, numbers=self.numbers, escape=self.escape)

    @property
    def has_one_key(self) -> bool:
        """Whether each request has one key, which may then be at any place of it."""
        return self.cut.between is None


class EachRequest(_Request):
    """One call for each user. Its id may be at several places of the request."""

    form: Literal["each"] = Field(description=_FORM)
    parameter: ParameterName | None = Field(
        default=None,
        description=_PARAMETER,
        examples=["email"],
    )
    value: Each = Field(
        default=KEY,
        description="Value of `parameter`, in which the user replaces `{key}`.",
        examples=["eq.{key}"],
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)
    max_concurrent_calls: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Maximum number of calls at the same time for one batch.",
    )

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are not fixed."""
        own = () if self.parameter is None else (self.parameter,)
        return (*own, *super().own_parameters)

    @property
    def has_one_key(self) -> bool:
        """Whether each request has one key, which may then be at any place of it."""
        return True

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        yield from super()._mistakes()
        if self.parameter is None and not self.places:
            yield f"expected parameter, or {KEY} in path, parameters or headers"
        if self.parameter is None and self.value != KEY:
            yield "expected parameter beside value"


RequestSettings: TypeAlias = Annotated[
    RepeatRequest | ListRequest | FilterRequest | BodyRequest | EachRequest,
    Field(discriminator="form"),
]
"""How a request to a service names the users."""


def _mistakes_of_escape(escape: Escape, quote: str) -> Iterator[str]:
    """Yield why an escape does not fit the quote."""
    if escape != "refuse" and not quote:
        yield "expected no escape where users are not in quotes"
    elif escape == "json" and quote != '"':
        yield 'expected " as the quote around users that are written as in JSON'
