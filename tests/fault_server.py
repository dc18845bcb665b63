"""A real server that plays all three services, and fails as it is told while it runs.

Each source has its own path prefix: ``/profile``, ``/billing`` (with ``/billing/invoices``, which
fails apart from it, as ``invoices``) and ``/activity``. How they fail is in ``faults.py``.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx
import orjson

from app.resilience.clock import Clock
from tests.fakes import FakeServices, Row, invoice, user_id
from tests.fakes.http_server import HttpExchange, HttpRequest, HttpServer

PATHS = {
    "/profile/users": "profile",
    "/billing/accounts": "billing",
    "/billing/invoices": "invoices",
    "/activity/summaries": "activity",
}
"""Where each source is asked; billing's list of invoices counts as one of its own."""


@dataclass
class FaultExchange(HttpExchange):
    """One request to a source.

    Attributes:
        number: Which request of its source it is since the source was last told how to behave.
        services: What the sources have.
    """

    number: int
    services: FakeServices

    @property
    def response(self) -> httpx.Response:
        """What the contract wants as the answer."""
        asked = httpx.Request(self.request.method, f"http:/{self.request.target}")
        return self.services.by_name[asked.url.host].answer(asked)

    @property
    def right(self) -> bytes:
        """The body of that."""
        return self.response.content

    @property
    def rows(self) -> list[Row]:
        """The rows in it."""
        rows: list[Row] = orjson.loads(self.right)
        return rows

    async def answer(self) -> None:
        """Answer by the contract."""
        response = self.response
        await self.say(response.content, f"{response.status_code} {response.reason_phrase}")


Fault = Callable[[FaultExchange], Awaitable[None]]
"""What a source does instead of answering by the contract."""


class FaultServer(HttpServer):
    """The server.

    Attributes:
        services: What the sources have.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(self._play, clock)
        self.services = FakeServices()
        self._faults: dict[str, Fault] = {}
        self._since = Counter[str]()

    @property
    def rows(self) -> Mapping[str, dict[str, Row]]:
        """What each source has, by user."""
        return {name: service.rows for name, service in self.services.by_name.items()}

    @property
    def invoices(self) -> dict[str, Sequence[Row]]:
        """The invoices of each user, newest first."""
        return self.services.billing.invoices

    def url(self, source: str) -> str:
        """Tell the base URL of a source."""
        return f"{self.base_url}/{source}"

    def know(self, *numbers: int) -> None:
        """Let all sources know some users, each of whom has three invoices."""
        self.services.know(*numbers)
        for number in numbers:
            self.invoices[user_id(number)] = [invoice(10 * number + index) for index in (3, 2, 1)]

    def fail(self, source: str, fault: Fault) -> None:
        """Have a source fail from its next request on."""
        self._faults[source] = fault
        self._since[source] = 0

    def heal(self, source: str) -> None:
        """Have a source answer by the contract again."""
        self._faults.pop(source, None)

    def calls(self, source: str) -> list[HttpRequest]:
        """List the requests to a source, in their order."""
        return [one for one in self.requests if PATHS[one.path] == source]

    def batches(self, source: str) -> list[list[str]]:
        """List the users of each request to a source."""
        return [one.keys for one in self.calls(source)]

    async def _play(self, exchange: HttpExchange) -> None:
        """Answer one request, or fail as told."""
        request = exchange.request
        assert request.method == "GET", f"nobody serves {request.line}"
        assert request.path in PATHS, f"nobody serves {request.line}"
        source = PATHS[request.path]
        self._since[source] += 1
        asked = FaultExchange(
            request, self, exchange.reader, exchange.writer, self._since[source], self.services
        )
        await self._faults.get(source, FaultExchange.answer)(asked)
