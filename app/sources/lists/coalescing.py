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

from msgspec import Struct, field
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
from app.sources.division import fetch_parts
from app.sources.trace import SourceTrace

R = TypeVar("R", bound=Record)

_Fetched: TypeAlias = FetchResult[PageResult[R]]


class _PageInFlight(Struct, Generic[R], eq=False, frozen=True):
    """A page that one request fetches.

    Attributes:
        ends_at: When the deadline of that request ends the call, by ``clock.monotonic()``.
        requests: The ids of the requests that share the page; the one that fetches it is first.
        done: The result; ``None`` if that request ended without one.
    """

    ends_at: float
    requests: list[str]
    done: "asyncio.Future[_Fetched[R] | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def sharers(self) -> Sequence[str]:
        """Return the ids of the requests that share the page now."""
        return self.requests


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
        self._in_flight: dict[tuple[str, PageRequest], _PageInFlight[R]] = {}

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
        fetched: dict[PageRequest, _Fetched[R]] = {}
        left: Sequence[PageRequest] = requests
        while left:
            own: dict[PageRequest, _PageInFlight[R]] = {}
            others: dict[PageRequest, _PageInFlight[R]] = {}
            for request in left:
                page = self._in_flight.get((identity, request))
                if page is None:
                    page = _PageInFlight[R](_end_of(context.deadline), [context.request_id])
                    own[request] = self._in_flight[identity, request] = page
                else:
                    page.requests.append(context.request_id)
                    others[request] = page
            self.shared += len(others)
            if own:
                fetched |= await self._fetch(own, identity, context)
            if others:
                fetched |= await self._wait_for(others, context.deadline, asked_at)
            left = [request for request in others if request not in fetched]
        return joined_fetches([fetched[request] for request in requests])

    def forget(self, is_outdated: Callable[[UserId], bool]) -> None:
        """Let no further request join a call. Those who wait for it still get its result.

        Args:
            is_outdated: Returns whether this is so for the lists of a user.
        """
        for key in [one for one in self._in_flight if is_outdated(one[1].user)]:
            del self._in_flight[key]

    async def _fetch(
        self, own: Mapping[PageRequest, _PageInFlight[R]], identity: str, context: RequestContext
    ) -> Mapping[PageRequest, _Fetched[R]]:
        """Fetch pages, and give the result of each to the requests that wait for it."""
        fetched: dict[PageRequest, _Fetched[R]] = {}

        async def fetch(request: PageRequest) -> _Fetched[R]:
            page = own[request]
            found = await self._pages.fetch_pages([request], replace(context, sharers=page.sharers))
            fetched[request] = found
            self._end(identity, request, page, found)
            return found

        try:
            await fetch_parts([*own], fetch, at_a_time=self._at_a_time)
        finally:
            for request, page in own.items():
                if request not in fetched:  # this request was cancelled, or a bug of ours ended it
                    self._end(identity, request, page, None)
        return fetched

    def _end(
        self,
        identity: str,
        request: PageRequest,
        page: _PageInFlight[R],
        found: _Fetched[R] | None,
    ) -> None:
        """Let no further request join a page, and wake those who wait for it."""
        if self._in_flight.get((identity, request)) is page:
            del self._in_flight[identity, request]
        page.done.set_result(found)

    async def _wait_for(
        self,
        others: Mapping[PageRequest, _PageInFlight[R]],
        deadline: Deadline | None,
        asked_at: float,
    ) -> Mapping[PageRequest, _Fetched[R]]:
        """Wait for pages that other requests fetch. Pages to fetch again are left out."""
        # Not awaited themselves: a cancelled wait would cancel what other requests wait for.
        waits = [page.done for page in others.values()]
        try:
            if deadline is None:
                await asyncio.wait(waits)
            else:
                async with self._clock.timeout(deadline.remaining - self._reserve):
                    await asyncio.wait(waits)
        except TimeoutError:
            pass  # each page without a result gets its failure below
        fetched: dict[PageRequest, _Fetched[R]] = {}
        for request, page in others.items():
            if not page.done.done():
                found = self._timed_out()
            elif (result := page.done.result()) is None or (
                result.trace.code is Code.SOURCE_TIMEOUT and page.ends_at < _end_of(deadline)
            ):
                continue
            else:
                found = result
            fetched[request] = FetchResult(found.results, _joined(found.trace, asked_at))
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
