"""A gateway of two processes over the demo's services, and a Prometheus that scrapes it."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from app.demo.responses import problem
from app.demo.services import demo_services
from tests.demo_data import demo_data
from tests.deploy.files import PROMETHEUS, ROOT, RULES
from tests.deploy.promtool import prometheus_program
from tests.examples.serving import free_port, program, serving
from tests.stores import running_store

FASTER = 30
"""How many times shorter the periods of the alerts are: 5 minutes become 10 seconds."""

USERS = 20
"""How many users are asked for."""

PAGE = "query Page($id: ID!) { user(id: $id) { displayName plan lastSeenAt } }"
TOO_MANY = {"query": "{ " + " ".join(f"a{one}: __typename" for one in range(60)) + " }"}
"""An operation with more aliases than are allowed."""

_PERIOD = re.compile(r"(\[|offset |for: )(\d+)([smhd])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Breakable:
    """A service that can be broken while it runs.

    Args:
        app: The service.

    Attributes:
        is_broken: Whether all its requests fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.is_broken = False
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if self.is_broken and scope["type"] == "http":
            await problem(503, "it is broken")(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class StagedGateway:
    """A running gateway.

    Attributes:
        url: The address of its endpoint.
        admin: Host and port of its admin port.
        billing: One of its sources.
        said: The lines of its log.
    """

    url: str
    admin: str
    billing: Breakable
    said: Sequence[str]

    @property
    def processes(self) -> Sequence[int]:
        """Numbers of the processes that have opened, in that order."""
        events = [orjson.loads(line) for line in self.said if '"gateway.opened"' in line]
        return [event["pid"] for event in events]

    async def ask(self) -> None:
        """Ask for one user after the other, and for too much, until it is cancelled."""
        async with httpx.AsyncClient(trust_env=False) as client:
            number = 0
            while True:
                number += 1
                # Users that differ: the results of some of them are cached.
                user = f"00000000-0000-4000-8000-{number % USERS + 1:012d}"
                page = {"query": PAGE, "variables": {"id": user}}
                with suppress(httpx.TransportError):  # a process dies meanwhile
                    await client.post(self.url, json=page if number % 50 else TOO_MANY)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway_over_demo(folder: Path) -> AsyncGenerator[StagedGateway]:
    """Run `user-gateway serve` with two processes and a store, over the demo's services.

    Args:
        folder: Where it runs.

    Yields:
        The gateway. It is ended with the context.
    """
    async with AsyncExitStack() as stack:
        demo = stack.enter_context(demo_services(demo_data()))
        billing = Breakable(demo.billing)
        services: Mapping[str, ASGIApp] = {
            "PROFILE": demo.profile,
            "BILLING": billing,
            "ACTIVITY": demo.activity,
        }
        addresses = {
            f"GATEWAY_SOURCES__{name}__BASE_URL": await stack.enter_async_context(
                serving(name, one)
            )
            for name, one in services.items()
        }
        store = await stack.enter_async_context(running_store())
        port, admin = free_port(), free_port()
        said = stack.enter_context(
            program(
                (sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", "2"),
                ready='"gateway.opened"',  # by the first process
                folder=folder,
                environment={
                    **addresses,
                    "PYTHONPATH": str(ROOT),
                    "GATEWAY_ADMIN__PORT": str(admin),
                    "GATEWAY_AUTH__MODE": "none",
                    "GATEWAY_ROUTER_TOKEN": "a token, so that callers are counted",
                    "GATEWAY_SOURCES__PROFILE__CACHE__ENABLED": "true",
                    "GATEWAY_STORE__URL": store.url,
                    "GATEWAY_LOG__FORMAT": "json",
                },
            )
        )
        yield StagedGateway(f"http://127.0.0.1:{port}/graphql", f"127.0.0.1:{admin}", billing, said)


class FiringAlert(BaseModel):
    """An alert, as Prometheus' API shows it."""

    labels: dict[str, str] = Field(description="Its labels.")
    state: str = Field(description="`pending` or `firing`.")

    @property
    def name(self) -> str:
        """Its name."""
        return self.labels["alertname"]


@dataclass(frozen=True, slots=True)
class StagedPrometheus:
    """A running Prometheus.

    Attributes:
        client: A client of its API.
    """

    client: httpx.AsyncClient

    async def alerts(self) -> Sequence[FiringAlert]:
        """List the alerts that are pending or firing."""
        response = await self.client.get("/api/v1/alerts")
        return [FiringAlert.model_validate(one) for one in response.json()["data"]["alerts"]]

    async def has_data(self, query: str) -> bool:
        """Tell whether a query returns a number now."""
        response = await self.client.post("/api/v1/query", data={"query": query})
        assert response.status_code == 200, response.text
        values = [one["value"][1] for one in response.json()["data"]["result"]]
        return any(value != "NaN" for value in values)


@asynccontextmanager
async def prometheus_of(gateway: StagedGateway, folder: Path) -> AsyncGenerator[StagedPrometheus]:
    """Run a Prometheus with our configuration and alerts, with shorter periods.

    Args:
        gateway: The gateway that it scrapes.
        folder: Where it keeps its files.

    Yields:
        Prometheus. It is ended with the context.
    """
    command = prometheus_program("prometheus")
    file, port = folder / "prometheus.yml", free_port()
    (folder / "alerts.yml").write_text(faster_rules(), "utf-8")
    text = PROMETHEUS.read_text("utf-8").replace("127.0.0.1:9464", gateway.admin)
    # Not more often than the processes of the gateway report.
    for period, shorter in (("scrape_interval: 15s", "1s"), ("evaluation_interval: 30s", "1s")):
        assert period in text
        text = text.replace(period, f"{period.split()[0]} {shorter}")
    file.write_text(text, "utf-8")
    arguments = (
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with program((command, *arguments), ready="ready to receive web requests", folder=folder):
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            yield StagedPrometheus(client)


def faster_rules() -> str:
    """Write the alerts with all their periods shorter, and nothing else changed."""
    text = RULES.read_text("utf-8")
    return _PERIOD.sub(lambda one: f"{one[1]}{_shorter(one[2], one[3])}", text)


def _shorter(number: str, unit: str) -> str:
    """Shorten a period."""
    return f"{int(number) * _SECONDS[unit] * 1000 // FASTER}ms"
