"""Slowness and failures on purpose: what they are called, and the middleware that makes them."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.demo.answers import problem


class SourceName(StrEnum):
    """One of the three services."""

    PROFILE = "profile"
    BILLING = "billing"
    ACTIVITY = "activity"


class FaultKind(StrEnum):
    """A failure that is not merely a status."""

    TIMEOUT = "timeout"
    """Requests hang until the caller goes."""

    MALFORMED = "malformed"
    """200 with JSON that is not the contract."""

    REFUSE = "refuse"
    """Nothing listens on the service's port."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How much later a service answers.

    Attributes:
        source: Which service.
        seconds: Added before each answer.
    """

    source: SourceName
    seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """How a service fails.

    Attributes:
        source: Which service.
        effect: A status from 400 to 599, or another kind of failure.
    """

    source: SourceName
    effect: int | FaultKind


class SlowMiddleware:
    """Waits before each request is served.

    Args:
        app: The application to wrap.
        seconds: How long.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request late, or the lifespan as it is."""
        if scope["type"] == "http":
            await asyncio.sleep(self._seconds)
        await self._app(scope, receive, send)


class FaultMiddleware:
    """Fails each request; the application is reached by the lifespan only.

    Args:
        app: The application to wrap.
        effect: How to fail. `FaultKind.REFUSE` is not for here: a middleware has already been
            connected to.
    """

    def __init__(self, app: ASGIApp, effect: int | FaultKind) -> None:
        self._app = app
        self._effect = effect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fail one request, or serve the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._effect is FaultKind.TIMEOUT:
            while (await receive())["type"] != "http.disconnect":
                pass
        elif isinstance(self._effect, FaultKind):
            malformed = Response(b'{"rows":"on the next page"}', media_type="application/json")
            await malformed(scope, receive, send)
        else:
            failed = problem(self._effect, "the demo was told to fail")
            await failed(scope, receive, send)
