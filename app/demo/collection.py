"""Rows by id: many by a repeated parameter, one by path.

The calls to SQLite run on the event loop, on purpose. A lookup by primary key in a file of a few
megabytes, which the system holds in memory, takes some ten microseconds, and fifty rows take well
under a millisecond: less than handing the call to a thread and back, and one connection needs no
lock. A service with a database across a network would be written otherwise.
"""

import sqlite3
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo.answers import answer

MOST_IDS = 200
"""How many ids a request may name. More are refused; cutting the answer short would hide rows."""


@dataclass(frozen=True, slots=True)
class Collection:
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
