"""Lists that are read page by page, as the GraphQL Cursor Connections specification has them."""

import base64
import binascii
from typing import Annotated, NamedTuple, Self

import strawberry
from pydantic import Field, TypeAdapter, ValidationError

from app.errors import BadUserInputError
from app.expressions.ids import folded
from app.schema.values import Invoice
from app.sources.base import MAX_INT, Page, PageRequest, PageTrail, Position, UserId
from app.sources.records import InvoiceRecord

MAX_FIRST = 100
"""The most items that one page may ask for."""

MAX_CURSOR = 65_536
"""The longest cursor, in characters, that is looked at: more than any that we write has."""


class _Cursor(NamedTuple):
    """What a cursor holds: its owner, so that it is no use in another list, and a position."""

    user: str
    cursor: str | None
    item: str | None
    pages: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    mark: Annotated[str, Field(max_length=16)] = ""


_CURSOR = TypeAdapter(_Cursor)


def encode_cursor(user: UserId, position: Position) -> str:
    """Write a position as an opaque cursor.

    Args:
        user: Whose list it is in.
        position: The position.

    Returns:
        Text that clients hand back as it is.
    """
    trail = position.trail
    json = _CURSOR.dump_json(_Cursor(user, position.cursor, position.item, trail.pages, trail.mark))
    return base64.urlsafe_b64encode(json).decode().rstrip("=")


def decode_cursor(user: UserId, cursor: str) -> Position:
    """Read a cursor that a client handed back.

    Args:
        user: Whose list it has to be in.
        cursor: The cursor.

    Returns:
        The position.

    Raises:
        BadUserInputError: We did not write it, or wrote it for another user's list.
    """
    try:
        cursor = cursor[: MAX_CURSOR + 1]  # the rest of a longer one is not worth the work
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = _CURSOR.validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, ValidationError) as error:
        raise BadUserInputError(
            "after is not a cursor: expected the endCursor or an edge's cursor of an earlier page"
        ) from error
    if folded(found.user) != folded(user):
        raise BadUserInputError("after is a cursor of another user's list")
    return Position(found.cursor, found.item, PageTrail(found.pages, found.mark))


def page_request(user: UserId, first: int, after: str | None) -> PageRequest:
    """Check the arguments of a connection.

    Args:
        user: Whose list.
        first: How many items.
        after: The cursor to start behind.

    Returns:
        The page that is asked for.

    Raises:
        BadUserInputError: An argument cannot be right.
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


@strawberry.type(description="An invoice in a list.")
class InvoiceEdge:
    """An invoice in a list."""

    cursor: str = strawberry.field(description="`after` for the page that follows this invoice.")
    node: Invoice = strawberry.field(description="The invoice.")


@strawberry.type(description="A page of a user's invoices.")
class InvoiceConnection:
    """A page of a user's invoices."""

    edges: list[InvoiceEdge] = strawberry.field(description="The page's invoices, newest first.")
    page_info: PageInfo = strawberry.field(description="Where the page lies in the list.")

    @classmethod
    def of(cls, request: PageRequest, page: Page[InvoiceRecord]) -> Self:
        """Make it from billing's page."""
        edges = [
            InvoiceEdge(
                cursor=encode_cursor(request.user, entry.position), node=Invoice.of(entry.item)
            )
            for entry in page.items
        ]
        return cls(
            edges=edges,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=request.after is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )
