"""A source in the hands of a test: it answers what and when the test says, and records calls."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.sources.base import FetchResult, Record, RequestContext, SourceResult, UserId
from app.sources.batch import PendingFetch, wait_for_fetches
from app.sources.trace import SourceTrace

NAME = "profile"


class PersonRecord(Record):
    """What the source has of a user; no two are the same.

    Attributes:
        id: Of whom.
        identity: For whom the source was asked.
        version: How many records were made before it.
    """

    id: str
    identity: str | None = None
    version: int | None = None


Said = SourceResult[PersonRecord]


def failure(code: Code = Code.SOURCE_UNAVAILABLE) -> SourceFailure:
    """Make a failure of the source."""
    return SourceFailure(NAME, code, "it failed")


def ids(keys: str) -> list[UserId]:
    """Make keys, one a letter."""
    return [UserId(key) for key in keys]


def told(answers: Sequence[Said]) -> list[str | int | None]:
    """Write answers short: a record's version, a failure's code, or nothing."""
    return [
        one.code.value
        if isinstance(one, SourceFailure)
        else one.version
        if isinstance(one, PersonRecord)
        else None
        for one in answers
    ]


class Requests:
    """Requests that wait for their keys, and what became of them at the source.

    Attributes:
        traces: What each request did, in the order of their ends.
    """

    def __init__(self) -> None:
        self.traces: list[tuple[RequestContext, SourceTrace]] = []

    async def results(
        self, pending: PendingFetch[PersonRecord], keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[Said | Exception]:
        """Wait for keys that were enqueued."""
        await wait_for_fetches([pending])
        collected = pending.collect()
        self.traces.append((context, collected.trace))
        return [collected.results[key] for key in keys]

    async def fetch(
        self, pending: PendingFetch[PersonRecord], keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[Said]:
        """Wait for keys that were enqueued; a bug of ours is raised."""
        found: list[Said] = []
        for result in await self.results(pending, keys, context):
            if isinstance(result, Exception):
                raise result
            found.append(result)
        return found

    def trace_of(self, context: RequestContext) -> SourceTrace:
        """Return what a request did, added up."""
        trace = SourceTrace()
        for request, part in self.traces:
            if request is context:
                trace.add(part)
        return trace

    def sums_of(self, context: RequestContext) -> SourceTrace:
        """Return ``trace_of`` without the single calls and responses."""
        return replace(self.trace_of(context), timeline=[], seen=[])


class Upstream:
    """Answers at once and with new records, unless told otherwise. A ``Source``.

    Attributes:
        name: Its name.
        held: Whether calls wait until they are let go.
        says: What it answers of whom instead of new records, if a test wants that.
        now: Reads the time at which its calls end; zero if a test does not care.
        makes: How many calls its trace has for a batch.
        error: What it raises instead of answering, if a test wants that.
        calls: What came with each call.
        batches: About whom each call asked, as one word.
        cancelled: Which calls were cancelled.
    """

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.held = False
        self.says: Callable[[UserId], Said] | None = None
        self.now: Callable[[], float] = float
        self.makes = 1
        self.error: BaseException | None = None
        self.calls: list[RequestContext] = []
        self.batches: list[str] = []
        self.cancelled: list[int] = []
        self._gates: list[asyncio.Event] = []
        self._made = 0

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[Said]:
        """Answer."""
        gate, number = asyncio.Event(), len(self.calls)
        self.calls.append(context)
        self.batches.append("".join(keys))
        self._gates.append(gate)
        if not self.held:
            gate.set()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        if self.error is not None:
            raise self.error
        answers = [self._said(key, context) for key in keys]
        trace = SourceTrace(calls=self.makes, attempts=3, ended=self.now(), circuit="half_open")
        for answer in answers:
            trace.code = answer.code if isinstance(answer, SourceFailure) else trace.code
        return FetchResult(answers, trace)

    def let_go(self, number: int = -1) -> None:
        """Let a call end; the last by default."""
        self._gates[number].set()

    def _said(self, key: UserId, context: RequestContext) -> Said:
        """Make the answer of one user."""
        if self.says is not None:
            return self.says(key)
        self._made += 1
        return PersonRecord(id=key, identity=context.identity, version=self._made - 1)
