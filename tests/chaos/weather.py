"""Sources that break and heal at random, and a note of when each was well."""

import asyncio
from random import Random
from typing import Final

from app.resilience.clock import Clock
from tests import faults
from tests.fakes.http_server import hanging, saying
from tests.fault_server import Fault, FaultServer

Between = tuple[float, float]
"""The least and the most seconds of something."""

PARTS: Final = {
    "profile": ("profile",),
    "billing": ("billing", "invoices"),
    "activity": ("activity",),
}
"""What breaks together: one service each."""

FAULTS: Final[tuple[Fault, ...]] = (
    faults.late(0.05),
    faults.late(0.2),
    faults.late(1.0),
    hanging,
    hanging,
    faults.hanging_after_head,
    faults.dripping,
    faults.closing,
    faults.resetting,
    faults.resetting_mid_body,
    faults.closing_mid_body,
    faults.closing_mid_chunk,
    faults.status(500),
    faults.status(502),
    faults.status(503),
    faults.status(503, "0"),
    faults.status(503, "1"),
    faults.status(504),
    faults.status(429),
    faults.status(429, "1"),
    faults.status(401),
    faults.status(403),
    faults.status(404),
    faults.redirecting_to_itself,
    faults.redirecting_elsewhere,
    saying(b""),
    saying(b"null"),
    saying(faults.SECRET.encode(), headers=faults.HTML),
    saying(b"[" * 100_000),
    faults.truncated,
    faults.not_http,
    faults.long_header,
    faults.too_long,
    faults.too_long_in_chunks,
    faults.bomb,
    faults.bomb_in_bomb,
    faults.compressed,
    faults.compressed_and_more,
    faults.half_compressed,
    faults.share(20, faults.status(503)),
    faults.share(50, hanging),
    faults.share(70, faults.resetting),
)
"""What may happen to any service."""

ROW_FAULTS: Final[tuple[Fault, ...]] = (
    faults.rows(faults.wrong_types),
    faults.rows(faults.missing_keys),
    faults.rows(faults.duplicate),
    faults.rows(faults.extra),
    faults.rows(faults.reordered),
)
"""What may happen to one that answers with rows."""


class Weather:
    """Breaks and heals the services of a fault server.

    Attributes:
        storms: How often a service broke.
    """

    def __init__(self, server: FaultServer, clock: Clock) -> None:
        self.storms = 0
        self._server = server
        self._clock = clock
        self._well_since: dict[str, float | None] = {source: clock.monotonic() for source in PARTS}

    async def change(self, source: str, chance: Random, *, well: Between, broken: Between) -> None:
        """Break and heal one service for ever.

        Args:
            source: Which.
            chance: Decides how and when.
            well: The least and the most seconds for which it is well.
            broken: The least and the most seconds for which it is broken.
        """
        while True:
            await asyncio.sleep(chance.uniform(*well))
            self._well_since[source] = None
            self.storms += 1
            for part in PARTS[source]:
                kinds = FAULTS if part == "invoices" else (*FAULTS, *ROW_FAULTS)
                self._server.fail(part, chance.choice(kinds))
            await asyncio.sleep(chance.uniform(*broken))
            for part in PARTS[source]:
                self._server.heal(part)
            self._well_since[source] = self._clock.monotonic()

    def was_well_since(self, source: str, moment: float) -> bool:
        """Tell whether a service was well from some moment until now."""
        since = self._well_since[source]
        return since is not None and since <= moment

    def doubt(self) -> None:
        """Take note that all services were late, because the process that plays them was."""
        now = self._clock.monotonic()
        for source, since in self._well_since.items():
            if since is not None:
                self._well_since[source] = now
