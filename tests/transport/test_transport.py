"""Certificates, proxies, requests and responses, over real TLS and a real proxy."""

import socket
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app.errors import Code, MalformedError, SourceFailure
from app.fastpath.wire import wire_transport
from app.settings.source import SourceSettings
from app.transport.body import read_body
from app.transport.client import client_transport
from app.transport.transport import ReadyRequest, TransportFactory, fields_of
from tests.certificates import Certificates
from tests.fakes.http_server import HttpServer, saying, serving, writing
from tests.sources.login import TOKEN, Login
from tests.sources.proxy import Proxy
from tests.sources.test_client import OpenClient, asking

PASSWORD = "canary-password"
CERTIFICATE_ERROR = "ClientConnectorCertificateError"
TARGET = "/users?id=a%2Fb%20%25&id=%22%C3%BC'(),;:@"


class Reach(Protocol):
    """Opens a client of a service over one of the transports."""

    def __call__(
        self,
        base_url: str,
        **changes: Any,  # noqa: ANN401 # any setting of a source
    ) -> AbstractAsyncContextManager[OpenClient]:
        """Open the client."""
        ...


@pytest.fixture(params=[wire_transport, client_transport])
def transports(request: pytest.FixtureRequest) -> TransportFactory:
    """Give each transport: the fast one and its reference."""
    made: TransportFactory = request.param
    return made


@pytest.fixture
def reach(transports: TransportFactory) -> Reach:
    """Give a function that opens a client of a service over each transport."""
    return partial(asking, transports=transports)


def query_of(target: str) -> Sequence[tuple[str, str]]:
    """Read the query of a target, because httpx encodes some characters differently."""
    return parse_qsl(urlsplit(target).query)


async def failure(client: OpenClient) -> SourceFailure:
    """Send a GET that has to fail."""
    result = await client.get()
    assert isinstance(result, SourceFailure)
    return result


# Certificates


async def test_a_certificate_of_a_private_authority_needs_the_ca_file_setting(
    certificates: Certificates, reach: Reach
) -> None:
    async with serving(saying(), certificates.server()) as server:
        async with reach(server.base_url, tls={"ca_file": certificates.ca_file}) as client:
            assert await client.get() == "[]"
        async with reach(server.base_url) as client:
            failed = await failure(client)

    assert failed.code is Code.SOURCE_UNAVAILABLE
    assert failed.detail.startswith(f"{CERTIFICATE_ERROR}: ")
    assert "certificate" in failed.detail.removeprefix(CERTIFICATE_ERROR)
    assert len(server.requests) == 1


async def test_a_certificate_for_another_host_is_refused(
    certificates: Certificates, reach: Reach
) -> None:
    tls = {"ca_file": certificates.ca_file}
    async with (
        serving(saying(), certificates.server("users.internal")) as server,
        reach(server.base_url, tls=tls) as client,
    ):
        assert (await failure(client)).detail.startswith(
            f"{CERTIFICATE_ERROR}: IP address mismatch"
        )

    assert not server.requests


MISSING_NAME_ERRORS = (
    f"{CERTIFICATE_ERROR}: Hostname mismatch",
    f"{CERTIFICATE_ERROR}: Empty Subject Alternative Name extension",  # since Python 3.13
)
"""The errors for a certificate without a subject alternative name."""


@pytest.mark.parametrize("name", ["localhost", "*.localhost"])
async def test_a_certificate_has_to_name_its_host_as_a_subject_alternative_name(
    certificates: Certificates, name: str, reach: Reach
) -> None:
    tls = {"ca_file": certificates.ca_file}
    for names, accepted in (((), False), (("localhost",), True)):
        context = certificates.server(*names, common_name=name)
        async with serving(saying(), context) as server:
            address = server.base_url.replace("127.0.0.1", "localhost")
            async with reach(address, tls=tls, connect_timeout=2) as client:
                if accepted:
                    assert await client.get() == "[]"
                else:
                    assert (await failure(client)).detail.startswith(MISSING_NAME_ERRORS)
        assert len(server.requests) == accepted


async def test_the_authorities_of_the_system_are_trusted_without_a_ca_file(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    async with serving(saying(), certificates.server(common_name="localhost")) as server:
        address = server.base_url.replace("127.0.0.1", "localhost")
        async with reach(address, connect_timeout=2) as client:
            assert (await failure(client)).detail.startswith(MISSING_NAME_ERRORS)
    async with (
        serving(saying(), certificates.server()) as server,
        reach(server.base_url) as client,
    ):
        assert await client.get() == "[]"


async def test_the_client_certificate_is_sent_to_a_service_that_requires_it(
    certificates: Certificates, reach: Reach
) -> None:
    certificate, key = certificates.client()
    tls = {"ca_file": certificates.ca_file}
    own = {"client_certificate": certificate, "client_key": key}
    async with serving(saying(), certificates.server(asks=True)) as server:
        async with reach(server.base_url, tls=tls | own) as client:
            assert await client.get() == "[]"
        async with reach(server.base_url, tls=tls) as client:
            assert (await failure(client)).code is Code.SOURCE_UNAVAILABLE

    assert len(server.requests) == 1


async def test_a_token_endpoint_uses_the_tls_and_proxy_settings_of_its_source(
    certificates: Certificates, reach: Reach
) -> None:
    served = Login().listening(certificates.server())
    async with served as login, Proxy().listening() as proxy:
        auth = {
            "kind": "client_credentials",
            "token_url": f"{login.base_url}/token",
            "client_id": "gateway",
            "client_secret": PASSWORD,
        }
        tls = {"ca_file": certificates.ca_file}
        proxy_settings = {"url": proxy.base_url}
        async with reach(login.base_url, auth=auth, tls=tls, proxy=proxy_settings) as client:
            assert await client.get() == "[1]"

    assert login.tokens == ["1"]
    assert {line.split(" ")[0] for line in proxy.lines} == {"CONNECT"}
    assert TOKEN not in str(proxy.requests)


# Proxies


def require_password(proxy: Proxy) -> dict[str, str]:
    """Make a proxy require a password, and return the settings for it."""
    credentials = b64encode(f"gateway:{PASSWORD}".encode()).decode()
    proxy.credentials = f"Basic {credentials}"
    return {"url": proxy.base_url, "username": "gateway", "password": PASSWORD}


async def test_a_plain_request_is_sent_unchanged_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")  # only the setting counts
    async with serving(saying()) as server, Proxy().listening() as proxy:
        settings = require_password(proxy)
        auth = {"kind": "bearer", "token": "abc"}
        async with reach(server.base_url, proxy=settings, auth=auth) as client:
            assert await client.get(TARGET) == "[]"
            assert await client.get(TARGET) == "[]"

    method, address, version = proxy.lines[0].split(" ")
    assert proxy.lines[1] == proxy.lines[0]
    assert (method, version) == ("GET", "HTTP/1.1")
    assert address.startswith(f"{server.base_url}/users?")
    assert [query_of(seen.target) for seen in server.requests] == [query_of(TARGET)] * 2
    assert server.requests[0].header("authorization") == ["Bearer abc"]


async def test_a_tls_request_is_tunnelled_and_the_service_gets_no_proxy_password(
    certificates: Certificates, reach: Reach
) -> None:
    async with serving(saying(), certificates.server()) as server, Proxy().listening() as proxy:
        settings = require_password(proxy)
        tls = {"ca_file": certificates.ca_file}
        async with reach(server.base_url, proxy=settings, tls=tls) as client:
            assert await client.get(TARGET) == "[]"

    assert proxy.lines == [f"CONNECT {server.base_url.removeprefix('https://')} HTTP/1.1"]
    assert "/users" not in str(proxy.requests)
    [seen] = server.requests
    assert query_of(seen.target) == query_of(TARGET)
    assert not seen.header("proxy-authorization")


async def test_a_refusing_proxy_makes_the_source_unavailable_and_logs_no_password(
    certificates: Certificates, reach: Reach
) -> None:
    async with serving(saying(), certificates.server()) as server, Proxy().listening() as proxy:
        settings = require_password(proxy) | {"password": f"{PASSWORD}-of-old"}
        proxy.credentials = "Basic other"
        tls = {"ca_file": certificates.ca_file}
        async with reach(server.base_url, proxy=settings, tls=tls) as client:
            failed = await failure(client)

    assert failed.code is Code.SOURCE_UNAVAILABLE
    assert failed.detail == "ClientHttpProxyError: status 407"
    assert PASSWORD not in client.log
    assert b64encode(PASSWORD.encode()).decode() not in client.log
    assert not server.requests


async def test_an_unreachable_proxy_makes_the_source_unavailable(reach: Reach) -> None:
    with socket.socket() as held:  # bound but not listening, so no other program gets the port
        held.bind(("127.0.0.1", 0))
        proxy = {"url": f"http://127.0.0.1:{held.getsockname()[1]}"}
        async with serving(saying()) as server, reach(server.base_url, proxy=proxy) as client:
            assert (await failure(client)).code is Code.SOURCE_UNAVAILABLE

    assert not server.requests


# Requests and responses


HEADERS = (("Host", "profile"), ("X-Own", "1"))


async def test_a_request_is_sent_as_written_with_later_changes_of_its_headers() -> None:
    async with serving(saying()) as server, wire_transport(source_at(server)) as transport:
        for change in ({}, {"x-own": "2", "X-More": "3"}):
            request = ReadyRequest("POST", server.base_url, TARGET, HEADERS, b"[1]")
            request.headers.update(change)
            await (await transport.handle_async_request(request)).aclose()
        request = ReadyRequest("GET", server.base_url, TARGET, HEADERS)
        await (await transport.handle_async_request(request)).aclose()

    first, second, third = server.requests
    assert (first.target, first.method, first.body) == (TARGET, "POST", b"[1]")
    assert first.header("content-length") == second.header("content-length") == ["3"]
    assert [seen.header("x-own") for seen in server.requests] == [["1"], ["2"], ["1"]]
    assert [seen.header("x-more") for seen in server.requests] == [[], ["3"], []]
    assert (third.method, third.body, third.header("host")) == ("GET", b"", ["profile"])


@pytest.mark.parametrize("transports", [wire_transport, client_transport])
@pytest.mark.parametrize("method", ["POST", "QUERY", "SEARCH"])
async def test_a_body_is_sent_with_each_method_that_a_source_may_use(
    transports: TransportFactory, method: str
) -> None:
    async with serving(saying(b"[2]")) as server, transports(source_at(server)) as transport:
        request = ReadyRequest(method, server.base_url, TARGET, HEADERS, b"[1]", repeatable=True)
        response = await transport.handle_async_request(request)
        body = await response.aread()
        await response.aclose()

    [seen] = server.requests
    assert (seen.method, seen.body, body) == (method, b"[1]", b"[2]")
    assert seen.header("content-length") == ["3"]


async def test_a_plain_httpx_request_is_sent_too() -> None:
    async with serving(saying()) as server, wire_transport(source_at(server)) as transport:
        for request in (
            httpx.Request("GET", f"{server.base_url}{TARGET}"),
            httpx.Request("POST", server.base_url, content=b"[1]"),
            ReadyRequest("POST", server.base_url, TARGET, HEADERS),
        ):
            await (await transport.handle_async_request(request)).aclose()

    first, second, third = server.requests
    assert (first.method, first.target, first.body) == ("GET", TARGET, b"")
    assert first.header("host") == [server.base_url.removeprefix("http://")]
    assert (second.method, second.target, second.body) == ("POST", "/", b"[1]")
    assert second.header("content-length") == ["3"]
    assert third.header("content-length") == ["0"]


async def test_a_request_over_an_unopened_transport_is_an_error() -> None:
    transport = wire_transport(SourceSettings(base_url="http://profile"))

    with pytest.raises(RuntimeError, match="not open"):
        await transport.handle_async_request(httpx.Request("GET", "http://profile"))


async def test_a_ready_request_is_read_like_an_httpx_request() -> None:
    request = ReadyRequest("POST", "http://profile", "/users?id=%2F", HEADERS, b"[1]")

    assert str(request.url) == "http://profile/users?id=%2F"
    assert request.headers["x-own"] == "1"
    assert request.content == request.read() == await request.aread() == b"[1]"


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ("Age: 1", {"age": "1"}),
        ("Vary: a\r\nvary: b", {"vary": "a, b"}),
        ("X-Name: \u00fc", {"x-name": "\u00fc"}),
    ],
)
async def test_response_headers_are_read_by_lower_case_names(
    lines: str, fields: Mapping[str, str]
) -> None:
    behaviour = writing(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\n\r\n[]".encode())
    async with serving(behaviour) as server, wire_transport(source_at(server)) as transport:
        request = ReadyRequest("GET", server.base_url, TARGET, HEADERS)
        response = await transport.handle_async_request(request)
        expected = {"content-length": "2", **fields}

        assert dict(fields_of(response)) == expected
        assert dict(response.headers) == expected
        response.headers["Age"] = "7"
        assert fields_of(response)["age"] == response.headers["age"] == "7"
        assert await read_body(response, 2) == b"[]"
        await response.aclose()


@pytest.mark.parametrize("other", ["X-A: b", "X-A: \u00fc"])
async def test_repeated_headers_with_equal_values_count_once(other: str) -> None:
    lines = ["Vary: a", "Age: 1", "vary: b", "age: 1", other, "VARY: a"]
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 2", *lines, "", ""])
    expected = {
        "content-length": "2",
        "vary": "a, b",
        "age": "1",
        "x-a": other.removeprefix("X-A: "),
    }
    async with (
        serving(writing(f"{head}[]".encode())) as server,
        wire_transport(source_at(server)) as transport,
    ):
        request = ReadyRequest("GET", server.base_url, TARGET, HEADERS)
        response = await transport.handle_async_request(request)
        assert dict(fields_of(response)) == expected
        response.headers["Age"] = "1"
        assert dict(fields_of(response)) == expected
        await response.aclose()


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[12]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n3\r\n12]\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[12]",
    ],
)
async def test_a_body_in_one_piece_is_read_up_to_the_limit(sent: bytes) -> None:
    async with (
        serving(writing(sent)) as server,
        wire_transport(source_at(server)) as transport,
    ):
        request = ReadyRequest("GET", server.base_url, TARGET, HEADERS)
        response = await transport.handle_async_request(request)
        assert await read_body(response, 4) == b"[12]"
        await response.aclose()

        response = await transport.handle_async_request(request)
        with pytest.raises(MalformedError, match="longer than 3 bytes"):
            await read_body(response, 3)
        await response.aclose()


async def test_the_headers_of_a_fake_response_are_read_the_same_way() -> None:
    assert fields_of(httpx.Response(200, headers={"Age": "1"}))["age"] == "1"
    assert fields_of(httpx.Response(200, headers=[("Age", "1"), ("age", "1")]))["age"] == "1"


def source_at(server: HttpServer) -> SourceSettings:
    """Make the settings of a source at a server."""
    return SourceSettings(base_url=server.base_url)
