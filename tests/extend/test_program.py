"""The module in the documentation is served by the real program, and upgraded."""

import re
import sqlite3
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from string import Template
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import app
from tests.examples.serving import free_port, program, serving

ROOT = Path(app.__file__).parents[1]
USER = "00000000-0000-4000-8000-000000000001"


def example(language: str, number: int = 0) -> str:
    """Return a block of the documentation in a language."""
    text = (ROOT / "docs/how-to/python-module.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    block: str = blocks[number]
    return block


async def rows(request: Request) -> JSONResponse:
    """Answer for one user as each of the services."""
    key = "id" if "id" in request.query_params else "userId"
    row = {key: USER, "displayName": "Ada King", "openTickets": 1, "contract": {"tier": "gold"}}
    return JSONResponse([row])


@asynccontextmanager
async def served(
    folder: Path, names: Sequence[str] = ("PROFILE", "BILLING", "ACTIVITY", "SUPPORT")
) -> AsyncGenerator[tuple[str, list[Mapping[str, Any]]]]:
    """Serve the configuration in a folder; yield the address and the events of the start."""
    port = free_port()
    paths = ("/users", "/accounts", "/summaries", "/requesters")
    async with serving("rows", Starlette(routes=[Route(one, rows) for one in paths])) as address:
        variables = {
            "PYTHONPATH": str(ROOT),
            "GATEWAY_AUTH__MODE": "none",
            "GATEWAY_LOG__FORMAT": "json",
            **{f"GATEWAY_SOURCES__{name}__BASE_URL": address for name in names},
        }
        config = str(folder / "gateway.toml")
        serve = (sys.executable, "-m", "app", "serve", "--port", str(port), "--config", config)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        with program(serve, ready="Press CTRL+C", folder=elsewhere, environment=variables) as said:
            yield f"http://127.0.0.1:{port}/graphql", [orjson.loads(line) for line in said]


async def queried(url: str, fields: str = "displayName initials care") -> object:
    """Query the fields of the module."""
    query = f"query($id: ID!) {{ user(id: $id) {{ {fields} }} }}"
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(url, json={"query": query, "variables": {"id": USER}})
    return response.json()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the example of the documentation into a folder."""
    (tmp_path / "gateway.toml").write_text(example("toml"), encoding="utf-8")
    (tmp_path / "acme_users.py").write_text(example("python"), encoding="utf-8")
    return tmp_path


ANSWER = {"data": {"user": {"displayName": "Ada King", "initials": "AK", "care": "WATCHED"}}}


async def test_the_example_of_the_documentation_is_served(folder: Path) -> None:
    async with served(folder) as (url, events):
        answer = await queried(url)

    assert answer == ANSWER
    assert not [one for one in events if one["event"] == "extension.deprecated"]


OTHER = USER.replace("1", "2")

TABLES = """
CREATE TABLE points (user_id TEXT PRIMARY KEY, points INTEGER, tier TEXT, locked INTEGER);
INSERT INTO points VALUES ('$USER', 42, 'gold', 0), ('$OTHER', 7, 'blue', 1);
CREATE TABLE bookings (id INTEGER PRIMARY KEY, user_id TEXT, points INTEGER, booked_at TEXT);
INSERT INTO bookings VALUES
    (8, '$USER', 50, '2026-06-01T09:00:00+00:00'),
    (9, '$USER', -3, '2026-06-02T09:00:00+00:00'),
    (11, '$USER', -5, '2026-06-03T09:00:00+00:00');
"""

POINTS = """
query($ids: [ID!]!, $after: String) {
  users(ids: $ids) {
    points
    bookings(first: 2, after: $after) {
      edges { node { id points bookedAt } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""


async def test_the_example_of_a_source_is_served(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(example("toml", 1), encoding="utf-8")
    (tmp_path / "acme_points.py").write_text(example("python", 1), encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "points.db")) as database:
        database.executescript(Template(TABLES).substitute(USER=USER, OTHER=OTHER))

    async with (
        served(tmp_path, ("PROFILE", "BILLING", "ACTIVITY")) as (url, _),
        httpx.AsyncClient(trust_env=False) as client,
    ):

        async def ask(query: str, **variables: object) -> Any:  # noqa: ANN401 # tests index into it
            body = {"query": query, "variables": variables}
            return (await client.post(url, json=body)).json()

        both = await queried(url, "displayName points tier")
        first = await ask(POINTS, ids=[USER, OTHER])
        page = first["data"]["users"][0]["bookings"]
        with closing(sqlite3.connect(tmp_path / "points.db")) as database:
            database.execute("ALTER TABLE points DROP COLUMN tier")  # no query below reads it
        second = await ask(POINTS, ids=[USER], after=page["pageInfo"]["endCursor"])

    assert both == {"data": {"user": {"displayName": "Ada King", "points": 42, "tier": "gold"}}}
    locked = [(one["path"], one["extensions"]["code"]) for one in first["errors"]]
    assert (["users", 1, "points"], "SOURCE_UNAVAILABLE") in locked
    assert {one["path"][1] for one in first["errors"]} == {1}
    assert first["data"]["users"][0]["points"] == 42
    assert page["pageInfo"]["hasNextPage"]
    assert [edge["node"] for edge in page["edges"]] == [
        {"id": "11", "points": -5, "bookedAt": "2026-06-03T09:00:00Z"},
        {"id": "9", "points": -3, "bookedAt": "2026-06-02T09:00:00Z"},
    ]
    [rest] = second["data"]["users"]
    assert rest["points"] == 42
    assert [edge["node"]["id"] for edge in rest["bookings"]["edges"]] == ["8"]
    assert not rest["bookings"]["pageInfo"]["hasNextPage"]


async def test_a_module_with_a_deprecated_name_works_before_and_after_its_upgrade(
    folder: Path,
) -> None:
    module = folder / "acme_users.py"
    upgraded = module.read_text(encoding="utf-8")
    module.write_text(upgraded.replace("computed", "derived").replace("1.1", "1.0"), "utf-8")

    async with served(folder) as (url, events):
        before = await queried(url)
    [event] = [one for one in events if one["event"] == "extension.deprecated"]
    module.write_text(upgraded, encoding="utf-8")
    async with served(folder) as (url, events):
        after = await queried(url)

    assert before == after == ANSWER
    assert (event["level"], event["module"]) == ("warning", "acme_users")
    assert (event["name"], event["instead"]) == ("derived", "computed")
    assert not [one for one in events if one["event"] == "extension.deprecated"]
