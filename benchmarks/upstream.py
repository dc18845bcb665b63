"""The three REST sources: nginx, which answers from strings that are ready."""

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.client import get_json, is_taken, number
from benchmarks.errors import BenchmarkError
from benchmarks.peer import Command
from benchmarks.places import HERE, WORK
from benchmarks.processes import Process, running
from benchmarks.tools import MODULES, Tools
from benchmarks.users import Ids
from benchmarks.workloads import UpstreamDoor

_SOURCE: Final = HERE / "upstream"
_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class UpstreamCounts:
    """How often each source was called.

    Attributes:
        profile: Calls for profiles.
        billing: Calls for accounts.
        activity: Calls for summaries.
    """

    profile: float
    billing: float
    activity: float

    @property
    def total(self) -> float:
        """Calls to all sources."""
        return self.profile + self.billing + self.activity

    def since(self, before: "UpstreamCounts", requests: int) -> "UpstreamCounts":
        """Tell how often each was called since then, per request."""
        return UpstreamCounts(
            profile=(self.profile - before.profile) / requests,
            billing=(self.billing - before.billing) / requests,
            activity=(self.activity - before.activity) / requests,
        )


@dataclass(frozen=True, slots=True)
class BenchUpstream:
    """The upstream, running.

    Attributes:
        process: nginx.
        ports: Where it listens, by door.
        ids: What the ids of its users look like.
    """

    process: Process
    ports: Mapping[UpstreamDoor, int]
    ids: Ids

    def url(self, door: UpstreamDoor) -> str:
        """Tell where the three sources are."""
        return f"http://127.0.0.1:{self.ports[door]}"

    def counts(self) -> UpstreamCounts:
        """Tell how often each source was called so far, through any door."""
        answer = get_json(self.ports[UpstreamDoor.FAST], "/_counts")
        return UpstreamCounts(
            *(number(answer, name) for name in ("profile", "billing", "activity"))
        )


@contextmanager
def running_upstream(
    tools: Tools, first_port: int, delay_ms: int, ids: Ids = Ids.RANDOM, cpu: int | None = None
) -> Generator[BenchUpstream]:
    """Run the upstream until the context ends.

    Args:
        tools: Has nginx.
        first_port: It listens on this port and the two after it.
        delay_ms: How long each source waits behind the slow door, in milliseconds.
        ids: What the ids of its users look like.
        cpu: The one CPU that it may use, if not all.

    Raises:
        BenchmarkError: A port is taken, or nginx does not start.
    """
    ports = {door: first_port + index for index, door in enumerate(UpstreamDoor)}
    for port in ports.values():
        if is_taken(port):
            raise BenchmarkError(f"port {port} is taken: choose others with --port-base")
    folder = WORK / "nginx" / str(first_port)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(configuration(ports), encoding="utf-8")
    command = Command(
        (tools.nginx, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")),
        folder,
        {"BENCH_IDS": ids, "BENCH_DELAY_MS": str(delay_ms)},
    )
    with running("upstream", command, WORK / "logs", cpu) as process:
        end = time.monotonic() + _PATIENCE
        while not is_taken(first_port):
            if process.has_ended or time.monotonic() > end:
                raise BenchmarkError(f"nginx did not start: see {process.log}")
            time.sleep(0.02)
        yield BenchUpstream(process, ports, ids)


def configuration(ports: Mapping[UpstreamDoor, int]) -> str:
    """Write nginx's configuration."""
    server = (_SOURCE / "server.conf").read_text("utf-8")
    servers = [
        server.replace("@PORT@", str(port)).replace("@DOOR@", door) for door, port in ports.items()
    ]
    filled = {
        "@MODULES@": str(MODULES),
        "@HERE@": str(_SOURCE),
        "@USER@": "user root;" if os.geteuid() == 0 else "",
        "@SERVERS@": "".join(servers).rstrip("\n"),
    }
    text = (_SOURCE / "nginx.conf").read_text("utf-8")
    for name, value in filled.items():
        text = text.replace(name, value)
    return text
