"""Showing what goes over the wire without the secrets in it."""

import pytest
from pydantic import SecretStr

from app.cli.placeholders import sources_at
from app.probe.verdict import HIDDEN, Redaction
from app.settings.credentials import BearerAuth, ClientCredentialsAuth
from app.settings.models import Settings

SECRET = "canary+/secret="


def hiding(*others: str) -> Redaction:
    """Hide what is secret in settings with a token, and other secrets."""
    sources = sources_at({})
    billing = sources["billing"].model_copy(
        update={"auth": BearerAuth(kind="bearer", token=SecretStr(SECRET))}
    )
    changed = {**sources, "billing": billing}
    return Redaction(Settings(sources=changed), others)


@pytest.mark.parametrize(
    "text", [f"http://a/?key={SECRET}&x=1", "http://a/?key=canary%2B%2Fsecret%3D&x=1"]
)
def test_a_secret_of_the_settings_is_hidden_wherever_it_is_however_it_is_written(text: str) -> None:
    assert hiding().text(text) == f"http://a/?key={HIDDEN}&x=1"


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
def test_headers_that_are_there_for_secrets_are_hidden_whole(
    name: str, value: str, shown: str
) -> None:
    assert hiding().header(name, value) == shown


@pytest.mark.parametrize("written", ["canary%2b/secret", "canary+secret", "canary"])
def test_what_is_in_the_query_of_an_address_is_hidden(written: str) -> None:
    sources = sources_at({})
    auth = ClientCredentialsAuth(
        kind="client_credentials",
        token_url=f"http://a/token?key={written}",
        client_id="gateway",
        client_secret=SecretStr(SECRET),
    )
    billing = sources["billing"].model_copy(update={"auth": auth})
    changed = {**sources, "billing": billing}

    told = Redaction(Settings(sources=changed)).text(f"POST http://a/token?key={written}")

    assert told == f"POST http://a/token?key={HIDDEN}"


def test_what_a_token_endpoint_answers_is_hidden() -> None:
    text = '{"access_token": "abc", "expires_in": 3600, "refresh_token":"d"}'

    assert hiding().text(text) == (
        f'{{"access_token": "{HIDDEN}", "expires_in": 3600, "refresh_token":"{HIDDEN}"}}'
    )


def test_others_are_hidden_too_and_the_longer_of_two_first() -> None:
    assert hiding("abcd", "abcdef").text("abcdef, abcd") == f"{HIDDEN}, {HIDDEN}"


def test_what_is_in_every_text_is_no_secret_to_look_for() -> None:
    assert hiding("a", "").text("a cat") == "a cat"
