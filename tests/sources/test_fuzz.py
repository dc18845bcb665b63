"""The wire to a source: no request gets the response of another, whatever an upstream sends.

``make fuzz`` does the same for longer.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.fastpath.wire import Wire
from app.settings.source import SourceSettings
from app.sources.failures import FOREIGN
from tests.certificates import Certificates
from tests.fakes.raw_server import RawConnection, RawServer, answered, chunked, settle
from tests.properties import examples
from tests.transport.test_connections import HEADERS, reached

EXAMPLES = examples(75, "FUZZ_EXAMPLES")
"""The number of scripts that are run."""

NAME = re.compile(rb"<(/[0-9]+)>")
"""Finds in a body the request to which it was sent."""

TURNS = 200
"""Turns of the event loop until an upstream that has sent everything closes its connections."""

Outcome = tuple[int, bytes] | None
"""Status and body of a response; ``None`` for a failure."""


@dataclass(frozen=True)
class Turn:
    """What an upstream does with a request.

    Attributes:
        pieces: The pieces that it sends, each for a read of its own.
        end: What it does after them: ``keep`` the connection, ``close`` or ``reset`` it.
        early: Whether that comes at once, and not when the response was read.
        idle: What it sends after the response was read, or in the tick of the next request.
        tick: Whether ``idle`` is sent in the tick of the next request.
    """

    pieces: tuple[bytes, ...]
    end: str = "keep"
    early: bool = True
    idle: bytes = b""
    tick: bool = False


def named(target: str, padding: int = 0, *, stray: bool = False) -> bytes:
    """Write a body with the target of its request, and whether it is a stray one."""
    body = f'["<{target}>", {"true" if stray else "false"}'
    return body.encode() + b" " * padding + b"]"


def right(target: str, *, stray: bool = False) -> bytes:
    """Write a correct response, or a stray one that looks correct."""
    return answered(named(target, stray=stray))


@dataclass
class Script:
    """An upstream that follows a script.

    Attributes:
        turns: Its turns, by the number in the target. A request that is sent again gets a response.
        late: The turns that have to continue on their connection when the response was read.
        repeated: The targets that were requested twice; their second response is another one.
    """

    turns: Sequence[Turn]
    late: list[tuple[RawConnection, Turn]] = field(default_factory=list[tuple[RawConnection, Turn]])
    repeated: set[str] = field(default_factory=set[str])
    _asked: set[str] = field(default_factory=set[str])
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def __call__(self, peer: RawConnection) -> None:
        """Take a request."""
        target = peer.target
        if target in self._asked:
            self.repeated.add(target)
            peer.send(right(target))
            return
        self._asked.add(target)
        self._tasks.append(asyncio.create_task(self._play(peer, self.turns[int(target[1:])])))

    async def _play(self, peer: RawConnection, turn: Turn) -> None:
        """Run a turn."""
        for piece in turn.pieces:
            peer.send(piece)
            if len(turn.pieces) > 1:
                await settle()
        if turn.early:
            end(peer, turn.end)
        self.late.append((peer, turn))

    async def said(self) -> None:
        """Wait until the turns of all requests have sent everything."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def between(self) -> None:
        """Run the actions between two requests."""
        late, self.late = self.late, []
        for peer, turn in late:
            if not turn.early:
                end(peer, turn.end)
            if turn.idle:
                peer.send(turn.idle)
                if not turn.tick:
                    await settle()


def end(peer: RawConnection, how: str) -> None:
    """End a connection, or keep it."""
    if how == "close":
        peer.close()
    elif how == "reset":
        peer.reset()


Ask = Callable[[str], Awaitable[Outcome]]


async def happens(asking: asyncio.Future[Outcome]) -> bool:
    """Return whether a request ends without the passing of time."""
    for _ in range(TURNS):
        if asking.done():
            break
        await asyncio.sleep(0)
    return asking.done()


ROUNDS = 20
"""How often all connections are closed before a request counts as one that hangs."""


async def played(
    script: Script, upstream: RawServer, ask: Ask, *, may_hang: bool = False
) -> list[Outcome]:
    """Send the request of each turn; a connection without a response is closed after some turns.

    Args:
        script: The script of the upstream.
        upstream: The upstream.
        ask: Sends a request.
        may_hang: Whether a request may hang although its connection is closed; it counts as a
            failure then. aiohttp's client hangs after some bodies that break HTTP.
    """
    outcomes: list[Outcome] = []
    for number in range(len(script.turns)):
        asking = asyncio.ensure_future(ask(f"/{number}"))
        for _ in range(ROUNDS):
            if await happens(asking):
                break
            await script.said()
            if not await happens(asking):
                for peer in upstream.peers:
                    peer.close()
        if not asking.done():
            asking.cancel()
            await asyncio.wait([asking])
            assert may_hang, "a request hangs although its connection is closed"
        outcomes.append(None if asking.cancelled() else asking.result())
        await script.between()
    return outcomes


@dataclass(frozen=True)
class Played:
    """The results of a script.

    Attributes:
        outcomes: The outcome of each turn.
        repeated: The targets that were requested twice.
    """

    outcomes: Sequence[Outcome]
    repeated: set[str]


async def by_wire(turns: Sequence[Turn]) -> Played:
    """Run a script with our wire."""
    script = Script(turns)
    async with RawServer(script).listening() as upstream:
        wire = Wire(SourceSettings(base_url=upstream.base_url))

        async def ask(target: str) -> Outcome:
            try:
                incoming = await wire.exchange(
                    "GET", upstream.base_url, target, HEADERS, b"", repeatable=True
                )
                try:
                    return incoming.status, b"".join([piece async for piece in incoming])
                finally:
                    await incoming.aclose()
            except FOREIGN:
                return None

        try:
            return Played(await played(script, upstream, ask), script.repeated)
        finally:
            await wire.close()


async def by_aiohttp(turns: Sequence[Turn]) -> Played:
    """Run a script with aiohttp's own client."""
    script = Script(turns)
    async with (
        RawServer(script).listening() as upstream,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):

        async def ask(target: str) -> Outcome:
            try:
                async with session.get(upstream.base_url + target, allow_redirects=False) as said:
                    return said.status, await said.read()
            except FOREIGN:
                return None

        return Played(await played(script, upstream, ask, may_hang=True), script.repeated)


def others(outcome: Outcome, target: str) -> bool:
    """Return whether the response to a request was sent to another request.

    A body that ends with the connection may have other data after its own.
    """
    names = [] if outcome is None else NAME.findall(outcome[1])
    return bool(names) and names[0] != target.encode()


# Any script


STATUSES = st.sampled_from(
    ["200 OK", "200 OK", "200 OK", "404 Not Found", "503 Down", "204 No Content", "304 Same"]
)
LINES = st.lists(
    st.sampled_from(
        [
            *("Connection: close", "Connection: keep-alive", "Content-Type: application/json"),
            *("Content-Length: 9", "Transfer-Encoding: chunked", "X-A: \x00", "Keep-Alive: max=0"),
            *("Upgrade: h2c", "Trailer: a", " folded", "no colon", "Content-Encoding: gzip"),
        ]
    ),
    max_size=2,
)


@st.composite
def answers(draw: st.DrawFn, target: str, *, stray: bool = False) -> bytes:
    """Make a response, mostly correct, with its target."""
    body = named(target, draw(st.sampled_from([0, 0, 1, 5_000])), stray=stray)
    body += draw(st.sampled_from([b"", b"", b"\n", b"\r\n\r\n"]))
    if draw(st.integers(0, 3)) == 0:
        cut = draw(st.integers(0, len(body)))
        said = chunked(*filter(None, (body[:cut], body[cut:])))
    else:
        sized = draw(st.integers(0, 5)) > 0
        said = answered(body, *draw(LINES), status=draw(STATUSES), sized=sized)
    if draw(st.integers(0, 5)) == 0:
        said = said.replace(b"HTTP/1.1", b"HTTP/1.0")
    if draw(st.integers(0, 5)) == 0:
        said = b"HTTP/1.1 103 Early Hints\r\n\r\n" + said
    if draw(st.integers(0, 5)) == 0:
        damaged = bytearray(said)
        at = draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        said = bytes(damaged)
    return said


@st.composite
def strays(draw: st.DrawFn, target: str) -> bytes:
    """Make stray data: a response, a part of one, or other bytes."""
    said = draw(answers(target, stray=True))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return said
    if kind == 1:
        return said[: draw(st.integers(0, len(said)))]
    if kind == 2:
        return said[draw(st.integers(0, len(said))) :]
    return draw(st.sampled_from([b"\r\n", b"\n", b"\x00", b"0\r\n\r\n"]) | st.binary(max_size=9))


@st.composite
def turns_of(draw: st.DrawFn, number: int) -> Turn:
    """Make a turn."""
    target = f"/{number}"
    said = draw(answers(target))
    if draw(st.integers(0, 4)) == 0:
        said = said[: draw(st.integers(0, len(said)))]
    if draw(st.integers(0, 2)) == 0:
        said += draw(strays(target))
    cuts = sorted(draw(st.lists(st.integers(0, len(said)), max_size=2)))
    pieces = [said[start:stop] for start, stop in pairwise([0, *cuts, len(said)])]
    return Turn(
        pieces=tuple(filter(None, pieces)),
        end=draw(st.sampled_from(["keep", "keep", "keep", "close", "reset"])),
        early=draw(st.booleans()),
        idle=draw(strays(target)) if draw(st.integers(0, 1)) == 0 else b"",
        tick=draw(st.booleans()),
    )


def is_json(outcome: Outcome) -> bool:
    """Return whether there is a response whose body is JSON."""
    try:
        return outcome is not None and json.loads(outcome[1]) is not None
    except ValueError:
        return False


SCRIPTS = st.tuples(*(turns_of(number) for number in range(3)))


STRAY = right("/0", stray=True)


BROKEN = chunked(b'["</1', b'>", true]')
"""A response with the target of its request in two chunks."""


TORN = (
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 5015\r\n\r\n",
    b'["</0>", false' + b" " * 5_010,
)
"""A response with more data after its body; aiohttp's client can hang after it."""


CHUNK_THEN_NONSENSE = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[",
    b"\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
)
"""A body that breaks HTTP in the read in which a chunk ends; aiohttp's client hangs."""


TRAILED = (right("/0") + b"H", b"T")
"""A response and two more bytes; aiohttp's client reads the second one as the next response."""


# A body that ends with the connection may have other data in it.
@example(turns=(Turn(TORN), Turn((right("/1"),))))
@example(turns=(Turn(CHUNK_THEN_NONSENSE),))
@example(turns=(Turn(TRAILED, idle=STRAY), Turn((answered(named("/1"), sized=False),))))
@example(
    turns=(Turn((right("/0"),)), Turn((answered(named("/1"), sized=False) + BROKEN,), "close"))
)
@example(turns=(Turn((right("/0"),), idle=STRAY), Turn((right("/1"),))))
@example(turns=(Turn((right("/0"),), idle=STRAY, tick=True), Turn((right("/1"),))))
@example(turns=(Turn((right("/0") + STRAY[:30],), idle=STRAY[30:]), Turn((right("/1"),))))
@example(turns=(Turn((right("/0"),), end="close", early=False), Turn((right("/1"),))))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(turns=SCRIPTS)
async def test_the_wire_gives_the_same_responses_as_aiohttp(turns: Sequence[Turn]) -> None:
    ours, theirs = await by_wire(turns), await by_aiohttp(turns)

    repeated = ours.repeated | theirs.repeated
    for number, (our, their) in enumerate(zip(ours.outcomes, theirs.outcomes, strict=True)):
        target = f"/{number}"
        assert not others(our, target), (number, ours, theirs)
        if our is not None and their is not None and not others(their, target):
            # How much data a reset discards depends on the timing.
            excused = turns[number].end == "reset" or target in repeated
            excused = excused or (is_json(our) and not is_json(their))
            assert our == their or excused, (number, ours, theirs)


# Each byte


GOOD = [right("/0"), chunked(named("/0")), answered(named("/0") + b"\n", "Connection: keep-alive")]


@pytest.mark.parametrize("said", GOOD, ids=["of a length", "in chunks", "with a line end"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_a_response_cut_at_any_byte_is_a_failure_and_the_next_is_correct(
    said: bytes, how: str, way: str, certificates: Certificates
) -> None:
    cut = 0

    def behave(peer: RawConnection) -> None:
        if peer.target == "/cut":
            peer.send(said[:cut])
            end(peer, how)
        else:
            peer.send(right(peer.target))

    async with reached(way, behave, certificates) as (_, asked):
        for cut in range(len(said) + 1):
            cut_off = await asked.get("/cut")
            assert cut_off is None or cut_off.rstrip() == named("/0"), cut
            assert cut_off is None or cut == len(said), cut
            assert await asked.get("/next") == named("/next")


@pytest.mark.parametrize("way", ["plain", "tls", "tunnel"])
@pytest.mark.parametrize("when", ["with the answer", "while idle", "in the tick"])
async def test_a_stray_response_is_never_taken_for_the_next_one(
    when: str, way: str, certificates: Certificates
) -> None:
    stray = right("/stray")
    cut = 0

    def behave(peer: RawConnection) -> None:
        peer.send(right(peer.target))
        if peer.target == "/first":
            if when == "with the answer":
                peer.send(stray[:cut])
        elif len(peer.heads) > 1:
            peer.send(stray[cut:])

    async with reached(way, behave, certificates) as (upstream, asked):
        for cut in range(1, len(stray) + 1):
            assert await asked.get("/first") in {named("/first"), None}, cut
            if when != "with the answer":
                upstream.peers[-1].send(stray[:cut])
            if when == "while idle" or way == "tunnel":
                await settle()
            assert await asked.get("/second") == named("/second"), cut
            upstream.peers[-1].close()
            await settle()
