"""Any headers: no response is an internal error, and no caller gets data of another.

``make fuzz`` does the same for longer.
"""

import io
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from pydantic import SecretStr

from app.observability.logs import make_log
from app.settings.auth import JwtCallers
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.server import BatchSettings, CorsSettings, PersistedSettings
from tests.apps import make_app
from tests.clock import ManualClock
from tests.fakes import FakeServices, calm_source, settings_for_fakes, user_id
from tests.issuer import AUDIENCE, ISSUER, FakeIssuer, signed
from tests.properties import examples
from tests.wire import Address, served

EXAMPLES = examples(150, "FUZZ_EXAMPLES")
"""The number of requests."""

SECRET = "a secret of some thirty-two bytes"
ROUTER = "the token of the router"
ORIGIN = b"https://app.example.com"
BODY = orjson.dumps({"query": f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}'})
STATUS = re.compile(rb"^HTTP/1\.1 ([0-9]{3}) ")

TARGETS = st.sampled_from(
    [
        *([b"/graphql"] * 6),
        *(b"/graphql?query=%7B__typename%7D", b"/graphql/", b"/", b"/healthz", b"/readyz"),
        *(b"/healthz/", b"/nowhere", b"/nowhere?\xff", b"/healthz/?\xff", b"/graphql?query=\xff"),
        *(b"/%ff", b"/graphiql/assets/a.js", b"/?a=%ff", b"//", b"/\\", b"/graphiql/assets/%00.js"),
    ]
)
NAMES = st.sampled_from(
    [
        *(b"Host", b"Origin", b"Access-Control-Request-Method", b"Access-Control-Request-Headers"),
        *(b"Access-Control-Request-Private-Network", b"Accept", b"Accept-Encoding", b"Cookie"),
        *(b"Content-Type", b"Content-Encoding", b"If-None-Match", b"If-Modified-Since", b"Range"),
        *(b"Authorization", b"X-Router-Token", b"X-Request-ID", b"traceparent", b"tracestate"),
        *(b"X-Request-Timeout", b"X-Forwarded-For", b"Forwarded", b"X-Forwarded-Proto", b"Via"),
        *(b"GraphQL-Require-Preflight", b"X-Gateway-Cost", b"X-Gateway-Explain", b"X-Tenant"),
        *(b"X-Gateway-Trace", b"Accept-Language", b"User-Agent", b"Referer", b"TE", b"Priority"),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"", b" ", b",", b";", b"=", b'"', b"*", b"*/*", b"1", b"-1", b"0", b"null", b"[", b"[]"),
        *(b"[::1", b"[::1]:99999", b"gateway:99999", b"gateway:a", b"a:b:c", b"a@b", b"\xff", b"%"),
        *(b"gateway, gateway", b"\xc2\xb2", b"\xef\xbd\xb3", b"gateway\xa0", b"xn--", b"." * 300),
        *(b"application/json", b"application/json; charset=\xff", b"application/json;;;=;charset"),
        *(b"text/html", b"text/html;q=nan", b"text/html;q=inf, */*;q=1e999", b"text/html;q=-1"),
        *(b"application/json;q=" + b"9" * 400, b"," * 4_000, b";" * 4_000, b"text/html;q=\xb2"),
        *(
            b"Bearer",
            b"Bearer ",
            b"bearer\ta.b.c",
            b"Bearer a b",
            b"Basic YTpi",
            b"Bearer \xff.a.b",
        ),
        *(b"Bearer ..", b"Bearer a.b.c.d.e", b"Bearer " + b"a" * 9_000, b"Negotiate", b"Bearer,"),
        *(b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"ff-" + b"1" * 32 + b"-" + b"1" * 16),
        *(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"5ms", b"1e3s", b"\xb2s"),
        *(b"9" * 400 + b"s", b"0ms", b"1.5s\xa0", b"::1", b"fe80::1%eth0", b"1.2.3.4:a", b"\xb2.1"),
        *(b"::ffff:1.2.3.4", b"1.2.3.4, 5.6.7.8", b"999.1.1.1", b"0x7f.1", b'W/"a"', b'"a", *'),
        *(b"bytes=0-", b"bytes=-9999999999999999999999", b"bytes=a-b", b"bytes=1-0,2-1"),
        *(
            b"gzip;q=",
            b"gzip;q=0.0, *;q=\xb2",
            b"GET",
            b"DELETE",
            b"content-type,\xff",
            b"x" * 9_000,
        ),
        *(ORIGIN, ORIGIN + b"\xff", b"https://[", ROUTER.encode(), ROUTER.encode() + b"\xff"),
        *(b"http", b"ftp", b"Thu, 99 Foo 99999 00:00:00 GMT", b"Connection", b"x-tenant, cookie"),
    ]
) | st.binary(max_size=30).map(lambda raw: raw.translate(None, b"\r\n\0"))


@dataclass
class HeaderGateway:
    """The gateway on the wire, and its log.

    Attributes:
        address: Its address.
        log: The log.
        token: A valid token.
    """

    address: Address
    log: io.StringIO
    token: str

    async def send_and_check(self, method: bytes, target: bytes, headers: Sequence[bytes]) -> bytes:
        """Send a request; check that no error is logged, and return the response."""
        framing = [b"Content-Length: %d" % len(BODY), b"Connection: close"]
        head = b"\r\n".join([method + b" " + target + b" HTTP/1.1", *headers, *framing])
        answer = await self.address.exchange(head + b"\r\n\r\n" + BODY)
        status = STATUS.match(answer)
        assert status is not None, answer
        assert int(status[1]) < 500, answer
        assert '"level":"error"' not in self.log.getvalue()
        self.log.truncate(0)
        return answer


@pytest.fixture
async def wire(services: FakeServices, clock: ManualClock) -> AsyncGenerator[HeaderGateway]:
    """Serve the gateway with every feature that reads headers switched on."""
    services.know(1)
    log = io.StringIO()
    sources = {
        "profile": calm_source(
            base_url="http://profile",
            auth={"kind": "forward", "forward_headers": ["X-Tenant", "Accept-Language"]},
            cache={"enabled": True},
        ),
        "billing": calm_source(
            base_url="http://billing", auth={"kind": "none", "forward_headers": ["Origin", "Via"]}
        ),
        "activity": calm_source(base_url="http://activity"),
    }
    callers = {"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}
    chosen = settings_for_fakes(
        auth=JwtCallers.model_validate(callers),
        sources=sources,
        router_token=SecretStr(ROUTER),
        hosts=("*",),
        cors=CorsSettings(origins=(ORIGIN.decode(),), headers=("X-Tenant",), credentials=True),
        limits=LimitsSettings(
            report="asked", rate=RateSettings(quota=10**9, window=1, trusted_proxies=1)
        ),
        trace="asked",
        explain=True,
        graphiql=True,
        batch=BatchSettings(enabled=True),
        persisted=PersistedSettings(enabled=True),
    )
    app = make_app(
        chosen, make_log(chosen.log, stream=log), clock=clock, transports=services.transport
    )
    token = signed(FakeIssuer(clock).claims(), OctKey.import_key(SECRET.encode()), "HS256")
    async with served(app, chosen) as address:
        yield HeaderGateway(address, log, token)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=st.sampled_from([b"POST", b"POST", b"GET", b"OPTIONS", b"HEAD", b"PUT"]),
    target=TARGETS,
    more=st.lists(st.tuples(NAMES, VALUES), max_size=4),
    is_known=st.booleans(),
    replaces=st.booleans(),
)
@example(method=b"GET", target=b"/nowhere?\xff", more=[], is_known=True, replaces=False)
@example(method=b"GET", target=b"/healthz/?\xff", more=[], is_known=True, replaces=False)
async def test_any_headers_cause_no_server_error_and_give_no_access(
    wire: HeaderGateway,
    method: bytes,
    target: bytes,
    more: Sequence[tuple[bytes, bytes]],
    *,
    is_known: bool,
    replaces: bool,
) -> None:
    own = {b"Host": b"gateway", b"Content-Type": b"application/json", b"Origin": ORIGIN}
    if is_known:
        own[b"Authorization"] = b"Bearer " + wire.token.encode()
    odd = [name for name, _ in more]
    pairs = [(name, value) for name, value in own.items() if not (replaces and name in odd)]

    answer = await wire.send_and_check(
        method, target, [name + b": " + value for name, value in [*pairs, *more]]
    )

    shown = [value for name, value in (*pairs, *more) if name == b"Authorization"]
    assert is_known or b'"username"' not in answer
    assert len(shown) <= 1 or b'"username"' not in answer


async def test_a_request_with_usual_headers_is_answered(wire: HeaderGateway) -> None:
    answer = await wire.send_and_check(
        b"POST",
        b"/graphql",
        [
            b"Host: gateway",
            b"Content-Type: application/json",
            b"Authorization: Bearer " + wire.token.encode(),
        ],
    )

    assert b'"username":"user1"' in answer
    assert b'"plan":"pro"' in answer
