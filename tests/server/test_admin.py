"""The admin port of a running gateway: with one process and with several."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.server.admin import LIMITS
from tests.cli.test_end_to_end import Program, program
from tests.examples.serving import free_port
from tests.server.test_reports import until_async

WAIT = 20.0
QUERY = {"query": '{ user(id: "00000000-0000-4000-8000-000000000001") { username } }'}
SOURCES = {
    f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
    for name in ("PROFILE", "BILLING", "ACTIVITY")
}


class AdminClient:
    """A client of both ports of a running gateway."""

    def __init__(self, running: Program, client: httpx.AsyncClient, url: str, admin: str) -> None:
        self.program = running
        self.client = client
        self.url = url
        self.admin = admin

    async def ask(self, count: int) -> None:
        """Send a query a number of times."""
        for _ in range(count):
            response = await self.client.post(f"{self.url}/graphql", json=QUERY)
            assert response.status_code == 200

    async def values(self, name: str) -> Mapping[tuple[str, ...], float]:
        """Return the values of a metric by the values of its labels."""
        text = (await self.client.get(f"{self.admin}/metrics")).text
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    async def total(self, name: str) -> float:
        """Return the sum of all values of a metric."""
        return sum((await self.values(name)).values())


@asynccontextmanager
async def serving(folder: Path, *options: str) -> AsyncGenerator[AdminClient]:
    """Run a gateway with unreachable sources and an admin port."""
    port = str(free_port())
    environment = {"GATEWAY_AUTH__MODE": "none", "GATEWAY_PORT": port, "GATEWAY_ADMIN__PORT": "0"}
    limits = httpx.Limits(max_keepalive_connections=0)  # requests reach all processes
    async with (
        program(
            "serve", *options, folder=folder, environment={**SOURCES, **environment}
        ) as running,
        httpx.AsyncClient(timeout=WAIT, trust_env=False, limits=limits) as client,
    ):
        await running.wait_for("gateway.started")
        [started] = [one for one in running.events() if one["event"] == "admin.started"]
        yield AdminClient(running, client, f"http://127.0.0.1:{port}", started["address"])


async def test_the_admin_port_shows_metrics_and_states_of_the_sources(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await gateway.ask(3)
        await until_async(lambda: gateway.total("gateway_operations_total"), 3)
        ready = await gateway.client.get(f"{gateway.admin}/readyz")
        public = await gateway.client.get(f"{gateway.url}/readyz")
        alive = await gateway.client.get(f"{gateway.admin}/healthz")
        index = await gateway.client.get(gateway.admin)
        partial = await gateway.values("gateway_operations_partial_total")
        memory = await gateway.total("process_memory_usage_bytes")
        outside = await gateway.client.get(f"{gateway.url}/metrics")

    assert ready.json()["sources"]["profile"]["circuit"] == "closed"
    assert (ready.status_code, public.json()) == (200, {"status": "ready"})
    assert (alive.status_code, index.text) == (
        200,
        "/metrics\n/healthz\n/readyz\n/cache/invalidate\n/reload\n",
    )
    assert partial == {("SOURCE_UNAVAILABLE", "profile"): 3}
    assert memory > 10_000_000
    assert outside.status_code == 404


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
async def test_counts_are_sums_of_all_processes_including_dead_ones(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as gateway:
        await until_async(lambda: gateway.total("gateway_workers"), 2)
        await gateway.ask(20)
        await until_async(lambda: gateway.total("gateway_operations_total"), 20)
        events = gateway.program.events()
        workers = {one["pid"] for one in events if one["event"] == "gateway.opened"}
        os.kill(min(workers), signal.SIGKILL)
        await until_async(lambda: gateway.total("gateway_worker_deaths_total"), 1)
        await until_async(lambda: gateway.total("gateway_workers"), 2)
        deaths = await gateway.values("gateway_worker_deaths_total")
        kept = await gateway.total("gateway_operations_total")
        await gateway.ask(10)
        await until_async(lambda: gateway.total("gateway_operations_total"), 30)
        ready = await gateway.client.get(f"{gateway.admin}/readyz")

    assert len(workers) == 2
    assert deaths == {("SIGKILL",): 1, ("hung",): 0}
    assert (kept, ready.status_code) == (20, 200)


async def test_the_gateway_does_not_start_if_the_admin_port_is_in_use(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        port = gateway.admin.rpartition(":")[2]
        environment = {**SOURCES, "GATEWAY_AUTH__MODE": "none", "GATEWAY_ADMIN__PORT": port}
        async with program("serve", folder=tmp_path, environment=environment) as second:
            await second.ended()

    [event] = second.events()
    assert event["event"] == "gateway.unusable"
    assert event["mistakes"] == [
        f"127.0.0.1:{port} cannot be used (GATEWAY_ADMIN__PORT): Address already in use"
    ]
    assert second.process.returncode == 2


@pytest.mark.parametrize("host", ["192.0.2.1", "[::1]"])
async def test_the_gateway_does_not_start_on_an_address_of_another_machine(
    tmp_path: Path, host: str
) -> None:
    environment = {
        **SOURCES,
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_ADMIN__PORT": "0",
        "GATEWAY_ADMIN__HOST": host,
    }
    async with program("serve", folder=tmp_path, environment=environment) as running:
        await running.ended()

    [event] = running.events()
    [mistake] = event["mistakes"]
    assert mistake == (
        f'"{host}" is not an address of this machine: expected one in GATEWAY_ADMIN__HOST,'
        " such as 127.0.0.1, ::1 or 0.0.0.0"
    )


async def test_connections_to_the_admin_port_are_limited(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway, AsyncExitStack() as stack:
        address = gateway.admin.removeprefix("http://").split(":")
        for _ in range(LIMITS.max_connections):
            _, writer = await asyncio.open_connection(*address)
            stack.callback(writer.close)
            writer.write(b"GET /metrics HTTP/1.1\r\n")  # an incomplete request
        refused = await gateway.client.get(f"{gateway.admin}/metrics")
        await stack.aclose()

        async def is_served() -> bool:  # the gateway may not have noticed all disconnects yet
            return (await gateway.client.get(f"{gateway.admin}/metrics")).is_success

        await until_async(is_served, 1)
        await gateway.program.wait_for("100 connections are open")

    assert refused.status_code == 503


async def test_the_demo_has_an_admin_port_if_it_is_configured(tmp_path: Path) -> None:
    async with program("demo", "--port", "0", "--admin-port", "0", folder=tmp_path) as demo:
        url = (await demo.wait_for(r"GraphiQL\s+(http://\S+)"))[1]
        metrics = (await demo.wait_for(r"Metrics\s+(http://\S+)"))[1]
        async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
            await client.post(url, json=QUERY)
            gateway = AdminClient(demo, client, url, metrics.removesuffix("/metrics"))
            await until_async(lambda: gateway.total("gateway_operations_total"), 1)
