"""The models of settings: valid values, refused values, and secrets that are never shown."""

import re
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.expressions.ids import UUID_PATTERN
from app.settings.models import DEFAULT_SOURCES, LogSettings, Settings
from app.settings.source import SourceSettings
from tests.fakes import settings_for_fakes

SECRET = "canary-token"
SECRETS = [
    {"kind": "bearer", "token": SECRET},
    {"kind": "basic", "username": "u", "password": SECRET},
    {"kind": "api_key", "key": SECRET, "parameter": "key"},
    {
        "kind": "client_credentials",
        "token_url": "http://login",
        "client_id": "c",
        "client_secret": SECRET,
    },
]


def source(**changes: object) -> SourceSettings:
    """Make the settings of a source."""
    return SourceSettings.model_validate({"base_url": "http://profile", **changes})


def groups(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """List a model and the models within it."""
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from groups(field.annotation)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://users", "http://users"),
        ("http://users/", "http://users"),
        ("https://users.internal:8443/api/v1//", "https://users.internal:8443/api/v1"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://[::1]:8001/x", "http://[::1]:8001/x"),
        ("http://users/a%20b", "http://users/a%20b"),
    ],
)
def test_a_base_url_is_kept_without_slashes_at_its_end(url: str, kept: str) -> None:
    assert source(base_url=url).base_url == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "expected an address"),
        ("users.internal", "expected an address"),
        ("//users.internal", "expected an address"),
        ("/api", "expected an address"),
        ("ftp://users", "expected an address"),
        ("file:///etc/passwd", "expected an address"),
        ("http://", "expected an address"),
        ("http:///api", "expected an address"),
        ("http://:80", "expected an address"),
        ("http://user:password@users", "expected no user or password"),
        ("http://user@users", "expected no user or password"),
        ("http://users?a=b", "expected no query"),
        ("http://users/api?", "expected no query"),
        ("http://users#top", "fragment"),
        ("http://users/api#", "fragment"),
        ("http://users/a b", "printable ASCII"),
        ("http://üsers", "printable ASCII"),
        ("http://users/\x00", "printable ASCII"),
        ("http://users\n", "printable ASCII"),
        ("http://us\ters", "printable ASCII"),
        ("http://users:port", "port"),
        ("http://users:99999", "port"),
        ("http://[::1", "expected an address"),
    ],
)
def test_an_invalid_base_url_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValidationError, match="(?i)" + re.escape(why)):
        source(base_url=url)


@given(
    url=st.text(max_size=40)
    | st.text(alphabet="ab/?#@:%[]1. \\", max_size=12).map(lambda rest: f"http://h{rest}")
)
def test_a_target_can_be_appended_to_any_accepted_base_url(url: str) -> None:
    try:
        base = source(base_url=url).base_url
    except ValidationError:
        return
    assert re.fullmatch(r"(?i)https?://[!-~]+", base)
    assert not set("?#") & set(base)
    assert not base.endswith("/")


@pytest.mark.parametrize("auth", SECRETS)
def test_a_secret_is_never_in_a_text_of_the_settings(auth: Mapping[str, str]) -> None:
    settings = settings_for_fakes()
    proxy = {"url": "http://proxy", "username": "u", "password": SECRET}
    one = source(auth=auth, proxy=proxy)
    every = settings.model_copy(update={"sources": dict.fromkeys(DEFAULT_SOURCES, one)})

    texts = [repr(one), str(one), one.model_dump_json(), repr(every), str(every.model_dump())]
    assert not [text for text in texts if SECRET in text]


def test_a_refused_token_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        source(
            auth={"kind": "bearer", "token": f"{SECRET} with spaces"},
            base_url=f"http://{SECRET}:x",
            timeout="soon",
        )

    assert SECRET not in str(caught.value)
    assert "soon" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("timeout", [0, -1, 3601, float("inf"), float("nan"), "soon", None]),
        ("connect_timeout", [0, float("nan")]),
        ("keepalive", [0, float("inf")]),
        ("max_keys", [0, -1, 10_001, 1.5]),
        ("max_url_bytes", [255, 65_537]),
        ("max_concurrent_pages", [0, 1_001]),
        ("max_connections", [0, 10_001]),
    ],
)
def test_a_number_out_of_range_for_a_source_is_refused(name: str, wrong: list[object]) -> None:
    for value in wrong:
        with pytest.raises(ValidationError, match=name):
            source(**{name: value})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("port", [-1, 65_536, "http"]),
        ("host", [""]),
        ("workers", [0, 65]),
        ("shutdown_timeout", [-1, 601]),
        ("max_ids", [0, 10_001]),
        ("max_representations", [0, 10_001]),
        ("document_cache", [-1, 100_001]),
        ("user_id_pattern", ["(", "[", "*"]),
        ("graphiql", ["perhaps"]),
        ("log", [{"level": "loud"}, {"format": "xml"}]),
    ],
)
def test_an_invalid_value_for_the_gateway_is_refused(name: str, wrong: list[object]) -> None:
    sources = settings_for_fakes().sources
    for value in wrong:
        with pytest.raises(ValidationError, match=name):
            Settings.model_validate({"sources": sources, name: value})


def test_only_the_addresses_of_the_sources_are_required() -> None:
    settings = Settings(sources=settings_for_fakes().sources)

    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert (settings.max_ids, settings.max_representations) == (100, 1_000)
    assert settings.shutdown_timeout == 10
    assert settings.user_id_pattern is UUID_PATTERN
    assert settings.log == LogSettings(level="info", format="auto")
    one = SourceSettings(base_url="http://profile")
    assert (one.timeout, one.connect_timeout) == (2.0, 0.5)
    assert (one.max_keys, one.max_url_bytes, one.max_concurrent_pages) == (100, 7_500, 10)


@pytest.mark.parametrize("model", list(groups(Settings)), ids=lambda model: model.__name__)
def test_models_of_settings_are_frozen_closed_and_described(
    model: type[BaseModel],
) -> None:
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("frozen") is True
    for field in model.model_fields.values():
        assert field.description
        assert field.description.endswith(".")


def test_a_setting_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings_for_fakes().port = 1  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


@given(value=st.uuids())
def test_a_uuid_in_any_case_is_an_id_by_default(value: object) -> None:
    assert UUID_PATTERN.fullmatch(str(value))
    assert UUID_PATTERN.fullmatch(str(value).upper())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "00000000-0000-4000-8000-00000000001",
        "00000000-0000-4000-8000-0000000000011",
        "{00000000-0000-4000-8000-000000000001}",
        "00000000000040008000000000000001",
        "00000000-0000-4000-8000-00000000000g",
        "00000000-0000-4000-8000-000000000001\n",
        "00000000-0000-4000-8000-00000000000\uff11",
        "urn:uuid:00000000-0000-4000-8000-000000000001",
    ],
)
def test_a_text_that_is_not_a_uuid_is_not_an_id_by_default(text: str) -> None:
    assert not UUID_PATTERN.fullmatch(text)
