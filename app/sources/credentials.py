"""Who asks, in a request to a service: the gateway's credentials and the caller's. Pure.

What every request to a service has in it so that the service knows who asks. Pure.

It is written once, when the service's client is made. What changes from request to request is in
``oauth.py`` (tokens that the gateway gets for itself) and ``credentials.py`` (what callers
send).

What a source is sent of the caller's, and who the caller is to it by that. Pure.

A source may answer two callers differently if it is sent anything of theirs. So they share calls
and kept answers of it only if what it is sent is the same: its digest is the caller's identity.
That is a source's own matter: to a source that is sent nothing, all callers are one, whatever the
others are sent. What is not forwarded is not looked at.
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


def read_forwarded(headers: Sequence[tuple[str, str]], names: frozenset[str]) -> Headers:
    """Find what of a caller's headers may be sent on.

    Args:
        headers: All headers of the request, their names in lower case.
        names: Those that are sent on, in lower case.

    Returns:
        Them, in their order; without those that are for the connection alone, as the caller says
        (RFC 9110, section 7.6.1), and without values that would not arrive as they are.
    """
    alone = {
        name.strip().lower()
        for header, value in headers
        if header == "connection"
        for name in value.split(",")
    }
    return tuple(
        (name, value)
        for name, value in headers
        if name in names and name not in alone and HEADER_VALUE.fullmatch(value)
    )


def sent_of(context: RequestContext, names: frozenset[str]) -> Headers:
    """Find what one source is sent of the caller's.

    Args:
        context: The call.
        names: The headers that the source is sent, in lower case.

    Returns:
        Them, in their order.
    """
    return tuple(header for header in context.forwarded if header[0] in names)


def identity_of(context: RequestContext, names: frozenset[str]) -> str:
    """Tell callers apart by what one source is sent of theirs.

    Args:
        context: The call.
        names: The headers that the source is sent, in lower case.

    Returns:
        A digest of them. Of several with one name their order counts, no other. Empty for those of
        whose own nothing is sent: to the source they are nobody in particular.
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
