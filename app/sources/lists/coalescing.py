"""Coalescing of pages: a page that several requests want at the same time is fetched once.

The first request fetches the page, and the others wait for its result. They do not depend on that
request: if it is cancelled, or if its deadline ends the call, a request that waits fetches the page
itself. Requests of two identities share nothing, because a source may answer them differently.

It is async because a request waits for the call of another one.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.resilience.clock import Clock, Deadline
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import (
    FetchResult,
    PagedSource,
    PageRequest,
    PageResult,
    Record,
    RequestContext,
    UserId,
    joined_fetches,
)
from app.sources.credentials import identity_of
from app.sources.division import each_in_turn
from app.sources.trace import SourceTrace

R = TypeVar("R", bound=Record)

_Fetched: TypeAlias = FetchResult[PageResult[R]]

_PageKey: TypeAlias = tuple[str, PageRequest]
"""The identity of a request, and the page."""


class _PageInFlight(Struct, Generic[R], eq=False):
    """A page that one request fetches.

    Attributes:
        key: What makes the page the same for two requests.
        request: The page.
        ends_at: When the deadline of that request ends the call, by ``clock.monotonic()``.
        requests: The ids of the requests that share the page; the one that fetches it is first.
        found: The result; ``None`` while there is none.
        done: Gets the result; ``None`` in it if that request ended without one. It is made when
            another request joins: most pages are not shared.
    """

    key: _PageKey
    request: PageRequest
    ends_at: float
    requests: list[str]
    found: "_Fetched[R] | None" = None
    done: "asyncio.Future[_Fetched[R] | None] | None" = None

    def sharers(self) -> Sequence[str]:
        """Return the ids of the requests that share the page now."""
        return self.requests

    def joined(self, request_id: str) -> "asyncio.Future[_Fetched[R] | None]":
        """Let another request join, and return the future of the result."""
        self.requests.append(request_id)
        if self.done is None:
            self.done = asyncio.get_running_loop().create_future()
        return self.done


class _JoinedPage(Struct, Generic[R], eq=False, frozen=True):
    """A page that another request fetches.

    Attributes:
        place: Its place among the requested pages.
        page: The page.
        done: Gets the result.
    """

    place: int
    page: _PageInFlight[R]
    done: "asyncio.Future[_Fetched[R] | None]"


class CoalescedPages(Generic[R]):
    """A ``PagedSource`` whose pages requests share while they are in flight.

    Attributes:
        shared: How many requested pages were in flight already, in total.
    """

    def __init__(
        self,
        pages: PagedSource[R],
        settings: SourceSettings,
        *,
        deadlines: DeadlineSettings,
        clock: Clock,
    ) -> None:
        """Create it without pages.

        Args:
            pages: Fetches the pages.
            settings: Settings of the source.
            deadlines: ``reserve`` is subtracted from the time of a request.
            clock: The clock.
        """
        self.shared = 0
        self._pages = pages
        self._at_a_time = settings.max_concurrent_pages
        self._forwards = settings.auth.forwards
        self._reserve = deadlines.reserve
        self._clock = clock
        self._in_flight: dict[_PageKey, _PageInFlight[R]] = {}

    @property
    def name(self) -> str:
        """Name of the source to which the list belongs."""
        return self._pages.name

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Fetch pages, at most ``max_concurrent_pages`` at once, and join those in flight.

        Args:
            requests: Pages, without duplicates.
            context: The context of the call.

        Returns:
            One result per request, in their order, as ``PagedSource.fetch_pages`` describes.
        """
        identity = identity_of(context, self._forwards) if self._forwards else ""
        asked_at = self._clock.monotonic()
        ends_at = _end_of(context.deadline)
        fetched: dict[int, _Fetched[R]] = {}
        left: Sequence[int] = range(len(requests))
        while left:
            own: dict[int, _PageInFlight[R]] = {}
            others: list[_JoinedPage[R]] = []
            for place in left:
                request = requests[place]
                key = (identity, request)
                page: _PageInFlight[R] | None = self._in_flight.get(key)
                if page is None:
                    page = _PageInFlight(key, request, ends_at, [context.request_id])
                    own[place] = self._in_flight[key] = page
                else:
                    others.append(_JoinedPage(place, page, page.joined(context.request_id)))
            self.shared += len(others)
            if own:
                await self._fetch([*own.values()], context)
                fetched |= {place: page.found for place, page in own.items() if page.found}
            if others:
                fetched |= await self._wait_for(others, context.deadline, asked_at)
            left = [one.place for one in others if one.place not in fetched]
        return joined_fetches([fetched[place] for place in range(len(requests))])

    def forget(self, is_outdated: Callable[[UserId], bool]) -> None:
        """Let no further request join a call. Those who wait for it still get its result.

        Args:
            is_outdated: Returns whether this is so for the lists of a user.
        """
        for key in [one for one in self._in_flight if is_outdated(one[1].user)]:
            del self._in_flight[key]

    async def _fetch(self, own: Sequence[_PageInFlight[R]], context: RequestContext) -> None:
        """Fetch pages, and give the result of each to the requests that wait for it."""

        async def fetch(page: _PageInFlight[R]) -> None:
            shared = replace(context, sharers=page.sharers)
            page.found = await self._pages.fetch_pages([page.request], shared)
            self._end(page)

        try:
            await each_in_turn(own, fetch, at_a_time=self._at_a_time)
        finally:
            for page in own:
                if page.found is None:  # this request was cancelled, or a bug of ours ended it
                    self._end(page)

    def _end(self, page: _PageInFlight[R]) -> None:
        """Let no further request join a page, and wake those who wait for it."""
        if self._in_flight.get(page.key) is page:
            del self._in_flight[page.key]
        if page.done is not None:
            page.done.set_result(page.found)

    async def _wait_for(
        self,
        others: Sequence[_JoinedPage[R]],
        deadline: Deadline | None,
        asked_at: float,
    ) -> Mapping[int, _Fetched[R]]:
        """Wait for pages that other requests fetch. Pages to fetch again are left out."""
        # Not awaited themselves: a cancelled wait would cancel what other requests wait for.
        waits = [one.done for one in others]
        try:
            if deadline is None:
                await asyncio.wait(waits)
            else:
                async with self._clock.timeout(deadline.remaining - self._reserve):
                    await asyncio.wait(waits)
        except TimeoutError:
            pass  # each page without a result gets its failure below
        fetched: dict[int, _Fetched[R]] = {}
        for one in others:
            if not one.done.done():
                found = self._timed_out()
            elif (result := one.done.result()) is None or (
                result.trace.code is Code.SOURCE_TIMEOUT and one.page.ends_at < _end_of(deadline)
            ):
                continue
            else:
                found = result
            fetched[one.place] = FetchResult(found.results, _joined(found.trace, asked_at))
        return fetched

    def _timed_out(self) -> _Fetched[R]:
        """Return the failure of a page that did not come in time."""
        ended, reason = self._clock.monotonic(), "no time was left to wait for it"
        failure = SourceFailure(self.name, Code.SOURCE_TIMEOUT, reason)
        return FetchResult([failure], SourceTrace(ended=ended, code=failure.code))


def _end_of(deadline: Deadline | None) -> float:
    """Return the moment of a deadline; infinite if there is none."""
    return math.inf if deadline is None else deadline.at


def _joined(trace: SourceTrace, asked_at: float) -> SourceTrace:
    """Return what a request did that waited for the call of another one."""
    return replace(
        trace,
        calls=0,
        attempts=0,
        keys=1,
        started=asked_at,
        coalesced=1,
        timeline=[*trace.timeline],
        seen=[*trace.seen],
    )
