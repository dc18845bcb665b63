"""The README's commands for a first configuration file do what it says, as they stand there."""

import asyncio
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

import app
from tests.examples.serving import clean_environment, free_port, program
from tests.fakes.http_server import HttpExchange, serving
from tests.starting.services import EMPLOYEES, Row, Service, repeated, written

ROOT = Path(app.__file__).parents[1]
TOKEN = "canary-secret"
ADDRESSES = ("http://localhost:4001", "http://localhost:4002")
REQUESTERS: Sequence[Row] = [{"id": one["id"], "open": 3} for one in EMPLOYEES]


def commands() -> Sequence[Sequence[str]]:
    """Read the commands of the README's block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```sh\n(user-gateway init .*?)```", text, re.DOTALL)
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


async def closed(exchange: HttpExchange) -> None:
    """Answer those who have the token."""
    if exchange.request.header("authorization") == [f"Bearer {TOKEN}"]:
        await Service("/requesters", asked=repeated("ids"), rows=REQUESTERS)(exchange)
    else:
        await exchange.say(b"{}", "401 Unauthorized")


async def test_the_first_file_is_written_and_served_by_the_commands_of_the_readme(
    tmp_path: Path,
) -> None:
    init, serve = commands()
    assert [one for one in ADDRESSES if one not in " ".join(init)] == []
    port = str(free_port())
    variables = {"SUPPORT_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    async with serving(Service(by_path=True)) as hr, serving(closed) as support:
        addresses = dict(zip(ADDRESSES, (hr.base_url, support.base_url), strict=True))

        def here(command: Sequence[str]) -> Sequence[str]:
            """Run this code, and call the services of the test."""
            assert command[0] == "user-gateway"
            text = "\n".join(command[1:])
            for there, address in addresses.items():
                text = text.replace(there, address)
            return (sys.executable, "-m", "app", *text.split("\n"))

        process = await asyncio.create_subprocess_exec(
            *here(init),
            cwd=tmp_path,
            env=clean_environment(variables),
            stdin=asyncio.subprocess.DEVNULL,  # nothing has to be asked
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        assert list(written()["sources"]) == ["hr", "support"]

        running = program(
            (*here(serve), "--port", port),
            ready="Press CTRL+C",
            folder=tmp_path,
            environment=variables,
        )
        with running:
            async with httpx.AsyncClient(trust_env=False) as client:
                query = '{ users(ids: ["e1", "e2"]) { firstName hiredOn open } }'
                answer = await client.post(
                    f"http://127.0.0.1:{port}/graphql", json={"query": query}
                )

    assert answer.json() == {
        "data": {
            "users": [
                {"firstName": "Ada", "hiredOn": "2021-03-01", "open": 3},
                {"firstName": "Ben", "hiredOn": "2021-03-02", "open": 3},
            ]
        }
    }
