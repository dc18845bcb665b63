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
body      ``POST /users/read`` with ``{"inputs": [{"id": "a"}, {"id": "b"}]}``
each      ``GET /users/a`` and ``GET /users/b``

A key cannot change the rest of a request. A key that cannot be written safely at its place is not
sent (``app/sources/mapping/requests.py``).
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from app.expressions.escapes import Escape
from app.expressions.template import KEY, cut_template
from app.settings.base import (
    Between,
    Each,
    HeaderName,
    HeaderValue,
    ParameterName,
    Path,
    SettingsModel,
    Text,
    Texts,
    Wrap,
)
from app.settings.response import FieldName

FIELDS = "{fields}"
"""Where the names of fields go."""


def _check_wrap(text: str) -> str:
    """Check a text with one place for names."""
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
"""What a service calls a field."""


class SelectSettings(SettingsModel):
    """How a service is asked for some fields alone."""

    parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the names of the fields that are wanted, of services that"
        " can send fewer. In a body they may stand in `template` instead, in place of"
        ' `"{fields}"`.',
        examples=["fields", "attributes", "$select"],
    )
    separator: Between = Field(default=",", description="What stands between two names.")
    wrap: Annotated[str, Field(max_length=1_024), AfterValidator(_check_wrap)] = Field(
        default=FIELDS,
        description="What stands around all names, in place of `{fields}`.",
        examples=["items({fields})"],
    )
    always: tuple[RawName, ...] = Field(
        default=(),
        description="Names that are always asked for, beside the key.",
        examples=[["updated_at"]],
    )
    names: Mapping[FieldName, tuple[RawName, ...]] = Field(
        default={},
        description="The names that a field of the record needs. By default those that its"
        " expression begins with, or what the record calls it.",
        examples=[{"display_name": ["first_name", "last_name"]}],
    )


_FORM = (
    "Where users stand: each in a parameter of its own (`repeat`), all in one as a list (`list`) or"
    " a filter expression (`filter`), in a JSON body that is sent by POST (`body`), or one in each"
    " call (`each`; 404 says there that the user is unknown)."
)
_PARAMETER = (
    "Query parameter for the users. With `each` it may be left out: the user stands in `path` then,"
    " in place of `{key}`."
)
_WRAP = "What stands around all users, in place of `{keys}`."
_ESCAPE = (
    "How a quote within a user's id is written."
    " `backslash`: by a backslash before it and before each backslash. `double`: by writing it"
    " twice. `json`: as in a JSON string. `refuse`: not at all; users with a quote, a backslash or"
    " a control character in their id are not asked for."
)


class _Request(SettingsModel):
    """What all forms have."""

    path: Path = Field(
        description="Where the service is asked, below `base_url`.", examples=["/users"]
    )
    parameters: Mapping[ParameterName, Text | Texts] = Field(
        default={},
        description="Query parameters that are always sent; a list is one that is repeated. Secrets"
        " don't belong here.",
        examples=[{"active": "true", "expand": ["emails", "photos"]}],
    )
    headers: Mapping[HeaderName, HeaderValue] = Field(
        default={},
        description="Headers that are always sent. Secrets don't belong here.",
        examples=[{"X-Api-Version": "2026-01"}],
    )
    page_size_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter that says how many rows an answer may have.",
        examples=["limit"],
    )
    page_size: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="How many rows it says. No more users than that are asked for in one call.",
        examples=[100],
    )

    select: SelectSettings | None = Field(
        default=None,
        description="How the service is asked for no more fields than are wanted; it sends all when"
        " absent.",
    )

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are not fixed."""
        selecting = None if self.select is None else self.select.parameter
        every = (self.page_size_parameter, selecting)
        return tuple(name for name in every if name is not None)

    @property
    def has_place_for_fields(self) -> bool:
        """Whether the names of the fields that are wanted have a place beside the query."""
        return False

    @property
    def all_parameters(self) -> tuple[str, ...]:
        """The query parameters, fixed or not."""
        return (*self.own_parameters, *self.parameters)

    @property
    def has_place_in_path(self) -> bool:
        """Whether the key is in the path."""
        return False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Accept what can be sent together.

        Raises:
            ValueError: Something is said twice, or is missing.
        """
        if (self.page_size is None) != (self.page_size_parameter is None):
            raise ValueError("expected page_size and page_size_parameter both, or neither")
        names = self.all_parameters
        if len(set(names)) < len(names):
            raise ValueError("expected each query parameter once")
        if len({name.lower() for name in self.headers}) < len(self.headers):
            raise ValueError("expected each header once, in upper or lower case")
        if self.select is not None and self.select.parameter is None:
            if not self.has_place_for_fields:
                raise ValueError("expected select.parameter: the names have to stand somewhere")
        elif self.has_place_for_fields:
            raise ValueError(
                f'expected no "{FIELDS}" in template'
                + (" without select" if self.select is None else " beside select.parameter")
            )
        if self.path.count(KEY) != self.has_place_in_path:
            raise ValueError(
                f"expected {KEY} in path, once"
                if self.has_place_in_path
                else f"expected no {KEY} in path: it is elsewhere in this form"
            )
        return self


class _Queried(_Request):
    """What the forms have that put keys into one query parameter."""

    parameter: ParameterName = Field(description=_PARAMETER, examples=["id", "ids", "filter"])

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are not fixed."""
        return (self.parameter, *super().own_parameters)


class RepeatRequest(_Queried):
    """A parameter that is repeated for each user."""

    form: Literal["repeat"] = Field(description=_FORM)


class ListRequest(_Queried):
    """A parameter with a list of users."""

    form: Literal["list"] = Field(description=_FORM)
    separator: Between = Field(default=",", description="What stands between two users.")
    quote: Literal["", '"', "'"] = Field(
        default="",
        description="What stands before and behind each user. Without it, only users are asked for"
        " whose ids can do no harm there: word characters and `-.~@:+/=|`, the separator excepted.",
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)
    wrap: Wrap = Field(
        default="{keys}",
        description=_WRAP,
        examples=["in.({keys})"],
    )

    @model_validator(mode="after")
    def _escape_fits(self) -> Self:
        """Accept an escape where there is something to escape.

        Raises:
            ValueError: There is not, or not in that way.
        """
        _check_escape(self.escape, self.quote)
        return self


class FilterRequest(_Queried):
    """A parameter with an expression that names each user."""

    form: Literal["filter"] = Field(description=_FORM)
    each: Each = Field(
        default='id eq "{key}"',
        description="The expression for one user, in place of `{key}`. Where that is not between"
        " quotes, only users are asked for whose ids are whole numbers or UUIDs.",
    )
    join: Between = Field(default=" or ", description="What stands between two of them.")
    wrap: Wrap = Field(
        default="{keys}",
        description=_WRAP,
        examples=["active eq true and ({keys})"],
    )
    escape: Escape = Field(default="refuse", description=_ESCAPE)

    @property
    def quote(self) -> str:
        """The quote around a key; empty where there is none."""
        before, _, after = self.each.partition(KEY)
        quote = before[-1:]
        opens = quote in {'"', "'"} and before.count(quote) % 2 == 1
        return quote if opens and after.startswith(quote) else ""

    @model_validator(mode="after")
    def _escape_fits(self) -> Self:
        """Accept an escape where there is something to escape.

        Raises:
            ValueError: There is not, or not in that way.
        """
        _check_escape(self.escape, self.quote)
        return self


class BodyRequest(_Request):
    """A JSON body that names all users, sent by POST.

    The service has to take it as a question, which it can be asked twice: it is repeated where that
    may help, as any other.
    """

    form: Literal["body"] = Field(description=_FORM)
    template: Annotated[str, Field(max_length=16_384)] = Field(
        description='The body, in JSON. `"{keys}"` stands for the list of users; `"{key}"`, within'
        " the only item of a list, for one user, with an item for each. The service has to take it"
        " as a question: it is sent again where that may help.",
        examples=['{"inputs": [{"id": "{key}"}]}'],
    )
    numbers: bool = Field(
        default=False,
        description="Whether users are written as numbers. Only those are asked for whose ids are"
        " whole numbers.",
    )
    max_body_bytes: int = Field(
        default=262_144, ge=256, le=1_048_576, description="Longest body; more users are split."
    )

    @property
    def has_place_for_fields(self) -> bool:
        """Whether the names of the fields that are wanted have a place beside the query."""
        return f'"{FIELDS}"' in self.template

    @model_validator(mode="after")
    def _template_fits(self) -> Self:
        """Accept a template with one place for keys.

        Raises:
            ValueError: It has not, or is no JSON.
        """
        cut_template(self.template, numbers=self.numbers)
        return self


class EachRequest(_Request):
    """One call for each user."""

    form: Literal["each"] = Field(description=_FORM)
    parameter: ParameterName | None = Field(
        default=None,
        description=_PARAMETER,
        examples=["email"],
    )
    max_concurrent_calls: int = Field(
        default=10, ge=1, le=1_000, description="Calls at the same time, for one batch of users."
    )

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are not fixed."""
        own = () if self.parameter is None else (self.parameter,)
        return (*own, *super().own_parameters)

    @property
    def has_place_in_path(self) -> bool:
        """Whether the key is in the path."""
        return self.parameter is None


RequestSettings: TypeAlias = Annotated[
    RepeatRequest | ListRequest | FilterRequest | BodyRequest | EachRequest,
    Field(discriminator="form"),
]
"""How a service is asked for users."""


def _check_escape(escape: Escape, quote: str) -> None:
    """Accept an escape for what is in quotes.

    Raises:
        ValueError: Nothing is in quotes, or not in those of JSON.
    """
    if escape != "refuse" and not quote:
        raise ValueError("expected no escape where users are not in quotes")
    if escape == "json" and quote != '"':
        raise ValueError('expected " as the quote around users that are written as in JSON')
