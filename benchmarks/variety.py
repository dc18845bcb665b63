"""A soak by a hostile client, no two of whose requests are alike: ``soak --hostile``.

It needs no other programs: the requests are handed to the application of this very process, and the
sources are the tests' fakes. So its memory is that of a gateway and of what sends the requests.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.main import create_app
from app.observability.logs import make_log
from app.server.collector import tune_collector
from app.settings.limits import MemorySettings
from tests.asgi import send
from tests.fakes import FakeServices
from tests.variety import USERS, hostile, hostile_settings

_LOOK: Final = 1_000
"""Requests between two looks at the memory."""


@dataclass(frozen=True, slots=True)
class VarietySoak:
    """What was found.

    Attributes:
        requests: How many requests were answered.
        start_mb: The memory before the first of them, in MB.
        peak_mb: The most of all looks.
        end_mb: The memory after the last.
        most_mb: The most that it may be.
    """

    requests: int
    start_mb: float
    peak_mb: float
    end_mb: float
    most_mb: float

    @property
    def is_bounded(self) -> bool:
        """Whether it stayed below what it may be."""
        return self.peak_mb <= self.most_mb

    def verdict(self) -> str:
        """Say it to a person."""
        return (
            f"{self.requests} requests, no two alike: memory {self.start_mb:.1f} MB at the start,"
            f" {self.peak_mb:.1f} MB at most, {self.end_mb:.1f} MB at the end, bound"
            f" {self.most_mb:g}: {'bounded' if self.is_bounded else 'NOT bounded'}"
        )


def soak_by_variety(requests: int, most_mb: float, say: Callable[[str], None]) -> VarietySoak:
    """Send hostile requests, one after the other, and look at the memory now and then.

    Args:
        requests: How many.
        most_mb: The most memory that there may be, in MB.
        say: Is told how far it is.

    Returns:
        What was found.
    """
    return asyncio.run(_soak(requests, most_mb, say))


async def _soak(requests: int, most_mb: float, say: Callable[[str], None]) -> VarietySoak:
    """Send the requests."""
    services = FakeServices()
    services.know(*range(1, USERS + 1))
    settings = hostile_settings(MemorySettings())
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: ASYNC230, PTH123 # it never waits
        log = make_log(settings.log, stream=nowhere)
        app = create_app(settings, log, transports=services.transport)
        async with app.router.lifespan_context(app):
            await send(app, hostile(0))
            tune_collector()
            looks = [_resident_mb()]
            for number in range(1, requests + 1):
                await send(app, hostile(number))
                if number % _LOOK == 0 or number == requests:
                    for service in services.by_name.values():
                        service.requests.clear()
                        service.batches.clear()
                    looks.append(_resident_mb())
                    say(f"{number} requests, {looks[-1]:.1f} MB")
    return VarietySoak(requests, looks[0], max(looks), looks[-1], most_mb)


def _resident_mb() -> float:
    """Look at the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
