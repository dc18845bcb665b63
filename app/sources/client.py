"""Asking a service: one HTTP exchange, and the one border where foreign exceptions end.

Async, since a call is all waiting: one process keeps hundreds of them in flight on one thread. The
client of a service lives as long as the process, so that its connections are reused. Whatever goes
wrong in an exchange comes back as a ``SourceFailure`` (``failures.py``).
"""

import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import httpx
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.errors import Code, MalformedError, SourceFailure, what_is_wrong
from app.readonly import readonly
from app.resilience.breaker import BreakerState, StateChange
from app.resilience.clock import Clock, Deadline, write_duration
from app.resilience.pace import SIGNALS, PaceState, Signal, read_retry_after, read_signal
from app.resilience.pacer import Slowdown
from app.resilience.pipeline import ResiliencePipeline
from app.resilience.retry import Chance
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import Headers, RequestContext, child_of
from app.sources.credentials import headers_of, identity_of, query_of, sent_of, with_query
from app.sources.failures import FOREIGN, failure_of_answer, failure_of_exception, meaning_of
from app.sources.mapping.requests import UpstreamRequest
from app.sources.mapping.rows import RawAnswer
from app.sources.oauth import Tokens, open_tokens
from app.sources.seldom import SeldomLog, requests_of
from app.transport.body import ACCEPT_ENCODING, read_body
from app.transport.transport import REPEATED, STRAYS, ReadyRequest, TransportFactory, fields_of

T = TypeVar("T")

# Looked up once: of an enumeration, that takes longer than what they are for.
_OK, _TOO_MANY = int(HTTPStatus.OK), int(HTTPStatus.TOO_MANY_REQUESTS)


@readonly(frozen=True, slots=True)
class LastContact:
    """The last time that a service answered at all.

    Attributes:
        at: When its answer arrived.
        status: The HTTP status of it.
    """

    at: datetime
    status: int


@dataclass(slots=True)
class _LastKnown:
    """What is known of a service, by all clients of its endpoints."""

    last: LastContact | None = None


@readonly(frozen=True, slots=True)
class ServiceCall(Generic[T]):
    """What is asked of a service.

    Attributes:
        request: The request itself.
        context: What of the incoming request matters to it.
        read: Makes a value of the answer.
        absent: Statuses that say "no such user".
    """

    request: UpstreamRequest
    context: RequestContext
    read: Callable[[RawAnswer], T]
    absent: frozenset[int]


class ServiceClient:
    """Asks one service. Safe to share: calls do not see each other.

    Attributes:
        name: The source that the service is, or the endpoint of it that is asked.
        settings: How it is reached.
        pipeline: What every call goes through.
        seldom: Writes what could be written for each row or request, of all endpoints.
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
        tokens: Tokens | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.pipeline = pipeline
        self._contact = _LastKnown()
        self._transport = transport
        # An ``httpx.AsyncClient`` would add cookies, redirects, proxies and authentication to each
        # call, none of which is wanted here, and parse the URL: two thirds of its time.
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self.seldom = SeldomLog(log, clock)
        self._headers = [
            ("Host", httpx.URL(settings.base_url).netloc.decode("ascii")),
            ("Accept", "application/json"),
            ("Accept-Encoding", ACCEPT_ENCODING),
            ("User-Agent", f"user-gateway/{__version__}"),
        ]
        self._headers += headers_of(settings.auth)
        self._query = query_of(settings.auth)
        self._forwards = settings.auth.forwards - {deadlines.header.lower()}
        self._tokens = tokens

    def endpoint(self, name: str, settings: SourceSettings) -> "ServiceClient":
        """Make a client of one endpoint: it shares all that this one has, the guard above all.

        Args:
            name: What the endpoint is called in logs, traces and failures.
            settings: The settings of the service, with how this endpoint is asked and read.

        Returns:
            The client.
        """
        client = copy(self)
        client.name, client.settings = name, settings
        return client

    @property
    def contact(self) -> LastContact | None:
        """The last time that the service answered, at whichever endpoint."""
        return self._contact.last

    @property
    def circuit(self) -> BreakerState:
        """State of the circuit breaker."""
        return self.pipeline.state

    @property
    def pace_state(self) -> PaceState:
        """How fast it is asked, by its own word, for the caller for whom that is slowest."""
        return self.pipeline.pace_state

    def is_congested(self) -> bool:
        """Tell whether calls wait before they are made, for whichever reason."""
        return self.pipeline.congested

    async def send(
        self,
        ask: UpstreamRequest,
        context: RequestContext,
        read: Callable[[RawAnswer], T],
        *,
        limit: float | None = None,
        absent: frozenset[int] = frozenset(),
    ) -> T | SourceFailure | None:
        """Send a request and read its answer; again, where that may help.

        Args:
            ask: The request.
            context: What of the incoming request matters to it.
            read: Makes a value of the answer; raises ``MalformedError`` or pydantic's
                ``ValidationError`` where it does not fit.
            limit: Seconds that one attempt may take; the setting's by default.
            absent: Statuses that say "no such user" rather than a failure.

        Returns:
            What ``read`` made of it, ``None`` for an ``absent`` status, or the failure.
        """
        request = ServiceCall(ask, context, read, absent)

        exchange = partial(self._exchange, request)
        trace = context.trace.for_source(self.name)
        caller = self._caller(context)
        started = self._clock.monotonic()
        outcome = await self.pipeline.run(
            exchange if self._tokens is None else partial(self._tokens.attempt, exchange),
            limit=self.settings.timeout if limit is None else limit,
            deadline=context.deadline or Deadline(math.inf, self._clock),
            reserve=self._deadlines.reserve,
            caller=caller,
            isolated=context.isolated,
        )
        trace.calls += 1
        trace.attempts += outcome.attempts
        trace.keys += len(ask.keys)
        trace.started = started if trace.started is None else min(trace.started, started)
        trace.ended = self._clock.monotonic()
        trace.circuit = str(self.circuit)
        trace.pace = str(self.pipeline.pace_state_of(caller))  # quicker than its value
        if isinstance(outcome.answer, SourceFailure):
            trace.code = outcome.answer.code
            if not outcome.attempts:  # those that were made have reported themselves
                self._log.debug(
                    "source.not_asked",
                    **requests_of(context),
                    source=self.name,
                    outcome=outcome.answer.code.value,
                )
        return outcome.answer

    def _caller(self, context: RequestContext) -> str:
        """Tell for whom a call is made, as far as the service is told."""
        if context.identity or not self._forwards:
            return context.identity
        return identity_of(
            context, self.settings.auth.forwards
        )  # nobody did before: it is for a page

    async def _exchange(
        self, request: "ServiceCall[T]", seconds: float, signed: Headers = ()
    ) -> T | SourceFailure | None:
        """Make one exchange within so many seconds, and report it."""
        started = self._clock.monotonic()
        status: int | None = None
        noted: Mapping[str, Any] = {}
        answer: T | SourceFailure | None
        traceparent = request.context.traceparent
        if traceparent is not None:
            traceparent = child_of(traceparent)
        try:
            # httpx's own timeouts are for each read; this one is for the whole.
            async with self._clock.timeout(seconds):
                response = await self._transport.handle_async_request(
                    self._written(request, seconds, signed, traceparent)
                )
                try:
                    status, headers = response.status_code, fields_of(response)
                    noted = response.extensions
                    self._contact.last = LastContact(self._clock.now(), status)
                    signal = self._signal(status, headers)
                    known = status not in request.absent
                    answer = (
                        await self._read(response, headers, request.read, signal) if known else None
                    )
                    if signal is not None and not isinstance(answer, SourceFailure):
                        self.pipeline.apply_signal(
                            self._caller(request.context), signal, began=started
                        )
                    arrivals = request.context.arrivals
                    if arrivals is not None and not isinstance(answer, SourceFailure):
                        now, took = self._clock.now(), self._clock.monotonic() - started
                        arrivals.note(request.request.keys, headers, at=now, took=took)
                finally:
                    await response.aclose()
        except FOREIGN as error:
            answer = failure_of_exception(self.name, error)
        took = self._clock.monotonic() - started
        self._report(request, answer, noted, status=status, seconds=took, traceparent=traceparent)
        return answer

    def _written(
        self, request: "ServiceCall[T]", seconds: float, signed: Headers, traceparent: str | None
    ) -> httpx.Request:
        """Write the request."""
        ask, context = request.request, request.context
        headers = [*self._headers, ("X-Request-ID", context.request_id), *signed]
        if traceparent is not None:
            headers.append(("traceparent", traceparent))
        if context.deadline is not None:
            headers.append((self._deadlines.header, write_duration(seconds)))
        if self._forwards:
            headers += sent_of(context, self._forwards)
        if ask.headers:
            own = {name.lower() for name, _ in ask.headers}
            headers = [one for one in headers if one[0].lower() not in own]
            headers += ask.headers
        target = with_query(ask.target, self._query) if self._query else ask.target
        return ReadyRequest(
            ask.method,
            self.settings.base_url,
            target,
            headers,
            ask.body,
            repeatable=True,  # whatever its method, it only reads
        )

    def _signal(self, status: int, headers: Mapping[str, str]) -> Signal | None:
        """Read what an answer says of how fast the service may be asked; most say nothing."""
        if status != _TOO_MANY and SIGNALS.isdisjoint(headers):
            return None
        if self.settings.pacing.enabled:
            return read_signal(status, headers, self._clock)
        return Signal(wait=read_retry_after(headers.get("retry-after"), self._clock))

    async def _read(
        self,
        response: httpx.Response,
        headers: Mapping[str, str],
        read: Callable[[RawAnswer], T],
        signal: Signal | None,
    ) -> T | SourceFailure:
        """Make a value of an answer, or a failure."""
        shape, absent = self.settings.answer, False
        if response.status_code != _OK:
            failure = failure_of_answer(
                self.name,
                response.status_code,
                shape,
                None if signal is None else signal.wait,
                too_fast=signal is not None and signal.refused,
            )
            if failure is not None:
                return failure
            absent = meaning_of(response.status_code, shape) == "absent"
        try:
            # What says "not known" by its status may have any body.
            body = b"" if absent else await read_body(response, self.settings.max_answer_bytes)
            return read(RawAnswer(response.status_code, headers, body))
        except MalformedError as error:
            return self._malformed(str(error))
        except ValidationError as error:
            return self._malformed(what_is_wrong(error))

    def _malformed(self, detail: str) -> SourceFailure:
        """Say that an answer does not fit the contract."""
        return SourceFailure(self.name, Code.SOURCE_MALFORMED, detail, divisible=True)

    def _report(
        self,
        request: "ServiceCall[T]",
        answer: object,
        noted: Mapping[str, Any],
        *,
        status: int | None,
        seconds: float,
        traceparent: str | None,
    ) -> None:
        """Log how the exchange went."""
        if strays := noted.get(STRAYS):
            self.seldom.warn(
                "source.unasked_answer",
                self.name,
                request.context,
                connections=strays,
                hint="the service, or a proxy before it, sent something that no request had asked"
                " for; it was thrown away and the connections were closed",
            )
        failed = answer if isinstance(answer, SourceFailure) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.fetch",
            **requests_of(request.context),
            source=self.name,
            path=request.request.path,
            keys=len(request.request.keys),
            status=status,
            duration_ms=round(seconds * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
            **({"repeated": True} if noted.get(REPEATED) else {}),
            **({} if traceparent is None else {"span_id": traceparent[36:52]}),
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
) -> AsyncGenerator[ServiceClient]:
    """Open the client of a service for the life of the process.

    Args:
        name: The source that the service is.
        settings: How it is reached.
        transports: Makes the transport.
        deadlines: How the time of a request is divided.
        clock: Tells the time.
        chance: Gives the jitter.
        log: Where exchanges are reported.

    Yields:
        The client; its connections are closed at the end.
    """

    def report(change: StateChange) -> None:
        log.warning(
            "source.circuit",
            source=name,
            before=change.before.value,
            state=change.after.value,
            open_for_s=None if change.open_for is None else round(change.open_for, 3),
        )

    def report_pace(slowdown: Slowdown) -> None:
        log.warning(
            "source.paced",
            source=name,
            max_calls=slowdown.limit,
            pause_s=round(slowdown.pause, 3),
            signals=slowdown.signals,
        )

    pipeline = ResiliencePipeline(
        name, settings, clock=clock, chance=chance, on_change=report, on_slow=report_pace
    )
    async with (
        transports(settings) as transport,
        open_tokens(name, settings.auth, transport, clock=clock, log=log) as tokens,
    ):
        yield ServiceClient(
            name,
            settings,
            transport,
            deadlines=deadlines,
            pipeline=pipeline,
            clock=clock,
            log=log,
            tokens=tokens,
        )
