"""A list over a fake service, and clients that walk through it."""

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
    """Open the list over a fake."""
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
    """Make a service that always answers the same."""
    return lambda _: json_response(value)


def page_of(answer: Answer) -> Page[InvoiceRecord]:
    """Take an answer that has to be a page."""
    assert isinstance(answer, Page)
    return answer


def numbers_of(page: Page[InvoiceRecord]) -> list[int]:
    """Tell which invoices are on a page."""
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
        sizes: How many items each page asks for, again and again.
        after: Where to start.
        edges: Behind which item of each page to go on, counted from its end, again and again.

    Returns:
        The items behind which the walk went on, and what the last page had; and what that page
        said of more.
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
    """Have a client send a position back, in the cursor that it got."""
    cursor = encode_cursor(USER, "invoices", position)
    assert len(cursor) <= MAX_CURSOR
    return decode_cursor(USER, "invoices", cursor)


async def walk_until_it_fails(
    handler: Handler,
    size: int,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> list[int] | Code:
    """Go from edge to edge as a client does; tell what was found, or how that ended."""
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
