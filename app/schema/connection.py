"""Lists in pages, by the GraphQL Cursor Connections specification."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import strawberry
from pydantic import Field, TypeAdapter, ValidationError

from app.errors import BadUserInputError
from app.expressions.ids import folded
from app.sources.base import MAX_INT, Page, PageRequest, PageTrail, Position, Record, UserId

MAX_FIRST = 100
"""Most items of one page."""

MAX_CURSOR = 65_536
"""Most characters of a cursor. The gateway writes none that is longer."""


class _Cursor(NamedTuple):
    """The content of a cursor: the user, so that it fits no other list, and the position."""

    user: str
    cursor: str | None
    item: str | None
    pages: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    mark: Annotated[str, Field(max_length=16)] = ""


_CURSOR = TypeAdapter(_Cursor)


def encode_cursor(user: UserId, position: Position) -> str:
    """Encode a position as an opaque cursor.

    Args:
        user: The id of the user that the list belongs to.
        position: The position in the list.

    Returns:
        The cursor, in base64url without padding.
    """
    trail = position.trail
    json = _CURSOR.dump_json(_Cursor(user, position.cursor, position.item, trail.pages, trail.mark))
    return base64.urlsafe_b64encode(json).decode().rstrip("=")


def decode_cursor(user: UserId, cursor: str) -> Position:
    """Decode a cursor that a client sends.

    Args:
        user: The id of the user that the list belongs to.
        cursor: The cursor.

    Returns:
        The position.

    Raises:
        BadUserInputError: The text is not a cursor of this gateway, or is one of another user's
            list.
    """
    try:
        cursor = cursor[: MAX_CURSOR + 1]  # a longer one is invalid; do not decode it all
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = _CURSOR.validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, ValidationError) as error:
        raise BadUserInputError(
            "after is not a cursor: expected the endCursor or an edge's cursor of an earlier page"
        ) from error
    if folded(decoded.user) != folded(user):
        raise BadUserInputError("after is a cursor of another user's list")
    return Position(decoded.cursor, decoded.item, PageTrail(decoded.pages, decoded.mark))


def page_request(user: UserId, first: int, after: str | None) -> PageRequest:
    """Check the arguments of a connection.

    Args:
        user: The id of the user that the list belongs to.
        first: The number of items, 1 to 100.
        after: The cursor of the last item before the page; ``None`` for the first page.

    Returns:
        The request of the page.

    Raises:
        BadUserInputError: An argument is not valid.
    """
    if not 1 <= first <= MAX_FIRST:
        raise BadUserInputError(f"first takes 1 to {MAX_FIRST}, got {first}")
    return PageRequest(user, first, None if after is None else decode_cursor(user, after))


@strawberry.federation.type(shareable=True, description="Where a page lies in its list.")
class PageInfo:
    """Where a page lies in its list."""

    has_next_page: bool = strawberry.field(description="Whether items follow the page.")
    has_previous_page: bool = strawberry.field(description="Whether items precede the page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the page's first item.")
    end_cursor: str | None = strawberry.field(
        description="Cursor of the page's last item: `after` for the next page."
    )


@dataclass(frozen=True, slots=True)
class PageEdge:
    """An item of a page.

    Attributes:
        cursor: The cursor of the item.
        node: The item.
    """

    cursor: str
    node: Record


@dataclass(frozen=True, slots=True)
class ResolvedPage:
    """A page that a client reads.

    Attributes:
        edges: The items, each with its cursor.
        page_info: Where the page lies in its list.
    """

    edges: Sequence[PageEdge]
    page_info: PageInfo


def resolved_page(request: PageRequest, page: Page[Record]) -> ResolvedPage:
    """Make the page that a client reads from a page of a source.

    Args:
        request: The request of the page.
        page: The page of the source.

    Returns:
        The page, with a cursor for each item.
    """
    edges = [
        PageEdge(encode_cursor(request.user, entry.position), entry.item) for entry in page.items
    ]
    return ResolvedPage(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=request.after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )
