"""CORS: pages of other sites may read responses if their origin is listed."""

import httpx
import pytest

from app.settings.server import CorsSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import settings_for_fakes

OURS = "https://app.example.com"
LOCAL = "http://localhost:3000"
THEIRS = ["https://evil.example", "https://app.example.com.evil.example", "null", "*", ""]
BODY = {"query": "{ __typename }"}


def preflight(origin: str, method: str = "POST", headers: str = "content-type") -> dict[str, str]:
    """Make the headers of a preflight request."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


def cors_headers(response: httpx.Response) -> dict[str, str]:
    """Return the CORS headers of a response."""
    return {
        name: value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


async def test_no_origin_is_allowed_by_default(gateway: GatewayClient) -> None:
    asked = await gateway.client.options("/graphql", headers=preflight(OURS))
    sent = await gateway.client.post("/graphql", json=BODY, headers={"Origin": OURS})

    assert cors_headers(asked) == cors_headers(sent) == {}
    assert asked.status_code == 405


async def test_a_listed_origin_is_allowed(open_gateway: OpenGateway) -> None:
    cors = CorsSettings(origins=(OURS, LOCAL), headers=("X-Tenant",))
    async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
        for origin in (OURS, LOCAL):
            asked = await gateway.client.options(
                "/graphql", headers=preflight(origin, headers="content-type,x-tenant")
            )
            sent = await gateway.client.post("/graphql", json=BODY, headers={"Origin": origin})

            assert asked.status_code == 200
            assert asked.headers["access-control-allow-origin"] == origin
            assert asked.headers["access-control-max-age"] == "600"
            assert sent.json() == {"data": {"__typename": "Query"}}
            assert sent.headers["access-control-allow-origin"] == origin
            assert "Origin" in sent.headers["vary"]
            assert "X-Request-ID" in sent.headers["access-control-expose-headers"]
            for response in (asked, sent):
                assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://localhost:65535", True),
        ("http://localhost", True),
        ("https://localhost:3000", False),
        ("http://localhost:3000.evil.example", False),
        ("http://localhost:", False),
        ("http://xlocalhost:3000", False),
        ("http://evil.example", False),
        (OURS, True),
    ],
)
async def test_all_ports_of_a_listed_host_may_be_allowed(
    open_gateway: OpenGateway, origin: str, *, allowed: bool
) -> None:
    cors = CorsSettings(origins=("http://localhost:*", OURS))
    async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
        asked = await gateway.client.options("/graphql", headers=preflight(origin))
        sent = await gateway.client.post("/graphql", json=BODY, headers={"Origin": origin})

    expected = origin if allowed else None
    for response in (asked, sent):
        assert response.headers.get("access-control-allow-origin") == expected


@pytest.mark.parametrize("origin", THEIRS)
async def test_an_origin_that_is_not_listed_is_refused(
    open_gateway: OpenGateway, origin: str
) -> None:
    for credentials in (False, True):
        cors = CorsSettings(origins=(OURS,), credentials=credentials)
        async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
            asked = await gateway.client.options("/graphql", headers=preflight(origin))
            sent = await gateway.client.post("/graphql", json=BODY, headers={"Origin": origin})

        for response in (asked, sent):
            assert "access-control-allow-origin" not in response.headers
        assert asked.status_code == 400
        assert "expected a listed origin" in asked.json()["errors"][0]["message"]


@pytest.mark.parametrize(("method", "headers"), [("DELETE", "content-type"), ("POST", "x-other")])
async def test_methods_and_headers_that_are_not_listed_are_refused(
    open_gateway: OpenGateway, method: str, headers: str
) -> None:
    cors = CorsSettings(origins=(OURS,))
    async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
        asked = await gateway.client.options("/graphql", headers=preflight(OURS, method, headers))

    assert asked.status_code == 400
    assert asked.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


VARIES = {
    *("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"),
    "Access-Control-Request-Private-Network",
}


@pytest.mark.parametrize("credentials", [False, True])
@pytest.mark.parametrize(
    "asked",
    [
        preflight(OURS),
        preflight("https://evil.example"),
        preflight(OURS, "DELETE"),
        preflight(OURS, headers="x-other"),
        {**preflight(OURS), "Access-Control-Request-Private-Network": "true"},
    ],
)
async def test_every_preflight_response_has_the_vary_and_allow_headers(
    open_gateway: OpenGateway, asked: dict[str, str], *, credentials: bool
) -> None:
    cors = CorsSettings(origins=(OURS,), max_age=77, credentials=credentials)
    async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
        response = await gateway.client.options("/graphql", headers=asked)

    assert {*response.headers["vary"].split(", ")} >= VARIES
    assert response.headers["access-control-max-age"] == "77"
    assert response.headers["access-control-allow-methods"] == "GET, POST"
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "x-request-timeout"} <= {*allowed}
    assert ("access-control-allow-credentials" in response.headers) == credentials


CHANGES = {
    "Origin": [OURS, "https://evil.example"],
    "Accept": ["application/graphql-response+json", "text/html", "image/png"],
    "Accept-Encoding": ["gzip", "identity"],
    "Access-Control-Request-Method": ["POST", "DELETE"],
    "Access-Control-Request-Headers": ["content-type", "x-other"],
    "Access-Control-Request-Private-Network": ["true"],
}


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *[(method, "/graphql") for method in ("POST", "GET", "OPTIONS", "PUT")],
        ("GET", "/graphql?query={__typename}"),
        *[("GET", target) for target in ("/", "/nowhere", "/readyz", "/graphiql/assets/a.js")],
    ],
)
@pytest.mark.parametrize("asks", [{}, preflight(OURS)])
async def test_the_vary_header_names_each_header_that_changes_the_response(
    open_gateway: OpenGateway, method: str, target: str, asks: dict[str, str]
) -> None:
    cors = CorsSettings(origins=(OURS,))
    async with open_gateway(settings_for_fakes(cors=cors, graphiql=True)) as gateway:

        async def ask(**changed: str) -> tuple[object, set[str]]:
            headers = {**asks, **changed}
            response = await gateway.client.request(method, target, json=BODY, headers=headers)
            told = {name: one for name, one in response.headers.items() if name != "x-request-id"}
            varies = {one.strip().lower() for one in told.pop("vary", "").split(",")}
            return (response.status_code, told, response.content), varies

        plain, varies = await ask()
        for name, values in CHANGES.items():
            for value in values:
                other, others = await ask(**{name: value})
                if other != plain:
                    assert name.lower() in varies & others, (name, value)


async def test_credentials_are_allowed_for_a_listed_origin(
    open_gateway: OpenGateway,
) -> None:
    cors = CorsSettings(origins=(OURS,), credentials=True)
    async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
        sent = await gateway.client.post(
            "/graphql", json=BODY, headers={"Origin": OURS, "Cookie": "session=1"}
        )

    assert sent.headers["access-control-allow-origin"] == OURS
    assert sent.headers["access-control-allow-credentials"] == "true"


async def test_a_listed_origin_may_read_an_error_response(open_gateway: OpenGateway) -> None:
    cors = CorsSettings(origins=(OURS,))
    async with open_gateway(settings_for_fakes(cors=cors)) as gateway:
        sent = await gateway.client.post("/graphql", json={}, headers={"Origin": OURS})

    assert sent.status_code == 422
    assert sent.headers["access-control-allow-origin"] == OURS


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "", "app.example.com", "https://*.example.com", "https://app.example.com/"),
        *("https://App.example.com", "ftp://app.example.com", "https://a b", "https://a\r\nx: y"),
    ],
)
def test_a_setting_that_is_not_an_origin_is_invalid(origin: str) -> None:
    with pytest.raises(ValueError, match="expected an origin"):
        CorsSettings(origins=(origin,))
