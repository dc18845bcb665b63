"""What every request to a service has in it so that the service knows who asks. Pure.

It is written once, when the service's client is made. What changes from request to request is in
``auth_token.py`` (tokens that the gateway gets for itself) and ``auth_caller.py`` (what callers
send).
"""

from base64 import b64encode
from typing import assert_never
from urllib.parse import quote, unquote_plus

from app.shapes.auth import (
    ApiKeyAuth,
    AuthSettings,
    BasicAuth,
    BearerAuth,
    ClientCredentialsAuth,
    ForwardAuth,
    NoAuth,
)
from app.sources.base import Headers


def headers_of(auth: AuthSettings) -> Headers:
    """Write the headers that are the same in all requests.

    Args:
        auth: How the service knows who asks.

    Returns:
        The headers; none where what it wants is elsewhere.
    """
    match auth:
        case BearerAuth():
            return (("Authorization", f"Bearer {auth.token.get_secret_value()}"),)
        case BasicAuth():
            password = auth.password.get_secret_value()
            return (("Authorization", basic(auth.username, password)),)
        case ApiKeyAuth():
            if auth.header is None:
                return ()
            return ((auth.header, f"{auth.prefix}{auth.key.get_secret_value()}"),)
        case NoAuth() | ClientCredentialsAuth() | ForwardAuth():
            return ()
        case _:
            assert_never(auth)


def query_of(auth: AuthSettings) -> str:
    """Write what is in the query of all requests.

    Args:
        auth: How the service knows who asks.

    Returns:
        A name and a value, percent-encoded; empty where there are none.
    """
    if not isinstance(auth, ApiKeyAuth) or auth.parameter is None:
        return ""
    return f"{quote(auth.parameter, safe='')}={quote(auth.key.get_secret_value(), safe='')}"


def with_query(target: str, own: str) -> str:
    """Put that into a query; once, even where the address of a next page has it already.

    Args:
        target: Path and query.
        own: What ``query_of`` has written.

    Returns:
        Path and query, with it.
    """
    path, _, query = target.partition("?")
    bare = unquote_plus(own)
    pairs = [pair for pair in query.split("&") if pair and unquote_plus(pair) != bare]
    return f"{path}?{'&'.join([*pairs, own])}"


def basic(username: str, password: str) -> str:
    """Write a user and a password for ``Authorization`` (RFC 7617), in UTF-8.

    Args:
        username: The user.
        password: The password.

    Returns:
        The header's value.
    """
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"
