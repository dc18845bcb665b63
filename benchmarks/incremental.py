"""When the first and the last payload of an answer are there, beside the whole answer.

Three sources take 20, 200 and 800 ms. Each connection asks about a user again and again: for fields
of all three, of which those of the slower two are deferred, or for the same as one whole answer.
The times are those of the client; the CPU is the gateway's. The connections begin one after the
other, so that their requests are spread over the time that one takes.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Final

from benchmarks.client import HOST, is_taken
from benchmarks.errors import BenchmarkError
from benchmarks.ours import ours
from benchmarks.peer import Command, PeerAddress
from benchmarks.places import ROOT, WORK
from benchmarks.processes import Process, running
from benchmarks.workloads import SOURCES

DELAYS_MS: Final[Mapping[str, int]] = {"profile": 20, "billing": 200, "activity": 800}
"""How long each source takes."""

CONNECTIONS: Final = 32

ACCEPTS: Final[Mapping[str, str]] = {
    "whole": "application/json",
    "multipart": "multipart/mixed;incrementalSpec=v0.2",
    "2022": "multipart/mixed;deferSpec=20220824",
    "events": "text/event-stream",
}
"""The forms that are measured, by what a client sends."""

QUERY: Final = (
    "query($id: ID!) { user(id: $id) { username displayName"
    " ... @defer { plan balance { amount } } ... @defer { loginCount } } }"
)

_PATIENCE: Final = 15.0


@dataclass(frozen=True, slots=True)
class PayloadTimes:
    """What was measured of one form.

    Attributes:
        form: The form.
        requests: How many requests were answered.
        first_ms: When the first payload was there: its median and its 99th percentile.
        last_ms: When the last one was there, likewise.
        cpu_ms: CPU of the gateway per request.
    """

    form: str
    requests: int
    first_ms: tuple[float, float]
    last_ms: tuple[float, float]
    cpu_ms: float


def measure_payloads(
    first_port: int, seconds: float, say: Callable[[str], None]
) -> Sequence[PayloadTimes]:
    """Measure all forms.

    Args:
        first_port: The first of two free ports.
        seconds: How long each form is asked for.
        say: Tells people how far it is.

    Returns:
        What was measured, form by form. ``source`` is the fast source without the gateway.

    Raises:
        BenchmarkError: Something does not start.
    """
    sources, gateway = first_port, first_port + 1
    delays = [f"{name}={ms}" for name, ms in DELAYS_MS.items()]
    upstream = Command(
        (sys.executable, "-m", "benchmarks.slow_sources", str(sources), *delays), ROOT, {}
    )
    paths = {
        f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": f"http://{HOST}:{sources}/{name}"
        for name in SOURCES
    }
    peer = ours(settings=paths)
    address = PeerAddress(port=gateway, upstream=f"http://{HOST}:{sources}")
    with running("slow-sources", upstream, WORK / "logs"):
        _wait(sources)
        with running("incremental", peer.command(address), WORK / "logs") as process:
            _wait(gateway)
            found = [asyncio.run(_measure("source", sources, seconds, process))]
            for form in ("whole", *(one for one in ACCEPTS if one != "whole")):
                asyncio.run(_measure(form, gateway, 1.0, process))  # to warm up
                found.append(asyncio.run(_measure(form, gateway, seconds, process)))
                say(f"{form}: {found[-1].requests} requests")
    return found


def table(found: Sequence[PayloadTimes]) -> str:
    """Write what was measured for people.

    Args:
        found: What was measured.
    """
    head = f"{'form':<10} {'requests':>8} {'first p50':>10} {'p99':>8} {'last p50':>10} {'p99':>8}"
    head += f" {'CPU':>8}"
    rows = [
        f"{one.form:<10} {one.requests:>8} {one.first_ms[0]:>10.1f} {one.first_ms[1]:>8.1f}"
        f" {one.last_ms[0]:>10.1f} {one.last_ms[1]:>8.1f} {one.cpu_ms:>8.2f}"
        for one in found
    ]
    return "\n".join([head, *rows])


def as_json(found: Sequence[PayloadTimes]) -> str:
    """Write what was measured as JSON."""
    return json.dumps([asdict(one) for one in found], indent=2) + "\n"


async def _measure(form: str, port: int, seconds: float, process: Process) -> PayloadTimes:
    """Measure one form over all connections."""
    times: list[tuple[float, float]] = []
    before, end = process.cpu_seconds(), time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_ask(form, port, end, times))
            await asyncio.sleep(max(DELAYS_MS.values()) / 1000 / CONNECTIONS)
    cpu = process.cpu_seconds() - before
    firsts, lasts = ([one[place] * 1000 for one in times] for place in (0, 1))
    return PayloadTimes(form, len(times), _spread(firsts), _spread(lasts), cpu * 1000 / len(times))


async def _ask(form: str, port: int, end: float, times: list[tuple[float, float]]) -> None:
    """Ask on one connection until the time is over."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        while time.monotonic() < end:
            writer.write(_request(form))
            started = time.monotonic()
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise BenchmarkError(f"a request was answered by {head!r}")
            if b"chunked" not in head:
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                took = time.monotonic() - started
                times.append((took, took))
                continue
            first = 0.0
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
                first = first or time.monotonic() - started
            await reader.readline()
            times.append((first, time.monotonic() - started))
    finally:
        writer.close()


def _request(form: str) -> bytes:
    """Write a request about a user that nobody has asked about."""
    user = str(uuid.uuid4())
    if form == "source":
        return f"GET /profile/users?id={user} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    body = json.dumps({"query": QUERY, "variables": {"id": user}})
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Accept: {ACCEPTS[form]}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = quantiles(values, n=100)
    return round(cuts[49], 2), round(cuts[98], 2)


def _wait(port: int) -> None:
    """Wait until something listens.

    Raises:
        BenchmarkError: Nothing does in time.
    """
    end = time.monotonic() + _PATIENCE
    while not is_taken(port):
        if time.monotonic() > end:
            raise BenchmarkError(f"nothing listens on port {port}")
        time.sleep(0.05)
