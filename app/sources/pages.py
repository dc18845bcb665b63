"""The paged list behind a REST service: pages of any size, from any position, out of its pages."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Generic, TypeVar

from pydantic import Field, TypeAdapter

from app.errors import Code, SourceError
from app.sources.answer import RawAnswer
from app.sources.ask import Ask
from app.sources.base import (
    Call,
    Page,
    PageItem,
    PageRequest,
    PageSpec,
    Position,
    PositionGone,
    Record,
    UserId,
)
from app.sources.client import ServiceClient
from app.sources.forms import pair

R = TypeVar("R", bound=Record)

MAX_LIMIT = 100
"""The most items that one call asks for."""

MAX_CALLS = 5
"""The most calls for one page, however short the upstream's pages are."""

NOT_FOUND = frozenset({404})


class UpstreamPage(Record, Generic[R]):
    """One answer: some items, and where the next ones are."""

    items: list[R] = Field(description="The items, in the source's order.")
    next_cursor: str | None = Field(
        default=None, max_length=2_048, description="Cursor of the next page, if there is one."
    )


class RestPages(Generic[R]):
    """Lists something of one user page by page, as its ``PageSpec`` says. A ``PagedSource``."""

    def __init__(self, spec: PageSpec[R], client: ServiceClient) -> None:
        self._spec = spec
        self._client = client
        self._page: TypeAdapter[UpstreamPage[R]] = TypeAdapter(UpstreamPage[spec.item])  # type: ignore[name-defined] # a type at run time
        self._key = attrgetter(spec.key)

    @property
    def name(self) -> str:
        """The source that the list belongs to."""
        return self._spec.name

    async def fetch_pages(
        self, requests: Sequence[PageRequest], call: Call
    ) -> Sequence[Page[R] | SourceError | PositionGone | None]:
        """Fetch pages, several at once up to the bound of the settings.

        Args:
            requests: Pages, each once.
            call: What of the incoming request goes on.

        Returns:
            One answer a request, in their order.
        """
        room = asyncio.Semaphore(self._client.settings.max_concurrent_pages)

        async def fetch(
            request: PageRequest,
        ) -> Page[R] | SourceError | PositionGone | None:
            async with room:
                return await self._fetch(request, call)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(request)) for request in requests]
        return [task.result() for task in tasks]

    async def _fetch(
        self, request: PageRequest, call: Call
    ) -> Page[R] | SourceError | PositionGone | None:
        """Fetch one page: one call where it starts and ends as upstream pages do."""
        position = request.after or Position(cursor=None, item=None)
        cursor, behind = position.cursor, position.item
        items: list[PageItem[R]] = []
        for _ in range(MAX_CALLS):
            # An item to start behind has to be found first, on a page as long as can be.
            limit = MAX_LIMIT if behind is not None else request.first - len(items)
            upstream = await self._ask(request.user, limit, cursor, call)
            if not isinstance(upstream, UpstreamPage):
                return upstream
            if cursor is not None and upstream.next_cursor == cursor:
                return self._no_progress("the next page is the same page")
            keys = [self._key(item) for item in upstream.items]
            if behind is None:
                start = 0
            elif behind in keys:
                start, behind = keys.index(behind) + 1, None
            else:
                start = len(keys)
            end = min(len(keys), start + request.first - len(items))
            items += [
                PageItem(
                    upstream.items[index],
                    Position(upstream.next_cursor, None)
                    if index + 1 == len(keys) and upstream.next_cursor is not None
                    else Position(cursor, keys[index]),
                )
                for index in range(start, end)
            ]
            if upstream.next_cursor is None and behind is not None:
                return PositionGone()
            if upstream.next_cursor is None or len(items) == request.first:
                more = end < len(keys) or upstream.next_cursor is not None
                return Page(tuple(items), has_next=more)
            cursor = upstream.next_cursor
        if not items:
            return self._no_progress(f"{MAX_CALLS} pages without the item looked for, or empty")
        return Page(tuple(items), has_next=True)

    async def _ask(
        self, user: UserId, limit: int, cursor: str | None, call: Call
    ) -> UpstreamPage[R] | SourceError | None:
        """Ask for one upstream page."""
        target = f"{self._spec.path}?{pair(self._spec.parameter, user)}&limit={limit}"
        if cursor is not None:
            target += "&" + pair("cursor", cursor)

        def read(answer: RawAnswer) -> UpstreamPage[R]:
            return self._page.validate_json(answer.body)

        return await self._client.send(
            Ask((user,), self._spec.path, target),
            call,
            read,
            limit=self._client.settings.page_timeout,
            absent=NOT_FOUND,
        )

    def _no_progress(self, detail: str) -> SourceError:
        """Say that following the pages leads nowhere."""
        return SourceError(self.name, Code.SOURCE_MALFORMED, detail)
