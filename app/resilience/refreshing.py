"""A value that is fetched, kept, and fetched anew before it expires.

Access tokens and an issuer's keys are such values. However many want one, there is one fetch at a
time, and all who wait share it: a waiter that gives up takes it from nobody. When to fetch is the
owner's decision, since a token is wanted when it is due, and keys when a new name comes up.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

from app.errors import SourceFailure
from app.resilience.clock import Clock
from app.resilience.tasks import Tasks

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """A value, and how long it serves by the clock's ``monotonic``.

    Attributes:
        value: The value.
        since: When it was asked for.
        refresh_at: From when on it is to be fetched anew, while it still serves.
        expires_at: When it no longer serves.
    """

    value: T
    since: float
    refresh_at: float
    expires_at: float


FetchValue: TypeAlias = Callable[[], Awaitable[Fetched[T] | SourceFailure]]
"""Fetches the value, and logs what became of that. A failure is a value."""


class RefreshingValue(Generic[T]):
    """Keeps a value, and fetches it when its owner asks. Safe to share between requests.

    Leaving its context ends a fetch that still runs.

    Attributes:
        latest: What was fetched last; ``None`` before, and after ``drop``. It may have expired.
        failure: Why the last fetch that has ended gave nothing; ``None`` where it gave a value.
        is_uncertain: Whether the last fetch gave no value, be it that it failed, that it was
            cancelled, or that it still runs.
        started_at: When the last fetch began, by the clock's ``monotonic``.
        ended_at: When the last fetch that has ended did so.
    """

    def __init__(self, name: str, fetch: FetchValue[T], clock: Clock) -> None:
        """Make it; nothing is fetched before it is asked for.

        Args:
            name: What its tasks are called.
            fetch: Fetches the value.
            clock: Tells the time.
        """
        self.latest: Fetched[T] | None = None
        self.failure: SourceFailure | None = None
        self.is_uncertain = False
        self.started_at = self.ended_at = -math.inf
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._tasks = Tasks()
        # The fetch is for all: it must not run with the context variables of one request.
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
        """Whether a fetch is under way."""
        return self._fetching is not None and not self._fetching.done()

    def drop(self) -> None:
        """Forget the value: it does not serve, whatever its time says."""
        self.latest = None

    def refresh(self) -> "asyncio.Task[None]":
        """Begin to fetch the value, unless that is being done.

        Returns:
            The fetch. It is shared: wait for it by ``asyncio.wait``, which does not cancel it.
        """
        if self._fetching is None or self._fetching.done():
            self._fetching = self._tasks.begin(self._run(), self._name, self._context.copy())
        return self._fetching

    async def _run(self) -> None:
        """Fetch the value, and keep what came of it."""
        self.started_at, self.is_uncertain = self._clock.monotonic(), True
        said = await self._fetch()
        self.ended_at = self._clock.monotonic()
        if isinstance(said, SourceFailure):
            self.failure = said
        else:
            self.latest, self.failure, self.is_uncertain = said, None, False
