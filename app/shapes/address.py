"""Addresses of the web, as an operator writes them."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_LONGEST_HOST = 254
_LONGEST_PART = 63


def check_address(url: str) -> str:
    """Accept an absolute http address without credentials.

    Args:
        url: The address.

    Returns:
        The same.

    Raises:
        ValueError: It is no such address.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("expected an address such as https://users.internal/api") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address such as https://users.internal/api")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected no user or password in it; secrets have settings of their own")
    if "#" in url:
        raise ValueError("expected no fragment in it")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("expected printable ASCII without spaces; percent-encode the rest")
    try:
        _ = parts.port  # only now urlsplit looks at it
    except ValueError as error:
        raise ValueError("expected a port from 0 to 65535 in it") from error
    if not _is_name(parts.hostname):
        raise ValueError("expected a host of parts of 1 to 63 characters, with dots between")
    return url


def _is_name(host: str) -> bool:
    """Tell whether a host can be looked up (RFC 1035, section 2.3.4).

    The look-up raises ``UnicodeError`` for others, which is no failure of a connection.
    """
    parts = host.removesuffix(".").split(".")  # the dot at the end stands for the root
    return len(host) <= _LONGEST_HOST and all(1 <= len(part) <= _LONGEST_PART for part in parts)


def _check_base(url: str) -> str:
    """Accept an address below which others are.

    Args:
        url: The address.

    Returns:
        The address without slashes at its end.

    Raises:
        ValueError: It is none.
    """
    if "?" in url or "#" in url:  # even an empty query would swallow what is put behind it
        raise ValueError("expected no query and no fragment in it")
    return check_address(url).rstrip("/")


Address = Annotated[str, AfterValidator(check_address)]
BaseUrl = Annotated[str, AfterValidator(_check_base)]
