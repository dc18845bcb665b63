"""What a source is sent of the caller's, and who the caller is to it by that. Pure.

A source may answer two callers differently if it is sent anything of theirs. So they share calls
and kept answers of it only if what it is sent is the same: its digest is the caller's identity.
That is a source's own matter: to a source that is sent nothing, all callers are one, whatever the
others are sent. What is not forwarded is not looked at.
"""

from collections.abc import Sequence
from hashlib import sha256
from operator import itemgetter

from app.shapes.parts import HEADER_VALUE
from app.sources.base import Call, Headers


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


def sent_of(call: Call, names: frozenset[str]) -> Headers:
    """Find what one source is sent of the caller's.

    Args:
        call: The call.
        names: The headers that the source is sent, in lower case.

    Returns:
        Them, in their order.
    """
    return tuple(header for header in call.forwarded if header[0] in names)


def identity_of(call: Call, names: frozenset[str]) -> str:
    """Tell callers apart by what one source is sent of theirs.

    Args:
        call: The call.
        names: The headers that the source is sent, in lower case.

    Returns:
        A digest of them. Of several with one name their order counts, no other. Empty for those of
        whose own nothing is sent: to the source they are nobody in particular.
    """
    sent = sent_of(call, names)
    if not sent:
        return ""
    digest = sha256()
    for header in sorted(sent, key=itemgetter(0)):
        for part in header:
            written = part.encode()
            digest.update(b"%d:%b" % (len(written), written))
    return digest.hexdigest()
