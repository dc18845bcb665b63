"""A batch scheduler that a test controls: the test decides when its calls end."""

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.resilience.clock import Deadline
from app.settings.models import LogSettings
from app.settings.resilience import CoalesceSettings, DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import FieldSet, RequestContext
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.telemetry import SourceTelemetry
from tests.clock import ManualClock
from tests.fakes import calm_source
from tests.sources.upstream import NAME, PersonRecord, Requests, Said, Upstream, ids

BUDGET, RESERVE = 5.0, 0.25

ATTEMPT = 0.5

SETTINGS = calm_source(
    base_url="http://profile",
    timeout=ATTEMPT,
    max_keys=7,
    coalesce=CoalesceSettings(max_batches=2, full_at=4, max_wait=60),
)


@dataclass
class SchedulerHarness:
    """A scheduler, its upstream and its callers.

    Attributes:
        clock: The time.
        sharing: The kind of sharing between requests.
        limits: The settings of the source.
        upstream: The source that gets the batches.
        scheduler: The scheduler.
        log: The log of the scheduler.
        unhandled: The errors that the event loop reports.
        congested: Whether calls to the source wait before they are sent.
    """

    clock: ManualClock
    sharing: Sharing = Sharing.KEYS
    limits: SourceSettings = SETTINGS
    upstream: Upstream = field(default_factory=Upstream)
    log: io.StringIO = field(default_factory=io.StringIO)
    unhandled: list[object] = field(default_factory=list[object])
    requests: Requests = field(default_factory=Requests)
    congested: bool = False

    def __post_init__(self) -> None:
        self.upstream.held = True
        self.scheduler: BatchScheduler[PersonRecord] = BatchScheduler(
            NAME,
            self.upstream.fetch_many,
            sharing=self.sharing,
            settings=self.limits,
            deadlines=DeadlineSettings(budget=BUDGET, reserve=RESERVE),
            clock=self.clock,
            log=make_log(LogSettings(format="json"), stream=self.log),
            telemetry=SourceTelemetry(Telemetry()),
            congested=lambda: self.congested,
        )

    def call(
        self, name: str = "r", *, identity: str = "", seconds: float | None = None
    ) -> RequestContext:
        """Make the context of a request with a deadline in ``seconds``."""
        deadline = None if seconds is None else Deadline(self.clock.seconds + seconds, self.clock)
        return RequestContext(name, identity=identity, deadline=deadline)

    async def ask(
        self,
        keys: str,
        context: RequestContext | None = None,
        *,
        behind: str = "",
        fields: str | None = None,
    ) -> asyncio.Task[Sequence[Said]]:
        """Start a caller for some fields of one letter each."""
        context = context or self.call()
        some = None if fields is None else frozenset(fields)
        caller = asyncio.create_task(self.fetch(keys, context, behind=behind, fields=some))
        await self.clock.settle()
        return caller

    async def fetch(
        self,
        keys: str,
        context: RequestContext,
        *,
        behind: str = "",
        fields: FieldSet | None = None,
    ) -> Sequence[Said]:
        """Enqueue keys, and wait for their results."""
        pending = self.scheduler.enqueue(ids(keys), context, background=ids(behind), fields=fields)
        return await self.requests.fetch(pending, ids(keys), context)

    async def let_go(self, number: int = -1) -> None:
        """End a call."""
        self.upstream.let_go(number)
        await self.clock.settle()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        await self.clock.settle()

    async def cancel(self, caller: asyncio.Task[Any]) -> None:
        """Cancel a caller."""
        caller.cancel()
        await self.clock.settle()
        assert caller.cancelled()

    def events(self) -> list[Mapping[str, Any]]:
        """Read what was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def asked(upstream: Upstream) -> list[tuple[str, str | None]]:
    """Return the keys and fields of each call."""
    return [
        (batch, None if context.fields is None else "".join(sorted(context.fields)))
        for batch, context in zip(upstream.batches, upstream.calls, strict=True)
    ]
