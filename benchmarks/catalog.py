"""The peers."""

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.errors import BenchmarkError
from benchmarks.glibc import loader
from benchmarks.hive import supergraph
from benchmarks.ours import ours
from benchmarks.peer import Command, Kit, Peer, PeerAddress
from benchmarks.places import PEERS, ROOT, WORK
from benchmarks.tools import Tools
from benchmarks.workloads import (
    EVERYDAY,
    W2_SLOW,
    W3,
    W3_DOWN,
    W6,
    W7,
    W8,
    W9,
    W10,
    W11,
    W12,
    Dialect,
    names_of,
)

REFERENCE: Final = "rest-aiohttp"
"""The peer that all are compared with."""

_TUNING: Final = "--max-semi-space-size=64"
"""A larger nursery for new objects: about halves what Node.js needs for long lists."""

_EVERYDAY: Final = names_of(*EVERYDAY, W2_SLOW)
_PAGES: Final = _EVERYDAY | names_of(W7, W8, W12)
_SUBGRAPH: Final = _PAGES | names_of(W6)
_BY_HAND: Final = _SUBGRAPH | names_of(W9, W11)

_PROGRAMS: Final[tuple[tuple[str, str, str, Mapping[str, str], frozenset[str]], ...]] = (
    ("apollo-fetch", "Apollo Server, fetch", "apollo", {"CLIENT": "fetch"}, _EVERYDAY),
    ("apollo-undici", "Apollo Server, undici", "apollo", {"CLIENT": "undici"}, _SUBGRAPH),
    # Yoga refuses a body with onError.
    ("yoga", "GraphQL Yoga", "yoga", {}, (_PAGES | names_of(W10)) - names_of(W8)),
    ("mercurius", "Mercurius + JIT", "mercurius", {}, _SUBGRAPH),
    (
        "mercurius-lookahead",
        "Mercurius + JIT, look-ahead",
        "mercurius",
        {"MODE": "lookahead"},
        _SUBGRAPH,
    ),
)
"""Programs of ``peers/node``: name, title, file, variables, and the workloads that each is asked.

Plain Node.js is asked all of them; ``-tuned`` only those that everybody is asked.
"""

_PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "apollo": ("@apollo/server", "@apollo/subgraph", "dataloader"),
    "yoga": ("graphql-yoga", "@graphql-yoga/plugin-defer-stream", "dataloader", "undici"),
    "mercurius": ("mercurius", "@mercuriusjs/federation", "fastify", "dataloader", "undici"),
}
"""What a program of ``peers/node`` is made of."""


def catalog(tools: Tools) -> tuple[Peer, ...]:
    """List all peers, ours first.

    Args:
        tools: Has Node.js. Without it, Node peers are listed and cannot be started.
    """
    return (
        ours(),
        ours(
            "user-gateway-reference",
            title="user-gateway, reference path",
            settings={"GATEWAY_FASTPATH__ENABLED": "false"},
        ),
        ours(
            "user-gateway-file",
            title="user-gateway, User by a file",
            settings={"GATEWAY_CONFIG": str(ROOT / "examples/demo/gateway.toml")},
            answers=_EVERYDAY,
        ),
        ours(
            "user-gateway-grouped",
            title="user-gateway, errors grouped",
            settings={"GATEWAY_ERRORS": "grouped"},
            answers=names_of(W3, W3_DOWN),
        ),
        _aggregator(REFERENCE, "aiohttp", _BY_HAND),
        _aggregator("rest-httpx", "httpx", _EVERYDAY),
        _naive(),
        *(
            _node(
                tools,
                name + suffix,
                title + words,
                program,
                variables=variables,
                options=options,
                answers=_EVERYDAY if options else answers,
            )
            for name, title, program, variables, answers in _PROGRAMS
            for suffix, words, options in (("", "", ()), ("-tuned", ", tuned", (_TUNING,)))
        ),
        _tailcall("flat", Dialect.FLAT),
        _tailcall("nested", Dialect.NESTED),
        _hive(tools, "hive", "Hive Gateway"),
        _hive(tools, "hive-tuned", "Hive Gateway, tuned", node=(_TUNING,)),
        _hive(tools, "hive-jit", "Hive Gateway, JIT", gateway=("--jit",), usual=False),
    )


def choose(peers: Sequence[Peer], names: Sequence[str] | None) -> tuple[Peer, ...]:
    """Choose peers by name.

    Args:
        peers: All of them.
        names: The wanted ones; the usual ones, when absent.

    Raises:
        BenchmarkError: There is no peer of that name.
    """
    if names is None:
        return tuple(peer for peer in peers if peer.usual)
    known = [peer.name for peer in peers]
    for name in names:
        if name not in known:
            raise BenchmarkError(f"no peer is called {name}; there are: {', '.join(known)}")
    return tuple(peer for peer in peers if peer.name in names)


def _aggregator(name: str, client: str, answers: frozenset[str]) -> Peer:
    """Describe the aggregator that is written by hand."""

    def command(address: PeerAddress) -> Command:
        variables = {"CLIENT": client, "DOOR": address.door}
        return _uvicorn("aggregator", address, variables)

    return Peer(
        name=name,
        title=f"Starlette + {client} by hand",
        kit=Kit.PYTHON,
        packages=("starlette", client, "orjson", "uvicorn"),
        command=command,
        dialect=Dialect.REST,
        answers=answers,
    )


def _naive() -> Peer:
    """Describe what one would write first."""
    return Peer(
        name="strawberry-naive",
        title="Strawberry, a resolver per field",
        kit=Kit.PYTHON,
        packages=("strawberry-graphql", "aiodataloader", "httpx", "uvicorn"),
        command=lambda address: _uvicorn("naive", address, {}),
        # With 50 calls for each request, httpx's pool is slower than anybody waits.
        answers=_SUBGRAPH - names_of(W7),
    )


def _uvicorn(module: str, address: PeerAddress, variables: Mapping[str, str]) -> Command:
    """Serve a program of ``peers/python`` as well as it can be."""
    quiet = ("--no-access-log", "--log-level", "warning")
    return Command(
        (
            *(".venv/bin/uvicorn", f"{module}:app", "--host", "127.0.0.1"),
            *("--port", str(address.port), "--loop", "uvloop", "--http", "httptools", *quiet),
        ),
        PEERS / Kit.PYTHON,
        {"UPSTREAM": address.upstream, **variables},
    )


def _node(
    tools: Tools,
    name: str,
    title: str,
    program: str,
    *,
    variables: Mapping[str, str],
    options: tuple[str, ...],
    answers: frozenset[str],
) -> Peer:
    """Describe a program of ``peers/node``."""

    def command(address: PeerAddress) -> Command:
        given = {"UPSTREAM": address.upstream, "PORT": str(address.port)}
        return Command(
            (tools.require_node().program, *options, f"{program}.js"),
            PEERS / Kit.NODE,
            {"NODE_ENV": "production", **given, **variables},
        )

    undici = ("undici",) if variables.get("CLIENT") == "undici" else ()
    return Peer(
        name=name,
        title=title,
        kit=Kit.NODE,
        packages=(*_PACKAGES[program], *undici),
        command=command,
        path="/" if program == "apollo" else "/graphql",
        answers=answers,
    )


def _tailcall(form: str, dialect: Dialect) -> Peer:
    """Describe Tailcall over the schema of that form."""

    def command(address: PeerAddress) -> Command:
        text = (PEERS / Kit.TAILCALL / f"{form}.graphql").read_text("utf-8")
        filled = text.replace("@UPSTREAM@", address.upstream).replace("@PORT@", str(address.port))
        folder = WORK / "tailcall"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{form}-{address.port}.graphql"
        file.write_text(filled, encoding="utf-8")
        binary = "node_modules/@tailcallhq/core-linux-x64-gnu/bin/tailcall"
        return Command(
            (*loader(), binary, "start", str(file)),
            PEERS / Kit.TAILCALL,
            # It reports its use to its makers unless it is told not to.
            {"TAILCALL_TRACKER": "false", "TC_TRACKER": "false", "TAILCALL_LOG_LEVEL": "error"},
        )

    return Peer(
        name=f"tailcall-{form}",
        title=f"Tailcall, {form}",
        kit=Kit.TAILCALL,
        packages=("@tailcallhq/core-linux-x64-gnu",),
        command=command,
        dialect=dialect,
    )


def _hive(
    tools: Tools,
    name: str,
    title: str,
    *,
    node: tuple[str, ...] = (),
    gateway: tuple[str, ...] = (),
    usual: bool = True,
) -> Peer:
    """Describe Hive Gateway over the composed sources."""

    def command(address: PeerAddress) -> Command:
        program = tools.require_node().program
        file = supergraph(program, address)
        started = ("node_modules/.bin/hive-gateway", "supergraph", str(file))
        listening = ("-h", "127.0.0.1", "-p", str(address.port))
        return Command(
            (
                *(program, *node, *started, "-c", "gateway.config.js"),
                *("--polling", "1h", *listening, *gateway),
            ),
            PEERS / Kit.HIVE,
            {"NODE_ENV": "production"},
        )

    return Peer(
        name=name,
        title=title,
        kit=Kit.HIVE,
        packages=("@graphql-hive/gateway",),
        command=command,
        usual=usual,
    )
