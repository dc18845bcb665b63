"""Lists in pages, by the GraphQL Cursor Connections specification."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Struct
from pydantic import Field, TypeAdapter, ValidationError

from app.errors import BadUserInputError, SourceError, SourceFailure
from app.expressions.ids import folded
from app.sources.base import (
    MAX_INT,
    PageItem,
    PageRequest,
    PageResult,
    PageTrail,
    Position,
    PositionGone,
    Record,
    UserId,
)

MAX_FIRST = 100
"""Most items of one page."""

MAX_CURSOR = 65_536
"""Most characters of a cursor. The gateway writes none that is longer."""


class _Cursor(NamedTuple):
    """The content of a cursor: the user and the list, so that it fits no other, and the position.

    A cursor that was written before cursors named their list has an empty name.
    """

    user: str
    cursor: str | None
    item: str | None
    pages: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    mark: Annotated[str, Field(max_length=16)] = ""
    list: str = ""


_CURSOR = TypeAdapter(_Cursor)


def encode_cursor(user: UserId, name: str, position: Position) -> str:
    """Encode a position as an opaque cursor.

    Args:
        user: The id of the user that the list belongs to.
        name: The name of the list.
        position: The position in the list.

    Returns:
        The cursor, in base64url without padding.
    """
    trail = position.trail
    content = _Cursor(user, position.cursor, position.item, trail.pages, trail.mark, name)
    json = _CURSOR.dump_json(content)
    return base64.urlsafe_b64encode(json).decode().rstrip("=")


def decode_cursor(user: UserId, name: str, cursor: str) -> Position:
    """Decode a cursor that a client sends.

    Args:
        user: The id of the user that the list belongs to.
        name: The name of the list.
        cursor: The cursor.

    Returns:
        The position.

    Raises:
        BadUserInputError: The text is not a cursor of this gateway, or is one of another list, or
            of another user's list.
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
    if decoded.list not in {name, ""}:
        raise BadUserInputError(f"after is a cursor of another list: expected one of {name}")
    return Position(decoded.cursor, decoded.item, PageTrail(decoded.pages, decoded.mark))


def page_request(user: UserId, name: str, first: int, after: str | None) -> PageRequest:
    """Check the arguments of a connection.

    Args:
        user: The id of the user that the list belongs to.
        name: The name of the list.
        first: The number of items, 1 to 100.
        after: The cursor of the last item before the page; ``None`` for the first page.

    Returns:
        The request of the page.

    Raises:
        BadUserInputError: An argument is not valid.
    """
    if not 1 <= first <= MAX_FIRST:
        raise BadUserInputError(f"first takes 1 to {MAX_FIRST}, got {first}")
    return PageRequest(user, first, None if after is None else decode_cursor(user, name, after))


class PageEdge(Struct, frozen=True):
    """An item of a page.

    Attributes:
        user: The id of the user that the list belongs to.
        list: The name of the list.
        entry: The item and its position.
    """

    user: UserId
    list: str
    entry: PageItem[Record]

    @property
    def cursor(self) -> str:
        """The cursor of the item. Most clients ask for one or two of a page: so it is made late."""
        return encode_cursor(self.user, self.list, self.entry.position)

    @property
    def node(self) -> Record:
        """The item."""
        return self.entry.item


class ResolvedPage(Struct, frozen=True):
    """A page that a client reads: the connection, and its ``PageInfo``.

    Attributes:
        edges: The items, each with its cursor.
        has_next_page: Whether items follow the page.
        has_previous_page: Whether items precede the page.
    """

    edges: Sequence[PageEdge]
    has_next_page: bool
    has_previous_page: bool

    @property
    def page_info(self) -> "ResolvedPage":
        """Where the page lies in its list: the page itself."""
        return self

    @property
    def start_cursor(self) -> str | None:
        """The cursor of the first item; ``None`` without items."""
        return self.edges[0].cursor if self.edges else None

    @property
    def end_cursor(self) -> str | None:
        """The cursor of the last item; ``None`` without items."""
        return self.edges[-1].cursor if self.edges else None


def resolved_page(
    name: str, request: PageRequest, result: PageResult[Record]
) -> ResolvedPage | None:
    """Make the page that a client reads of what a source answered.

    Args:
        name: The name of the list.
        request: The request of the page, by the user's id.
        result: The result of the source.

    Returns:
        The page; ``None`` if the source does not know the user.

    Raises:
        SourceError: The source failed.
        BadUserInputError: The list no longer has the item after which the page starts.
    """
    match result:
        case SourceFailure():
            raise SourceError(result)
        case PositionGone():
            raise BadUserInputError(
                "after is the cursor of an item that is gone: start again without it"
            )
        case None:
            return None
        case _:
            edges = [PageEdge(request.user, name, entry) for entry in result.items]
            return ResolvedPage(edges, result.has_next, request.after is not None)
