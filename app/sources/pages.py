"""A paged list from a REST service: pages of any size, from any position, made of its pages."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import Code, MalformedError, SourceFailure
from app.settings.response import AnswerSettings
from app.sources.base import (
    FetchResult,
    Page,
    PageItem,
    PageRequest,
    PageResult,
    PageSpec,
    Position,
    PositionGone,
    Record,
    RequestContext,
    SourceTrace,
    UserId,
    joined_fetches,
)
from app.sources.client import Reply, ServiceClient
from app.sources.mapping.contract import RowContract, RowDamage
from app.sources.mapping.requests import UpstreamRequest, pair
from app.sources.mapping.rows import RawAnswer
from app.sources.mapping.scan import ScannedRow, at, scan

R = TypeVar("R", bound=Record)

MAX_LIMIT = 100
"""Maximum number of items that one call requests."""

MAX_CALLS = 5
"""Maximum number of calls for one page, even if the upstream pages are short."""

NOT_FOUND = frozenset({404})

AS_ONE_VALUE = AnswerSettings(many=False)
"""Settings to read a page that does not fit the contract: as one JSON value."""


class UpstreamPage(Record, Generic[R]):
    """A page of the service: some items, and the cursor of the next page."""

    items: list[R] = Field(description="The items, in the source's order.")
    next_cursor: str | None = Field(
        default=None,
        max_length=2_048,
        description="Cursor of the next page; nothing, or nothing but blanks, on the last one.",
    )

    @property
    def following(self) -> str | None:
        """The cursor of the next page; ``None`` on the last one."""
        return self.next_cursor if self.next_cursor and self.next_cursor.strip() else None


@dataclass(frozen=True, slots=True)
class _MalformedPage:
    """A page with a list of items, in which something does not fit the contract.

    The problem concerns one user, so the circuit breaker of the service must not count it.

    Attributes:
        detail: What does not fit, without any values.
    """

    detail: str


class RestPages(Generic[R]):
    """A ``PagedSource`` that calls a REST service, by its ``PageSpec``."""

    def __init__(self, spec: PageSpec[R], client: ServiceClient) -> None:
        """Create the list.

        Args:
            spec: The list as data.
            client: The client of the service.
        """
        self._spec = spec
        self._client = client
        page: type[UpstreamPage[R]] = UpstreamPage[spec.item]  # type: ignore[name-defined] # a type at run time
        self._decode = TypeAdapter(page).validate_json
        self._contract = RowContract(page)
        self._key = attrgetter(spec.key)

    @property
    def name(self) -> str:
        """Name of the source to which the list belongs."""
        return self._spec.name

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Fetch pages, at most ``max_concurrent_pages`` at once.

        Args:
            requests: Pages, without duplicates.
            context: The context of the call.

        Returns:
            One result per request, in their order, as ``PagedSource.fetch_pages`` describes.
        """
        semaphore = asyncio.Semaphore(self._client.settings.max_concurrent_pages)

        async def fetch(request: PageRequest) -> FetchResult[PageResult[R]]:
            async with semaphore:
                return await self._fetch(request, context)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(request)) for request in requests]
        return joined_fetches([task.result() for task in tasks])

    async def _fetch(
        self, request: PageRequest, context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Fetch one page. One call is enough if it starts and ends where upstream pages do."""
        builder, trace = _PageBuilder(request, self._key), SourceTrace()
        result: PageResult[R] = None
        for _ in range(MAX_CALLS):
            reply = await self._call(request.user, builder.limit, builder.cursor, context)
            upstream = reply.value
            trace.add(reply.trace)
            if isinstance(upstream, _MalformedPage):
                result = self._malformed(upstream, context)
                trace.code = result.code
            elif isinstance(upstream, UpstreamPage):
                try:
                    result = builder.add(upstream)
                except MalformedError as error:
                    result = self._failure(str(error))
                if result is None:
                    continue
            else:
                result = upstream
            return FetchResult([result], trace)
        if not builder.items:
            result = self._failure(f"{MAX_CALLS} pages without the item looked for, or empty")
        else:
            result = Page(tuple(builder.items), has_next=True)
        return FetchResult([result], trace)

    async def _call(
        self, user: UserId, limit: int, cursor: str | None, context: RequestContext
    ) -> Reply[UpstreamPage[R] | _MalformedPage]:
        """Fetch one upstream page."""
        target = f"{self._spec.path}?{pair(self._spec.parameter, user)}&limit={limit}"
        if cursor is not None:
            target += "&" + pair("cursor", cursor)
        return await self._client.send(
            UpstreamRequest((user,), self._spec.path, target),
            context,
            self._read,
            limit=self._client.settings.page_timeout,
            absent=NOT_FOUND,
        )

    def _malformed(self, page: _MalformedPage, context: RequestContext) -> SourceFailure:
        """Log that a page does not fit the contract, and return the failure."""
        self._client.seldom.warn(
            "source.odd_page", self.name, context, path=self._spec.path, detail=page.detail
        )
        return self._failure(page.detail)

    def _read(self, answer: RawAnswer) -> UpstreamPage[R] | _MalformedPage:
        """Read a page."""
        try:
            return self._decode(answer.body)
        except ValidationError:
            [row] = scan(answer.body, AS_ONE_VALUE).rows or [ScannedRow(None, None)]
            _, items = at(row.value, ("items",))
            if not isinstance(items, list):
                raise
            page = self._contract.read(row.value)
            return _MalformedPage(page.text) if isinstance(page, RowDamage) else page

    def _failure(self, detail: str) -> SourceFailure:
        """Return the failure for a list that cannot be read."""
        return SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)


class _PageBuilder(Generic[R]):
    """Builds a page of any size, from any position, of upstream pages.

    Attributes:
        cursor: The cursor of the next upstream page that is needed.
        items: The items of the page so far.
    """

    def __init__(self, request: PageRequest, key: Callable[[R], str]) -> None:
        position = request.after or Position(cursor=None, item=None)
        self.cursor = position.cursor
        self.items: list[PageItem[R]] = []
        self._start_after = position.item
        self._trail = position.trail
        self._first = request.first
        self._key = key

    @property
    def limit(self) -> int:
        """How many items to request from the service."""
        # The item after which the page starts must be found first, so the page is long.
        return MAX_LIMIT if self._start_after is not None else self._first - len(self.items)

    def add(self, upstream: UpstreamPage[R]) -> Page[R] | PositionGone | None:
        """Add the wanted items of an upstream page.

        Args:
            upstream: The page at ``cursor``.

        Returns:
            The complete page, or that its position is gone; ``None`` if the next upstream page is
            needed.

        Raises:
            MalformedError: The next upstream page is one that was read before.
        """
        keys = [self._key(item) for item in upstream.items]
        start = 0
        if self._start_after is not None:
            start = len(keys)
            if self._start_after in keys:
                start = keys.index(self._start_after) + 1
                self._start_after = None
        end = min(len(keys), start + self._first - len(self.items))
        self.items += [
            PageItem(upstream.items[index], Position(self.cursor, keys[index], self._trail))
            for index in range(start, end)
        ]
        following = upstream.following
        if following is None:
            if self._start_after is not None:
                return PositionGone()
            return Page(tuple(self.items), has_next=end < len(keys))
        trail = self._trail.to(following)
        if following == self.cursor or trail is None:
            raise MalformedError("the next page is one that was read before")
        if start < end == len(keys):
            self.items[-1] = PageItem(self.items[-1].item, Position(following, None, trail))
        if len(self.items) == self._first:
            return Page(tuple(self.items), has_next=True)
        self.cursor, self._trail = following, trail
        return None
