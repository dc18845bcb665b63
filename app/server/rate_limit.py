"""How much callers may ask for: operations at the same time, and cost in a while.

How many operations run at the same time: over that, a client is told to come back.

An operation that waits in line costs memory and its client's patience; one that is refused at once
costs neither (Google SRE Book, chapter 22, "Addressing Cascading Failures").

Whom a request is counted for: the user that the caller is, or else where it comes from.

How much a caller may ask for in a while, counted by cost.

A token bucket: it holds a quota, each operation takes its cost from it, and it fills up evenly. The
library keeps it as one number, the time at which it is full again (GCRA), in a store of bounded
size. Its store over Redis can take the place of the one in memory where processes should share it.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil

from starlette.datastructures import Headers
from starlette.types import Scope
from throttled.asyncio import (
    BaseStore,
    MemoryStore,
    RateLimiterType,
    RateLimitResult,
    Throttled,
    per_duration,
)

from app.auth.policies import Caller
from app.errors import Code, LimitError, RequestError
from app.settings.limits import RateSettings

COME_BACK = 1
"""Seconds after which a refused client may come back."""


class Admission:
    """Counts the operations that run.

    Attributes:
        running: How many do now.
    """

    def __init__(self, limit: int) -> None:
        self.running = 0
        self._limit = limit

    def begin(self, count: int = 1) -> None:
        """Let operations run until they are said to have ended: all of them or none.

        Two calls in place of a context: that would be a generator and four calls for each request.

        Args:
            count: How many.

        Raises:
            RequestError: As many run as may.
        """
        if self.running + count > self._limit:
            raise RequestError(
                Code.GATEWAY_OVERLOADED,
                f"the gateway is busy: come back in {COME_BACK} s",
                status=503,
                retry_after=COME_BACK,
            )
        self.running += count

    def end(self, count: int = 1) -> None:
        """Let others take the place of operations.

        Args:
            count: How many of those that were let run.
        """
        self.running -= count


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


class RateLimiter:
    """Gives callers what they pay from. Shared by all requests."""

    def __init__(self, settings: RateSettings, *, store: BaseStore | None = None) -> None:
        self.settings = settings
        self.throttled = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=per_duration(timedelta(seconds=settings.window), settings.quota),
            store=store or MemoryStore(options={"MAX_SIZE": settings.max_callers}),
        )

    def bucket(self, caller: str) -> "CallerRateBucket":
        """Find what a caller pays from.

        Args:
            caller: Who it is.
        """
        return CallerRateBucket(self, caller)


class CallerRateBucket:
    """What one caller pays from, for one request."""

    def __init__(self, limiter: RateLimiter, caller: str) -> None:
        self._limiter = limiter
        self._caller = caller
        self._last: RateLimitResult | None = None

    async def consume(self, cost: int) -> None:
        """Pay for what is about to be done.

        Args:
            cost: What it costs; whatever it is, 1 is paid at least, and the quota at most.

        Raises:
            LimitError: There is not enough left.
        """
        settings = self._limiter.settings
        price = min(max(cost, 1), settings.quota)
        self._last = result = await self._limiter.throttled.limit(self._caller, price)
        if result.limited:
            wait = ceil(result.state.retry_after) or 1
            raise LimitError(
                "rate.quota",
                settings.quota,
                f"too much was asked for in {settings.window} s, try again in {wait} s",
                code=Code.RATE_LIMITED,
                status=429,
                headers={"Retry-After": str(wait), **self.headers()},
            )

    def headers(self) -> Mapping[str, str]:
        """Write what is left ("RateLimit header fields for HTTP", draft 10)."""
        settings = self._limiter.settings
        headers = {"RateLimit-Policy": f'"cost";q={settings.quota};w={settings.window};qu="cost"'}
        if self._last is not None:
            state = self._last.state
            headers["RateLimit"] = f'"cost";r={state.remaining};t={ceil(state.reset_after)}'
        return headers
