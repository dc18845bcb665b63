"""One exchange with a service, over real connections to a real server on 127.0.0.1."""

import asyncio
import gzip
import io
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import orjson
import pytest
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from app import __version__
from app.errors import Code, MalformedError, SourceFailure
from app.fastpath.wire import wire_transport
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.resilience.breaker import BreakerState
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.resilience import BreakerSettings, DeadlineSettings, RetrySettings
from app.sources.base import PageRequest, Position, RequestContext, UserId
from app.sources.client import LastContact, ServiceClient, open_service
from app.sources.failures import FOREIGN, code_of_status, translate
from app.sources.lists.pages import RestPages
from app.sources.mapping.requests import UpstreamRequest
from app.sources.records import INVOICES, PROFILE
from app.sources.rest import RestSource
from app.sources.trace import SourceTrace
from app.transport.connections import BrokenAnswerError, LongHeadError, UnsolicitedResponseError
from app.transport.transport import TransportFactory
from tests.clock import ManualClock
from tests.fakes import FakeTransport, calm_source
from tests.fakes.http_server import (
    Answer,
    HttpExchange,
    HttpServer,
    hanging,
    saying,
    serving,
    writing,
)
from tests.fakes.raw_server import RawConnection, RawServer, answered
from tests.poison import POISON, behind
from tests.properties import examples
from tests.sources.login import until
from tests.traces import is_child

CALL = RequestContext("request-1")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOKEN = "canary-token"
AUTH = {"kind": "bearer", "token": TOKEN}
BODY = "canary-body"
USER = "canary-user"


class OpenClient:
    """A service's client, and the log that it writes."""

    def __init__(self, client: ServiceClient, log: io.StringIO) -> None:
        self.client = client
        self.traces: list[SourceTrace] = []
        self._log = log

    async def get(
        self,
        target: str = "/users",
        context: RequestContext = CALL,
        read: Callable[[bytes], str] = bytes.decode,
    ) -> str | SourceFailure | None:
        """Send a GET."""
        reply = await self.client.send(
            asking_for(target), context, lambda answer: read(answer.body)
        )
        self.traces.append(reply.trace)
        return reply.value

    async def code(self, target: str = "/users") -> Code:
        """Send a GET that has to fail; return the code of the failure."""
        answer = await self.get(target)
        assert isinstance(answer, SourceFailure)
        assert answer.source == "profile"
        return answer.code

    @property
    def log(self) -> str:
        """All of the log."""
        return self._log.getvalue()

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """Each line of the log."""
        return [orjson.loads(line) for line in self.log.splitlines()]


def asking_for(target: str, *keys: str) -> UpstreamRequest:
    """Make a GET."""
    users = tuple(UserId(key) for key in keys or ("somebody",))
    return UpstreamRequest(users, target.partition("?")[0], target)


@asynccontextmanager
async def asking(
    base_url: str,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    clock: ManualClock | None = None,
    transports: TransportFactory = wire_transport,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[OpenClient]:
    """Open the client of a service."""
    stream = io.StringIO()
    log = make_log(LogSettings(level="debug"), "json", stream)
    async with open_service(
        "profile",
        calm_source(base_url=base_url, **changes),
        transports if transport is None else lambda _: transport,
        deadlines=DeadlineSettings(),
        clock=clock or SystemClock(),
        chance=lambda: 0.5,
        log=log,
        telemetry=Telemetry(),
    ) as client:
        yield OpenClient(client, stream)


@asynccontextmanager
async def exchange(
    answer: Answer,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[tuple[OpenClient, HttpServer]]:
    """Run a server, and open the client of it."""
    async with serving(answer) as server, asking(server.base_url, **changes) as asked:
        yield asked, server


async def test_a_request_has_its_target_credentials_trace_and_request_id() -> None:
    async with exchange(saying(b"[1]"), auth=AUTH) as (asked, server):
        assert await asked.get("/users?id=1", RequestContext("req-7", TraceContext(TRACE))) == "[1]"

    [seen] = server.requests
    assert seen.target == "/users?id=1"
    assert seen.header("accept") == ["application/json"]
    assert seen.header("user-agent") == [f"user-gateway/{__version__}"]
    assert seen.header("x-request-id") == ["req-7"]
    (sent,) = seen.header("traceparent")
    assert is_child(sent, TRACE)
    assert seen.header("authorization") == [f"Bearer {TOKEN}"]
    assert seen.header("host") == [server.base_url.removeprefix("http://")]


async def test_trace_and_authorization_headers_are_sent_only_if_they_exist() -> None:
    async with exchange(saying()) as (asked, server):
        await asked.get()

    assert not server.requests[0].header("traceparent")
    assert not server.requests[0].header("authorization")


async def test_the_path_of_the_base_url_stays_before_the_target() -> None:
    async with (
        serving(saying()) as server,
        asking(f"{server.base_url}/internal/v1/") as asked,
    ):
        await asked.get("/users?id=1")

    assert server.requests[0].target == "/internal/v1/users?id=1"


HOSTILE = [
    "a'b\"c",
    "a,b",
    "a&id=b",
    "a=b",
    "a+b c",
    "100%",
    "%41%2B%00",
    "#fragment",
    "?query",
    "a\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1",
    "../../admin",
    "/",
    ";drop",
    "{id}[0]|^`\\",
    "ünïcødé 😀",
    "\x00\x7f",
    "",
    *behind("12"),
    *(f"12{one}" for one in POISON if one.isprintable() or one.isascii()),
]


@example(keys=HOSTILE)
@settings(max_examples=examples(25), deadline=None)
@given(keys=st.lists(st.text(max_size=20), min_size=1, max_size=8))
async def test_any_id_reaches_the_service_unchanged_as_one_value(keys: list[str]) -> None:
    async with exchange(saying()) as (asked, server):
        users = [UserId(key) for key in keys]
        await RestSource(PROFILE, asked.client, silent()).fetch_many(users, CALL)

    [seen] = server.requests
    assert seen.path == "/users"
    assert seen.parameters == [("id", key) for key in keys]
    assert not seen.header("x-evil")


@pytest.mark.parametrize("text", [text for text in HOSTILE if text])
async def test_any_user_and_cursor_reach_the_list_unchanged(text: str) -> None:
    request = PageRequest(UserId(text), 3, Position(text, None))
    async with exchange(saying(b'{"items": []}')) as (asked, server):
        await RestPages(INVOICES, asked.client).fetch_pages([request], CALL)

    assert server.requests[0].path == "/invoices"
    assert server.requests[0].parameters == [("userId", text), ("limit", "3"), ("cursor", text)]


async def test_an_empty_user_id_is_never_sent_to_a_list() -> None:
    async with exchange(saying(b'{"items": []}')) as (asked, server):
        pages = RestPages(INVOICES, asked.client)
        [answer] = (await pages.fetch_pages([PageRequest(UserId(""), 3)], CALL)).results

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_REJECTED
    assert not server.requests


async def test_a_cookie_that_a_service_sets_is_never_sent_back() -> None:
    cookie = {"Set-Cookie": "session=of-one-user; Path=/"}
    async with exchange(saying(headers=cookie)) as (asked, server):
        await asked.get()
        await asked.get()

    assert [seen.header("cookie") for seen in server.requests] == [[], []]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    async with serving(saying()) as other:
        answer = saying(b"", status, {"Location": f"{other.base_url}/users"})
        async with exchange(answer) as (asked, _):
            assert await asked.code() is Code.SOURCE_MALFORMED

    assert not other.requests


@pytest.mark.parametrize(
    "location", ["http://[", "http://a:b", "//", "", "http://xn--/", "javascript:1", "\xff"]
)
async def test_a_redirect_to_an_invalid_address_is_a_malformed_response(location: str) -> None:
    async with exchange(saying(b"", "302 Found", {"Location": location})) as (asked, _):
        assert await asked.code() is Code.SOURCE_MALFORMED


async def test_a_refused_connection_is_an_unavailable_source() -> None:
    with (
        socket.socket() as held
    ):  # bound but not listening, so that no other program can take the port
        held.bind(("127.0.0.1", 0))
        async with asking(f"http://127.0.0.1:{held.getsockname()[1]}") as asked:
            assert await asked.code() is Code.SOURCE_UNAVAILABLE
            assert asked.client.contact is None


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[{\r\n",
    ],
    ids=["at once", "within the headers", "within the body", "within a chunk"],
)
async def test_a_connection_that_the_server_closes_is_an_unavailable_source(sent: bytes) -> None:
    async with exchange(writing(sent)) as (asked, _):
        assert await asked.code() is Code.SOURCE_UNAVAILABLE


@pytest.mark.parametrize(
    "sent",
    [
        b"220 mail.example.com ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/9.9 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
    ],
)
async def test_a_response_that_is_not_http_is_a_failure_and_never_an_exception(sent: bytes) -> None:
    async with exchange(writing(sent)) as (asked, _):
        answer = await asked.get(read=_never)

    assert isinstance(answer, SourceFailure)
    assert answer.code in {Code.SOURCE_MALFORMED, Code.SOURCE_UNAVAILABLE}


async def slow_body(exchange: HttpExchange) -> None:
    """Send a correct response slowly, over seconds."""
    await exchange.drip(b"[" + b" " * 1000 + b"]", 0.003)


@pytest.mark.parametrize("answer", [hanging, slow_body])
async def test_a_response_that_is_incomplete_at_the_timeout_is_a_timeout(answer: Answer) -> None:
    async with exchange(answer, timeout=0.1) as (asked, _):
        assert await asked.code() is Code.SOURCE_TIMEOUT

    [event] = asked.events
    assert event["detail"] == "no complete answer within the timeout"


async def test_a_compressed_response_is_decompressed() -> None:
    body = gzip.compress(b"[1, 2]")
    async with exchange(saying(body, headers={"Content-Encoding": "gzip"})) as (asked, server):
        assert await asked.get() == "[1, 2]"

    assert "gzip" in server.requests[0].header("accept-encoding")[0]


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip",
        gzip.compress(b"[" + b" " * 5000 + b"]")[:-12],
        gzip.compress(b"[]")[:-6] + b"??????",
    ],
    ids=["not compressed", "cut off", "wrong checksum"],
)
async def test_a_response_with_damaged_compression_is_malformed(body: bytes) -> None:
    async with exchange(saying(body, headers={"Content-Encoding": "gzip"})) as (asked, _):
        source = RestSource(PROFILE, asked.client, silent())
        [answer] = (await source.fetch_many([UserId("a")], CALL)).results

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_MALFORMED


async def test_connections_are_reused() -> None:
    async with exchange(saying()) as (asked, server):
        for _ in range(5):
            await asked.get()

    assert len(server.requests) == 5
    assert server.accepted == 1


def losing(peer: RawConnection) -> None:
    """Answer the first request of a connection, and reset the connection at the second."""
    if len(peer.heads) == 1:
        peer.send(answered(b"[1]"))
    else:
        peer.reset()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_on_a_closed_idle_connection_is_sent_again_without_failure(
    method: str,
) -> None:
    ask = UpstreamRequest(
        (UserId("a"),), "/users", "/users", method
    )  # whatever its method, it only reads
    strict = BreakerSettings(min_calls=1, failure_rate=0.01)
    async with (
        RawServer(losing).listening() as upstream,
        asking(upstream.base_url, breaker=strict) as asked,
    ):
        for _ in range(480):
            reply = await asked.client.send(ask, CALL, lambda answer: answer.body)
            assert reply.value == b"[1]"
        circuit = asked.client.circuit

    assert len(upstream.targets) == 480 + 479
    assert circuit is BreakerState.CLOSED
    assert [event.get("repeated") for event in asked.events] == [None] + [True] * 479


async def test_a_resend_on_a_new_connection_does_not_use_the_retry_budget() -> None:
    unwell = False

    def behave(peer: RawConnection) -> None:
        nonlocal unwell
        if unwell and len(peer.heads) == 1:
            unwell = False
            peer.send(answered(b"", status="503 Down"))
        else:
            losing(peer)

    retry = RetrySettings(max_retries=1, base_delay=0.001, budget_share=0, budget_minimum=1)
    async with (
        RawServer(behave).listening() as upstream,
        asking(upstream.base_url, retry=retry) as asked,
    ):
        for _ in range(20):
            assert await asked.get() == "[1]"
        unwell = True
        assert await asked.get() == "[1]"

    assert [event["outcome"] for event in asked.events].count("SOURCE_UNAVAILABLE") == 1
    assert [event.get("attempt") for event in asked.events] == [None] * 21 + [2]


async def test_a_resend_ends_at_the_timeout_of_its_attempt() -> None:
    clock = ManualClock()

    def behave(peer: RawConnection) -> None:
        if peer.number == 0:
            losing(peer)

    async with (
        RawServer(behave).listening() as upstream,
        asking(upstream.base_url, clock=clock) as asked,
    ):
        assert await asked.get() == "[1]"
        waiting = asyncio.ensure_future(asked.get())
        await until(lambda: len(upstream.targets) == 3)
        clock.advance(asked.client.settings.timeout)
        told = await waiting

    assert isinstance(told, SourceFailure)
    assert told.code is Code.SOURCE_TIMEOUT


async def test_a_response_without_a_request_is_logged_with_its_source() -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(answered(b"[1]") + answered(b'["canary-body"]'))

    async with RawServer(behave).listening() as upstream, asking(upstream.base_url) as asked:
        for _ in range(3):
            assert await asked.get() == "[1]"

    told = [event for event in asked.events if event["event"] == "source.unsolicited_response"]
    # At most one line a minute: two more were left out.
    assert [(event["source"], event["connections"]) for event in told] == [("profile", 1)]
    assert BODY not in asked.log


async def test_a_connection_is_not_reused_after_a_timeout() -> None:
    async with exchange(hanging, timeout=0.05) as (asked, server):
        await asked.get()
        server.answer = saying(b"[2]")
        assert await asked.get() == "[2]"

    assert server.accepted == 2


async def test_proxies_in_environment_variables_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(saying(b"proxied")) as proxy, serving(saying(b"direct")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with httpx.AsyncClient() as usual:
            assert (await usual.get(server.base_url)).text == "proxied"
        async with asking(server.base_url) as asked:
            assert await asked.get() == "direct"


@pytest.mark.parametrize(("status", "number"), [("200 OK", 200), ("503 Down", 503)])
async def test_the_last_contact_is_the_time_and_status_of_the_last_response(
    status: str, number: int
) -> None:
    clock = ManualClock()
    contacts: list[LastContact | None] = []
    async with exchange(saying(status=status), clock=clock) as (asked, server):
        contacts.append(asked.client.contact)
        await asked.get()
        contacts.append(asked.client.contact)
        clock.seconds += 60
        server.answer = writing(b"")
        await asked.get()
        contacts.append(asked.client.contact)

    answered = LastContact(ManualClock().now(), number)
    assert contacts == [None, answered, answered]


def test_each_status_except_200_has_a_failure_code() -> None:
    codes = {status: code_of_status(status) for status in range(100, 600)}

    expected: dict[int, Code | None] = dict.fromkeys(range(100, 400), Code.SOURCE_MALFORMED)
    expected |= dict.fromkeys(range(400, 500), Code.SOURCE_REJECTED)
    expected |= dict.fromkeys(range(500, 600), Code.SOURCE_UNAVAILABLE)
    assert codes == expected | {200: None, 429: Code.SOURCE_OVERLOADED}


@pytest.mark.parametrize(
    "status", [201, 204, 304, 400, 401, 403, 404, 418, 429, 451, 499, 500, 502, 503, 504, 599]
)
async def test_the_body_of_a_failure_status_is_not_read(status: int) -> None:
    body = b"" if status in {204, 304} else b"[]"
    async with exchange(saying(body, f"{status} Whatever")) as (asked, _):
        answer = await asked.get(read=_never)

    assert isinstance(answer, SourceFailure)
    assert (answer.source, answer.code) == ("profile", _code(status))
    assert answer.detail == f"status {status}"


async def test_a_configured_status_means_that_the_user_is_unknown() -> None:
    async with exchange(saying(status="404 Not Found")) as (asked, _):
        reply = await asked.client.send(
            asking_for("/x"), CALL, lambda answer: _never(answer.body), absent=frozenset({404})
        )

    assert reply.value is None
    assert [event["outcome"] for event in asked.events] == ["ok"]


def family(kind: type[Exception]) -> Iterator[type[Exception]]:
    """List a class and all its subclasses in the two libraries."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.partition(".")[0] in {"httpx", "aiohttp"}:
            yield from family(below)


def made(kind: type[Exception]) -> Exception:
    """Make an exception as its library does."""
    key = ConnectionKey("h", 80, False, True, None, None, None)  # noqa: FBT003 # a plain tuple
    info = aiohttp.RequestInfo(
        URL("http://h"), "GET", CIMultiDictProxy(CIMultiDict[str]()), URL("/")
    )
    request = httpx.Request("GET", "http://h")
    arguments: dict[type[Exception], tuple[object, ...]] = {
        aiohttp.ClientResponseError: (info, ()),
        aiohttp.ClientConnectorError: (key, OSError(111, "refused")),
        aiohttp.ClientConnectorCertificateError: (key, ssl.CertificateError("expired")),
        aiohttp.ServerFingerprintMismatch: (b"a", b"b", "h", 80),
        UnixClientConnectorError: ("/run/x", key, OSError(111, "refused")),
        httpx.HTTPStatusError: ("status",),
    }
    keywords: dict[type[Exception], dict[str, object]] = {
        httpx.HTTPStatusError: {"request": request, "response": httpx.Response(500)}
    }
    for ancestor in kind.__mro__:
        if ancestor in arguments:
            return kind(*arguments[ancestor], **keywords.get(ancestor, {}))
    return kind("what happened")


def _all_foreign() -> list[type[Exception]]:
    """List the exceptions of httpx and aiohttp, and some of the operating system."""
    mine = [OSError, TimeoutError, ConnectionResetError, BrokenPipeError, socket.gaierror]
    kinds = [*family(httpx.HTTPError), *family(aiohttp.ClientError), httpx.InvalidURL, *mine]
    return sorted(set(kinds), key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def test_the_tested_exceptions_are_all_that_the_libraries_export() -> None:
    exported = {
        value
        for library in (httpx, aiohttp)
        for value in vars(library).values()
        if isinstance(value, type) and issubclass(value, httpx.HTTPError | aiohttp.ClientError)
    }

    assert len(exported) > 40
    assert exported <= set(_all_foreign())


@pytest.mark.parametrize("kind", _all_foreign(), ids=lambda kind: kind.__qualname__)
async def test_every_exception_of_the_libraries_becomes_a_failure_code(
    kind: type[Exception],
) -> None:
    error = made(kind)
    assert isinstance(error, FOREIGN)

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with asking("http://profile", FakeTransport(fail)) as asked:
        code = await asked.code()

    slow = issubclass(kind, TimeoutError | httpx.TimeoutException)
    odd = issubclass(
        kind,
        httpx.DecodingError | httpx.RemoteProtocolError | aiohttp.ClientResponseError,
    ) and not issubclass(kind, aiohttp.ClientHttpProxyError)
    expected = Code.SOURCE_TIMEOUT if slow else Code.SOURCE_UNAVAILABLE
    assert code is (Code.SOURCE_MALFORMED if odd else expected)
    assert translate(error)[0] is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnsolicitedResponseError(), Code.SOURCE_UNAVAILABLE),
        (BrokenAnswerError(), Code.SOURCE_MALFORMED),
        (LongHeadError(1_024), Code.SOURCE_MALFORMED),
    ],
)
def test_exceptions_of_our_transport_become_failure_codes(error: Exception, code: Code) -> None:
    assert isinstance(error, FOREIGN)
    assert translate(error)[0] is code


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (aiohttp.ServerDisconnectedError(), Code.SOURCE_UNAVAILABLE),
        (made(aiohttp.ClientConnectorError), Code.SOURCE_UNAVAILABLE),
        (aiohttp.ClientOSError(104, "reset"), Code.SOURCE_UNAVAILABLE),
        (aiohttp.ConnectionTimeoutError("slow"), Code.SOURCE_TIMEOUT),
        (aiohttp.SocketTimeoutError("slow"), Code.SOURCE_TIMEOUT),
    ],
)
def test_the_cause_of_a_renamed_exception_decides_the_code(cause: Exception, code: Code) -> None:
    renamed = httpx.ConnectTimeout("what the transport calls it")
    renamed.__cause__ = cause

    assert translate(renamed)[0] is code


async def test_an_exception_that_is_not_of_the_libraries_is_raised() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async with asking("http://profile", FakeTransport(fail)) as asked:
        with pytest.raises(ZeroDivisionError):
            await asked.get()


async def test_an_exchange_is_logged_with_its_source_keys_status_duration_and_outcome() -> None:
    clock = ManualClock()

    async def slow(exchange: HttpExchange) -> None:
        clock.seconds += 0.25
        await exchange.say()

    async with exchange(slow, clock=clock) as (asked, _):
        target = f"/users?id={USER}&id=2"
        await asked.client.send(asking_for(target, USER, "2"), CALL, lambda answer: answer.status)

    [event] = asked.events
    assert event["event"] == "source.fetch"
    assert event["level"] == "info"
    assert event["source"] == "profile"
    assert event["keys"] == 2
    assert event["status"] == 200
    assert event["duration_ms"] == 250.0
    assert event["outcome"] == "ok"


def _refuse(body: bytes) -> str:
    """Refuse a body as malformed."""
    raise MalformedError(f"expected a JSON array, got {len(body)} bytes")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (saying(BODY.encode()), 200),
        (saying(BODY.encode(), "500 " + BODY, {"X-Detail": BODY}), 500),
        (saying(BODY.encode(), "403 Forbidden", {"Set-Cookie": BODY}), 403),
        (saying(b"", "302 Found", {"Location": f"http://{BODY}/{USER}"}), 302),
        (saying(b"", "302 Found", {"Location": f"http://{BODY}:{USER}"}), 302),
    ],
    ids=["malformed", "500", "403", "redirect", "redirect to nowhere"],
)
async def test_the_log_of_a_failed_response_has_its_status_and_no_secrets(
    answer: Answer, status: int
) -> None:
    async with exchange(answer, auth=AUTH) as (asked, _):
        failure = await asked.get(f"/users?id={USER}", read=_refuse)

    _assert_logs_without_secrets(asked, failure)
    assert asked.events[0]["status"] == status


HEAD = "HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        saying(BODY.encode(), headers={"Content-Encoding": "gzip"}),
        writing(f"{BODY}\r\n\r\n".encode()),
        writing(f"{HEAD}Content-Length: {BODY}\r\n\r\n".encode()),
        writing(f"{HEAD}{BODY}\r\n\r\n".encode()),
        writing(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{BODY}".encode()),
        writing(f"{HEAD}Content-Length: 99\r\n\r\n{BODY}".encode()),
        writing(b""),
        hanging,
    ],
    ids=["not gzip", "not HTTP", "length", "header", "chunk", "cut off", "closed", "hanging"],
)
async def test_the_log_of_a_broken_exchange_has_no_body_id_or_token(answer: Answer) -> None:
    async with exchange(answer, auth=AUTH, timeout=0.1) as (asked, _):
        failure = await asked.get(f"/users?id={USER}", read=_refuse)

    _assert_logs_without_secrets(asked, failure)


def _assert_logs_without_secrets(asked: OpenClient, failure: object) -> None:
    """Assert that the log has one line, with the failure and without secrets."""
    assert isinstance(failure, SourceFailure)
    [event] = asked.events
    assert event["event"] == "source.fetch"
    assert event["level"] == "warning"
    assert event["source"] == "profile"
    assert event["keys"] == 1
    assert event["outcome"] == failure.code
    assert "status" in event
    assert "duration_ms" in event
    for secret in (BODY, USER, TOKEN):
        assert secret not in asked.log


def _never(body: bytes) -> str:
    """Fail the test: this body must not be read."""
    raise AssertionError(f"read {body!r}")


def _code(status: int) -> Code:
    """Return the code of a status that is a failure."""
    code = code_of_status(status)
    assert code is not None
    return code


def silent() -> Any:  # noqa: ANN401 # structlog's loggers are typed by what they are bound to
    """Make a log whose lines are not read."""
    return make_log(LogSettings(), "json", io.StringIO())
