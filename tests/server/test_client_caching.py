"""Answers that caches between the gateway and a client may store."""

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
    """Have every test done in both ways."""
    ways: Ways = request.param
    return ways


def storing(scope: str = "public", **changes: Any) -> Settings:  # noqa: ANN401 # any setting
    """Make settings by which answers to persisted documents may be stored."""
    names = CacheControlSettings.model_fields.keys() & changes.keys()
    own = {name: changes.pop(name) for name in names}
    control = CacheControlSettings.model_validate({"scope": scope, **own})
    persisted = PersistedSettings(enabled=True)
    return settings_for_fakes(cache_control=control, persisted=persisted, **changes)


def sending(services: FakeServices, name: str, **headers: str) -> None:
    """Have a service send headers with its answers."""
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
    """Ask for a document by its hash, after it was sent once."""
    named = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(query)}}
    await gateway.client.post(
        "/graphql", json={"query": query, "extensions": named}, headers=headers
    )
    return await gateway.client.get(
        "/graphql",
        params={"extensions": orjson.dumps(named).decode()},
        headers={"X-Requested-With": "a test", **(headers or {})},
    )


def told(response: httpx.Response) -> str:
    """Return what caches are told; with ``no-store``, nothing else."""
    control = response.headers["cache-control"]
    assert ("etag" in response.headers) == (control != NO_STORE)
    return str(control)


async def test_by_default_nothing_is_stored(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    sending(services, "profile", cache_control="max-age=60")

    async with open_gateway(storing("never")) as gateway:
        assert told(await get(gateway, NAMES)) == NO_STORE


async def test_the_least_of_what_the_sources_allow_counts(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    sending(services, "profile", cache_control="max-age=300")
    sending(services, "billing", cache_control="max-age=60", age="20")

    async with open_gateway(storing()) as gateway:
        names, plan = await get(gateway, NAMES), await get(gateway, PLAN)

    assert told(names) == "public, max-age=300"
    assert told(plan) == "public, max-age=40"
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
async def test_a_setting_of_the_field_is_an_upper_bound_and_stands_in_where_the_source_is_silent(
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
        sending(services, "profile", cache_control=of_source)

    async with open_gateway(storing(fields=fields, max_age=max_age)) as gateway:
        assert told(await get(gateway, NAMES)) == expected


async def test_every_field_of_a_silent_source_needs_a_setting(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    query = NAMES.replace("displayName", "displayName username")

    async with open_gateway(storing(fields={"displayName": 90})) as gateway:
        assert told(await get(gateway, NAMES)) == "public, max-age=90"
        assert told(await get(gateway, query)) == NO_STORE


async def test_pages_of_lists_count_too(open_gateway: OpenGateway, services: FakeServices) -> None:
    services.know(1)
    services.billing.invoices[user_id(1)] = [invoice(1)]
    sending(services, "billing", cache_control="max-age=60")
    query = f'{{ user(id: "{user_id(1)}") {{ invoices {{ edges {{ node {{ id }} }} }} }} }}'

    async with open_gateway(storing()) as gateway:
        assert told(await get(gateway, query)) == "public, max-age=60"
        sending(services, "billing")
        assert told(await get(gateway, query)) == NO_STORE


async def test_data_of_the_gateways_own_cache_are_as_old_as_they_are(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    sending(services, "profile", cache_control="max-age=60")
    settings = storing()
    cached = settings.sources["profile"].model_copy(
        update={"cache": CacheSettings(enabled=True, ttl=100.0)}
    )
    sources = {**settings.sources, "profile": cached}

    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        first = await get(gateway, NAMES)
        clock.advance(25.0)
        second = await get(gateway, NAMES)

    assert (told(first), told(second)) == ("public, max-age=60", "public, max-age=35")
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
async def test_what_is_about_the_caller_or_fails_is_never_stored(
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
    assert told(response) == NO_STORE
    assert response.headers["vary"] == "Accept"


async def test_what_a_caller_with_a_token_sees_is_for_its_own_cache(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    support = headers_of("support", "billing:read")

    async with open_gateway(storing(max_age=60), by_headers) as gateway:
        seen = await get(gateway, PLAN, support)
        refused = await get(gateway, PLAN)
        public = await get(gateway, NAMES)

    assert told(seen) == "private, max-age=60"
    assert seen.headers["vary"] == "Accept, Authorization"
    assert told(refused) == NO_STORE
    assert told(public) == "public, max-age=60"


async def test_private_is_for_the_caches_of_clients_alone(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(storing("private", max_age=60)) as gateway:
        response = await get(gateway, NAMES)

    assert told(response) == "private, max-age=60"


async def test_a_client_that_has_the_answer_is_told_so_without_a_body(
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
    assert told(again) == "public, max-age=60"
    assert again.headers["etag"] == tag
    assert again.headers["vary"] == "Accept"
    assert "content-type" not in again.headers
    assert changed.status_code == 200
    assert changed.json()["data"]["user"]["displayName"] == "New"
    assert other_type.headers["content-type"].startswith("application/graphql-response+json")


async def test_where_pages_of_other_sites_may_read_caches_tell_them_apart(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    cors = CorsSettings(origins=("https://app.example.com",))

    async with open_gateway(storing(max_age=60, cors=cors)) as gateway:
        without = await get(gateway, NAMES)
        page = await get(gateway, NAMES, {"Origin": "https://app.example.com"})

    assert without.headers["vary"] == page.headers["vary"] == "Accept, Origin"
    assert "ETag" in page.headers["access-control-expose-headers"]


async def test_trusted_documents_may_be_stored_as_persisted_ones(
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

    assert told(response) == "public, max-age=60"


async def test_on_the_wire_the_next_request_of_the_connection_follows_a_304(
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
