"""The client of a service: one HTTP exchange, and the one place that catches foreign exceptions.

It is async because a call mostly waits: one process keeps hundreds of calls in flight on one
thread. The client of a service lives as long as the process, so that connections are reused. If an
exchange fails, the result is a ``SourceFailure`` (``failures.py``).
"""

import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Generic, TypeAlias, TypeVar, cast

import httpx
from msgspec import Struct
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from app.errors import Code, MalformedError, SourceFailure, what_is_wrong
from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.resilience.breaker import BreakerState
from app.resilience.clock import Clock, Deadline
from app.resilience.pace import SIGNALS, PaceState, Signal, read_retry_after, read_signal
from app.resilience.pipeline import EndpointBulkhead, ResiliencePipeline
from app.resilience.retry import Chance
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import Headers, RequestContext, UserId
from app.sources.cache.lifetime import ArrivalTime, SeenResponse, read_arrival
from app.sources.call_log import log_attempt, log_call
from app.sources.credentials import identity_of
from app.sources.failures import FOREIGN, failure_of_answer, failure_of_exception, meaning_of
from app.sources.mapping.requests import UpstreamRequest
from app.sources.mapping.rows import RawAnswer
from app.sources.oauth import Tokens, open_tokens
from app.sources.pipelines import open_pipeline
from app.sources.ready_requests import ReadyRequests
from app.sources.seldom import SeldomLog
from app.sources.telemetry import HttpExchange, SourceTelemetry
from app.sources.trace import SourceTrace, trace_of_call
from app.transport.body import read_body
from app.transport.transport import REPEATED, UNSOLICITED, TransportFactory, fields_of

T = TypeVar("T")

# Converted once: a member lookup in an enumeration takes longer than the comparison.
_OK, _TOO_MANY = int(HTTPStatus.OK), int(HTTPStatus.TOO_MANY_REQUESTS)


class LastContact(Struct, frozen=True):
    """The last response of a service, with any status.

    Attributes:
        at: When the response arrived.
        status: Its HTTP status; ``None`` if the source does not speak HTTP.
    """

    at: datetime
    status: int | None


class _LastKnown(Struct):
    """The last contact with a service, shared by the clients of all its endpoints."""

    last: LastContact | None = None


class ServiceCall(Struct, Generic[T]):
    """A call to a service.

    Attributes:
        request: The request of the next attempt.
        context: The context of the incoming request.
        read: Converts the response of the next attempt to a value.
        absent: Statuses that mean "no such user".
        span: The span of its next exchanges' parent; ``None`` if it belongs to no trace.
        seen: The readable responses, with their cache headers.
        exchanges: How many exchanges have begun.
        arrivals: The arrival of the last readable response for each key, if it has cache headers
            and there is a cache.
    """

    request: UpstreamRequest
    context: RequestContext
    read: "Read[T]"
    absent: frozenset[int]
    span: TraceContext | None
    seen: list[SeenResponse]
    exchanges: int = 0
    arrivals: dict[UserId, ArrivalTime] = {}


class Unfinished(Struct, Generic[T], frozen=True):
    """A response in which some keys failed by themselves.

    Attributes:
        failure: The failure of the response.
        request: The request for these keys, which is sent if the call is repeated.
        read: Converts the response to that request to a value.
    """

    failure: SourceFailure
    request: UpstreamRequest
    read: "Read[T]"


Read: TypeAlias = Callable[[RawAnswer], T | Unfinished[T]]
"""Converts a response to a value."""


class _Response(Struct, Generic[T]):
    """What one exchange brought.

    Attributes:
        value: The value that was read; ``None`` for an absent user.
    """

    value: T | None


class Reply(Struct, Generic[T]):
    """The outcome of a call to a service.

    Attributes:
        value: The value that ``read`` returned, ``None`` for an absent user, or the failure.
        trace: What the call did: its attempts, its times, and the state of the service after it.
        arrivals: The arrival of the response for each key, if it has cache headers and there is a
            cache.
    """

    value: T | SourceFailure | None
    trace: SourceTrace
    arrivals: Mapping[UserId, ArrivalTime] = {}


class ServiceClient:
    """Calls one service. Safe to share: calls do not affect each other.

    Args:
        name: Name of the source.
        settings: Settings of the source.
        transport: Sends the requests.
        deadlines: ``reserve`` is subtracted from the time of a request; ``header`` names the header
            with the remaining time.
        pipeline: The resilience pipeline.
        clock: The clock.
        log: Where exchanges are logged.
        telemetry: Where calls and exchanges are counted, and their spans go.
        tokens: The OAuth tokens for the service; ``None`` if it needs none.

    Attributes:
        name: Name of the source, or of one of its endpoints.
        settings: Settings of the source, or of this endpoint.
        pipeline: The resilience pipeline that every call passes.
        bulkhead: The places for the calls of this endpoint, if they have a limit of their own.
        seldom: Rate-limited warnings, shared by all endpoints.
    """

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        transport: httpx.AsyncBaseTransport,
        *,
        deadlines: DeadlineSettings,
        pipeline: ResiliencePipeline,
        clock: Clock,
        log: FilteringBoundLogger,
        telemetry: Telemetry,
        tokens: Tokens | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.pipeline = pipeline
        self.bulkhead: EndpointBulkhead | None = None
        self._contact = _LastKnown()
        self._transport = transport
        # An ``httpx.AsyncClient`` would add cookies, redirects, proxies and authentication to each
        # call, which we do not want, and parse the URL. That is two thirds of its time.
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self.seldom = SeldomLog(log, clock)
        url = httpx.URL(settings.base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        self._telemetry = SourceTelemetry(telemetry, url.host, str(port))
        self._requests = ReadyRequests(settings, deadlines.header)
        self._tokens = tokens

    def endpoint(self, name: str, settings: SourceSettings) -> "ServiceClient":
        """Create a client of one endpoint. It shares everything with this one, also the pipeline.

        Args:
            name: Name of the endpoint in logs, traces and failures.
            settings: The settings of the service, with the request, answer and limits of this
                endpoint. If it may have fewer calls at the same time, it has a bulkhead of its own.

        Returns:
            The client.
        """
        client = copy(self)
        client.name, client.settings = name, settings
        if settings.max_calls < self.settings.max_calls:
            client.bulkhead = self.pipeline.endpoint_bulkhead(settings.max_calls)
        return client

    @property
    def contact(self) -> LastContact | None:
        """The last response of the service, from any endpoint; ``None`` before the first."""
        return self._contact.last

    @property
    def address(self) -> str:
        """The base address of the service."""
        return self.settings.base_url

    @property
    def circuit(self) -> BreakerState:
        """State of the circuit breaker."""
        return self.pipeline.state

    @property
    def pace_state(self) -> PaceState:
        """The rate pacing that the service demands, for the identity with the slowest pace."""
        return self.pipeline.pace_state

    def is_congested(self) -> bool:
        """Return whether calls wait before they are sent, for any reason."""
        own = self.bulkhead
        return self.pipeline.congested or (own is not None and own.calls.waiting > 0)

    async def send(
        self,
        request: UpstreamRequest,
        context: RequestContext,
        read: Read[T],
        *,
        limit: float | None = None,
        absent: frozenset[int] = frozenset(),
    ) -> Reply[T]:
        """Send a request and read its response. The resilience pipeline may retry it.

        Args:
            request: The request.
            context: The context of the incoming request.
            read: Converts the response to a value. It raises ``MalformedError`` or pydantic's
                ``ValidationError`` if the response does not fit the contract. If it returns
                ``Unfinished``, the response counts as a failure, and a retry of the call is
                the request for the keys that failed.
            limit: Seconds that one attempt may take; by default, the ``timeout`` of the settings.
            absent: Statuses that mean "no such user" and are no failure.

        Returns:
            The value from ``read``, ``None`` for an ``absent`` status, or the failure; and what the
            call did.
        """
        span = self._telemetry.begin_span(context.trace)
        call = ServiceCall(request, context, read, absent, span or context.trace, seen=[])
        exchange = partial(self._exchange, call)
        caller = self._identity(context)
        started = self._clock.monotonic()
        outcome = await self.pipeline.run(
            exchange if self._tokens is None else partial(self._tokens.attempt, exchange),
            limit=self.settings.timeout if limit is None else limit,
            deadline=context.deadline or Deadline(math.inf, self._clock),
            reserve=self._deadlines.reserve,
            caller=caller,
            isolated=context.isolated,
            divisible=context.divisible,
            inner=self.bulkhead,
            requests=len(context.requests) or 1,
        )
        answer = outcome.answer
        trace = trace_of_call(
            outcome,
            keys=len(request.keys),
            started=started,
            ended=self._clock.monotonic(),
            circuit=self.circuit,
            pace=self.pipeline.pace_state_of(caller),
        )
        self._telemetry.record_call(self.name, trace.timeline[0], span, context.trace)
        log_call(self._log, context, self.name, outcome)
        trace.seen = call.seen
        value = answer if isinstance(answer, SourceFailure) else answer.value
        return Reply(value, trace, call.arrivals)

    async def reach(self, seconds: float) -> str | None:
        """Try whether the service can be reached: an answer of any status says so.

        Args:
            seconds: How long that may take.

        Returns:
            Why it cannot be reached; ``None`` if it can.
        """
        try:
            async with self._clock.timeout(seconds):
                response = await self._transport.handle_async_request(self._requests.probe())
                await response.aclose()
        except FOREIGN as error:
            return failure_of_exception(self.name, error).detail
        return None

    def _identity(self, context: RequestContext) -> str:
        """Return the identity of a call."""
        if context.identity or not self._requests.forwards:
            return context.identity
        # The scheduler sets the identity of batches only; this call is for a page.
        return identity_of(context, self.settings.auth.forwards)

    async def _exchange(
        self, call: "ServiceCall[T]", seconds: float, token_headers: Headers = ()
    ) -> _Response[T] | SourceFailure:
        """Make one exchange within so many seconds, and log it."""
        started = self._clock.monotonic()
        request, read = call.request, call.read
        status: int | None = None
        extensions: Mapping[str, Any] = {}
        answer: _Response[T] | SourceFailure
        call.exchanges = number = call.exchanges + 1
        span = None if call.span is None else call.span.child()
        try:
            # httpx's timeouts are for each read; this timeout is for the whole exchange.
            async with self._clock.timeout(seconds):
                response = await self._transport.handle_async_request(
                    self._requests.of_call(request, call.context, seconds, token_headers, span)
                )
                try:
                    status, headers = response.status_code, fields_of(response)
                    extensions = response.extensions
                    self._contact.last = LastContact(self._clock.now(), status)
                    signal = self._signal(status, headers)
                    value = None
                    if status not in call.absent:
                        value = await self._read(response, headers, read, signal)
                    if not isinstance(value, SourceFailure):
                        self._keep_arrival(call, request, headers, started)
                    if isinstance(value, Unfinished):
                        again = cast("Unfinished[T]", value)
                        call.request, call.read = again.request, again.read
                        answer = again.failure
                    elif isinstance(value, SourceFailure):
                        answer = value
                    else:
                        if signal is not None:
                            self.pipeline.apply_signal(
                                self._identity(call.context), signal, began=started
                            )
                        answer = _Response(value)
                finally:
                    await response.aclose()
        except FOREIGN as error:
            answer = failure_of_exception(self.name, error)
        ended = self._clock.monotonic()
        code = answer.code if isinstance(answer, SourceFailure) else None
        exchange = HttpExchange(
            request.method,
            request.path,
            status,
            code,
            len(request.keys),
            started,
            ended,
            number,
        )
        self._telemetry.record_exchange(self.name, exchange, span, call.span)
        self._report(exchange, call.context, answer, extensions, span)
        return answer

    def _keep_arrival(
        self,
        call: "ServiceCall[T]",
        request: UpstreamRequest,
        headers: Mapping[str, str],
        started: float,
    ) -> None:
        """Keep how long a response may be kept, by the gateway and by clients."""
        now, took = self._clock.now(), self._clock.monotonic() - started
        seen = SeenResponse(now, took, headers)
        call.seen.append(seen)
        if not self.settings.cache.enabled:
            return
        arrival = read_arrival(headers, at=now, took=took)
        if arrival is not None:
            seen.lifetime = arrival.lifetime
            call.arrivals.update(dict.fromkeys(request.keys, arrival))

    def _signal(self, status: int, headers: Mapping[str, str]) -> Signal | None:
        """Read the rate limit signal of a response; ``None`` if it has none, as most have."""
        if status != _TOO_MANY and SIGNALS.isdisjoint(headers):
            return None
        if self.settings.pacing.enabled:
            return read_signal(status, headers, self._clock)
        return Signal(wait=read_retry_after(headers.get("retry-after"), self._clock))

    async def _read(
        self,
        response: httpx.Response,
        headers: Mapping[str, str],
        read: Read[T],
        signal: Signal | None,
    ) -> T | Unfinished[T] | SourceFailure:
        """Convert a response to a value or a failure."""
        settings, absent = self.settings.answer, False
        if response.status_code != _OK:
            failure = failure_of_answer(
                self.name,
                response.status_code,
                settings,
                None if signal is None else signal.wait,
                too_fast=signal is not None and signal.refused,
            )
            if failure is not None:
                return failure
            absent = meaning_of(response.status_code, settings) == "absent"
        try:
            # A response whose status means "absent" may have any body.
            body = b""
            if not absent:
                body = await read_body(response, self.settings.max_answer_bytes, headers)
            return read(RawAnswer(response.status_code, headers, body))
        except MalformedError as error:
            return self._malformed(str(error))
        except ValidationError as error:
            return self._malformed(what_is_wrong(error))

    def _malformed(self, detail: str) -> SourceFailure:
        """Return the failure for a response that does not fit the contract."""
        return SourceFailure(self.name, Code.SOURCE_MALFORMED, detail, divisible=True)

    def _report(
        self,
        exchange: HttpExchange,
        context: RequestContext,
        answer: object,
        extensions: Mapping[str, Any],
        span: TraceContext | None,
    ) -> None:
        """Log the exchange."""
        if unsolicited := extensions.get(UNSOLICITED):
            self.seldom.warn(
                "source.unsolicited_response",
                self.name,
                context,
                connections=unsolicited,
                hint="the service, or a proxy in front of it, sent bytes that belong to no"
                " request; the gateway dropped them and closed the connections",
            )
        facts: dict[str, object] = {"path": exchange.path, "status": exchange.status}
        if exchange.number > 1:
            facts["attempt"] = exchange.number
        if extensions.get(REPEATED):
            facts["repeated"] = True
        if span is not None:
            facts["span_id"] = span.span_id
        log_attempt(
            self._log,
            context,
            self.name,
            answer,
            keys=exchange.keys,
            seconds=exchange.ended - exchange.started,
            facts=facts,
        )


@asynccontextmanager
async def open_service(
    name: str,
    settings: SourceSettings,
    transports: TransportFactory,
    *,
    deadlines: DeadlineSettings,
    clock: Clock,
    chance: Chance,
    log: FilteringBoundLogger,
    telemetry: Telemetry,
) -> AsyncGenerator[ServiceClient]:
    """Open the client of a service for the life of the process.

    Args:
        name: Name of the source.
        settings: Settings of the source.
        transports: Creates the transport.
        deadlines: The time budget of a request.
        clock: The clock.
        chance: Random numbers for the jitter of retries.
        log: Where exchanges are logged.
        telemetry: Where calls and exchanges are counted, and their spans go.

    Yields:
        The client. Its connections are closed at the end.
    """
    async with (
        transports(settings) as transport,
        open_tokens(name, settings.auth, transport, clock=clock, log=log) as tokens,
    ):
        with open_pipeline(
            name, settings, clock=clock, chance=chance, log=log, metrics=telemetry.metrics
        ) as pipeline:
            yield ServiceClient(
                name,
                settings,
                transport,
                deadlines=deadlines,
                pipeline=pipeline,
                clock=clock,
                log=log,
                telemetry=telemetry,
                tokens=tokens,
            )
