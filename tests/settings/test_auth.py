"""The settings of callers: valid ones are accepted, and mistakes are reported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.errors import ConfigurationError
from app.main import load_settings
from app.settings.auth import CallersSettings, JwtCallers, OpenCallers, require_callers

READ: TypeAdapter[OpenCallers | JwtCallers] = TypeAdapter(CallersSettings)
JWT: Mapping[str, Any] = {
    "mode": "jwt",
    "issuer": "https://login.example.com/",
    "audience": "user-gateway",
}
SECRET = "x" * 32


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"audience": ["a", "b"]},
        {"jwks_url": "https://login.example.com/keys?tenant=a"},
        {"issuer": "any text", "jwks_url": "https://login.example.com/keys"},
        {"issuer": "dev", "secret": SECRET},
        {"algorithms": ["RS256"]},
        {"issuer": "http://127.0.0.1:9/realms/team"},
        {"jwks_url": f"https://{'a' * 63}.example.com./keys"},
        {"jwks_url": "https://[2001:db8::1]:8443/keys"},
    ],
)
def test_settings_of_callers_that_fit_together_are_accepted(more: Mapping[str, Any]) -> None:
    assert isinstance(READ.validate_python({**JWT, **more}), JwtCallers)


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        ({"issuer": "dev"}, "expected as issuer an address such as"),
        ({"jwks_url": f"https://{'a' * 64}.com/keys"}, "expected a host whose parts"),
        ({"jwks_url": f"https://{'a.' * 127}com/keys"}, "expected a host whose parts"),
        ({"jwks_url": "https://./keys"}, "expected a host whose parts"),
        ({"issuer": "https://a/?b"}, "expected no query in issuer, or jwks_url beside it"),
        ({"issuer": ""}, "at least 1 character"),
        ({"audience": []}, "at least 1 item"),
        ({"secret": "x" * 31}, "expected at least 32 bytes, as openssl rand -hex 32 gives"),
        ({"secret": f"-----BEGIN PUBLIC KEY-----{SECRET}"}, "expected no key or certificate"),
        (
            {"secret": SECRET, "jwks_url": "https://a/keys"},
            "expected no jwks_url beside secret, which is for HS256 only",
        ),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "expected no algorithms beside secret"),
        ({"algorithms": ["HS256"]}, "Input should be 'RS256'"),
        ({"algorithms": ["none"]}, "Input should be 'RS256'"),
        ({"algorithms": []}, "at least 1 item"),
        ({"leeway": 301}, "less than or equal to 300"),
        ({"leeway": -1}, "greater than or equal to 0"),
        ({"max_age": 60}, "expected a max_age that is no shorter than refresh_interval"),
        ({"issuer": "http://a/", "tls": {}}, "expected https in issuer or jwks_url beside tls"),
        ({"public_key": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_auth_is_reported_with_the_expected_value(
    more: Mapping[str, Any], reported: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        READ.validate_python({**JWT, **more})

    assert reported in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_issuer_and_audience_are_required(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        READ.validate_python({name: one for name, one in JWT.items() if name != missing})


def test_the_mode_of_callers_has_to_be_set() -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_AUTH__MODE is missing"):
        require_callers(None)
    assert require_callers(OpenCallers()) == OpenCallers()


@pytest.fixture
def with_sources(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the required variables of the sources."""
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://127.0.0.1:9")
    return monkeypatch


def test_variables_set_the_settings_of_callers(with_sources: pytest.MonkeyPatch) -> None:
    with_sources.setenv("GATEWAY_AUTH__MODE", "jwt")
    with_sources.setenv("GATEWAY_AUTH__ISSUER", "https://login.example.com/")
    with_sources.setenv("GATEWAY_AUTH__AUDIENCE", "user-gateway")
    with_sources.setenv("GATEWAY_AUTH__ALGORITHMS", '["RS256", "ES256"]')

    auth = load_settings(None, serving=True).auth

    assert isinstance(auth, JwtCallers)
    assert auth.audiences == {"user-gateway"}
    assert auth.algorithms == ("RS256", "ES256")


def test_several_audiences_are_set_as_a_list(with_sources: pytest.MonkeyPatch) -> None:
    for name, value in JWT.items():
        with_sources.setenv(f"GATEWAY_AUTH__{name.upper()}", value)
    with_sources.setenv("GATEWAY_AUTH__AUDIENCE", '["a", "b"]')

    auth = load_settings(None).auth

    assert isinstance(auth, JwtCallers)
    assert auth.audiences == {"a", "b"}


@pytest.mark.parametrize(
    ("variables", "reported"),
    [
        ({}, "GATEWAY_AUTH__MODE is missing: expected jwt, with issuer and audience"),
        ({"ISSUER": "https://a"}, "GATEWAY_AUTH__MODE is missing"),
        ({"MODE": "open"}, "GATEWAY_AUTH__MODE got 'open': expected one of 'none', 'jwt'."),
        ({"MODE": "jwt", "AUDIENCE": "a"}, "GATEWAY_AUTH__ISSUER is missing"),
        ({"MODE": "none", "ISSUER": "https://a"}, "GATEWAY_AUTH__ISSUER is not a setting where"),
    ],
)
def test_a_mistake_in_a_variable_is_reported_once_with_its_name(
    with_sources: pytest.MonkeyPatch, variables: Mapping[str, str], reported: str
) -> None:
    for name, value in variables.items():
        with_sources.setenv(f"GATEWAY_AUTH__{name}", value)

    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, serving=True)

    [mistake] = caught.value.mistakes
    assert mistake.startswith(reported)


def test_a_file_sets_the_callers_and_names_the_secret(
    with_sources: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_sources.setenv("DEV_SECRET", SECRET)
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[auth]\nmode = "jwt"\nissuer = "dev"\naudience = "a"\nsecret = { env = "DEV_SECRET" }\n',
        encoding="utf-8",
    )

    auth = load_settings(None, config=file, serving=True).auth

    assert isinstance(auth, JwtCallers)
    assert auth.secret is not None
    assert auth.secret.get_secret_value() == SECRET


def test_a_file_without_the_mode_of_callers_is_named_in_the_mistake(
    with_sources: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del with_sources
    file = tmp_path / "gateway.toml"
    file.write_text("port = 80\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"gateway\.toml.*\[auth\] mode is missing"):
        load_settings(None, config=file, serving=True)
    assert load_settings(None, config=file).auth is None
