"""The settings of the credentials that a source is sent."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings.credentials import ApiKeyAuth, AuthSettings, BearerAuth, ClientCredentialsAuth
from app.settings.source import SourceSettings

SECRET = "canary-secret"
CLIENT = {
    "kind": "client_credentials",
    "token_url": "https://login/token",
    "client_id": "gateway",
    "client_secret": SECRET,
}


def auth(given: object, **source: Any) -> AuthSettings:  # noqa: ANN401 # any setting of a source
    """Read the ``auth`` of a source."""
    values = {"base_url": "http://users", "auth": given, **source}
    return SourceSettings.model_validate(values).auth


def refused(given: object, **source: Any) -> str:  # noqa: ANN401 # any setting of a source
    """Return the message about an ``auth`` that is refused."""
    with pytest.raises(ValidationError) as caught:
        auth(given, **source)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_source_without_auth_is_sent_no_credentials_and_no_forwarded_headers() -> None:
    settings = SourceSettings(base_url="http://users")

    assert settings.auth.kind == "none"
    assert settings.auth.forwards == frozenset()


@pytest.mark.parametrize("token", ["a", "Zm9v", "a-b.c_d~e+f/g", "abc==", "eyJ0.eyJz.c2ln"])
def test_a_token_that_a_header_can_carry_is_accepted(token: str) -> None:
    kept = auth({"kind": "bearer", "token": token})

    assert isinstance(kept, BearerAuth)
    assert kept.token.get_secret_value() == token


@pytest.mark.parametrize(
    "token", ["", " ", "a b", "a\r\nX-Evil: 1", "a\n", "ä", "=", "a=b", "Bearer x", "\x00"]
)
def test_any_other_token_is_refused(token: str) -> None:
    assert "RFC 6750" in refused({"kind": "bearer", "token": token})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "oauth"}, "expected tags"),
        ({"kind": "bearer"}, "Field required"),
        ({"kind": "basic", "username": "a:b", "password": SECRET}, "without colons"),
        ({"kind": "basic", "username": "a", "password": f"{SECRET}\n"}, "no control characters"),
        ({"kind": "basic", "username": "a", "password": ""}, "at least one character"),
        ({"kind": "api_key", "key": SECRET}, "either header or parameter"),
        (
            {"kind": "api_key", "key": SECRET, "header": "X-Key", "parameter": "key"},
            "either header or parameter",
        ),
        ({"kind": "api_key", "key": SECRET, "parameter": "key", "prefix": "Token "}, "beside head"),
        ({"kind": "api_key", "key": f"{SECRET}\r\n", "header": "X-Key"}, "printable ASCII"),
        ({"kind": "api_key", "key": SECRET, "header": "X Key"}, "a header name"),
        ({"kind": "api_key", "key": SECRET, "header": "Cookie"}, "Cookie has another use"),
        ({"kind": "api_key", "key": SECRET, "header": "Host"}, "Host has another use"),
        ({"kind": "api_key", "key": SECRET, "header": "X-Key", "prefix": "a\n"}, "printable ASCII"),
        ({**CLIENT, "token_url": "login/token"}, "an address such as https://"),
        ({**CLIENT, "token_url": f"https://me:{SECRET}@login"}, "no user or password"),
        ({**CLIENT, "client_auth": "jwt"}, "'basic' or 'post'"),
        ({**CLIENT, "client_id": "a\nb"}, "without colons and control"),
        ({**CLIENT, "scope": ""}, "at least 1 character"),
        ({"kind": "none", "forward_headers": ["Authorization"]}, 'kind = "forward"'),
        (
            {"kind": "api_key", "key": SECRET, "header": "X-Key", "forward_headers": ["x-key"]},
            "without the header for the key",
        ),
    ],
)
def test_credentials_that_cannot_be_sent_are_refused_with_the_reason(
    given: object, why: str
) -> None:
    assert why in refused(given)


@pytest.mark.parametrize(
    "name",
    [
        *("Cookie", "Set-Cookie", "Proxy-Authorization", "Host", "Content-Length", "Content-Type"),
        *("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
        *("Proxy-Connection", "If-None-Match", "Range", "Accept", "X-Request-ID", "traceparent"),
        *("tracestate", "Baggage"),
    ],
)
def test_cookies_and_headers_of_the_connection_or_gateway_are_never_forwarded(
    name: str,
) -> None:
    assert "it is never forwarded" in refused({"kind": "forward", "forward_headers": [name]})
    assert "it is never forwarded" in refused({"kind": "none", "forward_headers": [name.upper()]})


def test_authorization_is_forwarded_only_where_configured() -> None:
    tenant = {"forward_headers": ["X-Tenant"]}

    assert auth({"kind": "forward"}).forwards == {"authorization"}
    assert auth({"kind": "forward", **tenant}).forwards == {"authorization", "x-tenant"}
    assert auth({"kind": "bearer", "token": "a", **tenant}).forwards == {"x-tenant"}
    assert auth({"kind": "none", **tenant}).forwards == {"x-tenant"}


REQUEST = {"form": "list", "path": "/users", "parameter": "ids", "parameters": {"active": "1"}}


@pytest.mark.parametrize(
    ("given", "request_", "why"),
    [
        (
            {"kind": "api_key", "key": SECRET, "header": "X-Api-Key"},
            {"headers": {"x-api-key": "k"}},
            "expected no x-api-key in request.headers: auth writes it",
        ),
        (
            {"kind": "forward", "forward_headers": ["X-Tenant"]},
            {"headers": {"X-TENANT": "t"}},
            "expected no x-tenant in request.headers",
        ),
        (
            {"kind": "api_key", "key": SECRET, "parameter": "ids"},
            {},
            "expected another name than ids in auth.parameter: it is taken",
        ),
        ({"kind": "api_key", "key": SECRET, "parameter": "active"}, {}, "it is taken"),
    ],
)
def test_a_header_or_parameter_is_not_set_by_both_auth_and_request(
    given: object, request_: dict[str, object], why: str
) -> None:
    request = {**REQUEST, **request_}
    endpoint = {"request": request, "fields": {"plan": "plan"}}

    assert why in refused(given, request=request)
    assert why in refused(given, endpoints={"one": endpoint})


def test_a_key_is_not_in_the_parameter_of_pages() -> None:
    key = {"kind": "api_key", "key": SECRET, "parameter": "after"}

    assert "it is taken" in refused(key, answer={"more": {"cursor_parameter": "after"}})
    assert "it is taken" in refused(key, answer={"more": {"offset_parameter": "after"}})


def test_all_settings_of_credentials_can_be_set() -> None:
    token = auth({**CLIENT, "client_auth": "post", "scope": "a b", "audience": "https://users"})
    key = auth({"kind": "api_key", "key": SECRET, "header": "Authorization", "prefix": "Token "})

    assert isinstance(token, ClientCredentialsAuth)
    assert isinstance(key, ApiKeyAuth)
    assert not re.search(SECRET, f"{token!r} {key!r} {token.model_dump_json()}")
