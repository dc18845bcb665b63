"""A failed start is logged as one event, without a second traceback by the server."""

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from app.errors import ConfigurationError
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.resilience.clock import SystemClock
from app.server.correlation import CorrelationMiddleware
from app.server.telemetry import HttpTelemetry
from app.settings.models import LogSettings

MISTAKES = ("[sources.shop] no address: expected base_url.", "[user.orders] no type: expected one.")


async def lifespan_of(
    start: Exception | None = None, end: Exception | None = None
) -> tuple[Sequence[Message], Sequence[Mapping[str, Any]]]:
    """Run a lifespan that fails at its start or end; return the sent messages and the log."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        if start is not None:
            raise start
        yield
        if end is not None:
            raise end

    stream = io.StringIO()
    log = make_log(LogSettings(), "json", stream)
    app = CorrelationMiddleware(
        Starlette(lifespan=lifespan),
        log=log,
        telemetry=HttpTelemetry(Telemetry()),
        clock=SystemClock(),
    )
    sent: list[Message] = []
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    for kind in ("startup", "shutdown"):
        incoming.put_nowait({"type": f"lifespan.{kind}"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    if start is None and end is None:
        await app(scope, incoming.get, send)
    else:
        with pytest.raises((ConfigurationError, OSError)):
            await app(scope, incoming.get, send)
    return sent, [orjson.loads(line) for line in stream.getvalue().splitlines()]


async def test_the_cause_of_a_configuration_error_is_logged() -> None:
    mistake = ConfigurationError(MISTAKES)
    mistake.__cause__ = OSError("no database")

    _, [event] = await lifespan_of(start=mistake)

    assert event["mistakes"] == [*MISTAKES]
    assert "OSError: no database" in event["exception"]


async def test_invalid_settings_are_one_event_with_all_mistakes() -> None:
    sent, logged = await lifespan_of(start=ConfigurationError(MISTAKES))

    assert sent == [{"type": "lifespan.startup.failed", "message": ""}]
    [event] = logged
    assert (event["event"], event["level"]) == ("gateway.unusable", "error")
    assert tuple(event["mistakes"]) == MISTAKES


async def test_an_exception_at_the_start_is_one_event_with_its_traceback() -> None:
    sent, logged = await lifespan_of(start=OSError("the database is down"))

    assert sent == [{"type": "lifespan.startup.failed", "message": ""}]
    [event] = logged
    assert (event["event"], event["level"]) == ("gateway.unusable", "error")
    assert "OSError: the database is down" in event["exception"]


async def test_many_mistakes_are_split_into_several_events() -> None:
    many = tuple(f"[user.field{number}] no type: expected one. {'x' * 90}" for number in range(99))

    _, logged = await lifespan_of(start=ConfigurationError(many))

    assert len(logged) > 1
    assert tuple(one for event in logged for one in event["mistakes"]) == many


async def test_an_exception_at_the_shutdown_is_reported_to_the_server() -> None:
    sent, logged = await lifespan_of(end=OSError("the database is down"))

    started, failed = sent
    assert started["type"] == "lifespan.startup.complete"
    assert failed["type"] == "lifespan.shutdown.failed"
    assert "the database is down" in failed["message"]
    assert not logged


async def test_a_start_without_mistakes_is_not_logged() -> None:
    sent, logged = await lifespan_of()

    assert [one["type"] for one in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert not logged
