"""A fourth source is added with the file in docs/how-to/schema.md alone."""

import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

import app
from app.demo.services import demo_services
from tests.demo_data import demo_data
from tests.examples.serving import clean_environment, free_port, program, serving

ROOT = Path(app.__file__).parents[1]
SUPPORTED = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
TEAM = {"display_name": "First line"}


async def requesters(request: Request) -> JSONResponse:
    """Respond as the fourth service, which knows one user."""
    asked = request.query_params.getlist("userId")
    rows = [{"userId": one, "openTickets": 3, "team": TEAM} for one in asked if one == SUPPORTED]
    return JSONResponse(rows)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write the file of the page. Environment variables replace its address."""
    text = (ROOT / "docs/how-to/schema.md").read_text(encoding="utf-8")
    [found] = re.findall(r"```toml\n(\[sources\.support\].*?)```", text, flags=re.DOTALL)
    path = tmp_path / "gateway.toml"
    path.write_text(found, encoding="utf-8")
    return path


@asynccontextmanager
async def four_services() -> AsyncGenerator[Mapping[str, str]]:
    """Run the demo's three services and a fourth, and return variables with their addresses."""
    async with AsyncExitStack() as stack:
        folder = demo_data()
        demo = stack.enter_context(demo_services(folder))
        apps: Mapping[str, ASGIApp] = {
            "PROFILE": demo.profile,
            "BILLING": demo.billing,
            "ACTIVITY": demo.activity,
            "SUPPORT": Starlette(routes=[Route("/requesters", requesters)]),
        }
        yield {
            f"GATEWAY_SOURCES__{name}__BASE_URL": await stack.enter_async_context(
                serving(name, app)
            )
            for name, app in apps.items()
        } | {"GATEWAY_AUTH__MODE": "none"}


async def test_a_fourth_source_needs_only_the_documented_file(file: Path) -> None:
    port = free_port()
    serve = (sys.executable, "-m", "app", "serve", "--port", str(port), "--config", str(file))
    query = """query($known: ID!, $other: ID!) {
        user(id: $known) { displayName plan loginCount openTickets team { name } }
        other: user(id: $other) { displayName openTickets team { name } }
    }"""
    ids = {"known": SUPPORTED, "other": OTHER}
    async with four_services() as variables, httpx.AsyncClient(trust_env=False) as client:

        async def row_of(source: str, path: str, user: str) -> Mapping[str, Any]:
            base = variables[f"GATEWAY_SOURCES__{source}__BASE_URL"]
            [row] = (await client.get(f"{base}{path}={user}")).json()
            found: Mapping[str, Any] = row
            return found

        profile, other = [await row_of("PROFILE", "/users?id", one) for one in (SUPPORTED, OTHER)]
        billing = await row_of("BILLING", "/accounts?userId", SUPPORTED)
        activity = await row_of("ACTIVITY", "/summaries?userId", SUPPORTED)
        with program(serve, ready="Press CTRL+C", folder=ROOT, environment=variables):
            url = f"http://127.0.0.1:{port}/graphql"
            response = await client.post(url, json={"query": query, "variables": ids})

    assert response.json() == {
        "data": {
            "user": {
                "displayName": profile["displayName"],
                "plan": billing["plan"],
                "loginCount": activity["loginCount"],
                "openTickets": 3,
                "team": {"name": "First line"},
            },
            "other": {"displayName": other["displayName"], "openTickets": None, "team": None},
        }
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program without environment variables."""
    return subprocess.run(  # noqa: S603 # our own program
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_schema_of_the_file_is_printed_without_addresses_of_sources(file: Path) -> None:
    printed = run("schema", "print", "--config", str(file))

    assert printed.returncode == 0
    assert (
        '  openTickets: Int @authenticated @owner(orScopes: ["support:read"])\n' in printed.stdout
    )
    assert "avatarUrl" not in printed.stdout


def test_the_schema_of_the_file_is_compared_with_an_exported_one(file: Path) -> None:
    checked = run("schema", "check", "--config", str(file), "--against", "schema.graphql")

    assert checked.returncode == 1
    assert "User.avatarUrl was removed." in checked.stdout
    assert checked.stdout.endswith(
        f"To accept the changes: user-gateway schema print --config {file} > schema.graphql\n"
    )
