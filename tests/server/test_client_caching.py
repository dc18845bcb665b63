"""Cache-Control and ETag: responses that clients and caches may store."""

import io
import re
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
import pytest

from app.execution.document_store import hash_of
from app.observability.logs import make_log
from app.settings.credentials import NoAuth
from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from app.settings.server import (
    CacheControlSettings,
    CorsSettings,
    PersistedSettings,
    TrustedSettings,
)
from tests.apps import make_app
from tests.callers import by_headers, headers_of
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import Behaviour, FakeServices, failing, invoice, settings_for_fakes, user_id
from tests.ways import BOTH, Ways
from tests.wire import served

NAMES = f'{{ user(id: "{user_id(1)}") {{ displayName }} }}'
PLAN = f'{{ user(id: "{user_id(1)}") {{ displayName plan }} }}'
NO_STORE = "no-store"


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test both ways."""
    ways: Ways = request.param
    return ways


def storing(scope: str = "public", **changes: Any) -> Settings:  # noqa: ANN401 # any setting
    """Make settings by which responses to persisted documents may be stored."""
    names = CacheControlSettings.model_fields.keys() & changes.keys()
    own = {name: changes.pop(name) for name in names}
    control = CacheControlSettings.model_validate({"scope": scope, **own})
    persisted = PersistedSettings(enabled=True)
    return settings_for_fakes(cache_control=control, persisted=persisted, **changes)


def send_headers(services: FakeServices, name: str, **headers: str) -> None:
    """Make a service add headers to its responses."""
    service = services.by_name[name]

    def behave(request: httpx.Request) -> httpx.Response:
        service.behaviour = None
        try:
            service.batches.pop()
            response = service.answer(request)
        finally:
            service.behaviour = behave
        response.headers.update({key.replace("_", "-"): value for key, value in headers.items()})
        return response

    behaved: Behaviour = behave
    service.behaviour = behaved


async def get(
    gateway: GatewayClient, query: str, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Send a document once, and then request it by its hash."""
    named = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(query)}}
    await gateway.client.post(
        "/graphql", json={"query": query, "extensions": named}, headers=headers
    )
    return await gateway.client.get(
        "/graphql",
        params={"extensions": orjson.dumps(named).decode()},
        headers={"X-Requested-With": "a test", **(headers or {})},
    )


def cache_control_of(response: httpx.Response) -> str:
    """Return the Cache-Control header; check that an ETag is present unless it is ``no-store``."""
    control = response.headers["cache-control"]
    assert ("etag" in response.headers) == (control != NO_STORE)
    return str(control)


async def test_responses_are_not_stored_by_default(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    send_headers(services, "profile", cache_control="max-age=60")

    async with open_gateway(storing("never")) as gateway:
        assert cache_control_of(await get(gateway, NAMES)) == NO_STORE


async def test_max_age_is_the_shortest_of_all_sources(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    send_headers(services, "profile", cache_control="max-age=300")
    send_headers(services, "billing", cache_control="max-age=60", age="20")

    async with open_gateway(storing()) as gateway:
        names, plan = await get(gateway, NAMES), await get(gateway, PLAN)

    assert cache_control_of(names) == "public, max-age=300"
    assert cache_control_of(plan) == "public, max-age=40"
    assert names.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    ("of_source", "fields", "max_age", "expected"),
    [
        (None, {}, 0, NO_STORE),
        (None, {}, 30, "public, max-age=30"),
        (None, {"displayName": 90}, 0, "public, max-age=90"),
        (None, {"displayName": 90}, 30, "public, max-age=90"),
        (None, {"displayName": 0}, 30, NO_STORE),
        ("max-age=60", {"displayName": 90}, 30, "public, max-age=60"),
        ("max-age=600", {"displayName": 90}, 30, "public, max-age=90"),
        ("max-age=60", {}, 30, "public, max-age=60"),
        ("private", {}, 30, "private, max-age=30"),
        ("private, max-age=60", {}, 0, "private, max-age=60"),
        ("no-store", {"displayName": 90}, 30, NO_STORE),
        ("max-age=0", {"displayName": 90}, 30, NO_STORE),
        ("s-maxage=50, max-age=5", {}, 0, "public, max-age=50"),
    ],
)
async def test_a_field_setting_limits_or_replaces_the_max_age_of_the_source(
    open_gateway: OpenGateway,
    services: FakeServices,
    *,
    of_source: str | None,
    fields: Mapping[str, int],
    max_age: int,
    expected: str,
) -> None:
    services.know(1)
    if of_source is not None:
        send_headers(services, "profile", cache_control=of_source)

    async with open_gateway(storing(fields=fields, max_age=max_age)) as gateway:
        assert cache_control_of(await get(gateway, NAMES)) == expected


async def test_a_response_is_stored_only_if_each_field_has_a_max_age(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    query = NAMES.replace("displayName", "displayName username")

    async with open_gateway(storing(fields={"displayName": 90})) as gateway:
        assert cache_control_of(await get(gateway, NAMES)) == "public, max-age=90"
        assert cache_control_of(await get(gateway, query)) == NO_STORE


async def test_the_headers_of_a_page_limit_max_age(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    services.billing.invoices[user_id(1)] = [invoice(1)]
    send_headers(services, "billing", cache_control="max-age=60")
    query = f'{{ user(id: "{user_id(1)}") {{ invoices {{ edges {{ node {{ id }} }} }} }} }}'

    async with open_gateway(storing()) as gateway:
        assert cache_control_of(await get(gateway, query)) == "public, max-age=60"
        send_headers(services, "billing")
        assert cache_control_of(await get(gateway, query)) == NO_STORE


async def test_max_age_is_reduced_by_the_age_of_cached_entries(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    send_headers(services, "profile", cache_control="max-age=60")
    settings = storing()
    cached = settings.sources["profile"].model_copy(
        update={"cache": CacheSettings(enabled=True, ttl=100.0)}
    )
    sources = {**settings.sources, "profile": cached}

    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        first = await get(gateway, NAMES)
        clock.advance(25.0)
        second = await get(gateway, NAMES)

    assert (cache_control_of(first), cache_control_of(second)) == (
        "public, max-age=60",
        "public, max-age=35",
    )
    assert services.profile.batches == [[user_id(1)]]


@pytest.mark.parametrize(
    "case",
    [
        "an error of a source",
        "an error of an argument",
        "me",
        "the own user",
        "headers of the caller",
        "a report",
        "no document named",
        "post",
        "nothing asked",
    ],
)
async def test_responses_with_errors_or_data_of_the_caller_are_not_stored(
    open_gateway: OpenGateway, services: FakeServices, case: str
) -> None:
    services.know(1, 2)
    caller: dict[str, str] = {}
    settings = storing(max_age=60, trace="asked")
    query = PLAN
    match case:
        case "an error of a source":
            services.billing.behaviour = failing(503)
        case "an error of an argument":
            query = f'{{ user(id: "{user_id(1)}") {{ events(first: -1) {{ id }} }} }}'
        case "me":
            query, caller = "{ me { displayName } }", dict(headers_of(user_id(1)))
        case "the own user":
            caller = dict(headers_of(user_id(1)))
        case "headers of the caller":
            forward = settings.sources["billing"].model_copy(
                update={"auth": NoAuth(forward_headers=("X-Tenant",))}
            )
            sources = {**settings.sources, "billing": forward}
            settings = settings.model_copy(update={"sources": sources})
        case "a report":
            caller = {"X-Gateway-Trace": "1"}
        case "nothing asked":
            query = "{ __typename }"
        case _:
            pass

    authenticate = by_headers if "x-subject" in caller else None
    async with open_gateway(settings, authenticate) as gateway:
        if case == "no document named":
            response = await gateway.client.get(
                "/graphql", params={"query": query}, headers={"X-Requested-With": "a test"}
            )
        elif case == "post":
            response = await gateway.client.post("/graphql", json={"query": query})
        else:
            response = await get(gateway, query, caller)

    assert response.status_code == 200
    assert cache_control_of(response) == NO_STORE
    assert response.headers["vary"] == "Accept"


async def test_responses_for_a_caller_with_scopes_are_private(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    support = headers_of("support", "billing:read")

    async with open_gateway(storing(max_age=60), by_headers) as gateway:
        seen = await get(gateway, PLAN, support)
        refused = await get(gateway, PLAN)
        public = await get(gateway, NAMES)

    assert cache_control_of(seen) == "private, max-age=60"
    assert seen.headers["vary"] == "Accept, Authorization"
    assert cache_control_of(refused) == NO_STORE
    assert cache_control_of(public) == "public, max-age=60"


async def test_the_scope_private_makes_responses_private(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(storing("private", max_age=60)) as gateway:
        response = await get(gateway, NAMES)

    assert cache_control_of(response) == "private, max-age=60"


async def test_a_client_with_a_current_etag_gets_304_without_a_body(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(storing(max_age=60)) as gateway:
        first = await get(gateway, NAMES)
        tag = first.headers["etag"]
        again = await get(gateway, NAMES, {"If-None-Match": f'"other", W/{tag}'})
        services.profile.rows[user_id(1)] = {
            **services.profile.rows[user_id(1)],
            "displayName": "New",
        }
        changed = await get(gateway, NAMES, {"If-None-Match": tag})
        other_type = await get(gateway, NAMES, {"Accept": "application/graphql-response+json"})

    assert re.fullmatch('"[0-9a-f]{32}"', tag)
    assert (again.status_code, again.content) == (304, b"")
    assert cache_control_of(again) == "public, max-age=60"
    assert again.headers["etag"] == tag
    assert again.headers["vary"] == "Accept"
    assert "content-type" not in again.headers
    assert changed.status_code == 200
    assert changed.json()["data"]["user"]["displayName"] == "New"
    assert other_type.headers["content-type"].startswith("application/graphql-response+json")


async def test_the_vary_header_has_origin_if_cors_is_configured(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    cors = CorsSettings(origins=("https://app.example.com",))

    async with open_gateway(storing(max_age=60, cors=cors)) as gateway:
        without = await get(gateway, NAMES)
        page = await get(gateway, NAMES, {"Origin": "https://app.example.com"})

    assert without.headers["vary"] == page.headers["vary"] == "Accept, Origin"
    assert "ETag" in page.headers["access-control-expose-headers"]


async def test_responses_to_trusted_documents_may_be_stored(
    open_gateway: OpenGateway, services: FakeServices, tmp_path_factory: pytest.TempPathFactory
) -> None:
    services.know(1)
    folder = tmp_path_factory.mktemp("trusted")
    (folder / "names.graphql").write_text(NAMES, encoding="utf-8")
    settings = storing(max_age=60, trusted=TrustedSettings(path=folder))

    async with open_gateway(settings) as gateway:
        response = await gateway.client.get(
            "/graphql",
            params={"documentId": f"sha256:{hash_of(NAMES)}"},
            headers={"X-Requested-With": "a test"},
        )

    assert cache_control_of(response) == "public, max-age=60"


async def test_the_next_request_after_a_304_is_answered_on_the_same_connection(
    services: FakeServices, ways: Ways
) -> None:
    services.know(1)
    settings = ways.of(storing(max_age=60))
    app = make_app(
        settings, make_log(settings.log, stream=io.StringIO()), transports=services.transport
    )
    async with (
        served(app, settings) as address,
        httpx.AsyncClient(base_url=address.url.removesuffix("/graphql"), trust_env=False) as client,
    ):
        gateway = GatewayClient(app, client, io.StringIO())
        tag = (await get(gateway, NAMES)).headers["etag"]
        again = await get(gateway, NAMES, {"If-None-Match": tag})
        after = await get(gateway, NAMES)

    assert (again.status_code, again.content) == (304, b"")
    assert after.json() == {"data": {"user": {"displayName": "User 1"}}}
