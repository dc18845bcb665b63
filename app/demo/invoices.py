"""Invoices of one account, newest first, page by page."""

import re
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo.answers import answer

USUAL_LIMIT = 20
"""How many invoices a page has when nothing is said."""

_LIMIT = re.compile(r"[1-9][0-9]?|100")
_SEQUENCE = re.compile(r"[1-9][0-9]{0,8}")
_AFTER_THE_NEWEST = 10**9

_HAS_ACCOUNT = "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ?)"
_PAGE = (
    "SELECT sequence, body FROM invoices WHERE user_id = ? AND sequence < ? "
    "ORDER BY sequence DESC LIMIT ?"
)


def invoice_routes(connection: sqlite3.Connection) -> list[Route]:
    """The route `/invoices?userId=a&limit=20&cursor=…`."""

    async def invoices(request: Request) -> Response:
        owner = _owner(request)
        limit = _limit(request)
        before = _before(request, owner)
        if not connection.execute(_HAS_ACCOUNT, (owner,)).fetchone()[0]:
            raise HTTPException(HTTPStatus.NOT_FOUND, "this user has no account")
        # One more than asked: its presence says that there is a next page.
        rows = connection.execute(_PAGE, (owner, before, limit + 1)).fetchall()
        page = rows[:limit]
        cursor = encode_cursor(owner, page[-1][0]) if len(rows) > limit else None
        items = b",".join(body for _, body in page)
        return answer(request, b'{"items":[%b],"nextCursor":%b}' % (items, orjson.dumps(cursor)))

    return [Route("/invoices", invoices)]


def encode_cursor(owner: str, sequence: int) -> str:
    """A place in a user's list, opaque to the caller.

    Args:
        owner: The user's id: a cursor of one user's list means nothing in another's.
        sequence: The last invoice that was shown.
    """
    return urlsafe_b64encode(f"{sequence}:{owner}".encode()).rstrip(b"=").decode()


def decode_cursor(owner: str, cursor: str) -> int | None:
    """The sequence in a cursor of this user's list; None for anything else."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sequence = urlsafe_b64decode(padded).decode().partition(":")[0]
    except ValueError:
        return None
    if not _SEQUENCE.fullmatch(sequence) or encode_cursor(owner, int(sequence)) != cursor:
        return None
    return int(sequence)


def _owner(request: Request) -> str:
    """The one user that was named."""
    owners = request.query_params.getlist("userId")
    if len(owners) != 1 or not owners[0]:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "name one user, as /invoices?userId=a")
    return owners[0]


def _limit(request: Request) -> int:
    """How many invoices were asked for."""
    limit = request.query_params.get("limit", str(USUAL_LIMIT))
    if not _LIMIT.fullmatch(limit):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "limit is a whole number from 1 to 100")
    return int(limit)


def _before(request: Request, owner: str) -> int:
    """The sequence below which the page begins."""
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return _AFTER_THE_NEWEST
    sequence = decode_cursor(owner, cursor)
    if sequence is None:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, "cursor is a nextCursor of this user's invoices, unchanged"
        )
    return sequence
