"""The loaders of one request, which ask the sources for it.

Sources are asked in one of two ways. Resolvers load each user through an aiodataloader
``DataLoader``, one per source, so that the users of several root fields go in one call. A compiled
operation asks for all users of a source in bulk, without a future for each. Both are a
``FetchMethod``, by which the fetches of a plan are carried out (``fetching.py``).

Loaders live for exactly one request, so that no caller gets data of another. They are async because
they wait for sources. They own their tasks: leaving their context cancels those that still run.

All who load the same key share its future. So nobody awaits a future in a way that could cancel it,
and a fetch always settles its futures, even if it fails or is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, Self, TypeVar

from aiodataloader import DataLoader
from msgspec import Struct
from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.execution.fetching import (
    FetchMethod,
    KeyMapping,
    RunningFetches,
    carry_out,
    keys_for,
)
from app.execution.outcome import Results
from app.execution.plan import Fetch, Lookup
from app.execution.render import PageFetch, PageResults
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
    UserId,
)
from app.sources.batch import BatchedSource, PendingFetch, wait_for_fetches
from app.sources.records_in_parts import EndpointPartitions
from app.sources.results import Result
from app.sources.trace import Trace

R = TypeVar("R", bound=Record)
V = TypeVar("V")


class OpenSources(Struct, frozen=True):
    """All open sources of the gateway.

    Attributes:
        users: The sources that take many users in one call, by name.
        pages: The sources of lists that are read page by page, by their spec.
        key_from: For a source, the sources whose records have its keys, in order.
        partitions: How sources are divided into endpoints. ``users`` has each endpoint on its own.
    """

    users: Mapping[str, BatchedSource[Record]]
    pages: Mapping[PageSpec[Any], PagedSource[Any]]
    key_from: Mapping[str, tuple[str, ...]] = {}
    partitions: EndpointPartitions = {}


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
        await wait_for_fetches(calls)

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

    @property
    def has_keyed_lists(self) -> bool:
        """Whether sources may have the keys of lists, so that these are found by the loaders."""
        return bool(self._sources.key_from)

    async def load(self, fetches: Sequence[Fetch]) -> Results:
        """Carry out fetches through the loaders of this request.

        Args:
            fetches: The fetches of one root field.

        Returns:
            Results by source and user.
        """
        return await carry_out(fetches, _ByLoader(self._user_loader))

    def begin(self, fetches: Sequence[Fetch]) -> RunningFetches:
        """Begin fetches, without waiting for any.

        Args:
            fetches: All fetches of an operation.

        Returns:
            The fetches. Their tasks belong to these loaders.
        """
        # Pages whose keys another source has find them by the loaders. Without these, it is less
        # work to ask in bulk.
        method: FetchMethod[Any] = (
            _ByLoader(self._user_loader) if self._sources.key_from else self._in_bulk
        )
        return RunningFetches(
            fetches, method, lambda work: self.begin_task(work, "fetch for payloads")
        )

    def begin_task(self, work: Coroutine[Any, Any, V], name: str) -> asyncio.Task[V]:
        """Begin a task that ends with these loaders.

        Args:
            work: The coroutine that it runs.
            name: The name of the task.

        Returns:
            The task.
        """
        tasks = self._tasks = self._tasks or Tasks()
        return tasks.begin(work, name)

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

    async def look_up(self, lookups: Sequence[Lookup]) -> Mapping[str, Sequence[Result]]:
        """Look up users, all keys of a source by one call.

        Args:
            lookups: The lookups of an operation, at least one.

        Returns:
            The result of each key, by the response key of the root field.
        """
        keys: dict[str, dict[UserId, None]] = {}
        for one in lookups:
            keys.setdefault(one.source, {}).update(dict.fromkeys(one.keys))
        results = await self.fetch(
            [Fetch(name, tuple(each)) for name, each in keys.items() if each]
        )
        return {
            one.root: [results[one.source][key] for key in one.keys] if one.keys else []
            for one in lookups
        }

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
        if parents := self._sources.key_from.get(spec.name):
            wanted = Fetch(spec.name, (request.user,), key_from=parents)
            before = self._fetches_of_keys(wanted)
            keys = await keys_for(wanted, before, _ByLoader(self._user_loader))
            key = keys.keys[request.user]
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

    async def fetch_pages(self, wanted: Sequence[PageFetch]) -> PageResults:
        """Fetch pages of lists.

        Args:
            wanted: The pages, by list.

        Returns:
            The result of each page.

        Raises:
            Exception: A bug of ours prevented a call.
        """
        found = await asyncio.gather(*[self._pages_of(one) for one in wanted])
        return {
            one.spec: dict(zip(one.requests, results, strict=True))
            for one, results in zip(wanted, found, strict=True)
        }

    async def _pages_of(self, wanted: PageFetch) -> Sequence[PageResult[Any]]:
        """Fetch the pages of one list."""
        spec, requests = wanted.spec, wanted.requests
        if self._shared or spec.name in self._sources.key_from:
            return await asyncio.gather(*[self.load_page(spec, one) for one in requests])
        return await self._run(
            spec.name, len(requests), lambda: self._ask_for_pages(spec, requests)
        )

    def remember(self, fetches: Sequence[Fetch], results: Results) -> None:
        """Keep the results of ``fetch``, so that ``load`` does not ask again.

        Args:
            fetches: The fetches.
            results: Results by source and user.
        """
        for one in fetches:
            by_user = results[one.source]
            users = [user for user in (*one.users, *one.if_needed) if user in by_user]
            keys = KeyMapping.of_users(one, users)
            for parent in one.key_from:
                keys = keys.completed(one, parent, results[parent])
            by_key = {key: by_user[user] for user, key in keys.keys.items() if isinstance(key, str)}
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

        async def fetch(requests: list[PageRequest]) -> list[PageResult[R]]:
            return await self._run(
                spec.name, len(requests), lambda: self._ask_for_pages(spec, requests)
            )

        return DataLoader(fetch)

    async def _ask_for_pages(
        self, spec: PageSpec[R], requests: Sequence[PageRequest]
    ) -> Sequence[PageResult[R]]:
        """Ask the source for pages of a list."""
        fetched = await self._sources.pages[spec].fetch_pages(requests, self._context)
        self._in_bulk.trace.add(spec.name, fetched.trace)
        return fetched.results

    def _fetches_of_keys(self, fetch: Fetch) -> Sequence[Fetch]:
        """List the fetches that lead to the keys of a fetch.

        The plan has loaded most of these records already, with the fields of the operation. Here no
        field is needed, so that those records are used.
        """
        found, key_from = dict[str, Fetch](), self._sources.key_from
        left = [*fetch.key_from]
        while left:
            name = left.pop()
            if name in found:
                continue
            parents = key_from.get(name, ())
            found[name] = Fetch(name, (), frozenset(), parents, if_needed=fetch.users)
            left += found[name].key_from
        return [*found.values()]

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
        task = self.begin_task(_awaited(fetch), f"fetch {source}")
        await asyncio.wait([task])
        return [gone] * number if task.cancelled() else list(task.result())


class _ByLoader(Struct, frozen=True):
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
