"""Settings of a service's answers: where the rows are, whose they are, and how pages continue.

A path is a list of segments rather than a dotted text, because names may contain dots and colons
(``["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "manager"]``). A segment is the
name of a member, or the position in a list, from 0.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StrictInt, StrictStr, model_validator

from app.expressions.expression import checked_expression
from app.settings.base import ParameterName, SettingsModel

Segment: TypeAlias = (
    Annotated[StrictStr, Field(max_length=1_000)] | Annotated[StrictInt, Field(ge=0, le=1_000_000)]
)
Path: TypeAlias = Annotated[tuple[Segment, ...], Field(max_length=16)]
Somewhere: TypeAlias = Annotated[tuple[Segment, ...], Field(min_length=1, max_length=16)]
Status: TypeAlias = Annotated[int, Field(ge=201, le=599)]
Meaning: TypeAlias = Literal["rows", "partial", "absent", "auth", "retry"]
ExpressionText: TypeAlias = Annotated[str, AfterValidator(checked_expression)]
FieldName: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]

Fields: TypeAlias = Mapping[FieldName, ExpressionText]
"""How the fields of a record are made: an expression for each, by its name as in JSON
(``displayName``) or in Python (``display_name``)."""


class MoreSettings(SettingsModel):
    """What tells that an answer does not hold all there is, and how the rest is asked for.

    What is not found in such an answer is not absent: it is looked for on the next pages, and
    fails where these cannot be had. A ``Link`` header (RFC 8288), ``Content-Range`` (RFC 9110,
    section 14.4) and status 206 are always understood.
    """

    has_more: Somewhere | None = Field(
        default=None,
        description="Where the answer says whether more follow: true or false.",
        examples=[["has_more"]],
    )
    total: Somewhere | None = Field(
        default=None,
        description="Where the answer says how many rows there are on all pages.",
        examples=[["totalResults"]],
    )
    next_url: Somewhere | None = Field(
        default=None,
        description="Where the answer has the address of the next page; null, empty or missing on"
        " the last.",
        examples=[["links", "next"]],
    )
    next_cursor: Somewhere | None = Field(
        default=None,
        description="Where the answer has the cursor or number of the next page; null, empty, 0 or"
        " missing on the last.",
        examples=[["meta", "next"]],
    )
    row_cursor: Somewhere | None = Field(
        default=None,
        description="Where the last row has the cursor of the next page, if `has_more` is all that"
        " the answer says of it.",
        examples=[["id"]],
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="At how many rows the service cuts its answers off without saying so.",
    )
    cursor_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter that asks for the page of a cursor.",
        examples=["cursor", "starting_after"],
    )
    offset_parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter that asks for the rows from a number on.",
        examples=["offset", "startIndex"],
    )
    first_offset: int = Field(
        default=0, ge=0, le=1, description="The number of the first row, for that parameter."
    )
    max_pages: int = Field(
        default=10, ge=1, le=1_000, description="Most pages that are read for one call."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        """Refuse two ways at once."""
        ways = [self.next_url, self.next_cursor, self.row_cursor]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("expected one of next_url, next_cursor and row_cursor at most")
        if self.row_cursor is not None and self.has_more is None:
            raise ValueError("expected has_more beside row_cursor")
        return self


class AnswerSettings(SettingsModel):
    """How the answers of a service are read."""

    rows: Path = Field(
        default=(),
        description="What leads to the rows; nothing where the answer is the rows.",
        examples=[["data", "users"]],
    )
    many: bool = Field(
        default=True, description="Whether there stands a list of rows, rather than one row."
    )
    by_key: bool = Field(
        default=False,
        description="Whether there stands an object of rows instead, which their keys name.",
    )
    key: Somewhere | None = Field(
        default=None,
        description="What leads from a row to its key, text or a number. By default it is what the"
        " record calls its key. One row (`many` = false) may have none: it is of the one user asked"
        " for then; it is of nobody where it names another one as the default contract does.",
        examples=[["properties", "id"]],
    )
    fold_case: bool = Field(
        default=False,
        description="Whether keys that differ in the case of ASCII letters alone are the same, as"
        " UUIDs always are. A row whose key is written as it was asked for comes first.",
    )
    status: Mapping[Status, Meaning] = Field(
        default={},
        description="What statuses mean, where they do not say it themselves: `rows` (read it as"
        " 200), `partial` (as 206), `absent` (nobody who was asked for is known), `auth` (the"
        " gateway may not ask), `retry` (it may work soon).",
    )
    max_rows: int = Field(
        default=5_000,
        ge=1,
        le=1_000_000,
        description="Most rows of one answer that are read; it counts as cut off behind them.",
    )
    more: MoreSettings = Field(
        default=MoreSettings(), description="What tells that an answer does not hold all there is."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        """Refuse two ways at once."""
        if self.by_key and not self.many:
            raise ValueError("expected many = true beside by_key = true")
        if self.by_key and self.key is not None:
            raise ValueError("expected no key beside by_key = true: the names are the keys")
        return self
