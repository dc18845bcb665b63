"""A fake of PostgREST that follows its documentation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.examples.users import Json

TOKEN = "postgrest-token"
NO_LIMIT = 1_000_000
RESERVED = {"select", "order", "limit", "offset"}
"""Parameters that are not filters of columns."""

VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,()"]+)')
"""A value in a list: between double quotes, or without quotes."""


@dataclass
class Tables:
    """A PostgREST.

    Attributes:
        tables: The rows of each table.
        max_rows: The setting ``db-max-rows``.
        queries: The queries of the requests so far.
    """

    tables: Mapping[str, Sequence[Json]]
    max_rows: int = NO_LIMIT
    queries: list[str] = field(default_factory=list[str])

    @property
    def app(self) -> Starlette:
        """The application to serve."""
        return Starlette(routes=[Route("/{table}", self.read)])

    async def read(self, request: Request) -> JSONResponse:
        """Respond to ``GET /{table}``."""
        self.queries.append(request.url.query)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"code": "PGRST301", "message": "JWSError"}, 401)
        rows = self.tables.get(request.path_params["table"])
        if rows is None:
            return JSONResponse({"code": "PGRST205", "message": "no such table"}, 404)
        query, columns = request.query_params, rows[0].keys()
        filters = [(name, text) for name, text in query.multi_items() if name not in RESERVED]
        wanted = query.get("select", ",".join(columns)).split(",")
        for name in (*(name for name, _ in filters), *wanted):
            if name not in columns:
                return JSONResponse({"code": "42703", "message": "no such column"}, 400)
        for name, text in filters:
            values = values_of(text)
            if values is None:
                return JSONResponse({"code": "PGRST100", "message": "no such operator"}, 400)
            rows = [row for row in rows if row[name] in values]
        for term in reversed(query["order"].split(",") if "order" in query else []):
            column, _, direction = term.partition(".")
            rows = sorted(rows, key=lambda row: row[column], reverse=direction == "desc")
        start = int(query.get("offset", "0"))
        most = min(int(query.get("limit", str(NO_LIMIT))), self.max_rows)
        page = rows[start : start + most]
        counted = "count=exact" in request.headers.get("prefer", "")
        span = f"{start}-{start + len(page) - 1}" if page else "*"
        headers = {"Content-Range": f"{span}/{len(rows) if counted else '*'}"}
        if counted and start > len(rows):
            return JSONResponse({"code": "PGRST103", "message": "no such range"}, 416, headers)
        status = 206 if counted and len(page) < len(rows) else 200
        return JSONResponse([{name: row[name] for name in wanted} for row in page], status, headers)


def values_of(text: str) -> Sequence[str] | None:
    """Read the values of a filter by ``eq`` or ``in``; ``None`` for other filters."""
    if text.startswith("eq."):
        return [text.removeprefix("eq.")]
    found = re.fullmatch(r"in\.\((.*)\)", text, flags=re.DOTALL)
    if found is None:
        return None
    return [
        bare or re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        for quoted, bare in VALUE.findall(found[1])
    ]
