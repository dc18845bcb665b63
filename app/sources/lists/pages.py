"""A paged list from a REST service: it calls the service for each upstream page that is needed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from app.errors import Code, MalformedError, SourceFailure
from app.settings.lists import ListSettings
from app.sources.base import (
    FetchResult,
    Page,
    PageRequest,
    PageResult,
    PageSpec,
    PositionGone,
    Record,
    RequestContext,
)
from app.sources.client import Reply, ServiceClient
from app.sources.division import fetch_parts
from app.sources.lists.building import PageBuilder, PageRules
from app.sources.lists.contract import settings_of
from app.sources.lists.reader import MalformedPage, PageReader, UpstreamPage
from app.sources.lists.requests import ListEncoder
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import BY_LIBRARIES, ReadMethods
from app.sources.trace import SourceTrace

R = TypeVar("R", bound=Record)

MAX_CALLS = 5
"""Maximum number of calls for one page, even if the upstream pages are short."""


UpstreamAnswer: TypeAlias = UpstreamPage[R] | MalformedPage | SourceFailure | PositionGone | None
"""What one call for an upstream page gives; ``None`` if the source does not know the user."""


async def build_page(
    builder: PageBuilder[R],
    call: Callable[[], Awaitable[Reply[UpstreamAnswer[R]]]],
    malformed: Callable[[str], SourceFailure],
) -> FetchResult[PageResult[R]]:
    """Build a page. One call is enough if it starts and ends where upstream pages do.

    Args:
        builder: Builds the page.
        call: Fetches the upstream page that the builder needs.
        malformed: Logs what does not fit the contract, and returns the failure.

    Returns:
        The page, or why there is none.
    """
    trace: SourceTrace | None = None
    result: PageResult[R] = None
    for _ in range(MAX_CALLS):
        reply = await call()
        upstream = reply.value
        if trace is None:
            trace = reply.trace
        else:
            trace.add(reply.trace)
        if isinstance(upstream, MalformedPage):
            result = malformed(upstream.detail)
        elif isinstance(upstream, UpstreamPage):
            try:
                result = builder.add(upstream)
            except MalformedError as error:
                result = malformed(str(error))
            if result is None:
                continue
        else:
            result = upstream
        break
    else:
        result = Page(tuple(builder.items), has_next=True)
        if not builder.items:
            detail = f"{MAX_CALLS} pages without the item looked for, or empty"
            result = malformed(detail)
    trace = trace or SourceTrace()
    if isinstance(result, SourceFailure):
        trace.code = result.code
    return FetchResult([result], trace)


class NoPages(Generic[R]):
    """A ``PagedSource`` for a list that the service does not have.

    Args:
        name: Name of the source to which the list would belong.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Name of the source to which the list would belong."""
        return self._name

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Return that no user is known, without any call."""
        del context
        return FetchResult([None] * len(requests))


class RestPages(Generic[R]):
    """A ``PagedSource`` that calls a REST service, by its ``PageSpec`` and its settings."""

    def __init__(
        self,
        spec: PageSpec[R],
        client: ServiceClient,
        *,
        observer: Observer | None = None,
        methods: ReadMethods = BY_LIBRARIES,
    ) -> None:
        """Create the list.

        Args:
            spec: The list as data.
            client: The client of the service.
            observer: Called for each item with how it was made; ``None`` for no observer.
            methods: How responses are decoded and expressions evaluated.
        """
        self._spec = spec
        self._settings: ListSettings = settings_of(spec, client.settings)
        self._rules = PageRules.of(self._settings)
        answer = self._settings.answer
        self._client = client.endpoint(
            client.name, client.settings.model_copy(update={"answer": answer})
        )
        self._encoder = ListEncoder(self._settings, client.settings)
        self._reader = PageReader(
            spec,
            self._settings,
            observer,
            lenient=spec.list in client.settings.lists,
            methods=methods,
        )

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
        if len(requests) == 1:  # the common case: requests share each page on its own
            return await self._fetch(requests[0], context)
        return await fetch_parts(
            requests,
            lambda request: self._fetch(request, context),
            at_a_time=self._client.settings.max_concurrent_pages,
        )

    async def _fetch(
        self, request: PageRequest, context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Fetch one page. One call is enough if it starts and ends where upstream pages do."""
        builder: PageBuilder[R] = PageBuilder(request, self._rules)
        if not self._encoder.accepts(builder.cursor):
            return FetchResult([PositionGone()])
        return await build_page(
            builder,
            lambda: self._call(request, builder, context),
            lambda detail: self._malformed(detail, context),
        )

    def _call(
        self, page: PageRequest, builder: PageBuilder[R], context: RequestContext
    ) -> Awaitable[Reply[UpstreamAnswer[R]]]:
        """Fetch the upstream page that the builder needs."""
        cursor, size = builder.cursor, builder.size
        request = self._encoder.encode(page.user, cursor, size)
        if request is None:
            return self._refuse(context)
        return self._client.send(
            request,
            context,
            lambda answer: self._reader.read(answer, cursor, size),
            limit=self._client.settings.page_timeout,
            absent=self._encoder.absent if cursor is None else frozenset(),
        )

    async def _refuse(self, context: RequestContext) -> Reply[UpstreamAnswer[R]]:
        """Log that a key cannot be written, and return the failure."""
        self._client.seldom.warn("source.not_written", self.name, context, keys=1)
        detail = "the key cannot be written in the form of the request, and was not sent"
        failure = SourceFailure(self.name, Code.SOURCE_REJECTED, detail, unwritten=True)
        return Reply(failure, SourceTrace(code=failure.code))

    def _malformed(self, detail: str, context: RequestContext) -> SourceFailure:
        """Log that the pages do not fit the contract, and return the failure."""
        self._client.seldom.warn(
            "source.odd_page", self.name, context, path=self._settings.path, detail=detail
        )
        return SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
