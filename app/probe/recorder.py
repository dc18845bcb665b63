"""Records the requests and answers of the gateway's transports, and its log."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import httpx
import structlog
from msgspec import Struct
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
"""Most bytes of a body that are kept, compressed or not."""


class RecordedExchange(Struct):
    """A request to a service, and its answer.

    Attributes:
        source: The source whose service got the request.
        method: The HTTP method of the request.
        url: The URL of the request.
        headers: The headers of the request.
        body: The body of the request.
        status: The status of the answer; ``None`` without an answer.
        answer_headers: The headers of the answer.
        raw: The body of the answer as received, maybe compressed; at most ``MAX_KEPT`` bytes.
        failure: The type of the error, if there was no answer.
        seconds: The time from the request to the last byte of the answer.
        rows: The rows in the answer, with the values that were read from them.
    """

    source: str
    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    status: int | None = None
    answer_headers: Mapping[str, str] = {}
    raw: bytes = b""
    failure: str | None = None
    seconds: float = 0.0
    rows: list[RowObservation] = []

    @property
    def answer(self) -> bytes:
        """The body of the answer, decompressed; at most ``MAX_KEPT`` bytes."""
        encoding = self.answer_headers.get("content-encoding", "identity")
        if encoding == "identity":
            return self.raw.removeprefix(BOM_UTF8)
        inflation = Inflation(MAX_KEPT, may_be_raw=encoding == "deflate")
        with suppress(MalformedError):
            inflation.add(self.raw)
        return inflation.beginning.removeprefix(BOM_UTF8) or self.raw


class Recorder:
    """Keeps the exchanges and the log events of one gateway.

    Args:
        settings: The settings of the gateway.
        transports: Makes the transports that send the requests.
        clock: The clock.

    Attributes:
        exchanges: The exchanges, in the order of their requests.
        events: The events that the gateway logged.
        clock: The clock.
    """

    def __init__(self, settings: Settings, transports: TransportFactory, clock: Clock) -> None:
        self.exchanges: list[RecordedExchange] = []
        self.events: list[Mapping[str, Any]] = []
        self.clock = clock
        self._settings = settings
        self._transports = transports
        self._of_task: dict[asyncio.Task[Any] | None, RecordedExchange] = {}

    def transport(self, settings: SourceSettings) -> httpx.AsyncBaseTransport:
        """Make a transport that records. This method is a ``TransportFactory``.

        Args:
            settings: The settings of the source, or those of the server that issues its tokens.

        Returns:
            The transport.
        """
        names = (name for name, one in self._settings.sources.items() if one is settings)
        addresses = (
            name
            for name, one in self._settings.sources.items()
            if one.base_url == settings.base_url
        )
        source = next(names, None) or next(addresses, settings.base_url)
        return _RecordingTransport(self._transports(settings), source, self)

    def log(self) -> FilteringBoundLogger:
        """Make a log that keeps events and writes nothing.

        Returns:
            The log, for all levels.
        """

        def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> EventDict:  # noqa: ANN401 # the signature of structlog
            self.events.append(dict(event))
            raise structlog.DropEvent

        log: FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[structlog.processors.add_log_level, keep],
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
        )
        return log

    def observe(self, row: RowObservation) -> None:
        """Keep a row that was read, with its exchange. This method is an ``Observer``.

        Args:
            row: The row, with the values that were read from it.
        """
        # The task that sends a request also reads the rows of its answer.
        exchange = self._of_task.get(asyncio.current_task())
        if exchange is not None:
            exchange.rows.append(row)

    def begun(self, exchange: RecordedExchange) -> None:
        """Keep an exchange that begins.

        Args:
            exchange: The exchange.
        """
        self.exchanges.append(exchange)
        self._of_task[asyncio.current_task()] = exchange

    def forget(self) -> None:
        """Drop all exchanges and events."""
        self.exchanges, self.events = [], []
        self._of_task.clear()


class _RecordingTransport(httpx.AsyncBaseTransport):
    """Sends requests by another transport, and records them."""

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
        """Send a request, and record it with its answer.

        Args:
            request: The request.

        Returns:
            The answer. Its body is recorded while it is read.
        """
        clock = self._recorder.clock
        started = clock.monotonic()
        exchange = RecordedExchange(
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
        if response.is_stream_consumed:  # a transport that returns whole answers
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
    """Returns the bytes of an answer, and records up to ``MAX_KEPT`` of them."""

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        exchange: RecordedExchange,
        clock: Clock,
        started: float,
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
        """Close the answer. If the gateway has read nothing, record its beginning before."""
        if not self._exchange.raw:  # the gateway does not read the body of a failure
            await self._record_beginning()
        await self._stream.aclose()

    async def _record_beginning(self) -> None:
        """Read and record up to ``MAX_KEPT`` bytes of the answer."""
        try:
            async for chunk in self._stream:
                self._exchange.raw += chunk[: MAX_KEPT - len(self._exchange.raw)]
                if len(self._exchange.raw) == MAX_KEPT:
                    break
        except (*FOREIGN, httpx.StreamError):
            return
