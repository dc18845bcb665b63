"""The programs of a run: the gateways, each of which can end and start again, and the proxy."""

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

import app
from tests.cluster.places import ClusterPlace
from tests.deploy.files import DEPLOY
from tests.examples.serving import clean_environment

PORT, ADMIN_PORT = 8000, 9464
TOKEN: Final = "a-token-of-more-than-thirty-two-characters"
ALLOWED: Final[Mapping[str, str]] = {"Authorization": f"Bearer {TOKEN}"}

STARTS_WITHIN = 30.0
"""Seconds in which a program has to answer; the machine may be busy."""

ENDS_WITHIN = 25.0
"""Seconds in which a gateway has to end after it was told to."""

ENDED_WELL = (0, -signal.SIGTERM)
"""With what a gateway ends that was told to end."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ClusterError(Exception):
    """The run cannot go on: a program did not start or did not end."""


class ClusterGateway:
    """One gateway of a run: a process that can end, and start again at the same address.

    Args:
        place: Where it runs.
        settings: Its settings, by the names of their variables.
        folder: Takes its logs, one file for each start.
    """

    def __init__(self, place: ClusterPlace, settings: Mapping[str, object], folder: Path) -> None:
        self.place = place
        self.is_up = False
        self._settings = settings
        self._folder = folder
        self._starts = 0
        self._process: Process | None = None
        self._ended_cpu = 0.0

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.name

    def tracebacks(self) -> Sequence[str]:
        """List the lines of its log that have a traceback."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [f"{self.name}: {line}" for line in lines if "Traceback" in line]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.place.address}:{PORT}"

    @property
    def admin_url(self) -> str:
        """Where its admin port is."""
        return f"http://{self.place.address}:{ADMIN_PORT}"

    @property
    def process(self) -> Process:
        """Its process, which may have ended."""
        if self._process is None:
            raise ClusterError(f"{self.name} was never started")
        return self._process

    @property
    def log(self) -> Path:
        """The file of what it has said since its last start."""
        return self._folder / f"{self.name}.{self._starts}.log"

    @property
    def has_store(self) -> bool:
        """Whether it uses the store, by what it has logged last."""
        said = re.findall(rb'"event": ?"store\.(un)?available"', self.log.read_bytes())
        return not said or said[-1] == b""

    @property
    def store_losses(self) -> tuple[int, int]:
        """How often it was started, and has lost the store since then."""
        return self._starts, self.log.read_bytes().count(b'store.unavailable"')

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of all its processes so far."""
        return self._ended_cpu + _cpu_of(self.process.pid)

    async def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            ClusterError: It ended, or is not ready in time.
        """
        self._starts += 1
        variables = {name: str(value) for name, value in self._settings.items()}
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*self.place.command, sys.executable, "-m", "app", "serve"),
                cwd=self._folder,
                env={
                    **clean_environment(variables),
                    "PYTHONPATH": str(Path(app.__file__).parent.parent),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        await _until_ready(self._process, f"{self.url}/readyz", self.log)
        self.is_up = True

    async def kill(self) -> None:
        """End it at once, with all that it does."""
        self.is_up = False
        self._ended_cpu = self.cpu_seconds
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        """Ask it to end, and wait until it has.

        Returns:
            With what it ended.

        Raises:
            ClusterError: It does not end.
        """
        self.is_up = False
        self.process.terminate()
        try:
            async with asyncio.timeout(ENDS_WITHIN):
                return await self.process.wait()
        except TimeoutError as error:
            raise ClusterError(f"{self.name} does not end: see {self.log}") from error

    def reload(self) -> None:
        """Have it read its settings anew."""
        self.process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(ENDS_WITHIN):
                    await self._process.wait()
            finally:
                with suppress(ProcessLookupError):
                    self._process.kill()


def nginx_configuration(addresses: Sequence[str], port: int, folder: Path) -> str:
    """Make the configuration of nginx from that of ``deploy/compose``.

    Only the addresses, the folder of its files and a header differ: the header tells which gateway
    has answered.

    Args:
        addresses: The gateways.
        port: The port of 127.0.0.1 at which nginx answers.
        folder: Takes its files.
    """
    text = (DEPLOY / "compose" / "nginx" / "nginx.conf").read_text("utf-8")
    options = re.findall(r"server gateway-\d:\d+([^;]*);", text)[0]
    servers = "".join(f"        server {one}:{PORT}{options};\n" for one in addresses)
    text = re.sub(r"(upstream gateway \{\n)(?: +server [^\n]+\n)+", rf"\1{servers}", text)
    text = text.replace("/tmp/", f"{folder}/")  # noqa: S108 # it is replaced
    text = text.replace("listen 0.0.0.0:8080", f"listen 127.0.0.1:{port}")
    text = text.replace(
        "location / {", "add_header X-Gateway $upstream_addr always;\n location / {"
    )
    # A master that runs as root gives its workers another user, who may not write into the folder.
    return f"user root;\n{text}" if os.geteuid() == 0 else text


@asynccontextmanager
async def running_nginx(addresses: Sequence[str], port: int, folder: Path) -> AsyncGenerator[str]:
    """Run nginx in front of gateways until the end of the context.

    Args:
        addresses: The gateways.
        port: The port of 127.0.0.1 at which it answers.
        folder: Takes its files.

    Yields:
        Its address.
    """
    program = shutil.which("nginx")
    if program is None:
        raise ClusterError("there is no nginx on the PATH: it is in Debian's nginx")
    folder.mkdir()  # noqa: ASYNC240 # nothing runs yet
    file, log = folder / "nginx.conf", folder / "nginx.log"
    file.write_text(nginx_configuration(addresses, port, folder), "utf-8")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(program, "-c", str(file), "-g", "daemon off;"), stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await _until_ready(process, f"{url}/readyz", log)
        yield url
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _until_ready(process: Process, url: str, log: Path) -> None:
    """Wait until a program answers."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STARTS_WITHIN), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with suppress(aiohttp.ClientConnectionError):
                    async with session.get(url) as response:
                        if response.status == HTTPStatus.OK:
                            return
                await asyncio.sleep(0.05)  # there is no sign of a program that listens but this
    said = log.read_bytes().decode(errors="replace")[-2000:]  # noqa: ASYNC240 # nothing runs yet
    raise ClusterError(f"{url} does not answer, and the program has said: {said}")


def _cpu_of(session: int) -> float:
    """Read the CPU time of all processes of a session; 0 if they have ended."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            fields = file.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15])) if int(fields[3]) == session else 0
    return ticks / _TICKS
