"""The gateway itself, as a peer."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.peer import Command, Kit, Peer, PeerAddress
from benchmarks.places import HERE, WORK
from benchmarks.workloads import SOURCES, WORKLOADS, UpstreamDoor, names_of

NAME: Final = "user-gateway"

_PATIENT: Final[Mapping[str, str]] = {
    "GATEWAY_SOURCE_DEFAULTS__TIMEOUT": "10",
    "GATEWAY_SOURCE_DEFAULTS__CONNECT_TIMEOUT": "10",
    "GATEWAY_SOURCE_DEFAULTS__PAGE_TIMEOUT": "10",
    "GATEWAY_DEADLINE__BUDGET": "30",
}
"""The time that peers give a source. A gateway without a free CPU would refuse some of the load."""

_OF_DOORS: Final[Mapping[UpstreamDoor, Mapping[str, str]]] = {
    UpstreamDoor.FOREIGN: {"GATEWAY_CONFIG": str(HERE / "mapped.toml")},
    UpstreamDoor.CACHED: {
        "GATEWAY_SOURCE_DEFAULTS__CACHE__ENABLED": "true",
        "GATEWAY_SOURCE_DEFAULTS__CACHE__TTL": "300",
    },
}
"""What the gateway is told of an upstream that is not as by default."""


def ours(
    name: str = NAME,
    *,
    title: str = "user-gateway",
    settings: Mapping[str, str] | None = None,
    tree: Path | None = None,
    answers: frozenset[str] = names_of(*WORKLOADS),
) -> Peer:
    """Describe the gateway as users run it, its log in a file.

    Args:
        name: What it is called.
        title: What it is called for people.
        settings: Variables beside the addresses of the sources.
        tree: The folder of the code to run, if not the one that is installed.
        answers: The names of the workloads that it is asked.
    """

    def command(address: PeerAddress) -> Command:
        variables = {
            f"GATEWAY_SOURCES__{source.upper()}__BASE_URL": f"{address.upstream}/{source}"
            for source in SOURCES
        }
        variables |= {"GATEWAY_LOG__FORMAT": "json", **_PATIENT}
        variables |= {**_OF_DOORS.get(address.door, {}), **(settings or {})}
        # All of the load comes from one address, and nobody says who asks.
        variables |= {"GATEWAY_LIMITS__RATE__ENABLED": "false", "GATEWAY_AUTH__MODE": "none"}
        program: tuple[str, ...] = (str(Path(sys.executable).with_name("user-gateway")),)
        if tree is not None:
            variables["PYTHONPATH"] = str(tree)
            _verify(tree)
            program = (sys.executable, "-m", "app")
        # In a folder of our own, so that no .env is read.
        return Command((*program, "serve", "--port", str(address.port)), WORK, variables)

    return Peer(name=name, title=title, kit=Kit.OURS, packages=(), command=command, answers=answers)


def _verify(tree: Path) -> None:
    """Make sure that it is the code in that folder that would run.

    Raises:
        BenchmarkError: Another one would.
    """
    done = subprocess.run(
        [sys.executable, "-c", "import app; print(app.__file__)"],
        cwd=WORK,
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = Path(done.stdout.strip()).resolve()
    if not found.is_relative_to(tree.resolve()):
        raise BenchmarkError(f"{tree} was to be run, and {found} would be")
