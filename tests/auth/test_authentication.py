"""Authentication of requests: accepted and refused callers, and no token in any output."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import OctKey
from pydantic import SecretStr

from app.errors import ConfigurationError
from app.main import create_app
from app.observability.logs import make_log
from app.settings.auth import JwtCallers
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.server import BatchSettings, CorsSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, profile_row, settings_for_fakes, user_id
from tests.issuer import AUDIENCE, ISSUER, FakeIssuer, knowing, signed
from tests.telemetry import recorded

QUERY = {"query": f'{{ user(id: "{user_id(1)}") {{ username }} }}'}
SERVICE = {"query": "{ _service { sdl } }"}
ROUTER = "the-token-of-the-router"
SECRET = "a secret for development, of more than 32 bytes"


async def post(
    gateway: GatewayClient, body: object = QUERY, *headers: tuple[str, str], query: str = ""
) -> httpx.Response:
    """Send a request with some headers."""
    return await gateway.client.post(f"/graphql{query}", json=body, headers=[*headers])


def bearer(token: str) -> tuple[str, str]:
    """Make the header for a token."""
    return ("Authorization", f"Bearer {token}")


def test_the_gateway_does_not_start_without_an_authentication_mode() -> None:
    settings = settings_for_fakes(auth=None)

    with pytest.raises(ConfigurationError, match=r"^GATEWAY_AUTH__MODE is missing: expected jwt"):
        create_app(settings, make_log(settings.log))


@pytest.mark.parametrize("media_type", ["application/json", "application/graphql-response+json"])
async def test_a_request_without_a_token_is_refused_with_a_challenge(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, media_type: str
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await post(gateway, QUERY, ("Accept", media_type))

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="user-gateway"'
    assert response.headers["content-type"].startswith(media_type)
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "errors": [
            {
                "message": "there is no token in the request: send Authorization: Bearer and a"
                " token of the identity provider",
                "extensions": {"code": "UNAUTHENTICATED"},
            }
        ]
    }
    assert not services.calls["profile"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_of_a_token_is_case_insensitive(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, scheme: str
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await post(gateway, QUERY, ("Authorization", f"{scheme} {issuer.token()}"))

    assert response.status_code == 200


async def test_a_token_outside_the_authorization_header_is_ignored(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        token = issuer.token()
        cookie = await post(gateway, QUERY, ("Cookie", f"access_token={token}; token={token}"))
        query = await post(gateway, QUERY, query=f"?access_token={token}")
        body = await post(gateway, {**QUERY, "extensions": {"access_token": token}})

    assert [one.status_code for one in (cookie, query, body)] == [401, 401, 401]
    assert {one.headers["www-authenticate"] for one in (cookie, query, body)} == {
        'Bearer realm="user-gateway"'
    }


@pytest.mark.parametrize("value", ["Basic YTpi", "Negotiate x", "Bearer", "Bearer ", "x", ""])
async def test_an_authorization_header_without_a_bearer_token_is_refused(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, value: str
) -> None:
    async with open_gateway(knowing(issuer, services, {"anonymous": True})) as gateway:
        response = await post(gateway, QUERY, ("Authorization", value))

    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "scheme", ["Basic", "DPoP", "Token", "JWT", "Bearers", "Bear", "Bearer,", "Bearer:", "b", ""]
)
async def test_a_valid_token_with_another_scheme_is_refused(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, scheme: str
) -> None:
    async with open_gateway(knowing(issuer, services, {"anonymous": True})) as gateway:
        shown = ("Authorization", f"{scheme} {issuer.token()}".strip())
        response = await post(gateway, QUERY, shown)

    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert not services.calls["profile"]


async def test_two_authorization_headers_are_refused_even_if_one_is_valid(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        valid = bearer(issuer.token())
        responses = [await post(gateway, QUERY, valid, other) for other in (valid, bearer("x"))]

    for response in responses:
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert 'error="invalid_request"' in response.headers["www-authenticate"]


async def test_the_reason_of_a_refused_request_is_logged(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await post(gateway, QUERY)
        await post(gateway, QUERY, bearer("x"))
        await post(gateway, QUERY, bearer(issuer.token()))

        refused = [one["why"] for one in gateway.events("auth.refused")]
        assert refused == ["there is no token", "the token is not a JWT"]
        assert [one["auth"] for one in gateway.events("gateway.opened")] == ["jwt"]


async def test_anonymous_access_allows_a_missing_token_but_not_an_invalid_one(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    async with open_gateway(knowing(issuer, services, {"anonymous": True})) as gateway:
        without = await post(gateway)
        invalid = await post(gateway, QUERY, bearer(issuer.token(aud="another")))

    assert without.json() == {"data": {"user": {"username": "user1"}}}
    assert invalid.status_code == 401


async def test_tokens_are_ignored_without_authentication(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes()) as gateway:
        responses = [await post(gateway), await post(gateway, QUERY, bearer("x"))]

    assert [one.status_code for one in responses] == [200, 200]


async def test_graphiql_and_health_checks_need_no_token(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    settings = knowing(issuer, services, graphiql=True, introspection=True)

    async with open_gateway(settings) as gateway:
        await clock.settle()
        page = await gateway.client.get("/graphql", headers={"Accept": "text/html"})
        healthy = [await gateway.client.get(path) for path in ("/healthz", "/readyz")]
        query = await gateway.client.get(
            "/graphql?query={__typename}", headers={"GraphQL-Require-Preflight": "1"}
        )

    assert page.headers["content-type"].startswith("text/html")
    assert [one.status_code for one in healthy] == [200, 200]
    assert query.status_code == 401


async def test_only_tokens_signed_with_the_configured_secret_are_accepted(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    key, other = OctKey.import_key(SECRET.encode()), OctKey.generate_key(512)
    tokens = [
        signed(issuer.claims(), key, "HS256"),
        signed(issuer.claims(), key, "HS256", kid="any"),
        signed(issuer.claims(), other, "HS256"),
        signed(issuer.claims(aud="x"), key, "HS256"),
        signed(issuer.claims(), key, "HS512"),
        issuer.token(),
    ]

    async with open_gateway(knowing(issuer, services, {"secret": SECRET})) as gateway:
        statuses = [(await post(gateway, QUERY, bearer(one))).status_code for one in tokens]
        ready = await gateway.client.get("/readyz")

    assert statuses == [200, 200, 401, 401, 401, 401]
    assert ready.status_code == 200
    assert not issuer.asked


async def test_the_documented_command_makes_a_valid_development_token(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    text = (Path(__file__).parents[2] / "docs/how-to/authentication.md").read_text(encoding="utf-8")
    [command] = re.findall(r"\.venv/bin/python -c '(.*)'", text)
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command),
        env={**os.environ, "GATEWAY_AUTH__SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
    )
    token = (await made.communicate())[0].decode().strip()
    dev = JwtCallers(
        mode="jwt", issuer="dev", audience="user-gateway", secret=SecretStr(SECRET), leeway=0
    )

    async with open_gateway(settings_for_fakes(auth=dev)) as gateway:
        response = await post(gateway, QUERY, bearer(token))

    assert response.status_code == 200


async def test_the_quota_is_counted_by_subject_or_else_by_address(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    document = len(QUERY["query"]) // 4
    limits = LimitsSettings(rate=RateSettings(quota=document + 1, window=86_400))
    settings = knowing(issuer, services, {"anonymous": True}, limits=limits)

    async with open_gateway(settings) as gateway:

        async def status(*headers: tuple[str, str]) -> int:
            return (await post(gateway, QUERY, *headers)).status_code

        first = [await status(bearer(issuer.token(sub="a", jti=str(one)))) for one in range(3)]
        anonymous = [await status() for _ in range(3)]
        address = await status(bearer(issuer.token(sub="127.0.0.1")))
        longest = [await status(bearer(issuer.token(sub="x" * 5_000 + end))) for end in "ab"]

    # The first request has paid for the document and for one operation. This is the whole quota.
    assert first == [200, 429, 429]
    assert [*anonymous, address, *longest] == [200] * 6


async def test_only_a_router_with_its_token_may_read_the_schema(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    settings = knowing(issuer, services, router_token=SecretStr(ROUTER))
    shown = ("X-Router-Token", ROUTER)

    async with open_gateway(settings) as gateway:
        user = bearer(issuer.token())
        sdl = [await post(gateway, SERVICE, shown), await post(gateway, SERVICE, shown, user)]
        others = [
            await post(gateway, SERVICE, user),
            await post(gateway, SERVICE, user, ("X-Router-Token", ROUTER + "x")),
            await post(gateway, SERVICE, user, ("X-Router-Token", "")),
            await post(gateway, SERVICE, user, shown, shown),
        ]
        schema = await post(gateway, {"query": "{ __schema { types { name } } }"}, shown)
        without_token = await post(gateway, SERVICE, ("X-Router-Token", "wrong"))
        public = await post(gateway, QUERY, shown)
        bad = await post(gateway, SERVICE, shown, bearer("x"))

    assert all("type User" in one.json()["data"]["_service"]["sdl"] for one in sdl)
    for one in (*others, schema):
        assert one.json()["errors"][0]["extensions"]["code"] == "INTROSPECTION_DISABLED"
    assert without_token.status_code == 401
    assert public.json() == {"data": {"user": {"username": "user1"}}}
    assert bad.status_code == 401


async def test_a_router_token_works_without_authentication_too(open_gateway: OpenGateway) -> None:
    async with open_gateway(settings_for_fakes(router_token=SecretStr(ROUTER))) as gateway:
        response = await post(gateway, SERVICE, ("X-Router-Token", ROUTER))
        other = await post(gateway, SERVICE)

    assert "sdl" in response.json()["data"]["_service"]
    assert other.json()["errors"][0]["extensions"]["code"] == "INTROSPECTION_DISABLED"


async def test_the_response_to_a_batch_has_the_headers_of_a_refused_operation(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    quota = len(QUERY["query"]) // 4 + 1
    settings = settings_for_fakes(
        batch=BatchSettings(enabled=True),
        limits=LimitsSettings(rate=RateSettings(quota=quota, window=86_400)),
    )

    async with open_gateway(settings) as gateway:
        response = await post(gateway, [QUERY, QUERY, QUERY])

    codes = [one.get("errors", [{}])[0].get("extensions", {}) for one in response.json()]
    assert [one.get("code") for one in codes].count("RATE_LIMITED") == 2
    assert response.headers["retry-after"].isdigit()
    assert response.headers["ratelimit-policy"].startswith('"cost"')


async def test_allowed_origins_may_send_tokens_and_read_the_refusal(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    origin = "https://app.example.com"
    settings = knowing(issuer, services, cors=CorsSettings(origins=(origin,)))

    async with open_gateway(settings) as gateway:
        preflight = await gateway.client.options(
            "/graphql",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        refused = await post(gateway, QUERY, ("Origin", origin))

    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == origin
    exposed = refused.headers["access-control-expose-headers"].lower()
    assert {"www-authenticate", "retry-after", "ratelimit"} <= {*exposed.split(", ")}


async def test_no_part_of_a_token_is_in_logs_responses_or_upstream_calls(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    marks = {name: f"marker-{name}" for name in ("sub", "email", "scope", "jti", "aud", "iss")}
    settings = knowing(issuer, services, router_token=SecretStr(f"marker-{ROUTER}"))
    shown = ("X-Router-Token", f"marker-{ROUTER}")

    async with open_gateway(settings) as gateway:
        tokens = [
            issuer.token(**{**marks, "aud": AUDIENCE, "iss": ISSUER}),
            issuer.token(**marks),
            issuer.token(**{**marks, "aud": AUDIENCE}),
            issuer.token(**{**marks, "aud": AUDIENCE, "iss": ISSUER, "exp": 1}),
            signed(issuer.claims(**marks), issuer.keys["first"], kid="marker-kid"),
            signed(issuer.claims(**marks), issuer.keys["first"], kid="first", typ="marker-typ"),
            "marker-garbage",
            "marker-garbage." * 1_000,
        ]
        responses = [await post(gateway, QUERY, bearer(one), shown) for one in tokens]
        issuer.down = True
        clock.advance(11)
        responses.append(await post(gateway, QUERY, bearer(tokens[4])))
        responses.append(await post(gateway, QUERY, bearer(tokens[0]), bearer(tokens[1])))
        responses.append(await post(gateway, QUERY, ("Authorization", "Basic marker-basic")))
        log = gateway.log

    outputs = [log, *(f"{one.headers}{one.text}" for one in responses)]
    sent = [
        f"{one.url}{one.headers}{one.content!r}"
        for service in services.by_name.values()
        for one in service.requests
    ]
    secrets = ["marker", *(part for one in tokens[:6] for part in one.split("."))]
    assert [one.status_code for one in responses] == [200, *[401] * 7, 503, 400, 401]
    assert sent
    assert not [one for one in secrets if any(one in text for text in (*outputs, *sent))]


async def test_a_token_is_forwarded_only_if_configured_and_a_cookie_never(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    settings = knowing(issuer, services)
    sources = {
        **settings.sources,
        "billing": calm_source(base_url="http://billing", auth={"kind": "forward"}),
        "activity": calm_source(
            base_url="http://activity", auth={"kind": "none", "forward_headers": ["X-Tenant"]}
        ),
    }
    query = {"query": f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}'}

    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        shown = bearer(issuer.token(scope="activity:read"))
        response = await post(gateway, query, shown, ("Cookie", "a=b"), ("X-Tenant", "t"))

    assert response.json()["data"]["user"]["plan"] == "pro"
    sent = {name: one.requests[0].headers for name, one in services.by_name.items()}
    assert {name: one.get("authorization") for name, one in sent.items()} == {
        "profile": None,
        "billing": shown[1],
        "activity": None,
    }
    assert sent["activity"]["x-tenant"] == "t"
    assert not any("cookie" in one or "x-router-token" in one for one in sent.values())


@pytest.mark.parametrize(
    ("changes", "claims", "scopes"),
    [
        ({}, {"sub": user_id(1)}, False),
        ({}, {"sub": user_id(1), "scope": "openid  profile:read"}, True),
        ({}, {"sub": user_id(1), "scope": ["profile:read", 1]}, True),
        ({}, {"sub": user_id(1), "scope": {"profile:read": True}}, False),
        ({}, {"sub": user_id(1), "scp": "profile:read"}, False),
        ({"scope_claim": "scp"}, {"sub": user_id(1), "scp": "profile:read"}, True),
        ({"user_claim": "https://example.com/uid"}, {"https://example.com/uid": user_id(1)}, False),
    ],
)
async def test_a_token_names_the_user_and_the_scopes_of_the_caller(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    changes: Mapping[str, str],
    claims: Mapping[str, object],
    *,
    scopes: bool,
) -> None:
    services.know(2)
    query = {"query": f'{{ me {{ email }} other: user(id: "{user_id(2)}") {{ email }} }}'}

    async with open_gateway(knowing(issuer, services, changes)) as gateway:
        response = await post(gateway, query, bearer(issuer.token(**{"sub": "x", **claims})))

    assert response.json()["data"] == {
        "me": {"email": "user1@example.com"},
        "other": {"email": "user2@example.com" if scopes else None},
    }


@pytest.mark.parametrize(
    "claim", [1, 1.0, True, ["1"], [1], {"1": 1}, {"sub": "1"}, "", None, "1 ", " 1", "1\n", "+1"]
)
async def test_a_claim_that_is_not_the_text_of_a_user_id_names_no_user(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, claim: object
) -> None:
    services.profile.rows["1"] = profile_row(1, id="1")
    settings = knowing(
        issuer, services, {"user_claim": "uid"}, user_id_pattern=re.compile(r"[0-9]+|True")
    )
    query = {"query": '{ me { username } user(id: "1") { email } }'}

    async with open_gateway(settings) as gateway:
        right = await post(gateway, query, bearer(issuer.token(uid="1")))
        wrong = await post(gateway, query, bearer(issuer.token(uid=claim)))

    assert right.json()["data"] == {
        "me": {"username": "user1"},
        "user": {"email": "user1@example.com"},
    }
    assert wrong.status_code == 200
    assert wrong.json()["data"] == {"me": None, "user": {"email": None}}
    [error] = [one for one in wrong.json()["errors"] if one["path"] == ["me"]]
    is_text = isinstance(claim, str) and claim
    assert error["extensions"]["code"] == ("BAD_USER_INPUT" if is_text else "UNAUTHENTICATED")


@pytest.mark.parametrize("subject", [None, "x", "", "../admin", "\x00", "x" * 5_000])
async def test_a_subject_that_is_not_a_user_id_names_no_user(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, subject: str | None
) -> None:
    query = {"query": "{ me { username } }"}

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await post(gateway, query, bearer(issuer.token(sub=subject)))
        bugs = gateway.events("graphql.bug")

    assert response.status_code == 200
    assert response.json()["data"] == {"me": None}
    assert not services.calls["profile"]
    assert not bugs


async def test_concurrent_requests_are_each_authenticated_by_their_own_token(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        valid, invalid = bearer(issuer.token()), bearer(issuer.token(exp=1))
        requests = [post(gateway, QUERY, valid if one % 2 else invalid) for one in range(40)]
        statuses = [one.status_code for one in await asyncio.gather(*requests)]

    assert statuses == [200 if one % 2 else 401 for one in range(40)]
    assert issuer.fetches == 1


async def test_callers_are_counted_by_the_result_of_their_authentication(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    measured = recorded(clock.monotonic, traces=False)
    settings = knowing(issuer, services, router_token=SecretStr(ROUTER))

    async with open_gateway(settings, telemetry=measured.telemetry) as gateway:
        await post(gateway, QUERY, bearer(issuer.token()))
        await post(gateway, QUERY, bearer(issuer.token(sub=None, client_id="a service")))
        await post(gateway)
        await post(gateway, QUERY, bearer("nonsense"))
        await post(gateway, SERVICE, ("X-Router-Token", ROUTER))

    assert measured.values("gateway.authentication.results") == {
        ("known",): 1,
        ("anonymous",): 1,  # a service, not a user
        ("refused",): 2,
        ("router",): 1,
    }


async def test_callers_that_cannot_be_verified_without_keys_are_counted_apart(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    measured = recorded(clock.monotonic, traces=False)
    issuer.down = True

    async with open_gateway(knowing(issuer, services), telemetry=measured.telemetry) as gateway:
        await clock.settle()
        await post(gateway, QUERY, bearer(issuer.token()))

    assert measured.values("gateway.authentication.results") == {("unavailable",): 1}
