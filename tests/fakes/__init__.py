"""Fakes of upstream services; ``README.md`` tells which of them answers which question.

Here is the one below the client: it speaks HTTP, but no socket is opened. The three services answer
by the contract from rows in memory. What a test wants to go wrong it says per service.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx
import orjson

from app.settings.auth import OpenCallers
from app.settings.models import DEFAULT_SOURCES, LogSettings, Settings
from app.settings.resilience import (
    BreakerSettings,
    CacheSettings,
    PacingSettings,
    RetrySettings,
)
from app.settings.server import LOOPBACK_HOSTS
from app.settings.source import SourceSettings

PARAMETERS = {
    "/users": "id",
    "/accounts": "userId",
    "/summaries": "userId",
    "/invoices": "userId",
    "/lookup": "mail",
}

Row = Mapping[str, object]
Behaviour = Callable[[httpx.Request], httpx.Response]
Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


def nobody(request: httpx.Request) -> NoReturn:
    """Fail, since a request is none that the test expects."""
    raise AssertionError(f"nobody serves {request.method} {request.url}")


class FakeTransport(httpx.AsyncBaseTransport):
    """What is below a client in place of a network: the test says what a request is answered.

    Attributes:
        answer: Gives the answer to a request, or raises; a request that it does not expect is an
            ``AssertionError``, which the client sees and ``unexpected`` keeps.
        requests: Every request.
        unexpected: The requests that were not expected, and why.
        closed: How often the client above it was closed.
    """

    def __init__(self, answer: Handler = nobody) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.unexpected: list[AssertionError] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        await request.aread()
        self.requests.append(request)
        try:
            answer = self.answer(request)
            return answer if isinstance(answer, httpx.Response) else await answer
        except AssertionError as error:
            self.unexpected.append(error)
            raise

    async def aclose(self) -> None:
        """Count that the client was closed."""
        self.closed += 1


def user_id(number: int) -> str:
    """Make the id of a test's user."""
    return f"00000000-0000-4000-8000-{number:012d}"


def profile_row(number: int, **changes: object) -> Row:
    """Make the row that profile has of a user."""
    row: Row = {
        "id": user_id(number),
        "username": f"user{number}",
        "displayName": f"User {number}",
        "email": f"user{number}@example.com",
        "avatarUrl": f"https://cdn.example.com/{number}.png",
        "locale": "de-AT",
        "createdAt": "2024-02-29T12:00:00Z",
    }
    return {**row, **changes}


def account_row(number: int, **changes: object) -> Row:
    """Make the row that billing has of a user."""
    row: Row = {
        "userId": user_id(number),
        "plan": "pro",
        "status": "active",
        "balance": {"amount": 100 * number, "currency": "EUR"},
        "renewsAt": "2026-12-01T00:00:00Z",
    }
    return {**row, **changes}


def event(number: int) -> Row:
    """Make something that a user did."""
    return {"id": f"e{number}", "type": "login", "occurredAt": f"2026-05-{number:02d}T08:00:00Z"}


def activity_row(number: int, **changes: object) -> Row:
    """Make the row that activity has of a user."""
    row: Row = {
        "userId": user_id(number),
        "lastSeenAt": "2026-05-31T23:59:59Z",
        "loginCount": number,
        "events": [event(3), event(2), event(1)],
    }
    return {**row, **changes}


def invoice(number: int) -> Row:
    """Make an invoice."""
    return {
        "id": f"inv-{number}",
        "number": f"2026-{number:04d}",
        "status": "paid",
        "issuedAt": "2026-01-31T00:00:00Z",
        "total": {"amount": number, "currency": "EUR"},
    }


@dataclass
class FakeService:
    """One service.

    Attributes:
        path: Where it answers for many users.
        rows: What it has, by user.
        behaviour: What it does instead of answering by the contract, if a test wants that.
        batches: The users of each call for many, in the order of the calls.
        requests: Every request.
    """

    path: str
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    behaviour: Behaviour | None = None
    batches: list[list[str]] = field(default_factory=list[list[str]])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for many users."""
        if request.url.path != self.path or request.method != "GET":
            nobody(request)
        keys = request.url.params.get_list(PARAMETERS[self.path])
        self.batches.append(keys)
        if self.behaviour is not None:
            return self.behaviour(request)
        # In the reverse order, since the contract promises none.
        return json_response([self.rows[key] for key in reversed(keys) if key in self.rows])


@dataclass
class FakeBilling(FakeService):
    """Billing, which lists invoices too, and may find its customers by something else.

    Attributes:
        invoices: The invoices of each user, newest first.
        page_limit: The most items of one page, whatever is asked for.
        lookup: What finds customers.
    """

    invoices: dict[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    page_limit: int = 100
    lookup: FakeService = field(default_factory=lambda: FakeService("/lookup"))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for many users, for a page of invoices, or for customers."""
        if request.url.path == self.lookup.path:
            self.lookup.requests.append(request)
            return self.lookup.answer(request)
        if request.url.path != "/invoices":
            return super().answer(request)
        if self.behaviour is not None:
            return self.behaviour(request)
        parameters = request.url.params
        found = self.invoices.get(parameters["userId"])
        if found is None:
            return json_response({"error": "no such user"}, 404)
        start = int(parameters.get("cursor", "0"))
        end = start + min(int(parameters["limit"]), self.page_limit)
        following = str(end) if end < len(found) else None
        return json_response({"items": found[start:end], "nextCursor": following})


class FakeServices:
    """The three services; ``transport`` goes where the gateway's connections would.

    Attributes:
        before: What every request waits for before it is answered, if a test wants that.
        opened: The settings of each client that was opened.
        transports: What is below each of them.
        others: What else answers, by host.
    """

    def __init__(self) -> None:
        self.others: dict[str, Behaviour] = {}
        self.before: Callable[[httpx.Request], Awaitable[object]] | None = None
        self.profile = FakeService("/users")
        self.billing = FakeBilling("/accounts")
        self.activity = FakeService("/summaries")
        self.opened: list[SourceSettings] = []
        self.transports: list[FakeTransport] = []

    @property
    def by_name(self) -> Mapping[str, FakeService]:
        """The services, by name."""
        return {"profile": self.profile, "billing": self.billing, "activity": self.activity}

    @property
    def by_endpoint(self) -> Mapping[str, FakeService]:
        """The services and what finds billing's customers, by name."""
        return {**self.by_name, "billing.by_mail": self.billing.lookup}

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each was called."""
        return {name: len(service.requests) for name, service in self.by_name.items()}

    def know(self, *numbers: int) -> None:
        """Let all three know some users, who have no invoices yet."""
        for number in numbers:
            self.billing.invoices.setdefault(user_id(number), [])
            self.profile.rows[user_id(number)] = profile_row(number)
            self.billing.rows[user_id(number)] = account_row(number)
            self.activity.rows[user_id(number)] = activity_row(number)

    @property
    def closed(self) -> int:
        """How many clients were closed."""
        return sum(one.closed for one in self.transports)

    @property
    def unexpected(self) -> Sequence[AssertionError]:
        """The requests that nobody serves."""
        return [error for one in self.transports for error in one.unexpected]

    def transport(self, settings: SourceSettings) -> FakeTransport:
        """Make the transport under a service's client."""
        self.opened.append(settings)
        self.transports.append(FakeTransport(self.handle))
        return self.transports[-1]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Hand a request to the service that it names."""
        if self.before is not None:
            await self.before(request)
        if (other := self.others.get(request.url.host)) is not None:
            return other(request)
        service = self.by_name.get(request.url.host) or nobody(request)
        service.requests.append(request)
        return service.answer(request)


def json_response(value: object, status: int = 200) -> httpx.Response:
    """Make an answer of a service."""
    return httpx.Response(
        status, content=orjson.dumps(value), headers={"content-type": "application/json"}
    )


def failing(status: int) -> Behaviour:
    """Make a service answer with a status."""
    return lambda _: httpx.Response(status, content=b"<h1>secret detail</h1>")


def raising(error: Exception) -> Behaviour:
    """Make a service's connection fail."""

    def behave(_: httpx.Request) -> httpx.Response:
        raise error

    return behave


def saying(body: bytes) -> Behaviour:
    """Make a service answer with some bytes."""
    return lambda _: httpx.Response(200, content=body)


def calm_source(**changes: Any) -> SourceSettings:  # noqa: ANN401 # any setting of a source
    """Make the settings of a source that is called once, however it fails.

    A machine with other work may take its time to connect, which is no test's subject.
    """
    calm: dict[str, Any] = {
        "connect_timeout": 20.0,
        "retry": RetrySettings(max_retries=0, budget_share=0, budget_minimum=0),
        "breaker": BreakerSettings(min_calls=100_000),
        "pacing": PacingSettings(enabled=False),
    }
    return SourceSettings(**{**calm, **changes})


def settings_for_fakes(**changes: object) -> Settings:
    """Make settings that lead to the fakes, with nothing repeated and no circuit ever open."""
    sources = {name: calm_source(base_url=f"http://{name}") for name in DEFAULT_SOURCES}
    settings = Settings(
        sources=sources,
        auth=OpenCallers(),
        hosts=("gateway", *LOOPBACK_HOSTS),
        log=LogSettings(level="debug", format="json"),
    )
    return settings.model_copy(update=changes)


def with_cache(settings: Settings, sources: Collection[str], *, ttl: float) -> Settings:
    """Let settings cache what these sources say, for so many seconds."""
    cache = CacheSettings(enabled=True, ttl=ttl)
    changed = {
        name: one.model_copy(update={"cache": cache}) if name in sources else one
        for name, one in settings.sources.items()
    }
    return settings.model_copy(update={"sources": changed})
