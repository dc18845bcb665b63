"""The base model of all settings, and the types that several of them share."""

import re
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.expressions.places import KEY
from app.expressions.template import KEYS

Seconds = Annotated[float, Field(ge=0.001, le=3600, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def in_words(pattern: str, expected: str) -> BeforeValidator:
    """Make a check that says in words what a pattern requires.

    Args:
        pattern: The pattern, which is also in the schema of the file, for editors.
        expected: What is expected, with an example; it begins with ``expected``.

    Returns:
        The check. It leaves a value that is no text to pydantic.
    """
    compiled = re.compile(pattern)

    def check(value: object) -> object:
        if isinstance(value, str) and not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return BeforeValidator(check)


_PLAIN_HEADER_NAME = "^[A-Za-z0-9-]{1,64}$"
PlainHeaderName = Annotated[
    str,
    Field(pattern=_PLAIN_HEADER_NAME),
    in_words(
        _PLAIN_HEADER_NAME,
        "expected a header name: 1 to 64 letters, digits and -, such as X-Tenant",
    ),
]


class UsualNames(Struct, frozen=True):
    """Marks a table of free names with the names that it usually has, for lists of settings.

    Attributes:
        names: The names.
    """

    names: tuple[str, ...]


class FromFolder(Struct, frozen=True):
    """Marks the path of something that a file names relative to its own folder."""


class SettingsModel(BaseModel):
    """Base of all settings models: values are immutable, and unknown names are rejected."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        serialize_by_alias=True,
        defer_build=True,
    )


def refuse(mistakes: Iterable[str]) -> None:
    """Refuse settings that do not fit together.

    Args:
        mistakes: What is expected instead of each mistake.

    Raises:
        ValueError: There are mistakes; it has all of them, so that an operator reads them at once.
    """
    if found := [*mistakes]:
        raise ValueError("; ".join(found))


_LONGEST_HOST = 254
_LONGEST_PART = 63


def check_address(url: str) -> str:
    """Check an absolute http or https address without credentials.

    Args:
        url: The address.

    Returns:
        The same address.

    Raises:
        ValueError: It is not such an address.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("expected an address such as https://service.internal/api") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address such as https://service.internal/api")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected no user or password in it; secrets have their own settings")
    if "#" in url:
        raise ValueError("expected no fragment in it")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("expected printable ASCII without spaces; percent-encode the rest")
    try:
        _ = parts.port  # urlsplit checks the port only when it is read
    except ValueError as error:
        raise ValueError("expected a port from 0 to 65535 in it") from error
    if not _is_name(parts.hostname):
        raise ValueError("expected a host whose parts between dots have 1 to 63 characters")
    return url


def _is_name(host: str) -> bool:
    """Return whether a host can be looked up (RFC 1035, section 2.3.4).

    The look-up raises ``UnicodeError`` for others, which is not an error of a connection.
    """
    parts = host.removesuffix(".").split(".")  # a final dot stands for the root
    return len(host) <= _LONGEST_HOST and all(1 <= len(part) <= _LONGEST_PART for part in parts)


def _check_base(url: str) -> str:
    """Check an address that paths are appended to; return it without final slashes."""
    if "?" in url or "#" in url:  # a path after even an empty query belongs to the query
        raise ValueError("expected no query and no fragment in it")
    return check_address(url).rstrip("/")


Address = Annotated[str, AfterValidator(check_address)]
BaseUrl = Annotated[str, AfterValidator(_check_base)]


_PATH = re.compile(r"(/([A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+")
"""A path (RFC 3986, section 3.3)."""

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
"""A token (RFC 9110, section 5.6.2)."""

HEADER_VALUE = re.compile(r"[!-~]([ -~\t]*[!-~])?")
"""The value of a header (RFC 9110, section 5.5), without bytes that some programs reject."""

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
OUR_HEADERS = frozenset(
    {
        *("host", "content-length", "accept-encoding", "expect", "x-request-id"),
        *("traceparent", "tracestate", "baggage"),
    }
    | {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that the gateway writes, and those of one connection (RFC 9110, section 7.6.1)."""


def _check_path(path: str) -> str:
    """Check a path, which may have a place for a key."""
    bare = path.replace(KEY, "")
    if not _PATH.fullmatch(bare):
        raise ValueError("expected a path such as /users, percent-encoded and without a query")
    if not {".", ".."}.isdisjoint(unquote(bare).split("/")):
        raise ValueError("expected no . and no .. between slashes")
    return path


def _check_parameter(name: str) -> str:
    """Check the name of a query parameter: printable ASCII without spaces."""
    if not name.isascii() or not name.isprintable() or " " in name:
        raise ValueError("expected printable ASCII without spaces; the gateway percent-encodes it")
    return name


def _check_header(name: str) -> str:
    """Check the name of a header that the operator may set."""
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() in _SECRET_HEADERS:
        raise ValueError(f"expected no secret here: {name} has its own settings")
    if name.lower() in OUR_HEADERS:
        raise ValueError(f"expected no {name}: the gateway writes it")
    return name


def _check_header_value(value: str) -> str:
    """Check the value of a header."""
    if not HEADER_VALUE.fullmatch(value):
        raise ValueError("expected printable ASCII without a space at its beginning or end")
    return value


def _check_each(text: str) -> str:
    """Check a text with one place for one key."""
    if text.count(KEY) != 1:
        raise ValueError(f"expected {KEY} in it, once")
    return text


def _check_wrap(text: str) -> str:
    """Check a text with one place for all keys."""
    if text.count(KEYS) != 1:
        raise ValueError(f"expected {KEYS} in it, once")
    return text


UrlPath = Annotated[str, Field(max_length=1_024), AfterValidator(_check_path)]
ParameterName = Annotated[
    str, Field(min_length=1, max_length=128), AfterValidator(_check_parameter)
]
HeaderName = Annotated[str, AfterValidator(_check_header)]
HeaderValue = Annotated[str, Field(max_length=1_024), AfterValidator(_check_header_value)]
ParameterValue = Annotated[str, Field(max_length=1_024)]
ParameterValues = Annotated[tuple[ParameterValue, ...], Field(min_length=1, max_length=100)]
Between = Annotated[str, Field(min_length=1, max_length=32)]
Each = Annotated[str, Field(max_length=1_024), AfterValidator(_check_each)]
Wrap = Annotated[str, Field(max_length=1_024), AfterValidator(_check_wrap)]
