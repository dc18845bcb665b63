"""Certificates and proxies, over real TLS and a real proxy, and what goes over the wire."""

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
REFUSED = "ClientConnectorCertificateError"
ODD = "/users?id=a%2Fb%20%25&id=%22%C3%BC'(),;:@"


class Reach(Protocol):
    """Opens the client of a service, over one transport or the other."""

    def __call__(
        self,
        base_url: str,
        **changes: Any,  # noqa: ANN401 # any setting of a source
    ) -> AbstractAsyncContextManager[OpenClient]:
        """Open it."""
        ...


@pytest.fixture(params=[wire_transport, client_transport])
def transports(request: pytest.FixtureRequest) -> TransportFactory:
    """Give the transports, the fast one and its reference."""
    made: TransportFactory = request.param
    return made


@pytest.fixture
def reach(transports: TransportFactory) -> Reach:
    """Give a way to open the client of a service over each transport."""
    return partial(asking, transports=transports)


def asked_for(target: str) -> Sequence[tuple[str, str]]:
    """Read a target as services do: the client of httpx writes some characters in another way."""
    return parse_qsl(urlsplit(target).query)


async def failure(asked: OpenClient) -> SourceFailure:
    """Send a GET that has to fail."""
    answer = await asked.get()
    assert isinstance(answer, SourceFailure)
    return answer


# Certificates


async def test_a_service_that_an_authority_of_one_s_own_vouches_for_is_trusted_when_that_is_named(
    certificates: Certificates, reach: Reach
) -> None:
    async with serving(saying(), certificates.server()) as server:
        async with reach(server.base_url, tls={"ca_file": certificates.ca_file}) as asked:
            assert await asked.get() == "[]"
        async with reach(server.base_url) as asked:
            told = await failure(asked)

    assert told.code is Code.SOURCE_UNAVAILABLE
    assert told.detail.startswith(f"{REFUSED}: ")
    assert "certificate" in told.detail.removeprefix(REFUSED)
    assert len(server.requests) == 1


async def test_a_certificate_for_another_host_is_not_taken(
    certificates: Certificates, reach: Reach
) -> None:
    tls = {"ca_file": certificates.ca_file}
    async with (
        serving(saying(), certificates.server("users.internal")) as server,
        reach(server.base_url, tls=tls) as asked,
    ):
        assert (await failure(asked)).detail.startswith(f"{REFUSED}: IP address mismatch")

    assert not server.requests


NAMELESS = (
    f"{REFUSED}: Hostname mismatch",
    f"{REFUSED}: Empty Subject Alternative Name extension",  # Python 3.13 refuses it before
)
"""How a certificate is refused that has no subject alternative name."""


@pytest.mark.parametrize("name", ["localhost", "*.localhost"])
async def test_a_certificate_has_to_name_its_host_as_a_subject_alternative_name(
    certificates: Certificates, name: str, reach: Reach
) -> None:
    tls = {"ca_file": certificates.ca_file}
    for names, taken in (((), False), (("localhost",), True)):
        context = certificates.server(*names, common_name=name)
        async with serving(saying(), context) as server:
            address = server.base_url.replace("127.0.0.1", "localhost")
            async with reach(address, tls=tls, connect_timeout=2) as asked:
                if taken:
                    assert await asked.get() == "[]"
                else:
                    assert (await failure(asked)).detail.startswith(NAMELESS)
        assert len(server.requests) == taken


async def test_the_authorities_that_the_system_trusts_vouch_for_such_certificates_too(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    async with serving(saying(), certificates.server(common_name="localhost")) as server:
        address = server.base_url.replace("127.0.0.1", "localhost")
        async with reach(address, connect_timeout=2) as asked:
            assert (await failure(asked)).detail.startswith(NAMELESS)
    async with (
        serving(saying(), certificates.server()) as server,
        reach(server.base_url) as asked,
    ):
        assert await asked.get() == "[]"


async def test_a_service_that_asks_for_a_certificate_is_shown_the_gateway_s(
    certificates: Certificates, reach: Reach
) -> None:
    certificate, key = certificates.client()
    tls = {"ca_file": certificates.ca_file}
    own = {"client_certificate": certificate, "client_key": key}
    async with serving(saying(), certificates.server(asks=True)) as server:
        async with reach(server.base_url, tls=tls | own) as asked:
            assert await asked.get() == "[]"
        async with reach(server.base_url, tls=tls) as asked:
            assert (await failure(asked)).code is Code.SOURCE_UNAVAILABLE

    assert len(server.requests) == 1


async def test_a_token_endpoint_is_reached_by_the_same_certificates_and_proxy(
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
        by = {"url": proxy.base_url}
        async with reach(login.base_url, auth=auth, tls=tls, proxy=by) as asked:
            assert await asked.get() == "[1]"

    assert login.tokens == ["1"]
    assert {line.split(" ")[0] for line in proxy.lines} == {"CONNECT"}
    assert TOKEN not in str(proxy.requests)


# Proxies


def signing_in(proxy: Proxy) -> dict[str, str]:
    """Have a proxy ask for a password, and give the settings for it."""
    credentials = b64encode(f"gateway:{PASSWORD}".encode()).decode()
    proxy.credentials = f"Basic {credentials}"
    return {"url": proxy.base_url, "username": "gateway", "password": PASSWORD}


async def test_a_plain_request_goes_through_the_proxy_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")  # only the setting counts
    async with serving(saying()) as server, Proxy().listening() as proxy:
        settings = signing_in(proxy)
        auth = {"kind": "bearer", "token": "abc"}
        async with reach(server.base_url, proxy=settings, auth=auth) as asked:
            assert await asked.get(ODD) == "[]"
            assert await asked.get(ODD) == "[]"

    method, address, version = proxy.lines[0].split(" ")
    assert proxy.lines[1] == proxy.lines[0]
    assert (method, version) == ("GET", "HTTP/1.1")
    assert address.startswith(f"{server.base_url}/users?")
    assert [asked_for(seen.target) for seen in server.requests] == [asked_for(ODD)] * 2
    assert server.requests[0].header("authorization") == ["Bearer abc"]


async def test_an_encrypted_request_goes_through_a_tunnel_and_the_service_sees_no_password(
    certificates: Certificates, reach: Reach
) -> None:
    async with serving(saying(), certificates.server()) as server, Proxy().listening() as proxy:
        settings = signing_in(proxy)
        tls = {"ca_file": certificates.ca_file}
        async with reach(server.base_url, proxy=settings, tls=tls) as asked:
            assert await asked.get(ODD) == "[]"

    assert proxy.lines == [f"CONNECT {server.base_url.removeprefix('https://')} HTTP/1.1"]
    assert "/users" not in str(proxy.requests)
    [seen] = server.requests
    assert asked_for(seen.target) == asked_for(ODD)
    assert not seen.header("proxy-authorization")


async def test_a_proxy_that_refuses_is_an_unavailable_source_and_its_password_is_in_no_log(
    certificates: Certificates, reach: Reach
) -> None:
    async with serving(saying(), certificates.server()) as server, Proxy().listening() as proxy:
        settings = signing_in(proxy) | {"password": f"{PASSWORD}-of-old"}
        proxy.credentials = "Basic other"
        tls = {"ca_file": certificates.ca_file}
        async with reach(server.base_url, proxy=settings, tls=tls) as asked:
            told = await failure(asked)

    assert told.code is Code.SOURCE_UNAVAILABLE
    assert told.detail == "ClientHttpProxyError: status 407"
    assert PASSWORD not in asked.log
    assert b64encode(PASSWORD.encode()).decode() not in asked.log
    assert not server.requests


async def test_a_proxy_that_is_not_there_is_an_unavailable_source(reach: Reach) -> None:
    with socket.socket() as held:  # bound but not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        proxy = {"url": f"http://127.0.0.1:{held.getsockname()[1]}"}
        async with serving(saying()) as server, reach(server.base_url, proxy=proxy) as asked:
            assert (await failure(asked)).code is Code.SOURCE_UNAVAILABLE

    assert not server.requests


# What is sent and what comes, for those who look at it


HEADERS = (("Host", "profile"), ("X-Own", "1"))


async def test_a_request_goes_out_as_it_was_written_and_as_whoever_passed_it_on_changed_it() -> (
    None
):
    async with serving(saying()) as server, wire_transport(source(server)) as transport:
        for change in ({}, {"x-own": "2", "X-More": "3"}):
            request = ReadyRequest("POST", server.base_url, ODD, HEADERS, b"[1]")
            request.headers.update(change)
            await (await transport.handle_async_request(request)).aclose()
        request = ReadyRequest("GET", server.base_url, ODD, HEADERS)
        await (await transport.handle_async_request(request)).aclose()

    first, second, third = server.requests
    assert (first.target, first.method, first.body) == (ODD, "POST", b"[1]")
    assert first.header("content-length") == second.header("content-length") == ["3"]
    assert [seen.header("x-own") for seen in server.requests] == [["1"], ["2"], ["1"]]
    assert [seen.header("x-more") for seen in server.requests] == [[], ["3"], []]
    assert (third.method, third.body, third.header("host")) == ("GET", b"", ["profile"])


@pytest.mark.parametrize("transports", [wire_transport, client_transport])
@pytest.mark.parametrize("method", ["POST", "QUERY", "SEARCH"])
async def test_a_body_goes_out_by_any_method_that_a_source_may_have(
    transports: TransportFactory, method: str
) -> None:
    async with serving(saying(b"[2]")) as server, transports(source(server)) as transport:
        request = ReadyRequest(method, server.base_url, ODD, HEADERS, b"[1]", repeatable=True)
        response = await transport.handle_async_request(request)
        body = await response.aread()
        await response.aclose()

    [seen] = server.requests
    assert (seen.method, seen.body, body) == (method, b"[1]", b"[2]")
    assert seen.header("content-length") == ["3"]


async def test_a_request_of_httpx_s_own_make_goes_out_as_well() -> None:
    async with serving(saying()) as server, wire_transport(source(server)) as transport:
        for request in (
            httpx.Request("GET", f"{server.base_url}{ODD}"),
            httpx.Request("POST", server.base_url, content=b"[1]"),
            ReadyRequest("POST", server.base_url, ODD, HEADERS),
        ):
            await (await transport.handle_async_request(request)).aclose()

    first, second, third = server.requests
    assert (first.method, first.target, first.body) == ("GET", ODD, b"")
    assert first.header("host") == [server.base_url.removeprefix("http://")]
    assert (second.method, second.target, second.body) == ("POST", "/", b"[1]")
    assert second.header("content-length") == ["3"]
    assert third.header("content-length") == ["0"]


async def test_a_transport_that_is_not_open_says_so() -> None:
    transport = wire_transport(SourceSettings(base_url="http://profile"))

    with pytest.raises(RuntimeError, match="not open"):
        await transport.handle_async_request(httpx.Request("GET", "http://profile"))


async def test_a_request_can_be_read_as_any_other() -> None:
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
async def test_the_headers_of_an_answer_are_read_by_names_in_lower_case(
    lines: str, fields: Mapping[str, str]
) -> None:
    answer = writing(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\n\r\n[]".encode())
    async with serving(answer) as server, wire_transport(source(server)) as transport:
        request = ReadyRequest("GET", server.base_url, ODD, HEADERS)
        response = await transport.handle_async_request(request)
        told = {"content-length": "2", **fields}

        assert dict(fields_of(response)) == told
        assert dict(response.headers) == told
        response.headers["Age"] = "7"
        assert fields_of(response)["age"] == response.headers["age"] == "7"
        assert await read_body(response, 2) == b"[]"
        await response.aclose()


@pytest.mark.parametrize("other", ["X-A: b", "X-A: \u00fc"])
async def test_what_is_there_twice_alike_counts_once(other: str) -> None:
    lines = ["Vary: a", "Age: 1", "vary: b", "age: 1", other, "VARY: a"]
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 2", *lines, "", ""])
    told = {"content-length": "2", "vary": "a, b", "age": "1", "x-a": other.removeprefix("X-A: ")}
    async with (
        serving(writing(f"{head}[]".encode())) as server,
        wire_transport(source(server)) as transport,
    ):
        request = ReadyRequest("GET", server.base_url, ODD, HEADERS)
        response = await transport.handle_async_request(request)
        assert dict(fields_of(response)) == told
        response.headers["Age"] = "1"
        assert dict(fields_of(response)) == told
        await response.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[12]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n3\r\n12]\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[12]",
    ],
)
async def test_a_body_that_arrives_at_once_is_read_up_to_the_limit(answer: bytes) -> None:
    async with (
        serving(writing(answer)) as server,
        wire_transport(source(server)) as transport,
    ):
        request = ReadyRequest("GET", server.base_url, ODD, HEADERS)
        response = await transport.handle_async_request(request)
        assert await read_body(response, 4) == b"[12]"
        await response.aclose()

        response = await transport.handle_async_request(request)
        with pytest.raises(MalformedError, match="longer than 3 bytes"):
            await read_body(response, 3)
        await response.aclose()


async def test_the_headers_of_a_fake_s_answer_are_read_alike() -> None:
    assert fields_of(httpx.Response(200, headers={"Age": "1"}))["age"] == "1"
    assert fields_of(httpx.Response(200, headers=[("Age", "1"), ("age", "1")]))["age"] == "1"


def source(server: HttpServer) -> SourceSettings:
    """Say where a server is."""
    return SourceSettings(base_url=server.base_url)
