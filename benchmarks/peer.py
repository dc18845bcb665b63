"""A peer: a program that answers the same questions over the same three sources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from benchmarks.workloads import EVERYDAY, W2_SLOW, Dialect, UpstreamDoor, names_of


class Kit(StrEnum):
    """What has to be installed for a peer; the folder in ``peers/`` of that name says what."""

    OURS = "ours"
    NODE = "node"
    HIVE = "hive"
    TAILCALL = "tailcall"
    PYTHON = "python"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens, and whom it asks.

    Attributes:
        port: Its port on 127.0.0.1.
        upstream: Where the three sources are, such as ``http://127.0.0.1:9500``.
        door: Through which door that is: how the upstream behaves.
    """

    port: int
    upstream: str
    door: UpstreamDoor = UpstreamDoor.FAST


@dataclass(frozen=True, slots=True)
class Command:
    """How a program is started. It stays in the foreground.

    Attributes:
        arguments: The program and its arguments.
        folder: Where it runs.
        environment: Variables beside those that are inherited.
    """

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A peer.

    Attributes:
        name: What it is called on the command line and in results.
        title: What it is called for people.
        kit: What has to be installed for it.
        packages: The packages that make it what it is, of its kit's lock file.
        command: Says how it is started. May write files that it needs.
        path: Where it takes GraphQL.
        dialect: How it is asked.
        answers: The names of the workloads that it is asked.
        usual: Whether it is measured when no peer is named.
    """

    name: str
    title: str
    kit: Kit
    packages: tuple[str, ...]
    command: Callable[[PeerAddress], Command]
    path: str = "/graphql"
    dialect: Dialect = Dialect.FLAT
    answers: frozenset[str] = names_of(*EVERYDAY, W2_SLOW)
    usual: bool = True
