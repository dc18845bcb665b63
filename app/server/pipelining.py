"""The requests of one connection: each is read by its own framing, and answered in order.

A client may send its next request before it has the response to the last one (RFC 9112, section
9.3.2). A server that takes the end of one request for the beginning of another answers a request
that no client has sent, and a proxy in front gives that response to another client (request
smuggling). So four rules hold here; uvicorn's protocol follows none of them:

- An offer of another protocol is ignored, and the body is read by its framing (RFC 9110, section
  7.8). The parser stops after the head of such a request and would read its body as the next
  request. So a new parser reads the head again, without the offer.
- After bytes that are not HTTP nothing more is read as a request. The requests before them are
  answered, then the bytes are refused, then the connection ends.
- A client that ends its sending side gets the responses to what it has sent.
- When a client disconnects, the work for all of its requests is cancelled.

uvicorn has no public interface for this. So this module uses the parts of its protocol that
``REQUIRES`` lists, and ``tests/server/test_pipelining.py`` checks their behaviour. The server does
not start with another minor version of uvicorn (``docs/decisions/0013-uvicorn.md``).
"""

import asyncio
from contextvars import Context, copy_context
from typing import Any, cast
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from httptools.parser.url_parser import URL
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.libraries import Requirement
from app.server.refusals import encode_last_response, log_refusal, no_tunnel, not_http
from app.server.response_sender import ResponseSender, WriteWhole
from app.server.responses import RefusalResponse

REQUIRES = Requirement(
    "connections",
    package="uvicorn",
    minor="0.54",
    parts={
        HttpToolsProtocol: (
            *("access_log", "access_logger", "app", "connections", "cycle", "expect_100_continue"),
            *("flow", "headers", "logger", "loop", "parser", "pipeline", "root_path", "scheme"),
            *("scope", "server_state", "tasks", "timeout_keep_alive", "timeout_keep_alive_task"),
            *("transport", "url", "_start_asgi_task", "_unset_keepalive_if_required"),
            *("on_headers_complete", "on_message_complete", "on_response_complete", "shutdown"),
            *("pause_writing", "resume_writing", "timeout_keep_alive_handler"),
        ),
        RequestResponseCycle: (
            *("disconnected", "keep_alive", "message_event", "more_body", "on_response"),
            *("response_complete", "response_started", "run_asgi", "scope", "send", "transport"),
            "waiting_for_100_continue",
        ),
        FlowControl: ("read_paused", "pause_reading", "resume_reading"),
    },
)
"""The version and the private parts of uvicorn that the protocol of connections was written for:
this file, ``protocol.py``, ``response_sender.py`` and ``refusals.py``."""

SLICE = 16_384
"""Most bytes that are parsed at once. The parser cannot stop between two requests, so this limits
how many requests one long piece of data can put into memory."""

LINGER = 2.0
"""Seconds for which a refused client can read the refusal. It may still be sending, and the kernel
drops a response if the connection is closed while there is unread data (RFC 9112, section 9.6).
"""

MAX_IGNORED = 1_048_576
"""Bytes that are read and ignored after the last request. Then reading stops."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""An interim response. Every HTTP/1.1 client must accept it, even if it did not expect it
(RFC 9110, section 15.2)."""

LAST_REQUEST_WITHIN = 1.0
"""Seconds for which an idle connection of a server that ends still gets a request: the client may
have sent one before it can know of the end. Its response says that it is the last one."""

FIRST_PROBE_DELAY = 0.2
"""Seconds before each of the first probes of a client that has ended its sending side. Most
responses are sent by then. A client that has gone resets the connection after the first probe,
which shows at the second."""

FIRST_PROBES = 2
"""How many probes have the short delay."""

PROBE_DELAY = 1.0
"""Seconds before each later probe."""

UNPROBED_TIMEOUT = 2.0
"""Seconds after which a client that has ended its sending side counts as gone if it cannot be
probed: its response has begun, or it speaks HTTP/1.0, as nginx does by default."""


class ClosingState(ServerState):
    """uvicorn's state of a server, which also says that the server ends.

    Attributes:
        linger: Seconds for which idle connections still get a request when the server ends; 0 to
            close them at once.
        is_draining: Whether the server is about to end: each response is the last of its
            connection.
        is_closing: Whether the server ends.
    """

    linger = 0.0
    is_draining = False
    is_closing = False


class BoundedFlow(FlowControl):
    """uvicorn's flow control, which also keeps reading paused while too many bytes are held.

    uvicorn resumes reading with every request and every response. With requests that wait, a client
    could add data each time.

    Attributes:
        full: Whether too many bytes are held.
    """

    full = False

    def resume_reading(self) -> None:
        """Resume reading, unless too many bytes are held."""
        if self.read_paused and not self.full:
            super().resume_reading()

    def stop(self) -> None:
        """Pause reading until fewer bytes are held."""
        self.full = True
        self.pause_reading()


class OrderedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with strict framing of requests and strict order of responses.

    Args:
        max_held: Bytes of waiting requests that are held before reading pauses.
        write_whole: Encodes whole responses; ``None`` to leave all responses to uvicorn.
        options: The arguments that uvicorn passes.
    """

    # Both are None before the first request, although uvicorn's types do not say so.
    cycle: RequestResponseCycle | None  # type: ignore[assignment]
    scope: HTTPScope | None  # type: ignore[assignment]
    flow: BoundedFlow
    app: ASGI3Application

    def __init__(
        self,
        *,
        max_held: int,
        write_whole: WriteWhole | None = None,
        **options: Any,  # noqa: ANN401 # uvicorn's own arguments
    ) -> None:
        super().__init__(**options)
        # uvicorn lets its parser read on after the last request of a connection.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        # Each request runs in a copy of it, so no request passes its context to the next.
        self._context: Context = copy_context()
        # The request that is answered now, or was answered last. `cycle` is the one read last.
        self._serving: RequestResponseCycle | None = None
        # Bytes that are not parsed yet, because requests before them wait.
        self._held = bytearray()
        self._max_held = max_held
        self._write_whole = write_whole
        # Whether the client has ended its sending side; whether no more requests are read.
        self._client_ended = False
        self._no_more = False
        self._ignored = 0
        # Whether the server ends, so that the next response is the last one.
        self._is_last = False
        # The refusal to send after all responses, and whether the connection is ending.
        self._last_response = b""
        self._ended = False
        self._lingering: asyncio.TimerHandle | None = None
        # The timer of the next probe, the number of probes, and the request in which the last
        # probe was not possible.
        self._probe_timer: asyncio.TimerHandle | None = None
        self._probes = 0
        self._unprobed: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to read.

        Args:
            transport: The connection.
        """
        super().connection_made(transport)
        self.flow = BoundedFlow(transport)  # pyright: ignore[reportIncompatibleVariableOverride] # nothing else sets it
        state = self.server_state
        if isinstance(state, ClosingState) and state.is_closing:
            self.shutdown()  # it was accepted just before the listener was closed
        elif isinstance(state, ClosingState) and state.is_draining:
            self.answer_last()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the work for a client that has disconnected.

        Args:
            exc: Why the connection was lost; ``None`` after a regular end.
        """
        for timer in (self._probe_timer, self._lingering):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()  # uvicorn does not do it after an error
        if self._serving is not None and self._is_answering():
            _drop(self._serving)  # uvicorn drops only the request that was read last
        super().connection_lost(exc)

    def answer_last(self) -> None:
        """Let the next response of the connection be its last, because the server is to end."""
        self._is_last = True
        last = self._last_read()
        if self._is_answering() and last is not None and not last.response_started:
            last.keep_alive = False

    def shutdown(self) -> None:
        """End the connection after the requests that are answered now, because the server ends.

        An idle connection stays open a little for a request that is on its way. Otherwise the
        client would lose it: the kernel answers it by a reset.
        """
        self.answer_last()
        if self._is_answering():
            return
        if self.scope is not None:
            self._wait_for_next()
        elif linger := self._idle_seconds():
            self.loop.call_later(linger, self._close_unused)
        else:
            self._close()

    def _idle_seconds(self) -> float:
        """Return for how long the connection may wait for its next request."""
        if not self._is_last:
            return self.timeout_keep_alive
        state = self.server_state
        return state.linger if isinstance(state, ClosingState) else 0.0

    def _close_unused(self) -> None:
        """Close a connection that has had no request."""
        if self.scope is None:
            self._close()

    def data_received(self, data: bytes) -> None:
        """Parse the data, or hold it while a request waits.

        Args:
            data: Bytes that have arrived.
        """
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        if self._no_more:
            self._ignored += len(data)
            if self._ignored > MAX_IGNORED:
                self.flow.stop()
        elif self.pipeline:
            self._held += data
            if len(self._held) > self._max_held:
                self.flow.stop()
        elif len(data) <= SLICE:
            self._parse(data)
        else:
            self._held += data
            self._parse_held()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn never keeps it open
        """Answer what the client has sent, after it has ended its sending side.

        Returns:
            Whether the connection stays open for that. Always false with TLS: asyncio closes it.
        """
        self._client_ended = True
        if self.scheme == "https":
            return False
        if not self._held:
            self._end_requests()
        if not self._is_answering():
            return False
        self._start_probe_timer()
        return True

    def _parse(self, data: bytes) -> None:
        """Parse bytes. The requests whose heads they complete are served or queued."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as stop:
            self._ignore_upgrades(data, stop)
        except HttpParserError:
            self._refuse(not_http())

    def _parse_held(self) -> None:
        """Parse the held bytes, until a request waits."""
        held = self._held
        while held and not self.pipeline:
            data = bytes(held[:SLICE])
            del held[:SLICE]
            self._parse(data)
        if self.flow.full and len(held) <= self._max_held:
            self.flow.full = False
            self.flow.resume_reading()

    def _ignore_upgrades(self, data: bytes, stop: HttpParserUpgrade) -> None:
        """Parse on after the head of a request that offers another protocol."""
        rest = memoryview(data)
        while True:
            rest = rest[stop.args[0] :]
            if self.parser.get_method() == b"CONNECT":
                # The client wants a tunnel, so the next bytes may be of any protocol.
                self._refuse(no_tunnel())
                return
            try:
                self._parse_head_again()
                self.parser.feed_data(rest)
            except HttpParserUpgrade as another:
                stop = another
            except HttpParserError:
                self._refuse(not_http())
                return
            else:
                return

    def _parse_head_again(self) -> None:
        """Read the last head with a new parser, with ``Upgrade`` renamed so that it is ignored."""
        names = [name for name, _ in self.headers]
        lines = [
            b"%b: %b\r\n" % (b"-" if name == b"upgrade" else name, value)
            for name, value in self.headers
        ]
        start = (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (*start, b"".join(lines)))
        # The application gets the original names.
        self.headers[:] = [
            (name, value) for name, (_, value) in zip(names, self.headers, strict=True)
        ]

    def on_headers_complete(self) -> None:
        """Serve the request whose head is complete, or queue it.

        Raises:
            ValueError: The version is not HTTP/1.0 or 1.1, or the target's scheme is not http or
                https. The parser turns it into an ``HttpParserError``.
        """
        parser, scope = self.parser, self.scope
        if scope is None or parser.should_upgrade():
            return  # the parser stops here; a new parser reads the head again
        scope["method"] = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise ValueError(version)
            scope["http_version"] = version
        target = parse_url(self.url)
        if target.host:
            _replace_host(scope, target)
        raw_path = target.path or b"/"
        path = raw_path.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = target.query or b""
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            # HTTP/1.0 has neither of these (RFC 9110, section 10.1.1; RFC 9112, section 9.3).
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and parser.should_keep_alive() and not self._is_last,
            on_response=self.on_response_complete,
        )
        self.cycle = cycle  # pyright: ignore[reportIncompatibleVariableOverride] # see above
        if self._is_answering():
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._start_asgi_task(cycle, self.app)

    def on_chunk_header(self) -> None:
        """Check ``Transfer-Encoding`` of a chunked body, and keep trailers out of the headers.

        Raises:
            ValueError: Other servers could read the body differently: there is another coding than
                ``chunked``, or the request is HTTP/1.0 (RFC 9112, section 6.1).
        """
        headers, scope = self.headers, self.scope
        if scope is not None and headers is scope["headers"]:
            codings = [
                value.strip().lower() for name, value in headers if name == b"transfer-encoding"
            ]
            if codings != [b"chunked"]:
                raise ValueError(codings)
            if scope["http_version"] != "1.1":
                raise ValueError(scope["http_version"])
            self.headers = []  # trailers are not headers (RFC 9110, section 6.5.1)

    def on_message_complete(self) -> None:
        """Tell the application that the body is complete."""
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            cycle.more_body = False
            if not cycle.response_complete:
                cycle.message_event.set()
            else:
                self._wait_for_next()  # the response was sent before the body was complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Serve a request in its own task and context."""
        self._serving = cycle
        running = cycle.run_asgi(ResponseSender(app, cycle, self._write_whole))
        task = self.loop.create_task(running, context=self._context.copy())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Serve the next request, or wait for it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._close()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline or self._no_more:
            self._serve_next()
        else:
            self._wait_for_next()

    def _serve_next(self) -> None:
        """Serve the next request; end the connection if no more requests are read."""
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        self._parse_held()
        if self._client_ended and not self._held:
            self._end_requests()
        if self._no_more and not self._is_answering():
            self._end()

    def _wait_for_next(self) -> None:
        """Start the timer that closes an idle connection."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.timeout_keep_alive_task = self.loop.call_later(
            self._idle_seconds(), self.timeout_keep_alive_handler
        )

    def _last_read(self) -> RequestResponseCycle | None:
        """Return the request that is read now, or was read last, if its head is complete."""
        cycle = self.cycle
        return cycle if cycle is not None and cycle.scope is self.scope else None

    def _is_answering(self) -> bool:
        """Return whether a request is being answered. Only then other requests wait."""
        serving = self._serving
        return serving is not None and not (serving.response_complete or serving.disconnected)

    def _end_requests(self) -> None:
        """Read no more requests, and drop one that is not complete."""
        self._no_more = True
        self._held.clear()
        self.flow.full = False
        self.flow.resume_reading()  # data is ignored, but an end of the connection must be noticed
        cycle = self._last_read()
        if cycle is not None and cycle.more_body:
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            _drop(cycle)

    def _refuse(self, response: RefusalResponse) -> None:
        """Read no more requests, and send a refusal after the responses to the requests before."""
        cycle = self._last_read()
        refused = cycle if cycle is not None and cycle.more_body else None
        is_seen = refused is not None and not (self.pipeline and self.pipeline[0][0] is refused)
        log_refusal(self.logger, response.refusal, self.app_state, self.scheme, is_seen=is_seen)
        self._end_requests()
        if refused is None or not refused.response_started:
            bodiless = refused is not None and refused.scope["method"] == "HEAD"
            defaults = self.server_state.default_headers
            self._last_response = encode_last_response(response, defaults, bodiless=bodiless)
        if not self._is_answering():
            self._end()

    def _end(self) -> None:
        """End the connection. A client that may still be sending gets time to read."""
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        if self._last_response:
            self.transport.write(self._last_response)
        if self._client_ended or not self.transport.can_write_eof():
            self._close()
        else:
            self.transport.write_eof()
            self._lingering = self.loop.call_later(LINGER, self._close)

    def _close(self) -> None:
        """Close the connection after everything is sent."""
        self.transport.close()

    def _start_probe_timer(self) -> None:
        """Start the timer for the next probe of a client that has ended its sending side."""
        if self._probe_timer is None:
            seconds = FIRST_PROBE_DELAY if self._probes < FIRST_PROBES else PROBE_DELAY
            self._probe_timer = self.loop.call_later(
                UNPROBED_TIMEOUT if self._unprobed is not None else seconds, self._probe
            )

    def _probe(self) -> None:
        """Send an interim response: only a client that has gone answers it by a reset."""
        # Without a probe, a client that has gone looks like one that waits for its responses.
        self._probe_timer = None
        serving = self._serving
        if serving is None or not self._is_answering() or self.transport.is_closing():
            return
        self._probes += 1
        unprobed, self._unprobed = self._unprobed, None
        if self.transport.get_write_buffer_size():
            pass  # the client is reading, or else `write_timeout` ends the connection
        elif serving.scope["http_version"] == "1.1" and not serving.response_started:
            self.transport.write(CONTINUE)
        elif unprobed is serving:
            self.transport.abort()
            return
        else:
            self._unprobed = serving
        self._start_probe_timer()


def _drop(cycle: RequestResponseCycle) -> None:
    """Tell the application that the client has disconnected, and send no response."""
    cycle.disconnected = True
    cycle.waiting_for_100_continue = False  # else reading the body would send a response
    cycle.message_event.set()


def _replace_host(scope: HTTPScope, target: URL) -> None:
    """Replace ``Host`` by the host of an absolute target (RFC 9112, section 3.2.2)."""
    if target.schema.lower() not in {b"http", b"https"}:
        raise ValueError(target.schema)
    host = b"[%b]" % target.host if b":" in target.host else target.host
    if target.port:
        host = b"%b:%d" % (host, target.port)
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
