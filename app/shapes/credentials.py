"""What credentials are written of, and what each of them may be."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from app.shapes.parts import HEADER_NAME, HEADER_VALUE, OUR_HEADERS

AUTHORIZATION = "authorization"

_NEVER_A_KEY = OUR_HEADERS | {"cookie", "proxy-authorization", "accept", "user-agent"}

_NEVER_SENT_ON = OUR_HEADERS | {
    *("accept", "content-type", "content-encoding", "user-agent", "x-request-timeout"),  # ours
    "x-router-token",
    *("cookie", "set-cookie", "proxy-authorization", "proxy-authenticate", "proxy-connection"),
    *("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
}
"""What would say of the gateway's own request what was meant of another, and what is never given
away."""

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""What can stand in a header as a bearer token (RFC 6750, section 2.1)."""

_NO_CONTROL = re.compile(r"[^\x00-\x1f\x7f]+")


def is_bearer_token(token: str) -> bool:
    """Tell whether a text can stand in a header as a bearer token.

    Args:
        token: The text.

    Returns:
        Whether it can.
    """
    return _BEARER_TOKEN.fullmatch(token) is not None


def _check_token(token: SecretStr) -> SecretStr:
    """Accept a bearer token.

    Args:
        token: The token.

    Returns:
        The token.

    Raises:
        ValueError: It has other characters.
    """
    if not is_bearer_token(token.get_secret_value()):
        raise ValueError("expected letters, digits and -._~+/ only, as RFC 6750 has it")
    return token


def _check_key(key: SecretStr) -> SecretStr:
    """Accept a key that can stand in a header.

    Args:
        key: The key.

    Returns:
        The key.

    Raises:
        ValueError: It would not arrive as it is.
    """
    if not HEADER_VALUE.fullmatch(key.get_secret_value()):
        raise ValueError("expected printable ASCII that begins and ends with no space")
    return key


def _check_secret(secret: SecretStr) -> SecretStr:
    """Accept a password or the secret of a client.

    Args:
        secret: The secret.

    Returns:
        The secret.

    Raises:
        ValueError: It is empty, or has control characters.
    """
    if not _NO_CONTROL.fullmatch(secret.get_secret_value()):
        raise ValueError("expected at least one character, and no control characters")
    return secret


def _check_name(name: str) -> str:
    """Accept the name of a user.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It cannot stand before a colon (RFC 7617, section 2).
    """
    if not _NO_CONTROL.fullmatch(name) or ":" in name:
        raise ValueError("expected a name without colons and control characters")
    return name


def _check_key_header(name: str) -> str:
    """Accept the name of a header for a key.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It is none, or one with a meaning of its own.
    """
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() in _NEVER_A_KEY:
        raise ValueError(f"expected a header for a key, such as X-Api-Key: {name} is none")
    return name


def _check_forwarded(name: str) -> str:
    """Accept the name of a header that may be sent on.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It is none, or one that is never sent on.
    """
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() == AUTHORIZATION:
        raise ValueError('expected kind = "forward" for the caller\'s Authorization')
    if name.lower() in _NEVER_SENT_ON:
        raise ValueError(f"expected no {name}: it is never sent on")
    return name


BearerToken = Annotated[SecretStr, AfterValidator(_check_token)]
Key = Annotated[SecretStr, AfterValidator(_check_key)]
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
UserName = Annotated[str, Field(max_length=256), AfterValidator(_check_name)]
KeyHeader = Annotated[str, AfterValidator(_check_key_header)]
ForwardedName = Annotated[str, AfterValidator(_check_forwarded)]
Prefix = Annotated[str, Field(max_length=64, pattern=r"^([!-~][ -~]*)?$")]
Text = Annotated[str, Field(min_length=1, max_length=1_024)]
