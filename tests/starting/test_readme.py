"""The commands for a first configuration file work as README and its page show them."""

import asyncio
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

import app
from app.demo.services import demo_services
from tests.demo_data import demo_data
from tests.examples.serving import clean_environment, free_port, program
from tests.examples.serving import serving as serving_app
from tests.fakes.http_server import HttpExchange, serving
from tests.starting.services import EMPLOYEES, Row, Service, repeated, written_settings

ROOT = Path(app.__file__).parents[1]
TOKEN = "canary-secret"
REQUESTERS: Sequence[Row] = [{"id": one["id"], "open": 3} for one in EMPLOYEES]


def commands(page: str, addresses: Mapping[str, str]) -> Sequence[Sequence[str]]:
    """Read the commands of a page, with this program and the addresses of the test's services."""
    text = (ROOT / page).read_text(encoding="utf-8")
    [block] = re.findall(r"```sh\n(user-gateway init .*?)```", text, re.DOTALL)
    assert [one for one in addresses if one not in block] == []
    for there, address in addresses.items():
        block = block.replace(there, address)
    lines = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    assert [line[0] for line in lines] == ["user-gateway"] * 2
    return [(sys.executable, "-m", "app", *line[1:]) for line in lines]


async def run_commands_of(
    page: str, addresses: Mapping[str, str], query: str, variables: Mapping[str, str]
) -> Any:  # noqa: ANN401 # tests compare it
    """Write the first file by the commands of a page, serve it, and send a query."""
    init, serve = commands(page, addresses)
    port = str(free_port())
    environment = {**variables, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *init,
        env=clean_environment(environment),
        stdin=asyncio.subprocess.DEVNULL,  # the command has no question
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    running = program(
        (*serve, "--port", port), ready="Press CTRL+C", folder=Path(), environment=environment
    )
    with running:
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{port}/graphql"
            return (await client.post(url, json={"query": query})).json()


async def with_credentials(exchange: HttpExchange) -> None:
    """Respond to requests with the token."""
    if exchange.request.header("authorization") == [f"Bearer {TOKEN}"]:
        await Service("/requesters", requested_ids=repeated("ids"), rows=REQUESTERS)(exchange)
    else:
        await exchange.say(b"{}", "401 Unauthorized")


async def test_the_commands_of_the_page_write_and_serve_the_first_file() -> None:
    async with serving(Service(by_path=True)) as hr, serving(with_credentials) as support:
        answer = await run_commands_of(
            "docs/how-to/schema.md",
            {"http://localhost:4001": hr.base_url, "http://localhost:4002": support.base_url},
            '{ users(ids: ["e1", "e2"]) { firstName hiredOn open } }',
            {"SUPPORT_TOKEN": TOKEN},
        )

    assert list(written_settings()["sources"]) == ["hr", "support"]
    assert answer == {
        "data": {
            "users": [
                {"firstName": "Ada", "hiredOn": "2021-03-01", "open": 3},
                {"firstName": "Ben", "hiredOn": "2021-03-02", "open": 3},
            ]
        }
    }


async def test_the_commands_of_the_readme_work_over_the_services_of_the_demo() -> None:
    async with AsyncExitStack() as stack:
        made = stack.enter_context(demo_services(demo_data()))
        addresses = {
            f"http://127.0.0.1:{8001 + place}": await stack.enter_async_context(
                serving_app(f"service{place}", one)
            )
            for place, one in enumerate((made.profile, made.billing, made.activity))
        }
        answer = await run_commands_of(
            "README.md",
            addresses,
            '{ user(id: "00000000-0000-4000-8000-000000000001")'
            " { displayName plan loginCount balance { currency } } }",
            {},
        )

    user = answer["data"]["user"]
    assert "errors" not in answer
    assert (user["displayName"], user["plan"]) == ("Fernanda Araújo", "pro")
    assert (user["loginCount"] > 0, user["balance"]) == (True, {"currency": "BRL"})
