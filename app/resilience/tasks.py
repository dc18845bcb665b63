"""Tasks and whoever they belong to."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Tasks:
    """Tasks that outlive the function that began them, and their owner.

    Leaving its context cancels what still runs and waits for its end. A ``TaskGroup`` would not
    do: it ends all when one fails, and waits for all when it is left.

    Attributes:
        closed: Whether the context was left.
    """

    def __init__(self) -> None:
        self.closed = False
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closed = True
        if not self._running:
            return
        for task in self._running:
            if not task.cancelling():  # one that cleans up already is not disturbed in it
                task.cancel()
        await asyncio.wait(self._running)

    def begin(
        self, work: Coroutine[Any, Any, T], name: str, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Begin some work.

        Args:
            work: The work.
            name: What the task is called.
            context: The context variables that it sees; those of whoever begins it by default.

        Returns:
            Its task, which belongs to this owner.
        """
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
