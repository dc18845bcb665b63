"""The gateway as users run it: a process of its own."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

import aiohttp

import app

PATIENCE = 10.0
"""Seconds after which a process that does not do what it should counts as broken."""


@dataclass
class ChaosGateway:
    """A running gateway.

    Attributes:
        process: Its process.
        url: Where it is.
    """

    process: Process
    url: str

    @property
    def memory(self) -> float:
        """The most memory that it has had so far, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024

    async def until_ready(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
            while self.process.returncode is None:
                try:
                    async with session.get(f"{self.url}/readyz") as response:
                        if response.status == HTTPStatus.OK:
                            return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        raise RuntimeError("the gateway ended before it was ready")


@asynccontextmanager
async def running_gateway(
    settings: Mapping[str, object], log: IO[bytes], folder: str
) -> AsyncGenerator[ChaosGateway]:
    """Run a gateway as a process of its own that ends with the context.

    Args:
        settings: Its settings, by the names of their variables.
        log: Takes all that it says.
        folder: Where it runs.

    Yields:
        The gateway, ready.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")
    }
    variables = inherited | {name: str(value) for name, value in settings.items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "serve", "--port", str(port)),
        cwd=folder,
        env={**variables, "PYTHONPATH": str(Path(app.__file__).parent.parent)},
        stdout=log,
        stderr=log,
    )
    gateway = ChaosGateway(process, f"http://127.0.0.1:{port}")
    try:
        await gateway.until_ready()
        yield gateway
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
