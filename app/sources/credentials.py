"""Credentials in a request to a service: the gateway's own, and those of the caller. Pure.

The gateway's fixed credentials are written once, when the client of the service is created. Tokens
that the gateway requests for itself are in ``oauth.py``.

A source may answer two callers differently if it gets any of their headers. So callers share
batches and cache entries of a source only if it gets the same headers from them: the digest of
these headers is the caller's identity. Each source has its own identities: for a source that gets
no headers of callers, all callers are the same. Headers that are not forwarded do not matter.
"""

from collections.abc import Sequence
from hashlib import sha256
from operator import itemgetter
from typing import assert_never
from urllib.parse import quote, unquote_plus

from app.settings.base import HEADER_VALUE
from app.settings.credentials import (
    ApiKeyAuth,
    AuthSettings,
    BasicAuth,
    BearerAuth,
    ClientCredentialsAuth,
    ForwardAuth,
    NoAuth,
)
from app.sources.base import Headers, RequestContext
from app.transport.transport import basic


def headers_of(auth: AuthSettings) -> Headers:
    """Return the headers with credentials that are the same in all requests.

    Args:
        auth: The credentials for the service.

    Returns:
        The headers; empty if the service gets its credentials elsewhere, or none.
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
    """Return the query parameter with credentials that is the same in all requests.

    Args:
        auth: The credentials for the service.

    Returns:
        ``name=value``, percent-encoded; empty if there is none.
    """
    if not isinstance(auth, ApiKeyAuth) or auth.parameter is None:
        return ""
    return f"{quote(auth.parameter, safe='')}={quote(auth.key.get_secret_value(), safe='')}"


def with_query(target: str, own: str) -> str:
    """Add the parameter with credentials to a query. The URL of a next page may have it already.

    Args:
        target: Path and query.
        own: The parameter from ``query_of``.

    Returns:
        Path and query, with the parameter once.
    """
    path, _, query = target.partition("?")
    bare = unquote_plus(own)
    pairs = [pair for pair in query.split("&") if pair and unquote_plus(pair) != bare]
    return f"{path}?{'&'.join([*pairs, own])}"


def read_forwarded(headers: Sequence[tuple[str, str]], names: frozenset[str]) -> Headers:
    """Select the headers of a caller that may be forwarded.

    Args:
        headers: All headers of the request, their names in lower case.
        names: Names of the headers that are forwarded, in lower case.

    Returns:
        The headers in their order. Headers that the caller names in ``Connection`` are left out
        (RFC 9110, section 7.6.1), and so are values that would be changed on the way.
    """
    hop_by_hop = {
        name.strip().lower()
        for header, value in headers
        if header == "connection"
        for name in value.split(",")
    }
    return tuple(
        (name, value)
        for name, value in headers
        if name in names and name not in hop_by_hop and HEADER_VALUE.fullmatch(value)
    )


def sent_of(context: RequestContext, names: frozenset[str]) -> Headers:
    """Select the headers of the caller for one source.

    Args:
        context: The context of the call.
        names: Names of the headers that the source gets, in lower case.

    Returns:
        The headers, in their order.
    """
    return tuple(header for header in context.forwarded if header[0] in names)


def identity_of(context: RequestContext, names: frozenset[str]) -> str:
    """Return the identity of the caller for one source.

    Args:
        context: The context of the call.
        names: Names of the headers that the source gets, in lower case.

    Returns:
        A digest of these headers. The order counts only among headers with the same name. Empty if
        the source gets no header of the caller.
    """
    sent = sent_of(context, names)
    if not sent:
        return ""
    digest = sha256()
    for header in sorted(sent, key=itemgetter(0)):
        for part in header:
            written = part.encode()
            digest.update(b"%d:%b" % (len(written), written))
    return digest.hexdigest()
