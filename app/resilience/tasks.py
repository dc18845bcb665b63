"""Tasks that have an owner."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


def ends_task(error: BaseException) -> bool:
    """Tell whether an exception is the cancellation of the task that runs.

    Code of others may raise anything, even ``CancelledError``: of a task of its own, say.

    Args:
        error: The exception that was caught in the task.

    Returns:
        Whether somebody cancels the task.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Tasks:
    """The owner of tasks that outlive the function that began them.

    Leaving its context cancels the tasks that still run, and waits for their end. A ``TaskGroup``
    does not fit: it cancels all tasks when one fails, and waits for all of them when it is left.

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
            if not task.cancelling():  # a task that is being cancelled may be cleaning up
                task.cancel()
        await asyncio.wait(self._running)

    def begin(
        self, work: Coroutine[Any, Any, T], name: str, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Begin a task.

        Args:
            work: The coroutine that it runs.
            name: The name of the task.
            context: The context variables of the task; a copy of the current ones by default.

        Returns:
            The task, which belongs to this owner.
        """
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
