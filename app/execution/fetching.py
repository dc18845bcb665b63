"""Carries out the fetches of a plan: each source once, each fetch as soon as its keys are known.

``carry_out`` waits for all fetches. ``RunningFetches`` lets each source be awaited on its own, for
answers in several payloads. How a source is asked is a ``FetchMethod`` (``load.py``). Both take the
keys of one source from the records of others in the same place, ``KeyMapping``.

All is async, because fetches wait for sources.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from msgspec import Struct

from app.errors import SourceFailure
from app.execution.outcome import Results
from app.execution.plan import Fetch
from app.sources.base import FieldSet, UserId
from app.sources.mapping.row_mapper import foreign_key_of
from app.sources.results import Result

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
        fetches: One for each source. The fetches that have the keys of another are among them.
        method: How keys are fetched.

    Returns:
        Results by source and user: of all users of the fetch, of those in ``if_needed`` that it was
        needed for, and perhaps of others. A bug of ours is a value, so that it prevents no call for
        another source or another user.
    """
    if not any(one.key_from for one in fetches):  # the common case: one wait for all, and no task
        started: list[P | Exception | None] = []
        for one in fetches:
            call = _start(one, one.users, method)
            started.append(call)
        if calls := _begun(started):
            await method.wait(calls)
        return {
            one.source: _collected(one, one.users, call, method)
            for one, call in zip(fetches, started, strict=True)
        }
    async with asyncio.TaskGroup() as tasks:
        keyed = _KeyedFetches(fetches, method, tasks.create_task)
        for one in fetches:
            keyed.ask(one.source, one.users)
    return keyed.results


async def keys_for(fetch: Fetch, fetches: Sequence[Fetch], method: FetchMethod[P]) -> "KeyMapping":
    """Find the keys of a fetch, without fetching it.

    Args:
        fetch: The fetch.
        fetches: The fetches that lead to its keys. Each is carried out as far as it is needed.
        method: How keys are fetched.

    Returns:
        The keys.
    """
    async with asyncio.TaskGroup() as tasks:
        keyed = _KeyedFetches(fetches, method, tasks.create_task)
        return await keyed.keys(fetch, fetch.users)


BeginTask: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Begins a task that somebody owns."""


class _KeyedFetches(Generic[P]):
    """Fetches of which some have the keys of others. Each source is asked about each user once.

    Attributes:
        results: The results so far, by source and user.
    """

    def __init__(
        self, fetches: Sequence[Fetch], method: FetchMethod[P], begin_task: BeginTask
    ) -> None:
        self.results: dict[str, dict[UserId, Result]] = {one.source: {} for one in fetches}
        self._fetches = {one.source: one for one in fetches}
        self._asked: dict[str, dict[UserId, asyncio.Task[None]]] = {
            one.source: {} for one in fetches
        }
        self._method = method
        self._begin_task = begin_task

    def ask(self, source: str, users: Sequence[UserId]) -> None:
        """Ask a source about users, except those that it was asked about before."""
        fetch, asked = self._fetches[source], self._asked[source]
        if new := [user for user in users if user not in asked]:
            # Users' ids are known at once. So the call begins before anybody waits.
            call: P | Exception | None = None
            if not fetch.key_from:
                call = _start(fetch, new, self._method)
            task = self._begin_task(self._finish(fetch, new, call))
            asked.update(dict.fromkeys(new, task))

    def tasks_of(self, source: str) -> Collection[asyncio.Task[None]]:
        """Return the tasks of a source that have begun so far."""
        return set(self._asked[source].values())

    async def keys(self, fetch: Fetch, users: Sequence[UserId]) -> "KeyMapping":
        """Find the keys of users: ask one source after the other about those who have none yet."""
        keys = KeyMapping.of_users(fetch, users)
        for parent in fetch.key_from:
            if not (left := keys.missing):
                break
            self.ask(parent, left)
            await asyncio.wait({self._asked[parent][user] for user in left})
            keys = keys.completed(fetch, parent, self.results[parent])
        return keys

    async def _finish(
        self, fetch: Fetch, users: Sequence[UserId], call: P | Exception | None
    ) -> None:
        """Wait for the keys of users, then for their results."""
        keys = await self.keys(fetch, users)
        if fetch.key_from:
            call = _start(fetch, keys.distinct, self._method)
        if calls := _begun([call]):
            await self._method.wait(calls)
        found = keys.by_user(_collected(fetch, keys.distinct, call, self._method))
        self.results[fetch.source].update(found)


class RunningFetches:
    """Fetches that have all begun. The results of each source can be awaited on their own.

    Attributes:
        results: The results so far, by source and user. Those of a source are complete for the
            users of its fetch once it has answered.
    """

    def __init__(
        self, fetches: Sequence[Fetch], method: FetchMethod[Any], begin_task: BeginTask
    ) -> None:
        """Begin all fetches, each as soon as its keys are known.

        Args:
            fetches: One for each source. The fetches that have the keys of another are among them.
            method: How keys are fetched.
            begin_task: Begins the tasks that wait for the sources.
        """
        keyed = _KeyedFetches(fetches, method, begin_task)
        for one in fetches:
            keyed.ask(one.source, one.users)
        self.results: Results = keyed.results
        self._tasks = {one.source: keyed.tasks_of(one.source) for one in fetches}

    def unanswered(self, sources: Iterable[str]) -> Sequence[str]:
        """List the sources that have not answered yet.

        Args:
            sources: Some of the sources.

        Returns:
            Those of them that are still being asked.
        """
        return [one for one in sources if not all(task.done() for task in self._tasks[one])]

    async def wait_for(self, sources: Iterable[str], *, first: bool = False) -> None:
        """Wait until sources have answered.

        Args:
            sources: The sources; one that has answered is not waited for.
            first: Whether to wait for any one of them only.

        Raises:
            Exception: A bug of ours in the fetch of one of them.
            CancelledError: The request has ended.
        """
        tasks = [task for name in sources for task in self._tasks[name]]
        if waiting := [task for task in tasks if not task.done()]:
            condition = asyncio.FIRST_COMPLETED if first else asyncio.ALL_COMPLETED
            await asyncio.wait(waiting, return_when=condition)
        for task in tasks:
            if task.done():
                task.result()


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


class KeyMapping(Struct, frozen=True):
    """The source's key for each user of a fetch.

    Attributes:
        keys: For each user the key. If a user cannot be asked about, the result instead: ``None``
            if there is no key, a failure or a bug of ours if the key is unknown.
    """

    keys: Mapping[UserId, UserId | SourceFailure | Exception | None]

    @classmethod
    def of_users(cls, fetch: Fetch, users: Iterable[UserId]) -> Self:
        """Make the keys of users, as far as they are known without any result.

        Args:
            fetch: The fetch.
            users: Users of it.

        Returns:
            The users' ids, if these are the keys; else no keys.
        """
        return cls({user: None if fetch.key_from else user for user in users})

    def completed(self, fetch: Fetch, parent: str, results: Mapping[UserId, Result]) -> Self:
        """Add the keys of users who have none yet.

        A failure counts: it is the result of the user, and no later source is asked for the key.

        Args:
            fetch: The fetch.
            parent: The next source in ``fetch.key_from``.
            results: Its results, at least those of these users.

        Returns:
            The keys.
        """
        new = {user: key_of(results[user], fetch.source, parent) for user in self.missing}
        return type(self)({**self.keys, **new})

    @property
    def missing(self) -> Sequence[UserId]:
        """The users who have no key so far."""
        return [user for user, key in self.keys.items() if key is None]

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
