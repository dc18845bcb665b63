"""Settings of a service's answers: the place of the rows, their keys, and how pages continue.

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
"""A path in an answer; empty for the answer itself."""

Somewhere: TypeAlias = Annotated[tuple[Segment, ...], Field(min_length=1, max_length=16)]
"""A path of at least one segment."""

Status: TypeAlias = Annotated[int, Field(ge=201, le=599)]
Meaning: TypeAlias = Literal["rows", "partial", "absent", "auth", "retry"]
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
        ways = [self.next_url, self.next_cursor, self.row_cursor]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("expected one of next_url, next_cursor and row_cursor at most")
        if self.row_cursor is not None and self.has_more is None:
            raise ValueError("expected has_more beside row_cursor")
        return self


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
        " access), `retry` (a later call may succeed).",
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
        if self.by_key and not self.many:
            raise ValueError("expected many = true beside by_key = true")
        if self.by_key and self.key is not None:
            raise ValueError("expected no key beside by_key = true: the names are the keys")
        if self.group is not None and not self.many:
            raise ValueError("expected many = true beside group: it groups several rows")
        if self.group is not None and self.by_key:
            raise ValueError("expected no group beside by_key = true: each name has one row")
        return self
