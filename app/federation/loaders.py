"""Asking the sources: every key once, all needed sources at the same time.

Loaders live for exactly one request, so that nothing of one caller is ever given to another. Async,
since all they do is wait for sources. Their tasks belong to them: leaving their context ends what
still runs.

The futures of a loader are shared by everyone who asked for the same key. They are therefore never
awaited in a way that could cancel them, and a fetch always settles them, whatever becomes of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from aiodataloader import DataLoader

from app.errors import Code, SourceError, bare
from app.federation.division import Division, Divisions
from app.federation.keyed import Keyed
from app.federation.merge import Parts, merge
from app.federation.plan import Plan
from app.federation.steps import Said, Steps, said_of
from app.federation.user_loader import Answers, UserLoader
from app.resilience.tasks import Tasks
from app.sources.base import (
    Call,
    FieldSet,
    Page,
    PagedSource,
    PageRequest,
    PageSpec,
    PositionGone,
    Record,
    UserId,
)
from app.sources.flight import Ticket, landed
from app.sources.flights import Flights
from app.sources.foreign import foreign_key_of

R = TypeVar("R", bound=Record)
K = TypeVar("K")
V = TypeVar("V")

Fetch: TypeAlias = Callable[[Sequence[K], Call], Awaitable[Sequence[V]]]
"""Asks a source for as many answers as there are keys, users or pages."""


class Ask(NamedTuple):
    """A user, and which sources to ask about it."""

    user: UserId
    plan: Plan


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of the gateway, open.

    Attributes:
        users: Flights to those that answer for many users at once, by name.
        pages: Those that list something page by page, by their spec.
        key_from: The source that has another's keys, by the name of that other.
        divisions: How sources are divided into endpoints, which are among ``users`` by themselves.
    """

    users: Mapping[str, Flights[Record]]
    pages: Mapping[PageSpec[Any], PagedSource[Any]]
    key_from: Mapping[str, str] = field(default_factory=dict[str, str])
    divisions: Divisions = field(default_factory=dict[str, Division])


class Loaders:
    """One DataLoader per source, for one request.

    Attributes:
        used: Names of the sources that were asked so far.
    """

    def __init__(self, sources: Sources, call: Call, *, shared: bool = False) -> None:
        """Make loaders.

        Args:
            sources: Whom they ask.
            call: The request.
            shared: Whether several operations of the request use them, so that what is fetched in
                bulk for one is remembered for the others.
        """
        self.used: set[str] = set()
        self._shared = shared
        self._call = call
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

    async def load(self, asks: Sequence[Ask]) -> list[Parts]:
        """Ask about users, each time the sources of a plan.

        Args:
            asks: About whom, and which sources; the same user may be in it twice.

        Returns:
            What the sources said, one for each of ``asks`` in their order.
        """
        rows: list[list[asyncio.Future[Any]]] = []
        for user, plan in asks:
            for name in plan.for_keys:  # now, so that one call serves all fields of the operation
                self._load(name, user, plan.fields.get(name))
            rows.append([self._load(name, user, plan.fields.get(name)) for name in plan.sources])
        await _settled([future for row in rows for future in row])
        return [
            merge(
                plan.sources,
                *[future.result() for future in row],
                divisions=self._sources.divisions,
            )
            for (_, plan), row in zip(asks, rows, strict=True)
        ]

    async def fetch(
        self,
        wanted: Mapping[str, Sequence[UserId]],
        fields: Mapping[str, FieldSet] = MappingProxyType({}),
    ) -> Mapping[str, Said]:
        """Ask sources about users in bulk, all at the same time, without a future for each.

        Args:
            wanted: Users by name of the source, each once. Where the keys of a source are from
                another, they are wanted of that one, too.
            fields: The fields that are wanted, by name of the source, of those that can be asked
                for some alone.

        Returns:
            What each source said, by user, perhaps of others too, or the bug of ours that kept it
            from being asked, of all of them or of some.
        """
        if self._shared:
            return await self._fetch_once(wanted, fields)
        if self._sources.key_from and not self._sources.key_from.keys().isdisjoint(wanted):
            steps = Steps(self._sources.users, self._sources.key_from, self._call, fields)
            said = await steps.fetch(wanted)
            self.used |= steps.used
            return said
        self.used.update(wanted)
        tickets = [
            self._sources.users[name].ask(users, self._call, fields=fields.get(name))
            for name, users in wanted.items()
        ]
        if tickets:
            await landed(tickets)
        return {ticket.source: _collected(ticket) for ticket in tickets}

    async def load_page(
        self, spec: PageSpec[R], request: PageRequest
    ) -> Page[R] | SourceError | PositionGone | None:
        """Ask for one page of one user's list.

        Args:
            spec: Which list.
            request: Which page of it.

        Returns:
            What the source answered.
        """
        if spec not in self._pages:
            self._pages[spec] = self._page_loader(spec)
        page = self._pages[spec].load(request)
        await _settled([page])
        answer: Page[R] | SourceError | PositionGone | None = page.result()
        return answer

    def remember(
        self, found: Mapping[str, Said], fields: Mapping[str, FieldSet] = MappingProxyType({})
    ) -> None:
        """Keep what ``fetch`` has found, so that ``load`` need not ask for it again.

        Args:
            found: What each source said, by user.
            fields: The fields that were wanted, as ``fetch`` was given them.
        """
        for name, said in found.items():
            if not isinstance(said, Exception):
                self._of_users(name, fields.get(name)).remember(said, fields.get(name))

    async def _fetch_once(
        self, wanted: Mapping[str, Sequence[UserId]], fields: Mapping[str, FieldSet]
    ) -> Mapping[str, Said]:
        """Ask sources for those users whom no other operation has asked for with these fields."""
        rows = {
            name: [self._load(name, user, fields.get(name)) for user in users]
            for name, users in wanted.items()
        }
        await _done([future for row in rows.values() for future in row])
        return {
            name: said_of(users, [_bug_in(one) or one.result() for one in rows[name]])
            for name, users in wanted.items()
        }

    def _load(
        self, name: str, user: UserId, fields: FieldSet | None
    ) -> asyncio.Future[Record | SourceError | None]:
        """Ask a source for a user, with some fields of the record at least."""
        return self._of_users(name, fields).load(user, fields)

    def _of_users(self, name: str, fields: FieldSet | None) -> UserLoader:
        """Find or make the loader of a source; the fields are those that are asked for first."""
        loader = self._users.get(name)
        if loader is None:
            flights = self._sources.users[name]

            async def ask(users: Sequence[UserId], fields: FieldSet | None) -> Answers:
                async def fetch(users: Sequence[UserId], call: Call) -> Answers:
                    return await flights.fetch(users, call, fields=fields)

                return await self._ask(
                    name, users, fetch, user=lambda user: user, keyed=lambda _, key: key
                )

            loader = self._users[name] = UserLoader(ask, fields)
        return loader

    def _page_loader(self, spec: PageSpec[R]) -> DataLoader[PageRequest, Any]:
        """Make the loader of a list; an exception that it is given, it raises."""
        fetch: Fetch[PageRequest, Page[R] | SourceError | PositionGone | None]
        fetch = self._sources.pages[spec].fetch_pages

        async def batch(
            requests: list[PageRequest],
        ) -> list[Page[R] | SourceError | PositionGone | Exception | None]:
            return await self._ask(
                spec.name,
                requests,
                fetch,
                user=lambda page: page.user,
                keyed=lambda page, key: replace(page, user=key),
            )

        return DataLoader(batch)

    async def _ask(
        self,
        name: str,
        items: Sequence[K],
        fetch: Fetch[K, V],
        *,
        user: Callable[[K], UserId],
        keyed: Callable[[K, UserId], K],
    ) -> list[V | SourceError | Exception | None]:
        """Ask one source.

        Args:
            name: The source.
            items: What it is asked for.
            fetch: Asks it.
            user: Tells of which user an item is.
            keyed: Makes the same item of another user; by the source's own key, where it has keys.

        Returns:
            One answer for each item, in their order; the bug of ours that kept it from being asked
            for, where other items could be.
        """
        gone = SourceError(name, Code.SOURCE_UNAVAILABLE, "the request has ended")
        if self._closed:
            return [gone] * len(items)

        async def ask(items: Sequence[K]) -> Sequence[V]:
            self.used.add(name)
            return await fetch(items, self._call)

        async def ask_by_key() -> Sequence[V | SourceError | Exception | None]:
            keys = await self._keys(name, [user(item) for item in items])
            places = Keyed(
                [
                    keyed(item, key) if isinstance(key, str) else key
                    for item, key in zip(items, keys, strict=True)
                ]
            )
            asked = places.asked
            said: Mapping[K, V | Exception]
            try:
                said = dict(zip(asked, await ask(asked) if asked else (), strict=True))
            except Exception as error:  # noqa: BLE001 # of what was asked for, and of no other
                said = dict.fromkeys(asked, error)
            return places.answers(said)

        # The fetch is a task of ours: when it is cancelled, this function still settles the
        # futures of its items, which a cancelled batch function would leave waiting for ever.
        tasks = self._tasks = self._tasks or Tasks()
        run = ask_by_key() if name in self._sources.key_from else ask(items)
        task = tasks.begin(run, f"fetch {name}")
        await asyncio.wait([task])
        return [gone] * len(items) if task.cancelled() else list(task.result())

    async def _keys(
        self, name: str, users: Sequence[UserId]
    ) -> Sequence[UserId | SourceError | Exception | None]:
        """Find the keys by which a source knows users, by what another says of these."""
        parent = self._sources.key_from[name]
        loader = self._of_users(parent, None)  # it is there: a plan asks it before this source
        said = [loader.load_key(user) for user in users]
        await _done(said)
        return [
            _bug_in(one) or foreign_key_of(one.result(), source=name, parent=parent) for one in said
        ]


def _collected(
    ticket: Ticket[Record],
) -> Mapping[UserId, Record | SourceError | None] | Exception:
    """Take what has come for a request, or the bug that was raised instead."""
    try:
        return ticket.collect()
    except Exception as error:  # noqa: BLE001 # whatever it is, it is a value and will be logged
        return error


def _bug_in(future: asyncio.Future[Any]) -> Exception | None:
    """Find the bug of ours that was raised instead of an answer."""
    bug = future.exception()
    return bug if bug is None or isinstance(bug, Exception) else RuntimeError(str(bug))


async def _done(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for shared futures without ever cancelling them."""
    waiting = {future for future in futures if not future.done()}
    if waiting:
        await asyncio.wait(waiting)


async def _settled(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for shared futures without ever cancelling them.

    Failures of sources are values; what is raised here is a bug of ours. The exception of every
    future is looked at, or those behind the first would be reported as never retrieved.

    Args:
        futures: Futures of loaders, the same one perhaps twice.
    """
    await _done(futures)
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        for other in errors:
            if other is not errors[0]:
                bare(other)  # nobody is told of it, and its frames hold on to the futures
        raise errors[0]
