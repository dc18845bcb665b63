"""The module of the documentation, served by the real program, and upgraded as operators do."""

import re
import sqlite3
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
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
    text = (ROOT / "docs/schema.md").read_text(encoding="utf-8")
    section = text.partition("## Python, where an expression does not do")[2]
    blocks = re.findall(rf"```{language}\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    block: str = blocks[number]
    return block


async def rows(request: Request) -> JSONResponse:
    """Answer as each of the services, about one user."""
    key = "id" if "id" in request.query_params else "userId"
    row = {key: USER, "displayName": "Ada King", "openTickets": 1, "contract": {"tier": "gold"}}
    return JSONResponse([row])


@asynccontextmanager
async def served(
    folder: Path, names: Sequence[str] = ("PROFILE", "BILLING", "ACTIVITY", "SUPPORT")
) -> AsyncGenerator[tuple[str, list[Mapping[str, Any]]]]:
    """Serve what a folder has, and give the address and the events of the start."""
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


async def asked(url: str, fields: str = "displayName initials care") -> object:
    """Ask for the fields of the module."""
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
        answer = await asked(url)

    assert answer == ANSWER
    assert not [one for one in events if one["event"] == "extension.deprecated"]


async def test_the_example_of_a_source_is_served(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(example("toml", 1), encoding="utf-8")
    (tmp_path / "acme_points.py").write_text(example("python", 1), encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "points.db")) as database:
        database.execute("CREATE TABLE points (user_id TEXT PRIMARY KEY, points INTEGER)")
        database.execute("INSERT INTO points VALUES (?, 42)", (USER,))
        database.commit()

    async with served(tmp_path, ("PROFILE", "BILLING", "ACTIVITY")) as (url, _):
        answer = await asked(url, "displayName points")

    assert answer == {"data": {"user": {"displayName": "Ada King", "points": 42}}}


async def test_a_module_is_upgraded_across_a_deprecation_while_it_goes_on_working(
    folder: Path,
) -> None:
    module = folder / "acme_users.py"
    upgraded = module.read_text(encoding="utf-8")
    module.write_text(upgraded.replace("computed", "derived").replace("1.1", "1.0"), "utf-8")

    async with served(folder) as (url, events):
        before = await asked(url)
    [event] = [one for one in events if one["event"] == "extension.deprecated"]
    module.write_text(upgraded, encoding="utf-8")
    async with served(folder) as (url, events):
        after = await asked(url)

    assert before == after == ANSWER
    assert (event["level"], event["module"]) == ("warning", "acme_users")
    assert (event["name"], event["instead"]) == ("derived", "computed")
    assert not [one for one in events if one["event"] == "extension.deprecated"]
