"""Services on free ports of 127.0.0.1: real programs, and applications of the tests."""

import asyncio
import io
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import IO

import httpx
import pytest
from starlette.types import ASGIApp

from app.demo.server import base_url, listen
from app.demo.services import demo_services
from app.observability.logs import make_log
from tests.apps import make_app
from tests.demo_data import demo_data
from tests.examples.page import settings_from
from tests.wire import PromptServer, served

WAIT = 30.0
"""Seconds after which a program that is not ready counts as broken."""


def installed(package: str) -> None:
    """Skip the test if a Python package is not installed."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: it is in the group `services`")


def script(name: str) -> str:
    """Find a program of an installed Python package."""
    return str(Path(sys.executable).with_name(name))


FIRST_PORT = 20_000
"""Below the ephemeral ports of systems (32768 and above on Linux)."""

PORTS = 1_000
"""The number of ports for each process that runs tests."""

_taken = itertools.count(os.getpid())  # another run of tests may be active


def free_port() -> int:
    """Find a free port that no other test gets before it is used.

    The system may give an ephemeral port a second time until a program listens on it: to a server
    of another test, which would then get the requests.
    """
    first = FIRST_PORT + PORTS * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    while True:
        port = first + next(_taken) % PORTS
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def address_of(client: httpx.Client) -> str:
    """Return the address of a client's service."""
    return str(client.base_url).rstrip("/")


class _Listener(threading.Thread):
    """Reads all output of a program, so that the program never waits for a reader."""

    def __init__(self, stream: IO[str], sign: str) -> None:
        super().__init__(daemon=True)
        self.output: list[str] = []
        self.is_ready = False
        self.settled = threading.Event()
        self._stream = stream
        self._sign = sign

    def run(self) -> None:
        """Read until the program ends."""
        for line in self._stream:
            self.output.append(line)
            if self._sign in line:
                self.is_ready = True
                self.settled.set()
        self.settled.set()


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a program: the machine's, without settings of the gateway."""
    others = (name for name in os.environ if not name.upper().startswith("GATEWAY"))
    return {**{name: os.environ[name] for name in others}, **variables}


@contextmanager
def program(
    command: Sequence[str],
    *,
    ready: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Generator[Sequence[str]]:
    """Run a program until the end of the context.

    Args:
        command: Its command line.
        ready: A part of the line that the program prints when it is ready.
        folder: Its working folder.
        environment: Further variables besides those of the machine.

    Yields:
        The lines of its output so far, when it is ready.
    """
    process = subprocess.Popen(  # noqa: S603 # programs of our own choice
        command,
        cwd=folder,
        env=clean_environment(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    listener = _Listener(process.stdout, ready)
    listener.start()
    try:
        assert listener.settled.wait(WAIT), f"the program is not ready: {''.join(listener.output)}"
        assert listener.is_ready, f"the program has ended: {''.join(listener.output)}"
        yield listener.output
    finally:
        # The whole group: the Node of the Python package is the child of a program in Python.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        listener.join()
        process.stdout.close()


@asynccontextmanager
async def serving(name: str, application: ASGIApp) -> AsyncGenerator[str]:
    """Serve an application in this process until the end of the context.

    Args:
        name: Its name in messages.
        application: The application; its lifespan is run.

    Yields:
        Its address.
    """
    with closing(listen("127.0.0.1", 0)) as listener:
        server = PromptServer(name, application, grace=1.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([listener]))
            await server.ready.wait()
            try:
                yield base_url(listener)
            finally:
                server.stop()


@asynccontextmanager
async def serve_over_demo(
    variables: Mapping[str, str],
    *,
    port: int = 0,
    around: Mapping[str, Callable[[ASGIApp], ASGIApp]] = MappingProxyType({}),
) -> AsyncGenerator[str]:
    """Serve the gateway as `user-gateway serve` does, in this loop, over the demo's three services.

    Args:
        variables: Its settings, besides the addresses of the services.
        port: Its port; a free one by default.
        around: Wrappers of services, by their name in variables (`BILLING`).

    Yields:
        The address of the GraphQL endpoint.
    """
    async with AsyncExitStack() as stack:
        demo = stack.enter_context(demo_services(demo_data()))
        services = {"PROFILE": demo.profile, "BILLING": demo.billing, "ACTIVITY": demo.activity}
        wrapped = {**services, **{name: wrap(services[name]) for name, wrap in around.items()}}
        addresses = {
            f"GATEWAY_SOURCES__{name}__BASE_URL": await stack.enter_async_context(
                serving(name, one)
            )
            for name, one in wrapped.items()
        }
        settings = settings_from({**addresses, **variables})
        made = make_app(settings, make_log(settings.log, stream=io.StringIO()))
        address = await stack.enter_async_context(served(made, settings, port=port))
        yield address.url
