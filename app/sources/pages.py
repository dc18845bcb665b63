"""The paged list behind a REST service: pages of any size, from any position, out of its pages."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import Code, MalformedError, SourceFailure
from app.settings.response import AnswerSettings
from app.sources.base import (
    Page,
    PageItem,
    PageRequest,
    PageSpec,
    Position,
    PositionGone,
    Record,
    RequestContext,
    UserId,
)
from app.sources.client import ServiceClient
from app.sources.mapping.contract import RowContract
from app.sources.mapping.requests import UpstreamRequest, pair
from app.sources.mapping.rows import RawAnswer
from app.sources.mapping.scan import ScannedRow, at, scan

R = TypeVar("R", bound=Record)

MAX_LIMIT = 100
"""The most items that one call asks for."""

MAX_CALLS = 5
"""The most calls for one page, however short the upstream's pages are."""

NOT_FOUND = frozenset({404})

AS_ONE_VALUE = AnswerSettings(many=False)
"""How a page is read that does not fit: as one value, whatever that is."""


class UpstreamPage(Record, Generic[R]):
    """One answer: some items, and where the next ones are."""

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
    """A page that is one by its frame, with something in it that does not fit.

    It is the trouble of one user, so the service's circuit breaker must not count it.

    Attributes:
        detail: What does not fit; says nothing of what is in it.
    """

    detail: str


class RestPages(Generic[R]):
    """Lists something of one user page by page, as its ``PageSpec`` says. A ``PagedSource``."""

    def __init__(self, spec: PageSpec[R], client: ServiceClient) -> None:
        """Make the list.

        Args:
            spec: What it is.
            client: Asks the service.
        """
        self._spec = spec
        self._client = client
        page: type[UpstreamPage[R]] = UpstreamPage[spec.item]  # type: ignore[name-defined] # a type at run time
        self._decode = TypeAdapter(page).validate_json
        self._contract = RowContract(page)
        self._key = attrgetter(spec.key)

    @property
    def name(self) -> str:
        """The source that the list belongs to."""
        return self._spec.name

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> Sequence[Page[R] | SourceFailure | PositionGone | None]:
        """Fetch pages, several at once up to the bound of the settings.

        Args:
            requests: Pages, each once.
            context: What of the incoming request goes on.

        Returns:
            One answer a request, in their order.
        """
        room = asyncio.Semaphore(self._client.settings.max_concurrent_pages)

        async def fetch(
            request: PageRequest,
        ) -> Page[R] | SourceFailure | PositionGone | None:
            async with room:
                return await self._fetch(request, context)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(request)) for request in requests]
        return [task.result() for task in tasks]

    async def _fetch(
        self, request: PageRequest, context: RequestContext
    ) -> Page[R] | SourceFailure | PositionGone | None:
        """Fetch one page: one call where it starts and ends as upstream pages do."""
        walk = _PageWalk(request, self._key)
        for _ in range(MAX_CALLS):
            upstream = await self._ask(request.user, walk.limit, walk.cursor, context)
            if not isinstance(upstream, UpstreamPage):
                return upstream
            try:
                page = walk.take(upstream)
            except MalformedError as error:
                return self._failure(str(error))
            if page is not None:
                return page
        if not walk.items:
            return self._failure(f"{MAX_CALLS} pages without the item looked for, or empty")
        return Page(tuple(walk.items), has_next=True)

    async def _ask(
        self, user: UserId, limit: int, cursor: str | None, context: RequestContext
    ) -> UpstreamPage[R] | SourceFailure | None:
        """Ask for one upstream page."""
        target = f"{self._spec.path}?{pair(self._spec.parameter, user)}&limit={limit}"
        if cursor is not None:
            target += "&" + pair("cursor", cursor)
        answer = await self._client.send(
            UpstreamRequest((user,), self._spec.path, target),
            context,
            self._read,
            limit=self._client.settings.page_timeout,
            absent=NOT_FOUND,
        )
        if not isinstance(answer, _MalformedPage):
            return answer
        self._client.seldom.warn(
            "source.odd_page", self.name, context, path=self._spec.path, detail=answer.detail
        )
        context.trace.for_source(self.name).code = Code.SOURCE_MALFORMED
        return self._failure(answer.detail)

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
            return _MalformedPage(page) if isinstance(page, str) else page

    def _failure(self, detail: str) -> SourceFailure:
        """Say that the list cannot be read."""
        return SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)


class _PageWalk(Generic[R]):
    """The way over upstream pages to a page of any size, from any position.

    Attributes:
        cursor: The cursor of the upstream page that is needed next.
        items: What there is of the page so far.
    """

    def __init__(self, request: PageRequest, key: Callable[[R], str]) -> None:
        position = request.after or Position(cursor=None, item=None)
        self.cursor = position.cursor
        self.items: list[PageItem[R]] = []
        self._behind = position.item
        self._trail = position.trail
        self._first = request.first
        self._key = key

    @property
    def limit(self) -> int:
        """How many items the upstream is asked for."""
        # An item to start behind has to be found first, on a page as long as can be.
        return MAX_LIMIT if self._behind is not None else self._first - len(self.items)

    def take(self, upstream: UpstreamPage[R]) -> Page[R] | PositionGone | None:
        """Take what is wanted of an upstream page.

        Args:
            upstream: The page at ``cursor``.

        Returns:
            The page that was asked for, or that it cannot start where it should; ``None`` where the
            next upstream page is needed for that.

        Raises:
            MalformedError: The next upstream page is one that was read before.
        """
        keys = [self._key(item) for item in upstream.items]
        start = 0
        if self._behind is not None:
            start = len(keys)
            if self._behind in keys:
                start = keys.index(self._behind) + 1
                self._behind = None
        end = min(len(keys), start + self._first - len(self.items))
        self.items += [
            PageItem(upstream.items[index], Position(self.cursor, keys[index], self._trail))
            for index in range(start, end)
        ]
        following = upstream.following
        if following is None:
            if self._behind is not None:
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
