"""How much a caller may ask for in a while, counted by cost.

A token bucket: it holds a quota, each operation takes its cost from it, and it fills up evenly. The
library keeps it as one number, the time at which it is full again (GCRA), in a store of bounded
size. Its store over Redis can take the place of the one in memory where processes should share it.
"""

from collections.abc import Mapping
from datetime import timedelta
from math import ceil

from throttled.asyncio import (
    BaseStore,
    MemoryStore,
    RateLimiterType,
    RateLimitResult,
    Throttled,
    per_duration,
)

from app.errors import Code, LimitError
from app.shapes.limits import RateSettings


class RateLimiter:
    """Gives callers what they pay from. Shared by all requests."""

    def __init__(self, settings: RateSettings, *, store: BaseStore | None = None) -> None:
        self.settings = settings
        self.throttled = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=per_duration(timedelta(seconds=settings.window), settings.quota),
            store=store or MemoryStore(options={"MAX_SIZE": settings.max_callers}),
        )

    def purse(self, caller: str) -> "CallerPurse":
        """Find what a caller pays from.

        Args:
            caller: Who it is.
        """
        return CallerPurse(self, caller)


class CallerPurse:
    """What one caller pays from, for one request."""

    def __init__(self, limiter: RateLimiter, caller: str) -> None:
        self._limiter = limiter
        self._caller = caller
        self._last: RateLimitResult | None = None

    async def pay(self, cost: int) -> None:
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
