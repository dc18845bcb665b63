"""Carrying out the fetches of a plan: every source once, and all at the same time that can be.

There are two ways to ask, and one to carry out. Resolvers load each user through an aiodataloader
``DataLoader``, one a source, so that what several root fields want goes in one call. A compiled
operation asks for all users of a source in bulk, without a future for each. Both take the keys of
one source from the records of another in the same place: ``carry_out``.

Loaders live for exactly one request, so that nothing of one caller is ever given to another. Async,
since all they do is wait for sources. Their tasks belong to them: leaving their context ends what
still runs.

The futures of a loader are shared by everyone who asked for the same key. They are therefore never
awaited in a way that could cancel them, and a fetch always settles them, whatever becomes of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from aiodataloader import DataLoader

from app.errors import Code, SourceFailure
from app.execution.outcome import Results
from app.execution.plan import Fetch
from app.execution.user_loader import LoadedResults, UserLoader
from app.resilience.tasks import Tasks
from app.sources.base import (
    FieldSet,
    Page,
    PagedSource,
    PageRequest,
    PageSpec,
    PositionGone,
    Record,
    RequestContext,
    UserId,
)
from app.sources.batch import PendingBatch, wait_for_batches
from app.sources.batch_scheduler import BatchScheduler
from app.sources.mapping.row_mapper import foreign_key_of
from app.sources.records_in_parts import EndpointPartition, EndpointPartitions
from app.sources.results import Result

R = TypeVar("R", bound=Record)
V = TypeVar("V")

PageResult: TypeAlias = Page[R] | SourceFailure | PositionGone | None
"""What a source says when it is asked for a page."""


@dataclass(frozen=True, slots=True)
class OpenSources:
    """All sources of the gateway, open.

    Attributes:
        users: Batches to those that answer for many users at once, by name.
        pages: Those that list something page by page, by their spec.
        key_from: The source that has another's keys, by the name of that other.
        partitions: How sources are divided into endpoints, which are among ``users`` by themselves.
    """

    users: Mapping[str, BatchScheduler[Record]]
    pages: Mapping[PageSpec[Any], PagedSource[Any]]
    key_from: Mapping[str, str] = field(default_factory=dict[str, str])
    partitions: EndpointPartitions = field(default_factory=dict[str, EndpointPartition])


class PendingResults(Protocol):
    """What one source was asked, by the keys that it knows users by."""

    def collect(self) -> Mapping[UserId, Result]:
        """Take the results, once they are there.

        Raises:
            Exception: A bug of ours that kept the source from being asked about anybody.
        """
        ...


P = TypeVar("P", bound=PendingResults)

Begin: TypeAlias = Callable[[str, Sequence[UserId], FieldSet | None], P]
"""Asks a source about users by its own keys, with some record fields at least."""

Wait: TypeAlias = Callable[[Sequence[P]], Awaitable[None]]
"""Waits for what was asked."""


async def carry_out(fetches: Sequence[Fetch], begin: Begin[P], wait: Wait[P]) -> Results:
    """Carry out fetches: each as soon as its keys are known.

    Args:
        fetches: One for each source; with each, the one that has its keys.
        begin: Asks a source about users by its own keys, each once, and at least one.
        wait: Waits until there are results of all that was begun, or no more time is left.

    Returns:
        What each source said, by user: of all users of its fetch, and perhaps of others. A bug of
        ours is a value, and keeps no other source and no other user from being asked.
    """
    started = {one.source: _start(one, one.users, begin) for one in fetches if one.key_from is None}
    if len(started) == len(fetches):  # the everyday operation: one wait for all, and no task
        await _over([*started.values()], wait)
        return {one.source: _collected(one.users, started[one.source]) for one in fetches}
    results: dict[str, Mapping[UserId, Result]] = {}

    async def finish(fetch: Fetch, keys: KeyMapping, pending: P | Exception | None) -> None:
        await _over([pending], wait)
        results[fetch.source] = keys.results(_collected(keys.named, pending))
        async with asyncio.TaskGroup() as following:
            for one in fetches:
                if one.key_from == fetch.source:
                    by_key = KeyMapping.of(one, results)
                    next_one = _start(one, by_key.named, begin)
                    following.create_task(finish(one, by_key, next_one))

    async with asyncio.TaskGroup() as group:
        for one in fetches:
            if one.key_from is None:
                own = KeyMapping.of(one, results)
                group.create_task(finish(one, own, started[one.source]))
    return results


def _start(fetch: Fetch, keys: Sequence[UserId], begin: Begin[P]) -> P | Exception | None:
    """Ask a source by some keys: nothing where there are none, or the bug of ours as a value."""
    try:
        return begin(fetch.source, keys, fetch.fields) if keys else None
    except Exception as error:  # noqa: BLE001 # whatever it is, it is a value and will be logged
        return error


async def _over(started: Sequence[P | Exception | None], wait: Wait[P]) -> None:
    """Wait for what was asked."""
    if pending := [one for one in started if one is not None and not isinstance(one, Exception)]:
        await wait(pending)


@dataclass(frozen=True, slots=True)
class KeyMapping:
    """By which keys a source is asked about users.

    Attributes:
        keys: For each user the key; or the result without asking: ``None`` where there is no key, a
            failure or a bug of ours where it could not be found out.
    """

    keys: Mapping[UserId, UserId | SourceFailure | Exception | None]

    @classmethod
    def of(cls, fetch: Fetch, results: Results) -> Self:
        """Find the keys of a fetch.

        Args:
            fetch: The fetch.
            results: What the source said that has the keys, if another has them.
        """
        parent = fetch.key_from
        if parent is None:
            return cls({user: user for user in fetch.users})
        said = results[parent]
        return cls({user: key_of(said[user], fetch.source, parent) for user in fetch.users})

    @property
    def named(self) -> Sequence[UserId]:
        """The keys that the source is asked by: each once, in the order of the users."""
        return list(dict.fromkeys(key for key in self.keys.values() if isinstance(key, str)))

    def results(self, said: Mapping[UserId, Result]) -> Mapping[UserId, Result]:
        """Give each user what the source said by key.

        Args:
            said: What it said of all keys.

        Returns:
            The result of each user.
        """
        return {user: said[key] if isinstance(key, str) else key for user, key in self.keys.items()}


def key_of(said: Result, source: str, parent: str) -> UserId | SourceFailure | Exception | None:
    """Find the key of a user at a source, in what another source said of the user.

    Args:
        said: What that one said.
        source: The source that the key is for.
        parent: The source that said it.

    Returns:
        The key; or what takes the place of an answer, since the source cannot be asked.
    """
    if isinstance(said, Exception):
        return said
    try:
        return foreign_key_of(said, source=source, parent=parent)
    except Exception as error:  # noqa: BLE001 # a bug of ours: the value for this user
        return error


class Loaders:
    """What one request asks of the sources.

    Attributes:
        used: Names of the sources that were asked so far.
    """

    def __init__(self, sources: OpenSources, call: RequestContext, *, shared: bool = False) -> None:
        """Make loaders.

        Args:
            sources: Whom they ask.
            call: The request.
            shared: Whether several operations of the request use them, so that what is fetched for
                one is remembered for the others.
        """
        self.used: set[str] = set()
        self._shared = shared
        self._context = call
        self._sources = sources
        self._closed = False
        # Made when they are first asked: a compiled operation never asks one.
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
        # They hold on to these loaders, which hold on to them: what nobody asks for any more would
        # be left to the garbage collector, with all of its records.
        for loader in self._users.values():
            loader.close()
        self._users.clear()
        self._pages.clear()

    @property
    def divisions(self) -> EndpointPartitions:
        """How sources are divided into endpoints."""
        return self._sources.partitions

    async def load(self, fetches: Sequence[Fetch]) -> Results:
        """Carry out fetches through the loaders of this request.

        Args:
            fetches: The fetches of one root field.

        Returns:
            What each source said, by user.
        """
        return await carry_out(fetches, self._load, _all_loaded)

    async def fetch(self, fetches: Sequence[Fetch]) -> Results:
        """Carry out fetches in bulk, without a future for each user.

        Args:
            fetches: All fetches of an operation.

        Returns:
            What each source said, by user.
        """
        if self._shared:
            return await self.load(fetches)
        return await carry_out(fetches, self._ask_in_bulk, wait_for_batches)

    async def load_page(self, spec: PageSpec[R], request: PageRequest) -> PageResult[R]:
        """Ask for one page of one user's list.

        Args:
            spec: The list.
            request: The page, by the user's id.

        Returns:
            What the source answered.
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
            self._pages[spec] = self._page_loader(spec)
        page = self._pages[spec].load(request)
        await _wait_until_done([page])
        answer: PageResult[R] = page.result()
        return answer

    def remember(self, fetches: Sequence[Fetch], results: Results) -> None:
        """Keep what ``fetch`` has found, so that ``load`` need not ask for it again.

        Args:
            fetches: The fetches.
            results: What each source said, by user.
        """
        for one in fetches:
            if one.key_from is None:  # loaders know users by the source's own keys
                self._of_users(one.source, one.fields).remember(results[one.source], one.fields)

    def _ask_in_bulk(
        self, source: str, keys: Sequence[UserId], fields: FieldSet | None
    ) -> PendingBatch[Record]:
        """Ask a source about all keys at once."""
        self.used.add(source)
        return self._sources.users[source].enqueue(keys, self._context, fields=fields)

    def _load(self, source: str, keys: Sequence[UserId], fields: FieldSet | None) -> "_Loading":
        """Ask the loader of a source for each key."""
        loader = self._of_users(source, fields)
        return _Loading({key: loader.load(key, fields) for key in keys})

    def _of_users(self, source: str, fields: FieldSet | None) -> UserLoader:
        """Find or make the loader of a source; the fields are those that are asked for first."""
        loader = self._users.get(source)
        if loader is None:
            batches = self._sources.users[source]

            async def ask(users: Sequence[UserId], fields: FieldSet | None) -> LoadedResults:
                return await self._ask(
                    source, len(users), lambda: batches.fetch(users, self._context, fields=fields)
                )

            loader = self._users[source] = UserLoader(ask, fields)
        return loader

    def _page_loader(self, spec: PageSpec[R]) -> DataLoader[PageRequest, Any]:
        """Make the loader of a list."""
        pages = self._sources.pages[spec]

        async def ask(requests: list[PageRequest]) -> list[PageResult[R]]:
            return await self._ask(
                spec.name, len(requests), lambda: pages.fetch_pages(requests, self._context)
            )

        return DataLoader(ask)

    def _fetches_of_keys(self, source: str, user: UserId) -> Sequence[Fetch]:
        """List the fetches that lead to the keys in the records of a source.

        The plan has asked for them already, with the fields that the operation wants: here no
        field is wanted, so that what is there will do.
        """
        fetches: list[Fetch] = []
        name: str | None = source
        while name is not None:
            parent = self._sources.key_from.get(name)
            fetches.append(Fetch(name, (user,), frozenset(), parent))
            name = parent
        return fetches

    async def _ask(
        self,
        source: str,
        number: int,
        fetch: Callable[[], Awaitable[Sequence[V]]],
    ) -> list[V | SourceFailure]:
        """Ask a source on behalf of a loader, and settle its futures whatever happens.

        The fetch is a task of ours. When it is cancelled, this function still returns, which gives
        the loader's futures a value; a cancelled batch function would leave them waiting for ever.
        """
        gone = SourceFailure(source, Code.SOURCE_UNAVAILABLE, "the request has ended")
        if self._closed:
            return [gone] * number
        self.used.add(source)
        tasks = self._tasks = self._tasks or Tasks()
        task = tasks.begin(_awaited(fetch), f"fetch {source}")
        await asyncio.wait([task])
        return [gone] * number if task.cancelled() else list(task.result())


@dataclass(frozen=True, slots=True)
class _Loading:
    """What was asked of the loader of one source; the futures are shared with others."""

    futures: Mapping[UserId, asyncio.Future[Any]]

    def collect(self) -> Mapping[UserId, Result]:
        """Take the results."""
        return {key: _result_of(one) for key, one in self.futures.items()}


async def _awaited(fetch: Callable[[], Awaitable[Sequence[V]]]) -> Sequence[V]:
    """Await what a function returns, so that it can be a task."""
    return await fetch()


async def _all_loaded(loading: Sequence[_Loading]) -> None:
    """Wait for all that was asked of loaders."""
    await _wait_until_done([future for one in loading for future in one.futures.values()])


async def _wait_until_done(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for shared futures without ever cancelling them."""
    waiting = {future for future in futures if not future.done()}
    if waiting:
        await asyncio.wait(waiting)


def _result_of(future: asyncio.Future[Any]) -> Result:
    """Take a result, or as a value the bug of ours that was raised instead."""
    bug = future.exception()
    if bug is None:
        result: Result = future.result()
        return result
    return bug if isinstance(bug, Exception) else RuntimeError(str(bug))


def _collected(
    users: Sequence[UserId], started: PendingResults | Exception | None
) -> Mapping[UserId, Result]:
    """Take the results, or for each user the bug of ours that was raised instead."""
    if started is None or isinstance(started, Exception):
        return dict.fromkeys(users, started)
    try:
        return started.collect()
    except Exception as error:  # noqa: BLE001 # whatever it is, it is a value and will be logged
        return dict.fromkeys(users, error)
