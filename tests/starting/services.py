"""Services that know a few users, each by requests of another form; and the command over them."""

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

Asked = Callable[[HttpRequest], Sequence[str] | None]
"""Reads from a request whom it asks for; ``None`` if it does not understand it."""


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        path: Where it has its users.
        asked: How it is asked for some of them; it has all of them otherwise.
        by_path: Whether it has each user below the path.
        key: The member with the id of a row.
        around: Puts an answer around the rows.
        rows: The rows.
    """

    path: str = "/employees"
    asked: Asked = lambda _: None
    by_path: bool = False
    key: str = "id"
    around: Callable[[Sequence[Row]], object] = lambda rows: rows
    rows: Sequence[Row] = tuple(EMPLOYEES)

    async def __call__(self, exchange: HttpExchange) -> None:
        """Answer a request."""
        request = exchange.request
        one = request.path.removeprefix(f"{self.path}/")
        if request.path == self.path:
            asked = self.asked(request)
            rows = [row for row in self.rows if asked is None or str(row[self.key]) in asked]
            await exchange.say(json.dumps(self.around(rows)).encode())
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


def repeated(name: str) -> Asked:
    """Have a parameter repeated for each user."""
    return lambda request: values(request, name) or None


def only_first(name: str) -> Asked:
    """Read a parameter once, whatever follows."""
    return lambda request: values(request, name)[:1] or None


def with_commas(name: str) -> Asked:
    """Have the users in one parameter."""
    return lambda request: values(request, name)[0].split(",") if values(request, name) else None


def postgrest(request: HttpRequest) -> Sequence[str] | None:
    """Read users as PostgREST does, and understand nothing else."""
    [value] = values(request, "id") or [""]
    one, many = re.fullmatch(r"eq\.(.+)", value), re.fullmatch(r"in\.\((.+)\)", value)
    if many is not None:
        return [part.strip('"') for part in many[1].split(",")]
    return [] if one is None else [one[1]]


def scim(request: HttpRequest) -> Sequence[str] | None:
    """Read a filter as SCIM has it."""
    found = values(request, "filter")
    return re.findall(r'id eq "([^"]+)"', found[0]) if found else None


def saying_only(body: bytes, status: str = "200 OK", **headers: str) -> Answer:
    """Answer everything the same."""
    return lambda exchange: exchange.say(
        body, status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


async def init(*arguments: str, given: str = "") -> Result:
    """Run the command as a user would, beside the servers of the test."""
    runner = CliRunner(env={"COLUMNS": "100"})
    result = await asyncio.to_thread(runner.invoke, main, ["init", *arguments], given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written() -> dict[str, Any]:
    """Read the file that the command has written."""
    return tomllib.loads(text_of_file())


def text_of_file() -> str:
    """Read the text of that file."""
    return Path(FILE).read_text(encoding="utf-8")


def is_written() -> bool:
    """Tell whether there is such a file."""
    return Path(FILE).exists()


def write_file(text: str) -> None:
    """Write such a file."""
    Path(FILE).write_text(text, encoding="utf-8")
