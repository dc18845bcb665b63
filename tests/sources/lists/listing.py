"""A list over a fake service, and clients that read it page by page."""

import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.schema.connection import MAX_CURSOR, decode_cursor, encode_cursor
from app.settings.models import LogSettings
from app.settings.resilience import DeadlineSettings
from app.sources.base import Page, PageRequest, Position, PositionGone, RequestContext, UserId
from app.sources.client import open_service
from app.sources.lists.pages import RestPages
from app.sources.records import INVOICES, InvoiceRecord
from tests.clock import ManualClock
from tests.fakes import FakeTransport, Handler, calm_source, json_response

CALL = RequestContext("request-1")
USER = UserId("u1")

Answer = Page[InvoiceRecord] | SourceFailure | PositionGone | None


@asynccontextmanager
async def listing(
    handler: Handler,
    *,
    log: FilteringBoundLogger | None = None,
    clock: ManualClock | None = None,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[RestPages[InvoiceRecord]]:
    """Open the list over a fake transport."""
    async with open_service(
        "billing",
        calm_source(base_url="http://billing", **changes),
        lambda _: FakeTransport(handler),
        deadlines=DeadlineSettings(),
        clock=clock or ManualClock(),
        chance=lambda: 0.5,
        log=log or make_log(LogSettings(), "json", io.StringIO()),
        telemetry=Telemetry(),
    ) as client:
        yield RestPages(INVOICES, client)


async def ask(
    handler: Handler,
    first: int,
    after: Position | None = None,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> Answer:
    """Ask for one page."""
    async with listing(handler, **changes) as pages:
        [answer] = (await pages.fetch_pages([PageRequest(USER, first, after)], CALL)).results
    return answer


def answering(value: object) -> Handler:
    """Make a service that always returns the same response."""
    return lambda _: json_response(value)


def page_of(answer: Answer) -> Page[InvoiceRecord]:
    """Check that a result is a page, and return it."""
    assert isinstance(answer, Page)
    return answer


def numbers_of(page: Page[InvoiceRecord]) -> list[int]:
    """Return the numbers of the invoices on a page."""
    return [int(entry.item.id.removeprefix("inv-")) for entry in page.items]


async def walk(
    pages: RestPages[InvoiceRecord],
    sizes: Sequence[int],
    after: Position | None,
    edges: Sequence[int],
) -> tuple[list[int], bool]:
    """Read a list to its end, page by page.

    Args:
        pages: The list.
        sizes: The number of items of each page, repeated in turn.
        after: The start position.
        edges: The item of each page to continue after, counted from its end, repeated in turn.

    Returns:
        All items up to each continuation, with those of the last page; and ``has_next`` of that
        page.
    """
    found: list[int] = []
    for turn in range(1000):
        request = PageRequest(USER, sizes[turn % len(sizes)], after)
        page = page_of((await pages.fetch_pages([request], CALL)).results[0])
        numbers = numbers_of(page)
        assert len(numbers) <= request.first
        if not page.has_next:
            return found + numbers, page.has_next
        assert numbers, "a page that others follow has items"
        kept = max(1, len(numbers) - edges[turn % len(edges)])
        found += numbers[:kept]
        after = sent_back(page.items[kept - 1].position)
    raise AssertionError("the walk does not end")


def sent_back(position: Position) -> Position:
    """Return a position after a client has sent it back in its cursor."""
    cursor = encode_cursor(USER, "invoices", position)
    assert len(cursor) <= MAX_CURSOR
    return decode_cursor(USER, "invoices", cursor)


async def walk_until_it_fails(
    handler: Handler,
    size: int,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> list[int] | Code:
    """Read all pages as a client does; return the items, or the code of the failure."""
    found: list[int] = []
    after: Position | None = None
    async with listing(handler, **changes) as pages:
        for _ in range(1_000):
            [answer] = (await pages.fetch_pages([PageRequest(USER, size, after)], CALL)).results
            if isinstance(answer, SourceFailure):
                return answer.code
            page = page_of(answer)
            found += numbers_of(page)
            if not page.has_next:
                return found
            after = sent_back(page.items[-1].position)
    raise AssertionError("the walk does not end")
