"""Recording what goes over the wire, at the seam where tests put their fakes."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import httpx
import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from app.errors import MalformedError
from app.resilience.clock import Clock
from app.settings.models import Settings
from app.settings.source import SourceSettings
from app.sources.failures import FOREIGN
from app.sources.mapping.contract import RowObservation
from app.transport.body import Inflation
from app.transport.transport import TransportFactory

MAX_KEPT = 1_048_576
"""How many bytes of a body are kept, compressed or not."""


@dataclass(slots=True)
class Exchange:
    """A request to a service, and what came of it.

    Attributes:
        source: Whose service it went to.
        method: Its HTTP method.
        url: Its address.
        headers: Its headers.
        body: Its body.
        status: The status of the answer; ``None`` where there was none.
        answer_headers: The headers of the answer.
        raw: The body of the answer as it came, or its beginning.
        failure: Why there was no answer.
        seconds: How long it took, to the last byte.
        rows: What was made of the rows in it.
    """

    source: str
    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    status: int | None = None
    answer_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: bytes = b""
    failure: str | None = None
    seconds: float = 0.0
    rows: list[RowObservation] = field(default_factory=list[RowObservation])

    @property
    def answer(self) -> bytes:
        """The body of the answer, decompressed, or its beginning."""
        encoding = self.answer_headers.get("content-encoding", "identity")
        if encoding == "identity":
            return self.raw.removeprefix(BOM_UTF8)
        inflation = Inflation(MAX_KEPT, may_be_raw=encoding == "deflate")
        with suppress(MalformedError):
            inflation.add(self.raw)
        return inflation.beginning.removeprefix(BOM_UTF8) or self.raw


class Recorder:
    """Keeps what happens while it is asked to.

    Args:
        settings: The settings of the gateway that is watched.
        transports: Makes the transports underneath.
        clock: Tells the time.

    Attributes:
        exchanges: What went over the wire, in the order in which it began.
        events: What the gateway logged.
    """

    def __init__(self, settings: Settings, transports: TransportFactory, clock: Clock) -> None:
        self.exchanges: list[Exchange] = []
        self.events: list[Mapping[str, Any]] = []
        self.clock = clock
        self._settings = settings
        self._transports = transports
        self._of_task: dict[asyncio.Task[Any] | None, Exchange] = {}

    def transport(self, settings: SourceSettings) -> httpx.AsyncBaseTransport:
        """Make a transport that records. A ``TransportFactory``."""
        names = (name for name, one in self._settings.sources if one is settings)
        addresses = (
            name for name, one in self._settings.sources if one.base_url == settings.base_url
        )
        source = next(names, None) or next(addresses, settings.base_url)
        return _RecordingTransport(self._transports(settings), source, self)

    def log(self) -> FilteringBoundLogger:
        """Make a log that writes nothing, and keeps what it is told."""

        def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> EventDict:  # noqa: ANN401 # as structlog has it
            self.events.append(dict(event))
            raise structlog.DropEvent

        log: FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[structlog.processors.add_log_level, keep],
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
        )
        return log

    def observe(self, row: RowObservation) -> None:
        """Keep what was made of a row, with the exchange that it came by. A ``Observer``."""
        # An exchange and the reading of its answer are one task's.
        exchange = self._of_task.get(asyncio.current_task())
        if exchange is not None:
            exchange.rows.append(row)

    def begun(self, exchange: Exchange) -> None:
        """Keep an exchange that begins."""
        self.exchanges.append(exchange)
        self._of_task[asyncio.current_task()] = exchange

    def forget(self) -> None:
        """Forget what has happened so far."""
        self.exchanges, self.events = [], []
        self._of_task.clear()


class _RecordingTransport(httpx.AsyncBaseTransport):
    """Passes on what it is given, and records it."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport, source: str, recorder: Recorder
    ) -> None:
        self._transport = transport
        self._source = source
        self._recorder = recorder

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        clock = self._recorder.clock
        started = clock.monotonic()
        exchange = Exchange(
            source=self._source,
            method=request.method,
            url=str(request.url),
            headers=request.headers.multi_items(),
            body=request.content,
        )
        self._recorder.begun(exchange)
        try:
            response = await self._transport.handle_async_request(request)
        except FOREIGN as error:
            exchange.seconds = clock.monotonic() - started
            exchange.failure = type(error).__name__
            raise
        exchange.seconds = clock.monotonic() - started
        exchange.status = response.status_code
        exchange.answer_headers = dict(response.headers)
        if response.is_stream_consumed:  # by a transport that hands over whole answers
            exchange.answer_headers.pop("content-encoding", None)
            exchange.raw = response.content[:MAX_KEPT]
            return response
        stream = cast("httpx.AsyncByteStream", response.stream)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_RecordedStream(stream, exchange, clock, started),
        )


class _RecordedStream(httpx.AsyncByteStream):
    """Passes on the bytes of an answer, and records the first of them."""

    def __init__(
        self, stream: httpx.AsyncByteStream, exchange: Exchange, clock: Clock, started: float
    ) -> None:
        self._stream = stream
        self._exchange = exchange
        self._clock = clock
        self._started = started

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._exchange.raw += chunk[: MAX_KEPT - len(self._exchange.raw)]
            yield chunk
        self._exchange.seconds = self._clock.monotonic() - self._started

    async def aclose(self) -> None:
        """Close it."""
        if not self._exchange.raw:  # what failed is not read, and is shown all the same
            await self._taste()
        await self._stream.aclose()

    async def _taste(self) -> None:
        """Read what an answer says that nobody wanted to read."""
        try:
            async for chunk in self._stream:
                self._exchange.raw += chunk[: MAX_KEPT - len(self._exchange.raw)]
                if len(self._exchange.raw) == MAX_KEPT:
                    break
        except (*FOREIGN, httpx.StreamError):
            return
