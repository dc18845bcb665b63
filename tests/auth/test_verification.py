"""The verification of tokens: which are accepted."""

import base64
import hmac
import json
from collections.abc import Mapping

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from app.auth.tokens import MAX_TOKEN
from tests.auth.conftest import ask
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.fakes import FakeServices
from tests.issuer import AUDIENCE, FakeIssuer, jwk, key_of, knowing, signed
from tests.properties import examples


def refusal_reason(response: httpx.Response) -> str:
    """Check the refusal of a token, and return the reason."""
    [error] = response.json()["errors"]
    assert response.status_code == 401
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    challenge = response.headers["www-authenticate"]
    start = 'Bearer realm="user-gateway", error="invalid_token", error_description="'
    assert challenge.startswith(start)
    reason = challenge.removeprefix(start).removesuffix('"')
    assert error["message"] == (
        f"{reason}: send Authorization: Bearer and a token of the identity provider"
    )
    return str(reason)


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
)
async def test_a_token_of_the_issuer_is_accepted_with_each_algorithm(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, algorithm: str
) -> None:
    issuer.keys, issuer.algorithm = {"first": key_of(algorithm)}, algorithm

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, issuer.token())

    assert response.json() == {"data": {"user": {"username": "user1"}}}


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://login.example.com"}, "not valid here because of its claim iss"),
        ({"iss": None}, "lacks one of iss, aud and exp"),
        ({"iss": ["https://login.example.com/"]}, "claim iss"),
        ({"aud": "another"}, "claim aud"),
        ({"aud": ["another", "user-gateway2"]}, "claim aud"),
        ({"aud": None}, "lacks"),
        ({"aud": []}, "claim aud"),
        ({"aud": [1, AUDIENCE]}, "claim aud"),
        ({"aud": {AUDIENCE: 1}}, "claim aud"),
        ({"exp": None}, "lacks"),
        ({"exp": "2999-01-01"}, "claim exp"),
        ({"exp": True}, "claim exp"),
        ({"exp": 10**400}, "does not contain a JSON object"),
        ({"nbf": "soon"}, "claim nbf"),
        ({"iat": "now"}, "claim iat"),
        ({"sub": 1}, "claim sub"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
    ],
)
async def test_a_token_with_invalid_claims_is_refused(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    claims: Mapping[str, object],
    reason: str,
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, issuer.token(**claims))

    assert reason in refusal_reason(response)
    assert not services.calls["profile"]


@pytest.mark.parametrize("audience", [AUDIENCE, ["other", AUDIENCE]])
async def test_a_token_needs_only_one_of_the_accepted_audiences(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, audience: object
) -> None:
    changes = {"audience": ("third", AUDIENCE)}

    async with open_gateway(knowing(issuer, services, changes)) as gateway:
        response = await ask(gateway, issuer.token(aud=audience))

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("claim", "offset", "good"),
    [
        ("exp", -29, True),  # over by 29 s
        ("exp", -30, False),  # "on or after" (RFC 7519, section 4.1.4)
        ("nbf", 30, True),
        ("nbf", 31, False),
        ("iat", 30, True),
        ("iat", 31, False),
    ],
)
async def test_the_times_of_a_token_may_differ_by_the_leeway_and_no_more(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    claim: str,
    offset: int,
    *,
    good: bool,
) -> None:
    at = int(issuer.clock.now().timestamp()) + offset

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, issuer.token(**{claim: at}))

    assert response.status_code == (200 if good else 401)


async def test_a_token_expires_exactly_at_its_exp_without_leeway(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services, {"leeway": 0})) as gateway:
        token = issuer.token(exp=int(clock.now().timestamp()) + 10)
        clock.advance(9)
        before = await ask(gateway, token)
        clock.advance(1)
        after = await ask(gateway, token)

    assert before.status_code == 200
    assert refusal_reason(after) == "the token has expired"


async def test_an_algorithm_outside_the_configured_list_is_refused(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    issuer.keys = {"first": key_of("ES256"), "second": key_of("RS256")}

    async with open_gateway(knowing(issuer, services, {"algorithms": ["ES256"]})) as gateway:
        good = await ask(gateway, issuer.token())
        bad = await ask(gateway, signed(issuer.claims(), key_of("RS256"), "RS256", kid="second"))

    assert good.status_code == 200
    assert "an algorithm that is not accepted here" in refusal_reason(bad)


async def test_a_key_verifies_no_other_algorithm_than_its_own(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    key = key_of("RS256")
    issuer.published = [jwk(key, kid="first", alg="RS256"), jwk(key_of("ES256"), kid="second")]

    async with open_gateway(knowing(issuer, services)) as gateway:
        good = await ask(gateway, signed(issuer.claims(), key, "RS256", kid="first"))
        bad = [
            await ask(gateway, signed(issuer.claims(), key, algorithm, kid=name))
            for algorithm, name in (("PS256", "first"), ("RS512", "first"), ("RS256", "second"))
        ]

    assert good.status_code == 200
    assert {refusal_reason(one) for one in bad} == {"the token is signed with an unknown key"}


def encoded(value: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def unsigned(claims: Mapping[str, object], **header: object) -> str:
    """Make a token with an empty signature."""
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}."


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    issuer.keys, issuer.algorithm = {"first": key_of("RS256")}, "RS256"
    public: bytes = RSAKey.import_key(jwk(key_of("RS256"))).as_pem()
    text = unsigned(issuer.claims(), alg="HS256", kid="first").rstrip(".")

    async with open_gateway(knowing(issuer, services)) as gateway:
        reasons = [
            refusal_reason(
                await ask(gateway, f"{text}.{encoded(hmac.digest(form, text.encode(), 'sha256'))}")
            )
            for form in (public, public.strip())
        ]

    assert reasons == ["the token is signed with an algorithm that is not accepted here"] * 2


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "RS1", "dir", "ES256K"])
async def test_an_unsigned_token_is_refused_with_any_unaccepted_algorithm(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, algorithm: str
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, unsigned(issuer.claims(), alg=algorithm, kid="first"))

    assert "an algorithm that is not accepted here" in refusal_reason(response)


async def test_a_key_in_the_header_of_a_token_is_not_used(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    own = key_of("ES256", 7)
    brought: list[Mapping[str, object]] = [
        {"jwk": jwk(own)},
        {"jku": "https://evil.example.com/keys"},
        {"x5u": "https://evil.example.com/certificate"},
        {"x5c": ["MIIB"]},
    ]

    async with open_gateway(knowing(issuer, services)) as gateway:
        responses = [
            await ask(gateway, signed(issuer.claims(), own, kid="first", **header))
            for header in brought
        ]
        good = await ask(
            gateway,
            signed(
                issuer.claims(), issuer.keys["first"], kid="first", jku="https://evil.example.com/"
            ),
        )

    assert {refusal_reason(response) for response in responses} == {
        "the token's signature is wrong"
    }
    assert good.status_code == 200
    assert set(issuer.asked) == {"/.well-known/openid-configuration", "/keys"}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"crit": ["exp"]}, "requires an extension"),
        ({"crit": ["b64"], "b64": False}, "requires an extension"),
        ({"crit": []}, "requires an extension"),
        ({"crit": None}, "requires an extension"),
        ({"crit": 1}, "requires an extension"),
        ({"crit": "exp"}, "requires an extension"),
        ({"crit": [["exp"]]}, "requires an extension"),
        ({"crit": {"exp": 1}}, "requires an extension"),
        ({"b64": False}, "is not a JWT"),
        ({"b64": None}, "is not a JWT"),
        ({"b64": 1}, "is not a JWT"),
        ({"typ": "dpop+jwt"}, "according to its typ"),
        ({"typ": "logout+jwt"}, "according to its typ"),
        ({"typ": 1}, "is not a JWT"),
        ({"kid": 1}, "is not a JWT"),
        ({"kid": "x" * 1_025}, "is not a JWT"),
        ({"alg": None}, "is not a JWT"),
        ({"alg": ["ES256"]}, "is not a JWT"),
    ],
)
async def test_a_token_with_an_unsupported_header_is_refused(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    header: Mapping[str, object],
    reason: str,
) -> None:
    token = unsigned(issuer.claims(), **{"alg": "ES256", "kid": "first", **header})

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, token + "AAAA")

    assert reason in refusal_reason(response)


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/at+JWT"])
async def test_a_token_may_have_the_typ_of_a_jwt_or_an_access_token(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, typ: str
) -> None:
    token = signed(issuer.claims(), issuer.keys["first"], kid="first", typ=typ)

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, token)

    assert response.status_code == 200


async def test_a_token_is_accepted_up_to_the_maximum_length(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    def padded(length: int) -> str:
        short = len(issuer.token(pad=""))
        return issuer.token(pad="x" * ((length - short) * 3 // 4))

    longest = padded(MAX_TOKEN)
    assert MAX_TOKEN - 2 <= len(longest) <= MAX_TOKEN

    async with open_gateway(knowing(issuer, services)) as gateway:
        good = await ask(gateway, longest)
        over = await ask(gateway, padded(MAX_TOKEN + 3))

    assert good.status_code == 200
    assert refusal_reason(over) == "the token is longer than 8192 characters"


_DEEP = base64.urlsafe_b64encode(b"[" * 5_000).decode()

TOKENS = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="abcABC019-_.=", max_size=200).map(str.encode),
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), inner)
            ),
            max_leaves=6,
        ).map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")),
        min_size=1,
        max_size=4,
    ).map(b".".join),
    st.sampled_from([_DEEP.encode(), f"{_DEEP}.{_DEEP}.AAAA".encode(), b"..", b"a.b.c.d.e", b""]),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=examples(20),
)
@given(tokens=st.lists(TOKENS, min_size=50, max_size=100), cut=st.integers(0, 300))
async def test_random_tokens_are_refused_without_an_internal_error(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    tokens: list[bytes],
    cut: int,
) -> None:
    good = issuer.token().encode()
    cut %= len(good)
    swapped = bytes([good[cut] ^ 1])
    tokens += [good[:cut], good[:cut] + swapped + good[cut + 1 :], good + b"." + good]
    clean = [b"".join(one.translate(None, b"\r\n\0").split(b"\n")) for one in tokens]

    async with open_gateway(knowing(issuer, services)) as gateway:
        responses = [await ask(gateway, token) for token in clean]

        assert {response.status_code for response in responses} == {401}
        assert "http.bug" not in gateway.log
