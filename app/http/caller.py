"""Whom a request is counted for: the user that the caller is, or else where it comes from."""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from app.graphql.caller import Caller

Who = Callable[[Scope, Caller], str]
"""Tells whom a request is counted for, in a few characters: who they are stands behind what they
are, so that nobody is taken for another, whatever a subject looks like."""

LONGEST_SUBJECT = 64
"""How many characters of a subject are remembered; of longer ones, a digest is."""

LONGEST_ADDRESS = 64
"""How many characters of an address are remembered: one with a port has fewer."""

UNKNOWN = "unknown"
"""All who cannot be told apart."""

SITE = 64
"""How many bits of an IPv6 address tell one site from another; the rest is for it to choose."""


def by_subject(trusted_proxies: int) -> Who:
    """Tell callers by the user that they are; those who are none, by their address.

    Args:
        trusted_proxies: As with ``by_address``.

    Returns:
        What tells who makes a request.
    """
    otherwise = by_address(trusted_proxies)

    def who(scope: Scope, caller: Caller) -> str:
        subject = caller.subject
        if subject is None:
            return otherwise(scope, caller)
        if len(subject) <= LONGEST_SUBJECT:
            return f"user:{subject}"
        return f"digest:{sha256(subject.encode()).hexdigest()}"

    return who


def by_address(trusted_proxies: int) -> Who:
    """Tell callers by their address.

    Args:
        trusted_proxies: How many proxies in front each add to ``X-Forwarded-For`` whom they were
            called by. What stands before that was sent by the client and may be anything.

    Returns:
        What tells who makes a request.
    """

    def who(scope: Scope, _: Caller) -> str:
        address: str = scope["client"][0] if scope.get("client") else ""
        if trusted_proxies:
            told = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
            if len(told) >= trusted_proxies:
                address = told[-trusted_proxies]
        return f"address:{site_of(address)}"

    return who


def site_of(address: str) -> str:
    """Find what of an address stands for its owner.

    Args:
        address: An address as proxies write it, perhaps with a port.

    Returns:
        An IPv4 address, or the network of an IPv6 address.
    """
    # What is longer is not remembered: it would be for the client to say how much that is.
    return _site_of(address) if len(address) <= LONGEST_ADDRESS else _find_site(address)


def _find_site(address: str) -> str:
    """Find the site of an address."""
    text = address.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return UNKNOWN
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> (128 - SITE) << (128 - SITE)))


_site_of = lru_cache(maxsize=4096)(_find_site)
