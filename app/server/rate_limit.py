"""Load limits: operations at the same time, and cost per caller in a time window.

``Admission`` limits the operations that run at the same time, and refuses more at once. A queued
operation would cost memory and let its client wait; a refused one costs neither (Google SRE Book,
chapter 22, "Addressing Cascading Failures").

``RateLimiter`` limits the cost per caller by a token bucket (``token_buckets.py``), in the memory
of this process or in the shared store.

A request counts for the user that its caller is, or else for the address that it comes from.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil

from starlette.datastructures import Headers
from starlette.types import Scope

from app.auth.policies import Caller
from app.errors import Code, LimitError, RequestError
from app.server.token_buckets import BucketState, MemoryBuckets, TokenBuckets
from app.settings.limits import RateSettings

RETRY_AFTER = 1
"""Seconds after which a refused client may try again."""


class Admission:
    """Limits how many operations run at the same time.

    Args:
        limit: The most operations that run at the same time.

    Attributes:
        running: How many operations run now.
    """

    def __init__(self, limit: int) -> None:
        self.running = 0
        self._limit = limit

    def begin(self, count: int = 1) -> None:
        """Count operations as running, until ``end``: all of them or none.

        Not a context manager, because that needs a generator and four calls per request.

        Args:
            count: How many operations begin.

        Raises:
            RequestError: More operations would run than may.
        """
        if self.running + count > self._limit:
            raise RequestError(
                Code.GATEWAY_OVERLOADED,
                f"the gateway is busy: try again in {RETRY_AFTER} s",
                status=503,
                retry_after=RETRY_AFTER,
                limit="max_operations",
            )
        self.running += count

    def end(self, count: int = 1) -> None:
        """Count operations as ended.

        Args:
            count: How many operations have ended, of those that ``begin`` has counted.
        """
        self.running -= count


CallerKey = Callable[[Scope, Caller], str]
"""Returns the key under which the rate limiter counts a request. It is short, and begins with its
kind (``user:``, ``digest:``, ``address:``), so that no subject can look like an address."""

LONGEST_SUBJECT = 64
"""Most characters of a subject that is a key itself; of a longer one the SHA-256 digest is."""

LONGEST_ADDRESS = 64
"""Most characters of an address that is cached; no address with a port has more."""

UNKNOWN = "unknown"
"""Stands for every address that cannot be read."""

SITE = 64
"""Bits of an IPv6 address that identify a site. Each site chooses the other 64 bits itself."""


def by_subject(trusted_proxies: int) -> CallerKey:
    """Count requests by the caller's subject, and those without a subject by address.

    Args:
        trusted_proxies: As for ``by_address``.

    Returns:
        The function that returns the key of a request.
    """
    address_key = by_address(trusted_proxies)

    def key(scope: Scope, caller: Caller) -> str:
        subject = caller.subject
        if subject is None:
            return address_key(scope, caller)
        if len(subject) <= LONGEST_SUBJECT:
            return f"user:{subject}"
        return f"digest:{sha256(subject.encode()).hexdigest()}"

    return key


def by_address(trusted_proxies: int) -> CallerKey:
    """Count requests by the client's address.

    Args:
        trusted_proxies: How many proxies in front of the gateway add the address of their client to
            ``X-Forwarded-For``. Entries before those come from the client and may be forged.

    Returns:
        The function that returns the key of a request.
    """

    def key(scope: Scope, _: Caller) -> str:
        address: str = scope["client"][0] if scope.get("client") else ""
        if trusted_proxies:
            forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
            if len(forwarded) >= trusted_proxies:
                address = forwarded[-trusted_proxies]
        return f"address:{site_of(address)}"

    return key


def site_of(address: str) -> str:
    """Return the site of an address: the part that its owner cannot choose.

    Args:
        address: An address as proxies write it, with or without a port.

    Returns:
        The IPv4 address; or the /64 network of an IPv6 address; or ``UNKNOWN``.
    """
    # Longer texts are not cached: clients must not decide the size of the cache.
    return _site_of(address) if len(address) <= LONGEST_ADDRESS else _find_site(address)


def _find_site(address: str) -> str:
    """Return the site of an address, without the cache."""
    text = address.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> (128 - SITE) << (128 - SITE)))


_site_of = lru_cache(maxsize=4096)(_find_site)


class RateLimiter:
    """Makes the token buckets of callers. Shared by all requests.

    Args:
        settings: The quota, the window and the most callers to remember.
        buckets: Where the buckets are; ``None`` for the memory of this process.

    Attributes:
        settings: The settings.
        buckets: Where the buckets are.
    """

    def __init__(self, settings: RateSettings, *, buckets: TokenBuckets | None = None) -> None:
        self.settings = settings
        self.buckets = buckets or MemoryBuckets(settings)

    def bucket(self, caller: str) -> "CallerRateBucket":
        """Return the token bucket of a caller.

        Args:
            caller: The caller's key, from a ``CallerKey``.

        Returns:
            The bucket, for one request.
        """
        return CallerRateBucket(self, caller)


class CallerRateBucket:
    """The token bucket of one caller, for one request.

    Args:
        limiter: The limiter that it belongs to.
        caller: The caller's key.
    """

    def __init__(self, limiter: RateLimiter, caller: str) -> None:
        self._limiter = limiter
        self._caller = caller
        self._last: BucketState | None = None

    async def consume(self, cost: int) -> None:
        """Take the cost of an operation from the bucket. Async, because it may be in the store.

        Args:
            cost: The cost. At least 1 and at most the quota is taken.

        Raises:
            LimitError: The bucket does not hold enough.
        """
        settings = self._limiter.settings
        charged = min(max(cost, 1), settings.quota)
        taken = self._limiter.buckets.take(self._caller, charged)
        self._last = state = taken if isinstance(taken, BucketState) else await taken
        if state.limited:
            wait = ceil(state.retry_after) or 1
            raise LimitError(
                "rate.quota",
                settings.quota,
                f"the requests of {settings.window} s cost too much, try again in {wait} s",
                code=Code.RATE_LIMITED,
                status=429,
                headers={"Retry-After": str(wait), **self.headers()},
                caller=self._caller.partition(":")[0],  # the kind, and never who it is
            )

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the limit ("RateLimit header fields for HTTP", draft 10).

        Returns:
            ``RateLimit-Policy``; and ``RateLimit`` if this request has used the bucket.
        """
        settings = self._limiter.settings
        headers = {"RateLimit-Policy": f'"cost";q={settings.quota};w={settings.window};qu="cost"'}
        if self._last is not None:
            state = self._last
            headers["RateLimit"] = f'"cost";r={state.remaining};t={ceil(state.reset_after)}'
        return headers
