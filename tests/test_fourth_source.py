"""A fourth source is added as a newcomer would: by the README's diff, and by nothing else."""

import re
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
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
from app.demo.database import data_folder
from app.demo.services import demo_services
from tests.examples.serving import clean_environment, free_port, program, serving

ROOT = Path(app.__file__).parents[1]
SUPPORTED = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"


async def requesters(request: Request) -> JSONResponse:
    """Answer as the fourth service, which knows one user."""
    asked = request.query_params.getlist("userId")
    return JSONResponse([{"userId": one, "openTickets": 3} for one in asked if one == SUPPORTED])


def diff() -> str:
    """Find the diff in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [found] = re.findall(r"```diff\n(.*?)```", text, flags=re.DOTALL)
    written: str = found
    return written


@asynccontextmanager
async def four_services() -> AsyncGenerator[Mapping[str, str]]:
    """Run the demo's three services and a fourth, and give the variables that name them."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(data_folder(None))
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


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the program with the README's diff in it, and nothing else."""
    if shutil.which("git") is None:
        pytest.skip("the diff is applied by git")
    folder = tmp_path_factory.mktemp("changed")
    ignored = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
    shutil.copytree(ROOT / "app", folder / "app", ignore=ignored)
    subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"],  # noqa: S607 # whichever git the machine has
        cwd=folder,
        input=diff(),
        text=True,
        check=True,
    )
    return folder


async def test_the_diff_of_the_fourth_source_is_all_that_it_takes(changed: Path) -> None:
    port = free_port()
    serve = (sys.executable, "-m", "app", "serve", "--port", str(port))
    query = """query($known: ID!, $other: ID!) {
        user(id: $known) { displayName plan loginCount openTickets }
        other: user(id: $other) { displayName openTickets }
    }"""
    ids = {"known": SUPPORTED, "other": OTHER}
    async with four_services() as variables, httpx.AsyncClient(trust_env=False) as client:

        async def said(source: str, path: str, user: str) -> Mapping[str, Any]:
            base = variables[f"GATEWAY_SOURCES__{source}__BASE_URL"]
            [row] = (await client.get(f"{base}{path}={user}")).json()
            found: Mapping[str, Any] = row
            return found

        profile, other = [await said("PROFILE", "/users?id", one) for one in (SUPPORTED, OTHER)]
        billing = await said("BILLING", "/accounts?userId", SUPPORTED)
        activity = await said("ACTIVITY", "/summaries?userId", SUPPORTED)
        with program(serve, ready="Press CTRL+C", folder=changed, environment=variables):
            url = f"http://127.0.0.1:{port}/graphql"
            response = await client.post(url, json={"query": query, "variables": ids})

    assert response.json() == {
        "data": {
            "user": {
                "displayName": profile["displayName"],
                "plan": billing["plan"],
                "loginCount": activity["loginCount"],
                "openTickets": 3,
            },
            "other": {"displayName": other["displayName"], "openTickets": None},
        }
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("schema", "print"),
            '  openTickets: Int @authenticated @owner(orScopes: ["support:read"])\n',
        ),
        (("serve",), "GATEWAY_SOURCES__SUPPORT__BASE_URL is missing"),
    ],
    ids=["schema print", "serve"],
)
def test_with_the_diff_the_program_knows_the_fourth_source(
    changed: Path, arguments: Sequence[str], told: str
) -> None:
    run = subprocess.run(  # noqa: S603 # our own program
        [sys.executable, "-m", "app", *arguments],
        cwd=changed,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert told in run.stdout + run.stderr
