"""The settings of a proxy."""

import pytest
from pydantic import ValidationError

from app.settings.transport import ProxySettings

SECRET = "canary-secret"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "Field required"),
        ({"url": "proxy:3128"}, "an address such as https://"),
        ({"url": "https://proxy"}, "an address such as http://proxy.internal:3128"),
        ({"url": "socks5://proxy"}, "an address such as"),
        ({"url": "http://proxy?a"}, "an address such as http://proxy.internal:3128"),
        ({"url": f"http://me:{SECRET}@proxy"}, "no user or password in it"),
        ({"url": "http://proxy", "username": "me"}, "username and password both, or neither"),
        ({"url": "http://proxy", "password": SECRET}, "username and password both, or neither"),
        ({"url": "http://proxy", "username": "a:b", "password": SECRET}, "without colons"),
        ({"url": "http://proxy", "username": "a", "password": f"{SECRET}\n"}, "no control char"),
    ],
)
def test_an_invalid_proxy_is_refused_with_the_reason(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProxySettings.model_validate(given)

    assert why in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_password_of_a_proxy_is_never_shown() -> None:
    proxy = ProxySettings.model_validate(
        {"url": "http://proxy:3128", "username": "me", "password": SECRET}
    )

    assert SECRET not in f"{proxy!r} {proxy.model_dump_json()}"
