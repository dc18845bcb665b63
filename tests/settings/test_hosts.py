"""The settings of the gateway's own host names."""

import pytest
from pydantic import TypeAdapter, ValidationError

from app.settings.server import HostName, is_loopback

NAME: TypeAdapter[str] = TypeAdapter(HostName)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM", "api.example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("user_gateway", "user_gateway"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
    ],
)
def test_a_host_is_a_name_an_address_or_a_wildcard(given: str, kept: str) -> None:
    assert NAME.validate_python(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        *("", "https://api.example.com", "api.example.com:443", "api.example.com/", "a b", "a..b"),
        *("*.", "**", "*example.com", "api.*.com", "-a", "a@b", "bücher.example", "a" * 64),
    ],
)
def test_a_value_that_is_not_a_host_is_refused_with_the_expected_form(given: str) -> None:
    with pytest.raises(ValidationError, match="expected a name without scheme and port"):
        NAME.validate_python(given)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1")),
        *((host, True) for host in ("[::1]", "::ffff:127.0.0.1")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "gateway", "::ffff:10.0.0.1")),  # noqa: S104 # as text
    ],
)
def test_a_loopback_host_is_recognized_by_name_or_address(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback
