"""The requests of one connection: each is read by its own framing, and answered in its turn.

A client may send its next request before it has the answer to the last one (RFC 9112, section
9.3.2). Whoever takes the end of one request for the beginning of another answers a request that
nobody sent, and a proxy in front hands that answer to somebody else. So four rules hold here, and
uvicorn's protocol keeps none of them by itself:

- An offer to speak another protocol is passed over, and the body is read by its framing (RFC 9110,
  section 7.8). The parser stops behind the head of such a request and would take its body for the
  next one, so a new parser reads the head again, and does not see the offer.
- After anything that is not HTTP nothing more is read as a request. The requests before it are
  answered, then this is refused, then the connection ends.
- A client that ends its sending side gets the answers to what it has sent.
- A client that has gone waits for no answer, of none of its requests: what runs for it is ended.

uvicorn has no public way to say all this. So this relies on these parts of its protocol, which
``tests/server/test_pipelining.py`` holds to what they do: ``cycle``, ``scope``, ``pipeline``,
``flow``, ``_start_asgi_task``, and the fields of ``RequestResponseCycle``.
"""

import asyncio
from contextvars import Context, copy_context
from typing import Any, cast
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from httptools.parser.url_parser import URL
from starlette.responses import Response
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.server.refusals import no_tunnel, not_http, written
from app.server.response_sender import ResponseSender, WriteWhole

SLICE = 16_384
"""Bytes that are parsed at once. The parser cannot be stopped between two requests, so this bounds
how many of them a client can put into the memory of the gateway by one long piece."""

LINGER = 2.0
"""Seconds for which a refused client can read why. It may still be sending, and the kernel throws
away an answer whose connection is closed while there is something unread (RFC 9112, section 9.6).
"""

MAX_IGNORED = 1_048_576
"""Bytes that are read and ignored after the last request; for more, the client has to wait."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""An interim answer, which every client of HTTP/1.1 has to understand, also where it did not ask
(RFC 9110, section 15.2)."""

SOON = 0.2
"""Seconds before a client that sends no more is asked whether it is there, and asked again: most
answers are made by then, and what a client that has gone does with the first shows at the second.
"""

QUICK = 2
"""How many questions come that soon."""

LATER = 1.0
"""Seconds between all later ones."""

UNASKED = 2.0
"""Seconds after which a client that sends no more counts as gone where it cannot be asked, since
its answer has begun, or since it speaks HTTP/1.0, as nginx does by default."""


class BoundedFlow(FlowControl):
    """uvicorn's switch for reading, which also stays off while too much waits to be parsed.

    uvicorn turns it on with every request and every answer. A client whose requests wait would add
    a piece to them each time.

    Attributes:
        full: Whether too much waits.
    """

    full = False

    def resume_reading(self) -> None:
        """Read on, unless too much waits."""
        if self.read_paused and not self.full:
            super().resume_reading()

    def stop(self) -> None:
        """Read no more until less waits."""
        self.full = True
        self.pause_reading()


class OrderedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, strict about where a request ends and about whose an answer is.

    Args:
        max_held: Bytes that are kept of requests that wait for their turn, before no more is read.
        write_whole: Writes whole responses; ``None`` to leave all to uvicorn.
        options: What uvicorn hands over.
    """

    # Before the first request there is neither of them, whatever uvicorn says of their types.
    cycle: RequestResponseCycle | None  # type: ignore[assignment]
    scope: HTTPScope | None  # type: ignore[assignment]
    flow: BoundedFlow
    app: ASGI3Application

    def __init__(
        self,
        *,
        max_held: int,
        write_whole: WriteWhole | None = None,
        **options: Any,  # noqa: ANN401 # uvicorn's own business
    ) -> None:
        super().__init__(**options)
        # uvicorn lets its parser read on behind the last request of a connection.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        # A copy for each request: none hands its context on to the next.
        self._context: Context = copy_context()
        # The request that is being answered, or was last; `cycle` is the one that was read last.
        self._serving: RequestResponseCycle | None = None
        # Bytes that are not parsed yet, since requests before them wait for their turn.
        self._held = bytearray()
        self._max_held = max_held
        self._write_whole = write_whole
        # Whether the client has ended its sending side, and whether no more requests are read.
        self._client_ended = False
        self._no_more = False
        self._ignored = 0
        # What is sent after all answers, and whether the connection has been ended by that.
        self._last_answer = b""
        self._ended = False
        self._lingering: asyncio.TimerHandle | None = None
        # When the client is asked whether it is still there, how often it was, and the request for
        # which that was not possible.
        self._question: asyncio.TimerHandle | None = None
        self._questions = 0
        self._unasked: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to read."""
        super().connection_made(transport)
        self.flow = BoundedFlow(transport)  # pyright: ignore[reportIncompatibleVariableOverride] # nobody else sets it

    def connection_lost(self, exc: Exception | None) -> None:
        """End everything that is done for a client that has gone."""
        for timer in (self._question, self._lingering):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()  # uvicorn does not where an error is why
        if self._serving is not None and self._owes_answers():
            _drop(self._serving)  # uvicorn only knows the request that was read last
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read requests: all that are whole, as long as none waits for its turn."""
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
        """Go on until everything that the client has sent is answered.

        Returns:
            Whether the connection stays open for that. With TLS it never does: asyncio closes it.
        """
        self._client_ended = True
        if self.scheme == "https":
            return False
        if not self._held:
            self._end_requests()
        if not self._owes_answers():
            return False
        self._ask_later()
        return True

    def _parse(self, data: bytes) -> None:
        """Parse some bytes; the requests that are begun by them are served or queued."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as stop:
            self._pass_over_offers(data, stop)
        except HttpParserError:
            self._refuse(not_http())

    def _parse_held(self) -> None:
        """Parse what is held, as long as no request waits for its turn."""
        held = self._held
        while held and not self.pipeline:
            data = bytes(held[:SLICE])
            del held[:SLICE]
            self._parse(data)
        if self.flow.full and len(held) <= self._max_held:
            self.flow.full = False
            self.flow.resume_reading()

    def _pass_over_offers(self, data: bytes, stop: HttpParserUpgrade) -> None:
        """Go on behind the head of a request that offers another protocol."""
        rest = memoryview(data)
        while True:
            rest = rest[stop.args[0] :]
            if self.parser.get_method() == b"CONNECT":
                # What follows may be of any protocol: the client wanted a tunnel.
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
        """Have a new parser read the last head, with the offer under a name that means nothing."""
        names = [name for name, _ in self.headers]
        lines = [
            b"%b: %b\r\n" % (b"-" if name == b"upgrade" else name, value)
            for name, value in self.headers
        ]
        start = (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = HttpRequestParser(self)
        self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (*start, b"".join(lines)))
        # The application gets the request as it was sent.
        self.headers[:] = [
            (name, value) for name, (_, value) in zip(names, self.headers, strict=True)
        ]

    def on_headers_complete(self) -> None:
        """Have the request served whose head has come, or let it wait for its turn.

        Raises:
            ValueError: It is not a request of HTTP/1; the parser ends by that, with its own error.
        """
        parser, scope = self.parser, self.scope
        if scope is None or parser.should_upgrade():
            return  # the parser stops here, and a new one reads the head again
        scope["method"] = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise ValueError(version)
            scope["http_version"] = version
        target = parse_url(self.url)
        if target.host:
            _name_host(scope, target)
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
            # Clients of HTTP/1.0 know neither (RFC 9110, section 10.1.1; RFC 9112, section 9.3).
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle = cycle  # pyright: ignore[reportIncompatibleVariableOverride] # see above
        if self._owes_answers():
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._start_asgi_task(cycle, self.app)

    def on_chunk_header(self) -> None:
        """Look at how a chunked body was announced, and keep its trailers out of the headers.

        Raises:
            ValueError: It was announced in a way that others understand differently: with another
                coding besides, or in HTTP/1.0 (RFC 9112, section 6.1).
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
        """Tell the application that its request is whole."""
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            cycle.more_body = False
            if not cycle.response_complete:
                cycle.message_event.set()
            else:
                self._wait_for_next()  # it was answered before, and the rest of it was ignored

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Have a request served, in a context of its own."""
        self._serving = cycle
        running = cycle.run_asgi(ResponseSender(app, cycle, self._write_whole))
        task = self.loop.create_task(running, context=self._context.copy())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Go on with what has come meanwhile, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._close()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline or self._no_more:
            self._go_on()
        else:
            self._wait_for_next()

    def _go_on(self) -> None:
        """Serve the next request, or end the connection where there is none."""
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        self._parse_held()
        if self._client_ended and not self._held:
            self._end_requests()
        if self._no_more and not self._owes_answers():
            self._end()

    def _wait_for_next(self) -> None:
        """Close the connection later, if no request comes."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _begun(self) -> RequestResponseCycle | None:
        """Find the request that is being read, or was last, if its head is whole."""
        cycle = self.cycle
        return cycle if cycle is not None and cycle.scope is self.scope else None

    def _owes_answers(self) -> bool:
        """Tell whether a request is being answered; only then others wait for their turn."""
        serving = self._serving
        return serving is not None and not (serving.response_complete or serving.disconnected)

    def _end_requests(self) -> None:
        """Read no more requests; one that is not whole never will be, and gets no answer."""
        self._no_more = True
        self._held.clear()
        self.flow.full = False
        self.flow.resume_reading()  # what comes is ignored, but the client may end its side, or go
        cycle = self._begun()
        if cycle is not None and cycle.more_body:
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            _drop(cycle)

    def _refuse(self, response: Response) -> None:
        """Read no more requests, and refuse the last one when those before it are answered."""
        cycle = self._begun()
        refused = cycle if cycle is not None and cycle.more_body else None
        self._end_requests()
        if refused is None or not refused.response_started:
            bodiless = refused is not None and refused.scope["method"] == "HEAD"
            defaults = self.server_state.default_headers
            self._last_answer = written(response, defaults, bodiless=bodiless)
        if not self._owes_answers():
            self._end()

    def _end(self) -> None:
        """End the connection; a client that may still be sending gets time to read the answer."""
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        if self._last_answer:
            self.transport.write(self._last_answer)
        if self._client_ended or not self.transport.can_write_eof():
            self._close()
        else:
            self.transport.write_eof()
            self._lingering = self.loop.call_later(LINGER, self._close)

    def _close(self) -> None:
        """Close the connection when everything is sent."""
        self.transport.close()

    def _ask_later(self) -> None:
        """Ask a client that sends no more whether it is there, in a while."""
        if self._question is None:
            seconds = SOON if self._questions < QUICK else LATER
            self._question = self.loop.call_later(
                UNASKED if self._unasked is not None else seconds, self._ask
            )

    def _ask(self) -> None:
        """Send an interim answer to a client that sends no more.

        Only a client that has gone answers that by a reset. Until then all that is known of it is
        that its sending side has ended, as it has where a client waits for its answers.
        """
        self._question = None
        serving = self._serving
        if serving is None or not self._owes_answers() or self.transport.is_closing():
            return
        self._questions += 1
        unasked, self._unasked = self._unasked, None
        if self.transport.get_write_buffer_size():
            pass  # it is there, or else `write_timeout` ends the connection
        elif serving.scope["http_version"] == "1.1" and not serving.response_started:
            self.transport.write(CONTINUE)
        elif unasked is serving:
            self.transport.abort()
            return
        else:
            self._unasked = serving
        self._ask_later()


def _drop(cycle: RequestResponseCycle) -> None:
    """Give no answer to a request; what runs for it learns that its client has gone."""
    cycle.disconnected = True
    cycle.waiting_for_100_continue = False  # to read on would send something
    cycle.message_event.set()


def _name_host(scope: HTTPScope, target: URL) -> None:
    """Let the host of an absolute target take the place of ``Host`` (RFC 9112, section 3.2.2)."""
    if target.schema.lower() not in {b"http", b"https"}:
        raise ValueError(target.schema)
    host = b"[%b]" % target.host if b":" in target.host else target.host
    if target.port:
        host = b"%b:%d" % (host, target.port)
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
