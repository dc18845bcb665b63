"""Random tokens and responses of issuers: no invalid token is accepted, and no error is logged.

``make fuzz`` does the same for longer.
"""

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import cast

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.auth.issuer import Issuer
from app.auth.keys import KeySet
from app.auth.tokens import TYPES
from app.errors import Code, SourceFailure
from app.settings.auth import JwtCallers
from app.settings.credentials import ClientCredentialsAuth, is_bearer_token
from app.sources.oauth import AuthorizationServer
from tests.auth.conftest import ask
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, FakeTransport
from tests.issuer import AUDIENCE, ISSUER, FakeIssuer, jwk, key_of, knowing, raw_token
from tests.properties import examples

EXAMPLES = examples(75, "FUZZ_EXAMPLES")
"""The number of tokens and documents of each kind."""

LEEWAY = 30

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

VALUES = st.sampled_from(
    [
        *(b"null", b"true", b"false", b"0", b"-1", b"1", b"1.5", b"-0.0", b"1e308", b"1e999"),
        *(b"-1e999", b"NaN", b"Infinity", b"1" * 400, b"1" * 5_000, b"0.1e-400"),
        *(b'""', b'"a"', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xc3\xbc"'),
        *(b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud83d\\ude00"', b'"' + b"x" * 1_025 + b'"'),
        *(b"[]", b"[null]", b'["exp"]', b'["b64"]', b'[["b64"]]', b"[{}]", b"{}", b'{"a": 1}'),
        *(b'{"": {"": []}}', b"[" * 150 + b"]" * 150, b"[" * 2_500 + b"]" * 2_500, b"{", b"]", b""),
        *(b'"none"', b'"None"', b'"HS256"', b'"RS256"', b'"dir"', b'"ES256"', b'"first"', b'"JWT"'),
        *(b'"at+jwt"', b'"dpop+jwt"', b'"sig"', b'"enc"', b'["verify"]', b'"Bearer"', b'"3600"'),
        *(b'"http://' + b"a" * 64 + b'.com/"', b'"http://[::1/"', b'"https://a:99999/"'),
    ]
)
"""JSON and nearly valid JSON, as bytes, because no library writes all of it."""

WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())

ANY_VALUE = VALUES | WILD

HEADER_NAMES = st.sampled_from(
    [
        *("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"),
        *("cty", "enc", "zip", "epk", "iss", "aud", "exp", "", "__class__"),
    ]
)
CLAIM_NAMES = st.sampled_from(
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "cnf", "", "__class__"]
)


def members(names: st.SearchStrategy[str]) -> st.SearchStrategy[Sequence[tuple[str, bytes]]]:
    """Make members of an object. A name may occur twice."""
    return st.lists(st.tuples(names, ANY_VALUE), min_size=1, max_size=3)


def object_with(
    good: Mapping[str, object], more: Sequence[tuple[str, bytes]], *, first: bool
) -> bytes:
    """Write an object with further members before or after its own."""
    own = [(name, json.dumps(value).encode()) for name, value in good.items()]
    pairs = [*more, *own] if first else [*own, *more]
    return b"{" + b", ".join(b'"%b": %b' % (name.encode(), value) for name, value in pairs) + b"}"


def read(text: bytes) -> object:
    """Read JSON at least as leniently as the reader of tokens."""
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"), parse_int=float)
    except (ValueError, RecursionError):
        return None


def is_good_header(text: bytes) -> bool:
    """Return whether a token with this header may be accepted (RFC 7515, section 4.1; RFC 8725)."""
    header = read(text)
    if not isinstance(header, dict):
        return False
    found = cast("dict[str, object]", header)
    typ = found.get("typ")
    return (
        found.get("alg") == "ES256"
        and found.get("kid") in (None, "first")  # a tuple, because a list has no hash
        and (typ is None or (isinstance(typ, str) and typ.lower() in TYPES))
        and "crit" not in found
        and found.get("b64", True) is True
    )


def is_good_claims(text: bytes, now: float) -> bool:
    """Return whether a token with these claims may be accepted (RFC 7519, section 4.1)."""
    claims = read(text)
    if not isinstance(claims, dict):
        return False
    found = cast("dict[str, object]", claims)
    audience = found.get("aud")
    several = cast("list[object]", audience) if isinstance(audience, list) else [audience]

    def is_time(name: str, *, least: float, most: float) -> bool:
        value = found[name]
        return isinstance(value, float) and least < value < most

    return (
        found.get("iss") == ISSUER
        and AUDIENCE in several
        and "exp" in found
        and is_time("exp", least=now - LEEWAY, most=float("inf"))
        and all(
            name not in found or is_time(name, least=float("-inf"), most=now + LEEWAY + 1)
            for name in ("nbf", "iat")
        )
        and isinstance(found.get("sub", ""), str)
        and "cnf" not in found
    )


@pytest.fixture
async def gateway(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> AsyncGenerator[GatewayClient]:
    """Open a gateway that verifies tokens of the issuer, for all examples of a test."""
    async with open_gateway(knowing(issuer, services)) as opened:
        yield opened


def has_no_errors(gateway: GatewayClient) -> bool:
    """Return whether the log has no error."""
    return '"level":"error"' not in gateway.log and '"level":"critical"' not in gateway.log


async def check(gateway: GatewayClient, token: str | bytes, *, may_be_good: bool) -> None:
    """Send a token: if it is not good, it is refused with a challenge. No error is logged."""
    response = await ask(gateway, token)
    assert has_no_errors(gateway)
    if response.status_code == 200:
        assert may_be_good
        return
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith('Bearer realm="user-gateway", error=')
    assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


@fuzz
@given(more=members(HEADER_NAMES), first=st.booleans())
@example(more=[("crit", b"null")], first=False)
@example(more=[("crit", b"[[]]")], first=False)
@example(more=[("crit", b"1")], first=True)
@example(more=[("x", b"[" * 2_500 + b"]" * 2_500)], first=False)
@example(more=[("x", b"1" * 5_000)], first=False)
async def test_a_signed_token_with_a_random_header_is_accepted_only_if_valid(
    gateway: GatewayClient,
    issuer: FakeIssuer,
    more: Sequence[tuple[str, bytes]],
    *,
    first: bool,
) -> None:
    header = object_with({"alg": "ES256", "kid": "first", "typ": "JWT"}, more, first=first)
    token = raw_token(header, json.dumps(issuer.claims()).encode(), issuer.keys["first"])

    await check(gateway, token, may_be_good=is_good_header(header))


@fuzz
@given(more=members(CLAIM_NAMES), first=st.booleans())
@example(more=[("exp", b"1e999")], first=False)
@example(more=[("exp", b"true")], first=False)
@example(more=[("exp", b"NaN")], first=False)
@example(more=[("nbf", b"null")], first=False)
@example(more=[("aud", b"[[]]")], first=False)
@example(more=[("iss", json.dumps([ISSUER]).encode())], first=False)
@example(more=[("sub", b'"\\ud800"')], first=False)
async def test_a_signed_token_with_random_claims_is_accepted_only_if_valid(
    gateway: GatewayClient,
    issuer: FakeIssuer,
    clock: ManualClock,
    more: Sequence[tuple[str, bytes]],
    *,
    first: bool,
) -> None:
    claims = object_with(issuer.claims(), more, first=first)
    token = raw_token(b'{"alg": "ES256", "kid": "first"}', claims, issuer.keys["first"])

    await check(gateway, token, may_be_good=is_good_claims(claims, clock.now().timestamp()))


@fuzz
@given(header=ANY_VALUE | st.binary(max_size=60), claims=ANY_VALUE | st.binary(max_size=60))
@example(header=b"{}", claims=b"[]")
@example(header=b'\xef\xbb\xbf{"alg": "ES256"}', claims=b"{}")
@example(header='{"alg": "ES256"}'.encode("utf-16"), claims=b"{}")
async def test_a_signed_token_without_valid_header_or_claims_is_refused(
    gateway: GatewayClient,
    issuer: FakeIssuer,
    header: bytes,
    claims: bytes,
) -> None:
    key = issuer.keys["first"]
    good = b'{"alg": "ES256", "kid": "first"}'
    tokens = [raw_token(header, json.dumps(issuer.claims()).encode(), key)]
    tokens.append(raw_token(good, claims, key))

    for token in tokens:
        await check(gateway, token, may_be_good=False)


ALPHABET = st.sampled_from([bytes([one]) for one in b"AZaz09-_+/=. \t,~\x80\xff"])


@st.composite
def changed(draw: st.DrawFn, token: bytes) -> bytes:
    """Change a character of a token, its parts, or the text around it."""
    parts = token.split(b".")
    at, one = draw(st.integers(0, len(token) - 1)), draw(st.integers(0, 2))
    head, part, tail = parts[:one], parts[one], parts[one + 1 :]
    several = st.sampled_from([*parts, b"", b"e30"])
    end = draw(
        st.sampled_from([b"=", b"==", b"A", b".", b"..", b".AA", b"." + token, b"A" * 9_000])
    )
    return draw(
        st.sampled_from(
            [
                token[:at],
                token[:at] + draw(ALPHABET) + token[at + draw(st.integers(0, 2)) :],
                token + end,
                b".".join(draw(st.permutations(parts))),
                b".".join(draw(st.lists(several, max_size=6))),
                b".".join([*head, part + end, *tail]),
                # Different characters can decode to the same bytes.
                b".".join([*head, part[:-1] + bytes([part[-1] ^ 1]), *tail]),
            ]
        )
    )


@fuzz
@given(data=st.data())
async def test_a_changed_token_is_refused(
    gateway: GatewayClient, issuer: FakeIssuer, data: st.DataObject
) -> None:
    good = issuer.token().encode()
    token = data.draw(changed(good))

    await check(gateway, token, may_be_good=token.strip(b" ") == good)


ALGORITHMS = ("RS256", "PS512", "ES256", "ES512", "Ed25519", "EdDSA")


@pytest.fixture
async def many_keys(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> AsyncGenerator[GatewayClient]:
    """Open the gateway with an issuer that has a key of each kind, named like its algorithm."""
    issuer.keys = {algorithm: key_of(algorithm) for algorithm in ALGORITHMS}
    async with open_gateway(knowing(issuer, services)) as opened:
        yield opened


@fuzz
@given(
    key=st.sampled_from(ALGORITHMS),
    stated=st.sampled_from([*ALGORITHMS, "RS384", "ES384", "HS256", "none"]),
    signature=st.binary(max_size=300) | st.integers(0, 600).map(bytes),
)
@example(key="ES256", stated="ES256", signature=bytes(64))
@example(key="ES256", stated="ES256", signature=b"\xff" * 64)
@example(key="RS256", stated="RS256", signature=b"\xff" * 256)
async def test_a_token_with_a_random_signature_is_refused(
    many_keys: GatewayClient, issuer: FakeIssuer, key: str, stated: str, signature: bytes
) -> None:
    claims = json.dumps(issuer.claims()).encode()
    parts = (json.dumps({"alg": stated, "kid": key}).encode(), claims, signature)
    token = ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts)

    await check(many_keys, token, may_be_good=False)


KEY_NAMES = st.sampled_from(
    [*("kty", "kid", "use", "key_ops", "alg", "crv", "n", "e", "x", "y", "d", "k", "x5c", "x5t")]
)
KEYS = st.sampled_from(["ES256", "ES512", "RS256", "Ed25519"]).map(
    lambda algorithm: jwk(key_of(algorithm), kid="odd")
)
COMPLETE_VALUES = VALUES.filter(lambda text: text not in {b"{", b"]", b""}) | WILD


def is_too_deep(text: bytes) -> bool:
    """Return whether Python refuses JSON as too deep, which depends on its version."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return False


async def keys_of(*bodies: bytes) -> KeySet | SourceFailure:
    """Request the keys of an issuer that sends these responses in order."""
    callers = {"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE}
    if len(bodies) == 1:
        callers["jwks_url"] = f"{ISSUER}keys"
    rest = iter(bodies)
    transport = FakeTransport(lambda _: httpx.Response(200, content=next(rest)))
    return await Issuer(JwtCallers.model_validate(callers), transport, ManualClock()).keys()


@fuzz
@given(
    key=KEYS,
    more=st.lists(st.tuples(KEY_NAMES, COMPLETE_VALUES), min_size=1, max_size=3),
    bare=COMPLETE_VALUES,
    first=st.booleans(),
)
@example(key={}, more=[("kid", b'"\\ud800"')], bare=b"null", first=True)
@example(key={}, more=[("x5c", b'"\xff"')], bare=b"1" * 5_000, first=True)
@example(key={}, more=[("n", b"[" * 300 + b"]" * 300)], bare=b"NaN", first=True)
async def test_valid_keys_are_used_beside_random_keys_of_the_issuer(
    key: Mapping[str, object], more: Sequence[tuple[str, bytes]], bare: bytes, *, first: bool
) -> None:
    good = json.dumps(jwk(key_of("ES256"), kid="first")).encode()
    odd = [object_with(key, more, first=False), bare]
    listed = b", ".join([*odd, good] if first else [good, *odd])

    body = b'{"keys": [' + listed + b"]}"
    keys = await keys_of(body)

    if is_too_deep(body):
        assert isinstance(keys, SourceFailure)
        assert keys.code is Code.SOURCE_MALFORMED
    else:
        assert isinstance(keys, KeySet)
        assert keys.find("first", "ES256") is not None


@fuzz
@given(
    name=st.sampled_from(["issuer", "jwks_uri", "jwks", "scopes_supported", ""]),
    value=ANY_VALUE,
    document=ANY_VALUE | st.binary(max_size=60),
)
@example(name="jwks_uri", value=b'"https://' + b"a" * 64 + b'/keys"', document=b"")
@example(name="scopes_supported", value=b'"\\ud800"', document=b"[]")
async def test_random_discovery_documents_and_keys_give_keys_or_a_failure(
    name: str, value: bytes, document: bytes
) -> None:
    right = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}keys"}
    keys = json.dumps({"keys": [jwk(key_of("ES256"), kid="first")]}).encode()

    for discovery, published in (
        (object_with(right, [(name, value)], first=False), keys),
        (document, keys),
        (json.dumps(right).encode(), document),
    ):
        found = await keys_of(discovery, published)

        if isinstance(found, SourceFailure):
            assert found.code is Code.SOURCE_MALFORMED
            assert found.detail.isascii()
        else:
            assert found.find("first", "ES256") is not None


RESPONSE_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"retry-after", b"content-type", b"content-encoding", b"date", b"x-a"]),
        st.sampled_from(
            [
                *(b"1", b"-1", b"1e9", b"9" * 400, b"", b"application/json", b"identity", b"\xff"),
                *(b"-jan-2020 00:00:00 GMT", b"Wed, 1 Jan 99999999999999999999 00:00:00 GMT"),
                *(b"Wed, 1 Jan 2020 00:00:00 +99999999999999999", b"text/plain", b"a" * 9_000),
            ]
        )
        | st.binary(max_size=20),
    ),
    max_size=2,
)


@fuzz
@given(
    more=st.lists(
        st.tuples(
            st.sampled_from(["access_token", "token_type", "expires_in", "scope", "error"]),
            ANY_VALUE,
        ),
        max_size=3,
    ),
    status=st.sampled_from([200, 200, 200, 204, 302, 400, 401, 429, 500, 503]),
    headers=RESPONSE_HEADERS,
)
@example(more=[("scope", b'"\\ud800"')], status=200, headers=[])
@example(more=[("expires_in", b"1" * 5_000)], status=200, headers=[])
@example(more=[], status=429, headers=[(b"retry-after", b"-jan-2020 00:00:00 GMT")])
async def test_a_random_response_of_a_token_endpoint_is_a_token_or_a_failure(
    more: Sequence[tuple[str, bytes]], status: int, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    good = {"access_token": "abc", "token_type": "Bearer", "expires_in": 3600}
    body = object_with(good, more, first=False)
    transport = FakeTransport(lambda _: httpx.Response(status, content=body, headers=[*headers]))
    auth = ClientCredentialsAuth.model_validate(
        {
            "kind": "client_credentials",
            "token_url": f"{ISSUER}token",
            "client_id": "gateway",
            "client_secret": "secret",
        }
    )

    result = await AuthorizationServer("profile", auth, transport, ManualClock()).request_token()

    if isinstance(result, SourceFailure):
        assert result.detail.startswith("token endpoint: ")
        return
    assert status == 200
    assert is_bearer_token(result.token)
    assert result.expires_in is None or 0 <= result.expires_in < float("inf")
