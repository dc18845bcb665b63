"""Redaction: secrets are hidden in the requests and responses that are shown."""

import pytest
from pydantic import SecretStr

from app.cli.placeholders import sources_at
from app.probe.verdict import HIDDEN, Redaction
from app.settings.credentials import BearerAuth, ClientCredentialsAuth
from app.settings.models import Settings

SECRET = "canary+/secret="


def redaction(*others: str) -> Redaction:
    """Make a redaction for settings with a token, and for other secrets."""
    sources = sources_at({})
    billing = sources["billing"].model_copy(
        update={"auth": BearerAuth(kind="bearer", token=SecretStr(SECRET))}
    )
    changed = {**sources, "billing": billing}
    return Redaction(Settings(sources=changed), others)


@pytest.mark.parametrize(
    "text", [f"http://a/?key={SECRET}&x=1", "http://a/?key=canary%2B%2Fsecret%3D&x=1"]
)
def test_a_secret_of_the_settings_is_hidden_also_percent_encoded(text: str) -> None:
    assert redaction().text(text) == f"http://a/?key={HIDDEN}&x=1"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("authorization", "Bearer abc", f"Bearer {HIDDEN}"),
        ("Authorization", "abc", HIDDEN),
        ("Proxy-Authorization", "Basic abc", f"Basic {HIDDEN}"),
        ("Cookie", "a=b; c=d", HIDDEN),
        ("X-Api-Key", "abc", HIDDEN),
        ("X-Own", f"v1 {SECRET}", f"v1 {HIDDEN}"),
        ("Accept", "application/json", "application/json"),
    ],
)
def test_values_of_headers_for_secrets_are_hidden(name: str, value: str, shown: str) -> None:
    assert redaction().header(name, value) == shown


@pytest.mark.parametrize("written", ["canary%2b/secret", "canary+secret", "canary"])
def test_the_query_of_an_address_in_the_settings_is_hidden(written: str) -> None:
    sources = sources_at({})
    auth = ClientCredentialsAuth(
        kind="client_credentials",
        token_url=f"http://a/token?key={written}",
        client_id="gateway",
        client_secret=SecretStr(SECRET),
    )
    billing = sources["billing"].model_copy(update={"auth": auth})
    changed = {**sources, "billing": billing}

    redacted = Redaction(Settings(sources=changed)).text(f"POST http://a/token?key={written}")

    assert redacted == f"POST http://a/token?key={HIDDEN}"


def test_tokens_in_the_response_of_a_token_endpoint_are_hidden() -> None:
    text = '{"access_token": "abc", "expires_in": 3600, "refresh_token":"d"}'

    assert redaction().text(text) == (
        f'{{"access_token": "{HIDDEN}", "expires_in": 3600, "refresh_token":"{HIDDEN}"}}'
    )


def test_the_longer_of_two_other_secrets_is_hidden_first() -> None:
    assert redaction("abcd", "abcdef").text("abcdef, abcd") == f"{HIDDEN}, {HIDDEN}"


def test_a_secret_of_one_character_is_not_hidden() -> None:
    assert redaction("a", "").text("a cat") == "a cat"
