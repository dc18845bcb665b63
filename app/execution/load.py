"""Carries out the fetches of a plan: every source once, independent sources at the same time.

Sources are asked in one of two ways. Resolvers load each user through an aiodataloader
``DataLoader``, one per source, so that the users of several root fields go in one call. A compiled
operation asks for all users of a source in bulk, without a future for each. Both use ``carry_out``,
the one place that takes the keys of one source from the records of another.

Loaders live for exactly one request, so that no caller gets data of another. They are async because
they wait for sources. They own their tasks: leaving their context cancels those that still run.

All who load the same key share its future. So nobody awaits a future in a way that could cancel it,
and a fetch always settles its futures, even if it fails or is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from aiodataloader import DataLoader

from app.errors import Code, SourceFailure
from app.execution.outcome import Results
from app.execution.plan import Fetch
from app.execution.user_loader import LoadedResults, UserLoader
from app.resilience.tasks import Tasks
from app.sources.base import (
    FieldSet,
    PagedSource,
    PageRequest,
    PageResult,
    PageSpec,
    Record,
    RequestContext,
    Trace,
    UserId,
)
from app.sources.batch import BatchedSource, PendingFetch, wait_for_batches
from app.sources.mapping.row_mapper import foreign_key_of
from app.sources.records_in_parts import EndpointPartition, EndpointPartitions
from app.sources.results import Result

R = TypeVar("R", bound=Record)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class OpenSources:
    """All open sources of the gateway.

    Attributes:
        users: The sources that take many users in one call, by name.
        pages: The sources of lists that are read page by page, by their spec.
        key_from: For a source, the source whose records have its keys, by name.
        partitions: How sources are divided into endpoints. ``users`` has each endpoint on its own.
    """

    users: Mapping[str, BatchedSource[Record]]
    pages: Mapping[PageSpec[Any], PagedSource[Any]]
    key_from: Mapping[str, str] = field(default_factory=dict[str, str])
    partitions: EndpointPartitions = field(default_factory=dict[str, EndpointPartition])


P = TypeVar("P")


class FetchMethod(Protocol[P]):
    """A way to fetch keys from sources. ``P`` stands for a call that has begun."""

    def begin(self, source: str, keys: Sequence[UserId], fields: FieldSet | None) -> P:
        """Begin a call.

        Args:
            source: Name of the source.
            keys: The source's own keys, without duplicates, at least one.
            fields: The record fields that are needed; ``None`` for all.

        Returns:
            The call.
        """
        ...

    async def wait(self, calls: Sequence[P]) -> None:
        """Wait until all calls have results, or the deadline has passed.

        Args:
            calls: The calls, at least one.
        """
        ...

    def collect(self, source: str, call: P) -> Mapping[UserId, Result]:
        """Collect the results of a call, after the wait.

        Args:
            source: Name of the source.
            call: The call.

        Returns:
            Results by key, of all keys of the call and perhaps of others.
        """
        ...


async def carry_out(fetches: Sequence[Fetch], method: FetchMethod[P]) -> Results:
    """Carry out fetches: each as soon as its keys are known.

    Args:
        fetches: One for each source. The fetch that has the keys of another is among them.
        method: How keys are fetched.

    Returns:
        Results by source and user: of all users of the fetch, and perhaps of others. A bug of ours
        is a value, so that it prevents no call for another source or another user.
    """
    started = _start_independent(fetches, method)
    if len(started) == len(fetches):  # the common case: one wait for all, and no task
        if calls := _begun(started.values()):
            await method.wait(calls)
        return {
            one.source: _collected(one, one.users, started[one.source], method) for one in fetches
        }
    results: dict[str, Mapping[UserId, Result]] = {}

    async def finish(fetch: Fetch, keys: KeyMapping, call: P | Exception | None) -> None:
        if calls := _begun([call]):
            await method.wait(calls)
        results[fetch.source] = keys.by_user(_collected(fetch, keys.distinct, call, method))
        async with asyncio.TaskGroup() as following:
            for child in fetches:
                if child.key_from == fetch.source:
                    child_keys = KeyMapping.for_fetch(child, results)
                    child_call = _start(child, child_keys.distinct, method)
                    following.create_task(finish(child, child_keys, child_call))

    async with asyncio.TaskGroup() as group:
        for one in fetches:
            if one.key_from is None:
                own_keys = KeyMapping.for_fetch(one, results)
                group.create_task(finish(one, own_keys, started[one.source]))
    return results


def _start_independent(
    fetches: Sequence[Fetch], method: FetchMethod[P]
) -> Mapping[str, P | Exception | None]:
    """Begin the calls of all fetches whose keys are the ids of users; return them by source."""
    started: dict[str, P | Exception | None] = {}
    for one in fetches:
        if one.key_from is None:
            call = _start(one, one.users, method)
            started[one.source] = call
    return started


def _start(fetch: Fetch, keys: Sequence[UserId], method: FetchMethod[P]) -> P | Exception | None:
    """Begin the call of a fetch; ``None`` without keys; a bug of ours is returned as a value."""
    try:
        return method.begin(fetch.source, keys, fetch.fields) if keys else None
    except Exception as error:  # noqa: BLE001 # any bug of ours is a value, and will be logged
        return error


def _begun(started: Iterable[P | Exception | None]) -> Sequence[P]:
    """List the calls that have begun."""
    return [one for one in started if one is not None and not isinstance(one, Exception)]


def _collected(
    fetch: Fetch, keys: Sequence[UserId], call: P | Exception | None, method: FetchMethod[P]
) -> Mapping[UserId, Result]:
    """Return the results; for each key the bug of ours, as a value, if there was one."""
    if call is None or isinstance(call, Exception):
        return dict.fromkeys(keys, call)
    return method.collect(fetch.source, call)


@dataclass(frozen=True, slots=True)
class KeyMapping:
    """The source's key for each user of a fetch.

    Attributes:
        keys: For each user the key. If a user cannot be asked about, the result instead: ``None``
            if there is no key, a failure or a bug of ours if the key is unknown.
    """

    keys: Mapping[UserId, UserId | SourceFailure | Exception | None]

    @classmethod
    def for_fetch(cls, fetch: Fetch, results: Results) -> Self:
        """Find the keys of a fetch.

        Args:
            fetch: The fetch.
            results: Results by source and user; those of ``fetch.key_from`` are needed.

        Returns:
            The keys. Without ``key_from``, the users' ids are the keys.
        """
        parent = fetch.key_from
        if parent is None:
            return cls({user: user for user in fetch.users})
        by_user = results[parent]
        return cls({user: key_of(by_user[user], fetch.source, parent) for user in fetch.users})

    @property
    def distinct(self) -> Sequence[UserId]:
        """The keys that the source is asked for: each once, in the order of the users."""
        return list(dict.fromkeys(key for key in self.keys.values() if isinstance(key, str)))

    def by_user(self, by_key: Mapping[UserId, Result]) -> Mapping[UserId, Result]:
        """Turn results by key into results by user.

        Args:
            by_key: Results of all distinct keys.

        Returns:
            The result of each user.
        """
        return {
            user: by_key[key] if isinstance(key, str) else key for user, key in self.keys.items()
        }


def key_of(result: Result, source: str, parent: str) -> UserId | SourceFailure | Exception | None:
    """Read a user's key at one source from the result of another source.

    Args:
        result: The result of the parent source.
        source: The source that the key is for.
        parent: The source whose records have the keys.

    Returns:
        The key; or the user's result at ``source``, if there is no key to ask for.
    """
    if isinstance(result, Exception):
        return result
    try:
        return foreign_key_of(result, source=source, parent=parent)
    except Exception as error:  # noqa: BLE001 # a bug of ours: the value for this user
        return error


class _InBulk:
    """Fetches all keys of a source at once. A ``FetchMethod``.

    Attributes:
        used: Names of the sources that were asked so far.
        trace: What the request did at each source so far.
    """

    def __init__(self, sources: Mapping[str, BatchedSource[Record]], call: RequestContext) -> None:
        self.used: set[str] = set()
        self.trace = Trace()
        self._sources = sources
        self._context = call

    def begin(
        self, source: str, keys: Sequence[UserId], fields: FieldSet | None
    ) -> PendingFetch[Record]:
        """Put all keys into the batches of the source."""
        self.used.add(source)
        return self._sources[source].enqueue(keys, self._context, fields=fields)

    async def wait(self, calls: Sequence[PendingFetch[Record]]) -> None:
        """Wait for the batches."""
        if batches := [batch for call in calls for batch in call.pending]:
            await wait_for_batches(batches)

    def collect(self, source: str, call: PendingFetch[Record]) -> Mapping[UserId, Result]:
        """Collect the results, and add up what was done at the source."""
        collected = call.collect()
        self.trace.add(source, collected.trace)
        return collected.results

    async def fetch(
        self, source: str, keys: Sequence[UserId], fields: FieldSet | None
    ) -> LoadedResults:
        """Fetch keys, and return one result for each."""
        call = self.begin(source, keys, fields)
        await self.wait([call])
        results = self.collect(source, call)
        return [results[key] for key in keys]


class Loaders:
    """Loads from the sources for one request."""

    def __init__(self, sources: OpenSources, call: RequestContext, *, shared: bool = False) -> None:
        """Make loaders.

        Args:
            sources: The open sources.
            call: The context of the request.
            shared: Whether several operations of the request use them, so that results for one
                operation are kept for the others.
        """
        self._shared = shared
        self._in_bulk = _InBulk(sources.users, call)
        self._context = call
        self._sources = sources
        self._closed = False
        # Made at first use: a compiled operation needs no loader.
        self._users: dict[str, UserLoader] = {}
        self._pages: dict[PageSpec[Any], DataLoader[PageRequest, Any]] = {}
        self._tasks: Tasks | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        if self._tasks is not None:
            await self._tasks.__aexit__(kind, error, traceback)
        # They refer to this object, and it refers to them. Without this, only the garbage collector
        # would free the reference cycle, with all records.
        for loader in self._users.values():
            loader.close()
        self._users.clear()
        self._pages.clear()

    @property
    def used(self) -> AbstractSet[str]:
        """Names of the sources that were asked so far."""
        return self._in_bulk.used

    @property
    def trace(self) -> Trace:
        """What the request did at each source so far."""
        return self._in_bulk.trace

    @property
    def partitions(self) -> EndpointPartitions:
        """How sources are divided into endpoints."""
        return self._sources.partitions

    async def load(self, fetches: Sequence[Fetch]) -> Results:
        """Carry out fetches through the loaders of this request.

        Args:
            fetches: The fetches of one root field.

        Returns:
            Results by source and user.
        """
        return await carry_out(fetches, _ByLoader(self._user_loader))

    async def fetch(self, fetches: Sequence[Fetch]) -> Results:
        """Carry out fetches in bulk, without a future for each user.

        Args:
            fetches: All fetches of an operation.

        Returns:
            Results by source and user.
        """
        if self._shared:
            return await self.load(fetches)
        return await carry_out(fetches, self._in_bulk)

    async def load_page(self, spec: PageSpec[R], request: PageRequest) -> PageResult[R]:
        """Load one page of one user's list.

        Args:
            spec: The list.
            request: The page, by the user's id.

        Returns:
            The result of the source.

        Raises:
            Exception: A bug of ours prevented the call.
        """
        parent = self._sources.key_from.get(spec.name)
        if parent is not None:
            results = await self.load(self._fetches_of_keys(parent, request.user))
            key = key_of(results[parent][request.user], spec.name, parent)
            if isinstance(key, Exception):
                raise key
            if not isinstance(key, str):
                return key
            request = replace(request, user=key)
        if spec not in self._pages:
            self._pages[spec] = self._make_page_loader(spec)
        page = self._pages[spec].load(request)
        await _wait_until_done([page])
        result: PageResult[R] = page.result()
        return result

    def remember(self, fetches: Sequence[Fetch], results: Results) -> None:
        """Keep the results of ``fetch``, so that ``load`` does not ask again.

        Args:
            fetches: The fetches.
            results: Results by source and user.
        """
        for one in fetches:
            keys, by_user = KeyMapping.for_fetch(one, results).keys, results[one.source]
            by_key = {key: by_user[user] for user, key in keys.items() if isinstance(key, str)}
            self._user_loader(one.source, one.fields).remember(by_key, one.fields)

    def _user_loader(self, source: str, fields: FieldSet | None) -> UserLoader:
        """Find or make the loader of a source; a new one asks for these fields first."""
        loader = self._users.get(source)
        if loader is None:

            async def fetch(users: Sequence[UserId], fields: FieldSet | None) -> LoadedResults:
                return await self._run(
                    source, len(users), lambda: self._in_bulk.fetch(source, users, fields)
                )

            loader = self._users[source] = UserLoader(fetch, fields)
        return loader

    def _make_page_loader(self, spec: PageSpec[R]) -> DataLoader[PageRequest, Any]:
        """Make the loader of a list."""
        pages = self._sources.pages[spec]

        async def fetch_pages(requests: Sequence[PageRequest]) -> Sequence[PageResult[R]]:
            fetched = await pages.fetch_pages(requests, self._context)
            self._in_bulk.trace.add(spec.name, fetched.trace)
            return fetched.results

        async def fetch(requests: list[PageRequest]) -> list[PageResult[R]]:
            return await self._run(spec.name, len(requests), lambda: fetch_pages(requests))

        return DataLoader(fetch)

    def _fetches_of_keys(self, source: str, user: UserId) -> Sequence[Fetch]:
        """List the fetches that lead to the keys in the records of a source.

        The plan has loaded these records already, with the fields of the operation. Here no field
        is needed, so that those records are used.
        """
        fetches: list[Fetch] = []
        name: str | None = source
        while name is not None:
            parent = self._sources.key_from.get(name)
            fetches.append(Fetch(name, (user,), frozenset(), parent))
            name = parent
        return fetches

    async def _run(
        self,
        source: str,
        number: int,
        fetch: Callable[[], Awaitable[Sequence[V]]],
    ) -> list[V | SourceFailure]:
        """Run a loader's fetch, and always return a value for each of its futures.

        The fetch is a task of these loaders. If it is cancelled, this function still returns, and
        so settles the loader's futures. A cancelled batch function would leave them pending.
        """
        gone = SourceFailure(source, Code.SOURCE_UNAVAILABLE, "the request has ended")
        if self._closed:
            return [gone] * number
        self._in_bulk.used.add(source)
        tasks = self._tasks = self._tasks or Tasks()
        task = tasks.begin(_awaited(fetch), f"fetch {source}")
        await asyncio.wait([task])
        return [gone] * number if task.cancelled() else list(task.result())


@dataclass(frozen=True, slots=True)
class _ByLoader:
    """Loads each key by the loader of its source. A ``FetchMethod``.

    A call is the futures of its keys; they are shared with other waiters.
    """

    loader_of: Callable[[str, FieldSet | None], UserLoader]

    def begin(
        self, source: str, keys: Sequence[UserId], fields: FieldSet | None
    ) -> Mapping[UserId, asyncio.Future[Any]]:
        """Load each key."""
        loader = self.loader_of(source, fields)
        return {key: loader.load(key, fields) for key in keys}

    async def wait(self, calls: Sequence[Mapping[UserId, asyncio.Future[Any]]]) -> None:
        """Wait for all futures."""
        await _wait_until_done([future for call in calls for future in call.values()])

    def collect(
        self, source: str, call: Mapping[UserId, asyncio.Future[Any]]
    ) -> Mapping[UserId, Result]:
        """Return the results."""
        del source  # the loader has added up what was done there
        return {key: _result_of(future) for key, future in call.items()}


async def _awaited(fetch: Callable[[], Awaitable[Sequence[V]]]) -> Sequence[V]:
    """Await the awaitable that a function returns: a task needs a coroutine."""
    return await fetch()


async def _wait_until_done(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for shared futures without ever cancelling them."""
    waiting = {future for future in futures if not future.done()}
    if waiting:
        await asyncio.wait(waiting)


def _result_of(future: asyncio.Future[Any]) -> Result:
    """Return the result of a future, or the bug of ours that was raised, as a value."""
    bug = future.exception()
    if bug is None:
        result: Result = future.result()
        return result
    return bug if isinstance(bug, Exception) else RuntimeError(str(bug))
