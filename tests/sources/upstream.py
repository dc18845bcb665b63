"""A source that a test controls: the test decides its results and their time. It records calls."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.sources.base import FetchResult, Record, RequestContext, SourceResult, UserId
from app.sources.batch import PendingFetch, wait_for_fetches
from app.sources.trace import SourceTrace

NAME = "profile"


class PersonRecord(Record):
    """The record of a user; no two are the same.

    Attributes:
        id: The user.
        identity: The identity of the call.
        version: The number of records that were made before it.
    """

    id: str
    identity: str | None = None
    version: int | None = None


Said = SourceResult[PersonRecord]


def failure(code: Code = Code.SOURCE_UNAVAILABLE) -> SourceFailure:
    """Make a failure of the source."""
    return SourceFailure(NAME, code, "it failed")


def ids(keys: str) -> list[UserId]:
    """Make one key of each letter."""
    return [UserId(key) for key in keys]


def told(answers: Sequence[Said]) -> list[str | int | None]:
    """Shorten results: the version of a record, the code of a failure, or ``None``."""
    return [
        one.code.value
        if isinstance(one, SourceFailure)
        else one.version
        if isinstance(one, PersonRecord)
        else None
        for one in answers
    ]


class Requests:
    """Requests that wait for their keys, and their traces at the source.

    Attributes:
        traces: The trace of each request, in the order of their ends.
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
        """Return the sum of the traces of a request."""
        trace = SourceTrace()
        for request, part in self.traces:
            if request is context:
                trace.add(part)
        return trace

    def sums_of(self, context: RequestContext) -> SourceTrace:
        """Return ``trace_of`` without the single calls and responses."""
        return replace(self.trace_of(context), timeline=[], seen=[])


class Upstream:
    """Returns new records at once by default. A ``Source``.

    Attributes:
        name: Its name.
        held: Whether calls wait for ``let_go``.
        says: Returns the result of a user, instead of a new record.
        now: Returns the time at which its calls end; zero by default.
        makes: The number of calls in its trace of a batch.
        error: The exception that it raises, instead of returning results.
        calls: The context of each call.
        batches: The keys of each call, as one word.
        cancelled: The numbers of the cancelled calls.
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
        """Return the results of keys."""
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
        """End a call; the last by default."""
        self._gates[number].set()

    def _said(self, key: UserId, context: RequestContext) -> Said:
        """Make the result of one user."""
        if self.says is not None:
            return self.says(key)
        self._made += 1
        return PersonRecord(id=key, identity=context.identity, version=self._made - 1)
