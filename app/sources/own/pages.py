"""The pages of a module's list: made of the pages that the module gives."""

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from app.errors import Code, MalformedError, SourceFailure
from app.sources.base import (
    FetchResult,
    PageRequest,
    PageResult,
    PageSpec,
    PositionGone,
    Record,
    RequestContext,
)
from app.sources.client import Reply
from app.sources.division import fetch_parts
from app.sources.lists.building import PageBuilder, PageRules
from app.sources.lists.contract import default_list
from app.sources.lists.pages import UpstreamAnswer, build_page
from app.sources.lists.reader import MalformedPage, UpstreamPage, checked_cursor
from app.sources.own.contract import ListPage, ListQuery, ReadFailure, source_failure
from app.sources.own.records import OwnItems
from app.sources.own.service import OwnService

R = TypeVar("R", bound=Record)


class OwnPages(Generic[R]):
    """A ``PagedSource`` whose pages a module gives.

    Args:
        spec: The list as data.
        service: The source.
    """

    def __init__(self, spec: PageSpec[R], service: OwnService[Record]) -> None:
        self._spec = spec
        self._service = service
        self._items = OwnItems(spec, service.own.lists[spec.list])
        self._rules = PageRules.of(default_list(spec))  # each page names the next one

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
        return await fetch_parts(
            requests,
            lambda request: self._fetch(request, context),
            at_a_time=self._service.settings.max_concurrent_pages,
        )

    async def _fetch(
        self, request: PageRequest, context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Fetch one page."""
        builder: PageBuilder[R] = PageBuilder(request, self._rules)
        try:  # a client may have made it up
            _ = builder.cursor is None or checked_cursor(builder.cursor)
        except MalformedError:
            return FetchResult([PositionGone()])

        async def call() -> Reply[UpstreamAnswer[R]]:
            cursor, size = builder.cursor, builder.size
            return await self._service.fetch_page(
                ListQuery(self._spec.list, request.user, size, cursor),
                context,
                lambda answer: self._read(answer, cursor, size),
            )

        return await build_page(builder, call, lambda detail: self._malformed(detail, context))

    def _read(self, answer: object, cursor: str | None, size: int) -> UpstreamAnswer[R]:
        """Read what the module returns for a page."""
        if isinstance(answer, ReadFailure):
            return source_failure(self.name, answer)
        if answer is None:
            return None if cursor is None else MalformedPage("None for a page after the first")
        if isinstance(answer, PositionGone):
            return MalformedPage("PositionGone for the first page") if cursor is None else answer
        if not isinstance(answer, ListPage):
            what = f"a page is {type(answer).__name__}: expected a ListPage"
            return SourceFailure(self.name, Code.SOURCE_MALFORMED, what)
        try:
            return self._page(answer, size)
        except MalformedError as error:
            return MalformedPage(str(error))

    def _page(self, page: ListPage, size: int) -> UpstreamPage[R]:
        """Make a page of what the module gives."""
        given: object = page.items
        if not isinstance(given, list | tuple):
            raise MalformedError(f"items are {type(given).__name__}: expected a list")
        rows = cast("Sequence[object]", given)
        if len(rows) > size:
            raise MalformedError(f"expected {size:,} items at most, got {len(rows):,}")
        following = cast("object", page.next)
        if following is not None and not isinstance(following, str):
            raise MalformedError(f"next is {type(following).__name__}: expected text")
        cursor = None if following is None else checked_cursor(following)
        items: list[R] = []
        keys: list[str] = []
        for index, row in enumerate(rows):
            try:
                key, item = self._items.item(row)
            except ValueError as error:
                raise MalformedError(f"{index}: {error}") from error
            keys.append(key)
            items.append(item)
        return UpstreamPage(items, keys, more=cursor is not None, cursor=cursor, sign="`next`")

    def _malformed(self, detail: str, context: RequestContext) -> SourceFailure:
        """Log that the pages do not fit the contract, and return the failure."""
        self._service.seldom.warn(
            "source.odd_page", self.name, context, list=self._spec.list, detail=detail
        )
        return SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
