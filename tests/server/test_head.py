"""The head of a request: its length, and its Host header."""

from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server.head import host_check, host_name
from app.settings.server import ConnectionSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import settings_for_fakes

QUERY = {"query": "{ __typename }"}
PREFLIGHT = {"GraphQL-Require-Preflight": "1"}


def message(response: httpx.Response) -> str:
    """Return the message of a refusal."""
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    text: str = error["message"]
    return text


async def test_a_request_with_another_host_is_refused_without_the_real_names(
    open_gateway: OpenGateway,
) -> None:
    chosen = settings_for_fakes(hosts=("api.example.com", "10.0.0.1"))
    async with open_gateway(chosen) as gateway:
        right = await gateway.client.post(
            "/graphql", json=QUERY, headers={"Host": "api.example.com:8443"}
        )
        wrong = await gateway.client.post(
            "/graphql", json=QUERY, headers={"Host": "rebound.example"}
        )

    assert right.json() == {"data": {"__typename": "Query"}}
    assert wrong.status_code == 421
    assert '"rebound.example" is not a name of this gateway: expected' in message(wrong)
    assert "api.example.com" not in wrong.text


@pytest.mark.parametrize("hosts", [(), ("gateway", "gateway")])
async def test_a_request_without_exactly_one_host_header_is_refused(
    gateway: GatewayClient, hosts: Sequence[str]
) -> None:
    request = gateway.client.build_request("POST", "/graphql", json=QUERY)
    others = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
    request.headers = httpx.Headers([*others, *((b"Host", host.encode()) for host in hosts)])

    response = await gateway.client.send(request)

    assert response.status_code == 400
    assert "expected one, with the gateway's name" in message(response)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_may_use_any_host(gateway: GatewayClient, path: str) -> None:
    response = await gateway.client.get(path, headers={"Host": "10.1.2.3:8000"})

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/", "/graphql", "/nothing", "/healthz/", "/graphiql/assets/a"])
async def test_other_paths_than_probes_need_a_known_host(gateway: GatewayClient, path: str) -> None:
    response = await gateway.client.get(path, headers={"Host": "10.1.2.3:8000"})

    assert response.status_code == 421


async def test_a_preflight_with_another_host_is_refused(open_gateway: OpenGateway) -> None:
    chosen = settings_for_fakes().model_copy(update={"hosts": ("api.example.com",)})
    async with open_gateway(chosen) as gateway:
        response = await gateway.client.options(
            "/graphql",
            headers={"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"},
        )

    assert response.status_code == 421
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("hosts", "value", "right"),
    [
        (("api.example.com",), b"api.example.com", True),
        (("api.example.com",), b"API.Example.COM:443", True),
        (("api.example.com",), b"example.com", False),
        (("api.example.com",), b"api.example.com.evil", False),
        (("api.example.com",), b"xapi.example.com", False),
        (("api.example.com",), b"api.example.com@evil", False),
        (("*.example.com",), b"a.example.com", True),
        (("*.example.com",), b"a.b.example.com:80", True),
        (("*.example.com",), b"example.com", False),
        (("*.example.com",), b".example.com", False),
        (("*.example.com",), b"badexample.com", False),
        (("::1",), b"[::1]:8000", True),
        (("::1",), b"[0:0:0:0:0:0:0:1]", True),
        (("::1",), b"[::2]", False),
        (("::1",), b"[::1", True),
        (("127.0.0.1",), b"127.0.0.1:8000", True),
        (("127.0.0.1",), b"127.0.0.2", False),
        (("localhost",), b"", False),
        (("localhost",), b"\xff", False),
        (("*",), b"anything", True),
        ((), b"localhost", False),
    ],
)
def test_hosts_match_without_case_and_with_any_port(
    hosts: Sequence[str], value: bytes, *, right: bool
) -> None:
    assert host_check(hosts)(value) is right


@given(value=st.binary(max_size=60))
def test_any_host_header_can_be_checked(value: bytes) -> None:
    name = host_name(value)

    assert host_check(("api.example.com",))(value) is (name == "api.example.com")


def head_limits(**limits: int) -> ConnectionSettings:
    """Make settings with limits of a head."""
    return ConnectionSettings.model_validate(limits)


URL = "/graphql?query=%7B__typename%7D&pad="


@pytest.mark.parametrize(
    ("limit", "length", "status"),
    [(200, 200, 200), (200, 201, 414), (0, 5_000, 200)],
    ids=["at the limit", "over the limit", "off"],
)
async def test_the_length_of_a_url_is_limited(
    open_gateway: OpenGateway, limit: int, length: int, status: int
) -> None:
    chosen = settings_for_fakes(connections=head_limits(max_url_bytes=limit))
    # The question mark is not counted.
    url = URL + "x" * (length + 1 - len(URL))
    async with open_gateway(chosen) as gateway:
        response = await gateway.client.get(url, headers=PREFLIGHT)

    assert response.status_code == status
    if status == 414:
        assert "longer than 200 bytes: expected a POST" in message(response)


@pytest.mark.parametrize(
    ("limit", "extra", "status"),
    [(20, 0, 200), (20, 1, 431), (0, 2_000, 200)],
    ids=["at the limit", "over the limit", "off"],
)
async def test_the_number_of_headers_is_limited(
    open_gateway: OpenGateway, limit: int, extra: int, status: int
) -> None:
    chosen = settings_for_fakes(connections=head_limits(max_headers=limit))
    async with open_gateway(chosen) as gateway:
        request = gateway.client.build_request("POST", "/graphql", json=QUERY)
        own = request.headers.raw
        more = [(b"x-%d" % number, b"y") for number in range(20 - len(own) + extra)]
        request.headers = httpx.Headers([*own, *more])
        response = await gateway.client.send(request)

    assert response.status_code == status
    if status == 431:
        assert "more than 20 headers: expected only" in message(response)


@pytest.mark.parametrize(
    ("limit", "extra", "status"),
    [(1_000, 0, 200), (1_000, 1, 431), (0, 100_000, 200)],
    ids=["at the limit", "over the limit", "off"],
)
async def test_the_total_length_of_headers_is_limited(
    open_gateway: OpenGateway, limit: int, extra: int, status: int
) -> None:
    chosen = settings_for_fakes(connections=head_limits(max_head_bytes=limit))
    async with open_gateway(chosen) as gateway:
        request = gateway.client.build_request("POST", "/graphql", json=QUERY)
        own = request.headers.raw
        size = sum(len(name) + len(value) for name, value in own) + len(b"cookie")
        request.headers = httpx.Headers([*own, (b"cookie", b"x" * (1_000 - size + extra))])
        response = await gateway.client.send(request)

    assert response.status_code == status
    if status == 431:
        assert "longer than 1000 bytes in all: expected shorter ones" in message(response)
