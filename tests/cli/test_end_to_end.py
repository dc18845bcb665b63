"""The commands as real processes, with real sockets and signals."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest

from app.resilience.clock import SystemClock
from tests.demo_data import demo_data
from tests.fakes import user_id
from tests.fault_server import FaultExchange, FaultServer
from tests.file_schema import EXAMPLE

WAIT = 20.0
"""Seconds after which a process without output counts as broken."""

ALL = (
    "username displayName email avatarUrl locale createdAt"
    " plan billingStatus balance { amount currency } renewsAt"
    " lastSeenAt loginCount events { id type occurredAt }"
)
FIFTY = [user_id(number) for number in range(1, 51)]


class Program:
    """A running ``user-gateway``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def wait_for(self, pattern: str) -> re.Match[str]:
        """Read the output of the program until it matches a pattern."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT):
            while (found := re.search(pattern, self.output)) is None:
                line = await self.process.stdout.readline()
                assert line, f"the program ended without {pattern!r}:\n{self.output}"
                self.output += line.decode()
        return found

    async def stop(self, sign: signal.Signals) -> float:
        """Send a signal; return the seconds until the program has ended."""
        sent = monotonic()
        self.process.send_signal(sign)
        await self.ended()
        return monotonic() - sent

    def events(self) -> list[Mapping[str, Any]]:
        """Return the events that the program has logged so far."""
        return [orjson.loads(line) for line in self.output.splitlines()]

    async def ended(self) -> None:
        """Read the rest of the output until the program has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT):
            self.output += (await self.process.stdout.read()).decode()
            await self.process.wait()


@asynccontextmanager
async def program(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Program]:
    """Run ``user-gateway`` in a folder of the test's own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *arguments,
        cwd=folder,
        env={**clean, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.terminate()  # with SIGTERM it cleans up; with SIGKILL it could not
        try:
            async with asyncio.timeout(WAIT):
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()


async def send_query(url: str, query: str, **variables: object) -> httpx.Response:
    """Send a query as a client does."""
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
        return await client.post(url, json={"query": query, "variables": variables})


async def query_with_upgrade(url: str) -> Sequence[httpx.Response]:
    """Send two queries by one connection, with the upgrade to HTTP/2 that Java's client offers."""
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABk",
    }
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False, headers=offer) as client:
        return [await client.post(url, json={"query": "{ __typename }"}) for _ in range(2)]


@asynccontextmanager
async def demo_of(
    *options: str, folder: Path, by_file: bool
) -> AsyncGenerator[tuple[Program, str]]:
    """Run the demo, or its services and a gateway whose schema is that of examples/demo.

    Args:
        *options: Options of the demo.
        folder: The working folder.
        by_file: Whether the schema is that of examples/demo.

    Yields:
        The program of the gateway, and its address.
    """
    async with AsyncExitStack() as stack:
        arguments = ("demo", "--port", "0", "--data", str(demo_data()), *options)
        if not by_file:
            demo = await stack.enter_async_context(program(*arguments, folder=folder))
            url = (await demo.wait_for(r"GraphiQL\s+(http\S+)"))[1]
            await demo.wait_for("Ctrl-C")
            yield demo, url
            return
        only = program(*arguments, "--sources-only", folder=folder)
        services = await stack.enter_async_context(only)
        await services.wait_for("Ctrl-C")
        environment = dict(re.findall(r"export (GATEWAY_SOURCES\w+)=(\S+)", services.output))
        arguments = ("serve", "--port", "0", "--config", str(EXAMPLE))
        gateway = await stack.enter_async_context(
            program(*arguments, folder=folder, environment=environment)
        )
        address = (await gateway.wait_for(r"(http://127\.0\.0\.1:\d+)\b[^\n]*Press"))[1]
        yield gateway, f"{address}/graphql"


either_schema = pytest.mark.parametrize("by_file", [False, True], ids=["default", "by a file"])


@either_schema
async def test_the_demo_serves_one_user_fifty_users_and_clients_that_offer_http_2(
    tmp_path: Path,
    by_file: bool,  # noqa: FBT001 # a column of the table
) -> None:
    async with demo_of(folder=tmp_path, by_file=by_file) as (demo, url):
        one = (
            await send_query(url, f"query($id: ID!) {{ user(id: $id) {{ {ALL} }} }}", id=FIFTY[0])
        ).json()
        many = (
            await send_query(
                url, f"query($ids: [ID!]!) {{ users(ids: $ids) {{ id {ALL} }} }}", ids=FIFTY
            )
        ).json()
        offered = await query_with_upgrade(url)
        seconds = await demo.stop(signal.SIGINT)

    assert "errors" not in one
    assert None not in (one["data"]["user"][key] for key in ("username", "plan", "loginCount"))
    assert "errors" not in many
    assert [user["id"] for user in many["data"]["users"]] == FIFTY
    assert seconds < 2
    assert demo.process.returncode == 0
    assert "Traceback" not in demo.output
    assert demo.output.count("source.fetch") == 6
    assert [answer.json() for answer in offered] == [{"data": {"__typename": "Query"}}] * 2
    assert "WebSocket" not in demo.output


@either_schema
async def test_the_demo_with_billing_down_serves_the_other_fields(
    tmp_path: Path,
    by_file: bool,  # noqa: FBT001 # a column of the table
) -> None:
    async with demo_of("--fail", "billing=503", folder=tmp_path, by_file=by_file) as (_, url):
        body = (
            await send_query(
                url, f"query($ids: [ID!]!) {{ users(ids: $ids) {{ id {ALL} }} }}", ids=FIFTY
            )
        ).json()

    users = body["data"]["users"]
    assert len(users) == 50
    assert all(user["username"] and user["createdAt"] for user in users)
    assert sum(user["loginCount"] is not None for user in users) > 40
    assert all(user["plan"] is None and user["balance"] is None for user in users)
    billing = ("plan", "billingStatus", "balance", "renewsAt")
    assert [error["path"] for error in body["errors"]] == [
        ["users", index, field] for index in range(50) for field in billing
    ]
    assert all(
        error["extensions"] == {"code": "SOURCE_UNAVAILABLE", "source": "billing"}
        for error in body["errors"]
    )


async def test_serve_logs_json_and_finishes_a_running_request_after_sigterm(tmp_path: Path) -> None:
    called, released = asyncio.Event(), asyncio.Event()

    async def hold(exchange: FaultExchange) -> None:
        called.set()
        await released.wait()
        await exchange.answer()

    async with FaultServer(SystemClock()).listening() as services:
        services.know(1)
        services.fail("billing", hold)
        settings = {
            f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": services.url(name)
            for name in ("profile", "billing", "activity")
        } | {"GATEWAY_AUTH__MODE": "none", "GATEWAY_SOURCES__BILLING__TIMEOUT": str(WAIT)}
        arguments = ("serve", "--port", "0")
        async with program(*arguments, folder=tmp_path, environment=settings) as served:
            url = (await served.wait_for(r"(http://127\.0\.0\.1:\d+)\b[^\n]*Press"))[1]
            request = asyncio.create_task(
                send_query(f"{url}/graphql", f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')
            )
            async with asyncio.timeout(WAIT):
                await called.wait()
            served.process.send_signal(signal.SIGTERM)
            await served.wait_for("Shutting down")
            released.set()
            async with asyncio.timeout(WAIT):
                response = await request
            await served.ended()

    assert response.json() == {"data": {"user": {"username": "user1", "plan": "pro"}}}
    events = [orjson.loads(line) for line in served.output.splitlines()]
    names = [event["event"] for event in events if event["event"] != "server.message"]
    assert names[:2] == ["gateway.opened", "gateway.started"]
    [started] = [event for event in events if event["event"] == "gateway.started"]
    assert started["address"] == f"{url}/graphql"
    assert names[-1] == "gateway.stopped"
    assert {"source.fetch", "graphql.operation"} <= set(names)
    assert "user1" not in served.output
    assert user_id(1) not in served.output


NOWHERE = {
    f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
    for name in ("PROFILE", "BILLING", "ACTIVITY")
} | {"GATEWAY_AUTH__MODE": "none"}
"""Settings of a gateway whose sources cannot be reached."""

SEVERAL = ("serve", "--port", "0", "--workers", "2")
"""The command that runs the gateway in several processes."""


async def wait_for_both(served: Program) -> None:
    """Wait until both processes have started."""
    await served.wait_for(r"(?s)gateway\.opened.*gateway\.opened")
    await served.wait_for(r"gateway\.started")


async def test_serve_replaces_a_killed_worker(tmp_path: Path) -> None:
    async with program(*SEVERAL, folder=tmp_path, environment=NOWHERE) as served:
        await wait_for_both(served)
        first, *_ = [one for one in served.events() if one["event"] == "gateway.opened"]
        os.kill(first["pid"], signal.SIGKILL)
        await served.wait_for(r"worker\.died")
        await served.wait_for(r"(?s)gateway\.opened.*gateway\.opened.*gateway\.opened")
        await served.stop(signal.SIGTERM)

    [died] = [one for one in served.events() if one["event"] == "worker.died"]
    expected = {"level": "error", "worker": first["pid"], "reason": "SIGKILL", "replaced": True}
    assert died.items() >= expected.items()
    assert died["pause_s"] == 0.0
    assert died["pid"] == served.process.pid
    names = [one["event"] for one in served.events()]
    counted = {name: names.count(f"gateway.{name}") for name in ("started", "opened", "stopped")}
    assert counted == {"started": 1, "opened": 3, "stopped": 2}
    assert "Traceback" not in served.output


async def test_a_worker_that_dies_again_and_again_is_started_again_after_a_pause(
    tmp_path: Path,
) -> None:
    async with program(*SEVERAL, folder=tmp_path, environment=NOWHERE) as served:
        await wait_for_both(served)
        [victim, _] = [one["pid"] for one in served.events() if one["event"] == "gateway.opened"]
        for times in range(2):
            os.kill(victim, signal.SIGKILL)
            await served.wait_for(r"(?s)" + r"gateway\.opened.*" * (3 + times))
            *_, newest = [one for one in served.events() if one["event"] == "gateway.opened"]
            victim = newest["pid"]
        os.kill(victim, signal.SIGKILL)
        await served.wait_for(r"(?s)" + r"worker\.died.*" * 3)
        served.process.send_signal(signal.SIGHUP)
        await served.wait_for(r"(?s)gateway\.reloaded.*gateway\.opened")
        await served.stop(signal.SIGTERM)

    deaths = [one for one in served.events() if one["event"] == "worker.died"]
    assert [one["pause_s"] for one in deaths] == [0.0, 1.0, 2.0]
    *_, opened = [one for one in served.events() if one["event"] == "gateway.opened"]
    died_at, opened_at = (datetime.fromisoformat(one["timestamp"]) for one in (deaths[2], opened))
    assert opened_at - died_at >= timedelta(seconds=2)
    # Meanwhile nobody waits for it: the other process reloads alone.
    [reloaded] = [one for one in served.events() if one["event"] == "gateway.reloaded"]
    assert reloaded["workers"] == 1
    assert [one["replaced"] for one in deaths] == [True, True, True]


async def test_signals_that_change_the_number_of_uvicorns_workers_do_nothing(
    tmp_path: Path,
) -> None:
    async with program(*SEVERAL, folder=tmp_path, environment=NOWHERE) as served:
        await wait_for_both(served)
        for sent in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGTTOU):
            served.process.send_signal(sent)
        served.process.send_signal(signal.SIGHUP)
        await served.wait_for(r"gateway\.reloaded")
        await served.stop(signal.SIGTERM)

    [reloaded] = [one for one in served.events() if one["event"] == "gateway.reloaded"]
    assert reloaded["workers"] == 2
    names = [one["event"] for one in served.events()]
    assert names.count("gateway.opened") == 4  # each process, and each after the reload


async def test_a_replaced_worker_has_the_settings_of_the_other_workers(tmp_path: Path) -> None:
    file, trusted = tmp_path / "gateway.toml", tmp_path / "trusted.graphql"
    file.write_text('port = 0\n[trusted]\npath = "trusted.graphql"\n', encoding="utf-8")
    trusted.write_text("{ __typename }", encoding="utf-8")
    async with program(
        *SEVERAL, "--config", str(file), folder=tmp_path, environment=NOWHERE
    ) as served:
        await served.wait_for(r"gateway\.started")
        file.write_text("prot = 0\n", encoding="utf-8")
        trusted.unlink()
        [first, *_] = [one for one in served.events() if one["event"] == "gateway.opened"]
        os.kill(first["pid"], signal.SIGKILL)
        await served.wait_for(r"gateway\.unusable")
        trusted.write_text("{ __typename }", encoding="utf-8")
        await served.wait_for(r"(?s)gateway\.unusable.*gateway\.opened")

    [unusable, *_] = [one for one in served.events() if one["event"] == "gateway.unusable"]
    [mistake] = unusable["mistakes"]
    assert "trusted.graphql cannot be read" in mistake
    assert "Traceback" not in served.output
    deaths = [one for one in served.events() if one["event"] == "worker.died"]
    assert [one["reason"] for one in deaths][:2] == ["SIGKILL", "exit code 3"]
    assert all(one["replaced"] for one in deaths)
