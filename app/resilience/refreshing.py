"""A value that is fetched, kept, and fetched again before it expires.

Access tokens and an issuer's keys are such values. There is one fetch at a time, and all waiters
share it: a waiter that gives up does not cancel it for the others. The owner decides when to fetch:
a token is fetched when it is due, and keys when an unknown key id comes up.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

from msgspec import Struct

from app.errors import SourceFailure
from app.resilience.clock import Clock
from app.resilience.tasks import Tasks

T = TypeVar("T")


class Fetched(Struct, Generic[T], frozen=True):
    """A value with its times, by the clock's ``monotonic``.

    Attributes:
        value: The value.
        since: When its fetch began.
        refresh_at: From when on it is to be fetched again, while it is still valid.
        expires_at: When it stops being valid.
    """

    value: T
    since: float
    refresh_at: float
    expires_at: float


FetchValue: TypeAlias = Callable[[], Awaitable[Fetched[T] | SourceFailure]]
"""Fetches the value, and logs the result. A failure is returned, not raised."""


class RefreshingValue(Generic[T]):
    """Keeps a value, and fetches it when its owner calls ``refresh``. Requests may share it.

    Leaving its context cancels a fetch that still runs.

    Attributes:
        latest: The value fetched last; ``None`` before the first, and after ``drop``. It may have
            expired.
        failure: The failure of the last finished fetch; ``None`` if that fetch gave a value.
        is_uncertain: Whether the last fetch has given no value: it failed, was cancelled, or still
            runs.
        started_at: When the last fetch began, by the clock's ``monotonic``.
        ended_at: When the last finished fetch ended.
    """

    def __init__(self, name: str, fetch: FetchValue[T], clock: Clock) -> None:
        """Create it without fetching anything.

        Args:
            name: The name of its tasks.
            fetch: Fetches the value.
            clock: The time.
        """
        self.latest: Fetched[T] | None = None
        self.failure: SourceFailure | None = None
        self.is_uncertain = False
        self.started_at = self.ended_at = -math.inf
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._tasks = Tasks()
        # All requests share the fetch: it must not run with the context variables of one.
        self._context = Context()
        self._fetching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._context = copy_context()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    @property
    def is_fetching(self) -> bool:
        """Whether a fetch is in flight."""
        return self._fetching is not None and not self._fetching.done()

    def drop(self) -> None:
        """Forget the value: it is invalid, and its times do not matter."""
        self.latest = None

    def refresh(self) -> "asyncio.Task[None]":
        """Begin a fetch, unless one is in flight.

        Returns:
            The task of the fetch. It is shared: wait for it by ``asyncio.wait``, which does not
            cancel it.
        """
        if self._fetching is None or self._fetching.done():
            self._fetching = self._tasks.begin(self._run(), self._name, self._context.copy())
        return self._fetching

    async def _run(self) -> None:
        """Fetch the value, and keep it or the failure."""
        self.started_at, self.is_uncertain = self._clock.monotonic(), True
        fetched = await self._fetch()
        self.ended_at = self._clock.monotonic()
        if isinstance(fetched, SourceFailure):
            self.failure = fetched
        else:
            self.latest, self.failure, self.is_uncertain = fetched, None, False
