"""Services that know a few users, by different forms of request, and the command over them."""

import asyncio
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from app.cli import main
from tests.fakes.http_server import Answer, HttpExchange, HttpRequest

Row = Mapping[str, Any]

FILE = "gateway.toml"
EMPLOYEES: Sequence[Row] = [
    {"id": f"e{number}", "first_name": name, "hired_on": f"2021-03-0{number}"}
    for number, name in enumerate(("Ada", "Ben", "Cy"), 1)
]

ReadIds = Callable[[HttpRequest], Sequence[str] | None]
"""Reads the requested ids from a request; ``None`` if there are none in a known form."""


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        path: The path of its users.
        requested_ids: Reads the requested ids; without ids the response has all users.
        by_path: Whether each user has a path below.
        key: The member of a row with the id of its user.
        wrap: Makes a response from the rows.
        rows: The rows.
    """

    path: str = "/employees"
    requested_ids: ReadIds = lambda _: None
    by_path: bool = False
    key: str = "id"
    wrap: Callable[[Sequence[Row]], object] = lambda rows: rows
    rows: Sequence[Row] = tuple(EMPLOYEES)

    async def __call__(self, exchange: HttpExchange) -> None:
        """Respond to a request."""
        request = exchange.request
        one = request.path.removeprefix(f"{self.path}/")
        if request.path == self.path:
            ids = self.requested_ids(request)
            rows = [row for row in self.rows if ids is None or str(row[self.key]) in ids]
            await exchange.say(json.dumps(self.wrap(rows)).encode())
        elif self.by_path and (found := self._row(one)) is not None:
            await exchange.say(json.dumps(found).encode())
        else:
            await exchange.say(b'{"error": "not found"}', "404 Not Found")

    def _row(self, user: str) -> Row | None:
        """Find the row of a user."""
        return next((row for row in self.rows if str(row[self.key]) == user), None)


def values(request: HttpRequest, name: str) -> list[str]:
    """List the values of a parameter."""
    return [value for one, value in request.parameters if one == name] if _query(request) else []


def _query(request: HttpRequest) -> str:
    """Return the query of a request."""
    return request.target.partition("?")[2]


def repeated(name: str) -> ReadIds:
    """Read a parameter that is repeated for each user."""
    return lambda request: values(request, name) or None


def only_first(name: str) -> ReadIds:
    """Read only the first value of a parameter."""
    return lambda request: values(request, name)[:1] or None


def with_commas(name: str) -> ReadIds:
    """Read ids with commas between them from one parameter."""
    return lambda request: values(request, name)[0].split(",") if values(request, name) else None


def postgrest(request: HttpRequest) -> Sequence[str] | None:
    """Read ids in the notation of PostgREST, and no other."""
    [value] = values(request, "id") or [""]
    one, many = re.fullmatch(r"eq\.(.+)", value), re.fullmatch(r"in\.\((.+)\)", value)
    if many is not None:
        return [part.strip('"') for part in many[1].split(",")]
    return [] if one is None else [one[1]]


def scim(request: HttpRequest) -> Sequence[str] | None:
    """Read ids from a filter of SCIM."""
    found = values(request, "filter")
    return re.findall(r'id eq "([^"]+)"', found[0]) if found else None


def always(body: bytes, status: str = "200 OK", **headers: str) -> Answer:
    """Send the same response to each request."""
    return lambda exchange: exchange.say(
        body, status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


async def init(*arguments: str, given: str = "") -> Result:
    """Run the command as a user does, while the servers of the test run."""
    runner = CliRunner(env={"COLUMNS": "100"})
    result = await asyncio.to_thread(runner.invoke, main, ["init", *arguments], given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written_settings() -> dict[str, Any]:
    """Read the file that the command has written."""
    return tomllib.loads(text_of_file())


def text_of_file() -> str:
    """Read the text of the file."""
    return Path(FILE).read_text(encoding="utf-8")


def is_written() -> bool:
    """Return whether the file exists."""
    return Path(FILE).exists()


def write_file(text: str) -> None:
    """Write the file."""
    Path(FILE).write_text(text, encoding="utf-8")
