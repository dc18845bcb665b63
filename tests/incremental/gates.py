"""Services that respond only when a test allows it."""

import asyncio
from collections.abc import Mapping

import httpx

from tests.fakes import FakeServices


class Gates:
    """Holds the responses of services back until a test opens their gates.

    Attributes:
        asked: For each service, an event that is set by its first request.
        cancelled: The services whose calls were cancelled while they were held.
    """

    def __init__(self, services: FakeServices, *held: str) -> None:
        """Hold some services.

        Args:
            services: All services.
            held: Names of those that are held.
        """
        self.asked: Mapping[str, asyncio.Event] = {
            name: asyncio.Event() for name in services.by_name
        }
        self.cancelled: list[str] = []
        self._open: Mapping[str, asyncio.Event] = {name: asyncio.Event() for name in held}
        services.before = self._wait

    async def _wait(self, request: httpx.Request) -> None:
        """Hold a request."""
        name = request.url.host
        self.asked[name].set()
        if (gate := self._open.get(name)) is not None:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise

    def open(self, name: str) -> None:
        """Let a service respond."""
        self._open[name].set()
