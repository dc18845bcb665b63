"""The parts that requests are written of, and what each of them may be."""

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field

KEY = "{key}"
"""Where one key goes."""

KEYS = "{keys}"
"""Where all keys of a call go."""

_PATH = re.compile(r"(/([A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+")
"""A path (RFC 3986, section 3.3)."""

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
"""A token (RFC 9110, section 5.6.2)."""

HEADER_VALUE = re.compile(r"[!-~]([ -~\t]*[!-~])?")
"""What fits into a header (RFC 9110, section 5.5), without what only some programs understand."""

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
OUR_HEADERS = frozenset(
    {"host", "content-length", "accept-encoding", "expect", "x-request-id", "traceparent"}
    | {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""What the gateway writes itself, and what is for one connection alone (RFC 9110, 7.6.1)."""


def _check_path(path: str) -> str:
    """Accept a path, in which a place for a key may be.

    Args:
        path: The path.

    Returns:
        The same.

    Raises:
        ValueError: It is no path, or it leads elsewhere.
    """
    bare = path.replace(KEY, "")
    if not _PATH.fullmatch(bare):
        raise ValueError("expected a path such as /users, percent-encoded and without a query")
    if not {".", ".."}.isdisjoint(unquote(bare).split("/")):
        raise ValueError("expected no . and no .. between slashes")
    return path


def _check_parameter(name: str) -> str:
    """Accept the name of a query parameter: any that can be typed.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It has other characters.
    """
    if not name.isascii() or not name.isprintable() or " " in name:
        raise ValueError("expected printable ASCII without spaces; it is percent-encoded for you")
    return name


def _check_header(name: str) -> str:
    """Accept the name of a header that is for the operator to say.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It is none, or one that the gateway writes.
    """
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() in _SECRET_HEADERS:
        raise ValueError(f"expected no secret here: {name} has settings of its own")
    if name.lower() in OUR_HEADERS:
        raise ValueError(f"expected no {name}: the gateway writes it")
    return name


def _check_header_value(value: str) -> str:
    """Accept the value of a header.

    Args:
        value: The value.

    Returns:
        The same.

    Raises:
        ValueError: It would not arrive as it is.
    """
    if not HEADER_VALUE.fullmatch(value):
        raise ValueError("expected printable ASCII that begins and ends with no space")
    return value


def _check_each(text: str) -> str:
    """Accept a text with a place for one key.

    Args:
        text: The text.

    Returns:
        The same.

    Raises:
        ValueError: It has none, or several.
    """
    if text.count(KEY) != 1:
        raise ValueError(f"expected {KEY} in it, once")
    return text


def _check_wrap(text: str) -> str:
    """Accept a text with a place for all keys.

    Args:
        text: The text.

    Returns:
        The same.

    Raises:
        ValueError: It has none, or several.
    """
    if text.count(KEYS) != 1:
        raise ValueError(f"expected {KEYS} in it, once")
    return text


Path = Annotated[str, Field(max_length=1_024), AfterValidator(_check_path)]
ParameterName = Annotated[
    str, Field(min_length=1, max_length=128), AfterValidator(_check_parameter)
]
HeaderName = Annotated[str, AfterValidator(_check_header)]
HeaderValue = Annotated[str, Field(max_length=1_024), AfterValidator(_check_header_value)]
Text = Annotated[str, Field(max_length=1_024)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]
Between = Annotated[str, Field(min_length=1, max_length=32)]
Each = Annotated[str, Field(max_length=1_024), AfterValidator(_check_each)]
Wrap = Annotated[str, Field(max_length=1_024), AfterValidator(_check_wrap)]
