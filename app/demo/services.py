"""The three services: profile, billing and activity, each over one SQLite file.

Rows are read by id: many by a repeated parameter, one by path. Invoices of one account come page by
page, newest first.

The calls to SQLite run on the event loop on purpose. A lookup by primary key in a file of a few
megabytes, which the system holds in memory, takes about ten microseconds, and fifty rows take less
than a millisecond. Handing the call to a thread and back takes longer, and one connection needs no
lock. A service with a database across a network would need a thread or an async driver.
"""

import re
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path

import orjson
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.demo.database import ACTIVITY_FILE, BILLING_FILE, PROFILE_FILE, reading
from app.demo.responses import EchoRequestId, answer, http_problem, server_problem

MOST_IDS = 200
"""How many ids a request may name. More are refused; cutting the answer short would hide rows."""


class Collection(Struct, frozen=True):
    """Documents of one kind.

    Attributes:
        path: Where they are, such as `/users`.
        parameter: The query parameter that names their keys.
        select: SQL that takes a JSON array of keys and gives the documents found. One text for
            any number of keys, so that SQLite prepares it once.
    """

    path: str
    parameter: str
    select: str

    def find(self, connection: sqlite3.Connection, keys: list[str]) -> list[bytes]:
        """The documents of the keys that are known, each once, in the order of their keys."""
        rows = connection.execute(self.select, (orjson.dumps(keys).decode(),))
        return [body for (body,) in rows]


def collection_routes(connection: sqlite3.Connection, collection: Collection) -> list[Route]:
    """The routes `{path}?{parameter}=a&{parameter}=b` and `{path}/{key}`."""

    async def many(request: Request) -> Response:
        keys = request.query_params.getlist(collection.parameter)
        if not all(keys) or not 1 <= len(keys) <= MOST_IDS:
            raise HTTPException(
                HTTPStatus.BAD_REQUEST,
                f"name 1 to {MOST_IDS} users, as {collection.path}?{collection.parameter}=a"
                f"&{collection.parameter}=b: got {len(keys)}{'' if all(keys) else ', some empty'}",
            )
        return answer(request, b"[" + b",".join(collection.find(connection, keys)) + b"]")

    async def one(request: Request) -> Response:
        found = collection.find(connection, [request.path_params["key"]])
        if not found:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is nothing at {request.url.path}")
        return answer(request, found[0])

    return [Route(collection.path, many), Route(collection.path + "/{key}", one)]


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


_USERS = Collection(
    path="/users",
    parameter="id",
    select="SELECT body FROM users WHERE id IN (SELECT value FROM json_each(?))",
)
_ACCOUNTS = Collection(
    path="/accounts",
    parameter="userId",
    select="SELECT body FROM accounts WHERE id IN (SELECT value FROM json_each(?))",
)
_SUMMARIES = Collection(
    path="/summaries",
    parameter="userId",
    select="SELECT body FROM summaries WHERE id IN (SELECT value FROM json_each(?))",
)


class DemoServices(Struct, frozen=True):
    """The three applications, ready to be asked.

    Attributes:
        profile: Answers `/users`.
        billing: Answers `/accounts` and `/invoices`.
        activity: Answers `/summaries`.
    """

    profile: ASGIApp
    billing: ASGIApp
    activity: ASGIApp


@contextmanager
def demo_services(folder: Path) -> Generator[DemoServices]:
    """The three applications over a folder that `database.build` or `data_folder` has filled.

    Each has its own connection, open until the end of the context and used in the thread that
    entered it. The applications need no lifespan, so a test mounts one as it is:
    `httpx.AsyncClient(transport=httpx.ASGITransport(services.profile), base_url="http://profile")`.

    Raises:
        DemoError: A file isn't there.
    """
    with ExitStack() as stack:
        profile = stack.enter_context(reading(folder / PROFILE_FILE))
        billing = stack.enter_context(reading(folder / BILLING_FILE))
        activity = stack.enter_context(reading(folder / ACTIVITY_FILE))
        yield DemoServices(
            profile=profile_service(profile),
            billing=billing_service(billing),
            activity=activity_service(activity),
        )


def profile_service(connection: sqlite3.Connection) -> Starlette:
    """Who users are, over an open connection."""
    return _service(collection_routes(connection, _USERS))


def billing_service(connection: sqlite3.Connection) -> Starlette:
    """What users pay, over an open connection."""
    return _service(collection_routes(connection, _ACCOUNTS) + invoice_routes(connection))


def activity_service(connection: sqlite3.Connection) -> Starlette:
    """What users do, over an open connection."""
    return _service(collection_routes(connection, _SUMMARIES))


def _service(routes: list[Route]) -> Starlette:
    """What every service has beside its routes."""
    return Starlette(
        routes=[Route("/healthz", _healthz), *routes],
        middleware=[Middleware(EchoRequestId)],
        exception_handlers={HTTPException: http_problem, Exception: server_problem},
    )


async def _healthz(_request: Request) -> Response:
    """The process lives and serves."""
    return Response(b'{"status":"ok"}', media_type="application/json")
