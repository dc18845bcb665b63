"""Fuzzing of raw bytes: no bytes cause a server error.

``make fuzz`` does the same for longer.
"""

import io
import re
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.observability.logs import make_log
from app.settings.server import BatchSettings, PersistedSettings
from tests.apps import make_app
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.properties import examples
from tests.wire import PATIENCE, Address, served

EXAMPLES = examples(75, "FUZZ_EXAMPLES")
"""The number of requests of each kind."""

IDLE = 0.02
"""Seconds after which a request without a response counts as incomplete."""

QUERY = f'{{ user(id: "{user_id(1)}") {{ username plan }} }}'
BODY = b'{"query": "{ __typename }", "variables": {"a": [1, 2.5, null, "\\u00fc"]}}'
AFTERWARDS = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
STATUS = re.compile(rb"^HTTP/1\.1 ([0-9]{3}) ", re.MULTILINE)

METHODS = st.sampled_from(
    [b"GET", b"POST", b"HEAD", b"OPTIONS", b"QUERY", b"PUT", b"TRACE", b"get"]
)
TARGETS = st.sampled_from(
    [
        *(b"/graphql", b"/graphql/", b"/", b"/healthz", b"/readyz", b"//graphql", b"*", b"/%00"),
        *(b"/graphql?query=%7B__typename%7D", b"/graphql?query={__typename}", b"/graphql?%ff=%fe"),
        *(b"http://other/graphql", b"/graphql?variables=%7B", b"/../etc/passwd", b"/graphql#a"),
        *(b"/graphiql/assets/..%2f..%2fpage.html", b"/graphql?extensions=[]&query=a&query=b"),
    ]
)
NAMES = st.sampled_from(
    [
        *(b"Content-Type", b"Content-Encoding", b"Accept", b"Origin", b"Cookie", b"Upgrade"),
        *(b"X-Request-ID", b"X-Request-Timeout", b"traceparent", b"X-Gateway-Explain", b"Expect"),
        *(b"GraphQL-Require-Preflight", b"Connection", b"X-Gateway-Trace", b"Content-Length"),
        *(b"Transfer-Encoding", b"Authorization", b"Access-Control-Request-Method"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"application/json", b"application/graphql-response+json", b"*/*", b"text/html", b"1"),
        *(b"websocket", b"close", b"keep-alive, Upgrade", b"h2c", b"gzip", b"100-continue"),
        *(b"application/json; charset=utf-16", b"5ms", b"-1", b"99999999999999999999", b"chunked"),
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ]
) | st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))
BODIES = st.sampled_from(
    [
        *(BODY, b"[" + BODY + b"]", b"[" * 1_000, b"", b"{}", b"null", b'{"query": 7}'),
        f'{{"query": {QUERY!r}}}'.replace("'", '"').encode(),
        b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a"}}}',
    ]
) | st.binary(max_size=60)
REPLACEMENTS = st.sampled_from(
    [
        (b"Content-Type: application/json", b"Content-Type: text/plain"),
        (b"__typename", b"\xff\xfe"),
        (b'"query"', b'"query": "a", "query"'),
        (b"null", b"NaN"),
        (b"\r\n", b"\n"),
        (b"HTTP/1.1", b"HTTP/9.9"),
        (b"Host", b"Ho st"),
        (b" ", b"  "),
        (b"", b""),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Make a request that is valid or nearly valid."""
    body = draw(BODIES)
    length = (b"Content-Length", str(len(body)).encode())
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(body)))
        pieces = [piece for piece in (body[:at], body[at:]) if piece] + [b""]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        length = (b"Transfer-Encoding", b"chunked")
    headers = [
        (b"Host", b"gateway"),
        (b"Content-Type", b"application/json"),
        length,
        *draw(st.lists(st.tuples(NAMES, VALUES), max_size=5)),
    ]
    lines = [name + b": " + value for name, value in headers]
    if draw(st.booleans()):
        draw(st.randoms(use_true_random=False)).shuffle(lines)
    head = b"\r\n".join([draw(METHODS) + b" " + draw(TARGETS) + b" HTTP/1.1", *lines])
    return (head + b"\r\n\r\n" + body).replace(*draw(REPLACEMENTS))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Make a request with some changed bytes."""
    data = bytearray(draw(requests()))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


class FuzzedGateway:
    """The gateway on the wire, and its log."""

    def __init__(self, address: Address, log: io.StringIO) -> None:
        self._address = address
        self._log = log

    async def send_and_check(self, data: bytes, *, idle: float = IDLE) -> Sequence[int]:
        """Send bytes; check that no error is logged, and return the statuses of the responses."""
        answer = await self._address.exchange(data, idle=idle)
        statuses = [int(status) for status in STATUS.findall(answer)]
        assert all(status < 500 for status in statuses), answer
        assert b" 200 " in await self._address.exchange(AFTERWARDS)
        assert '"level":"error"' not in self._log.getvalue().replace(" ", "")
        self._log.truncate(0)
        return statuses


@pytest.fixture
async def wire(services: FakeServices) -> AsyncGenerator[FuzzedGateway]:
    """Serve the gateway with all optional features on."""
    services.know(1)
    log = io.StringIO()
    chosen = settings_for_fakes(
        trace="asked",
        explain=True,
        batch=BatchSettings(enabled=True),
        persisted=PersistedSettings(enabled=True),
    )
    app = make_app(chosen, make_log(chosen.log, stream=log), transports=services.transport)
    async with served(app) as address:
        yield FuzzedGateway(address, log)


fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def test_a_valid_request_is_answered(wire: FuzzedGateway) -> None:
    head = (
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n"
    )

    assert await wire.send_and_check(head % len(BODY) + BODY, idle=PATIENCE) == [200]


@fuzz
@given(data=requests())
async def test_nearly_valid_requests_cause_no_server_error(
    wire: FuzzedGateway, data: bytes
) -> None:
    await wire.send_and_check(data)


@fuzz
@given(data=damaged())
async def test_requests_with_changed_bytes_cause_no_server_error(
    wire: FuzzedGateway, data: bytes
) -> None:
    await wire.send_and_check(data)


@fuzz
@given(data=st.binary(max_size=200))
async def test_random_bytes_cause_no_server_error(wire: FuzzedGateway, data: bytes) -> None:
    await wire.send_and_check(data)
