"""Parts that outlive the gateway that made them, as long as a later one uses them, too.

A reload builds a gateway beside the one that runs. What both would make of equal settings, they
share: connections, circuit breakers, caches and counts stay as they are. A part ends with its last
user.

A part that has to be opened and closed has a task of its own, which does both: an ``async with``
must end in the task in which it began, and no user lives as long as the part.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar, cast
from weakref import ref

from msgspec import Struct, field

T = TypeVar("T")


class _OpenPart(Struct, Generic[T], eq=False):
    """A part that is open, or is being opened.

    Attributes:
        made_of: What it was made of.
        opened: The part, or why it cannot be opened.
        task: Opens and closes it.
        unused: Set when nobody uses it any more.
        users: How many use it.
    """

    made_of: object
    opened: "asyncio.Future[T]"
    task: "asyncio.Task[None]"
    unused: asyncio.Event = field(default_factory=asyncio.Event)
    users: int = 0


class SharedParts:
    """The parts of one process that several gateways may use, one after the other."""

    def __init__(self) -> None:
        self._open: dict[Hashable, list[_OpenPart[Any]]] = {}
        self._kept: dict[Hashable, list[tuple[object, ref[Any]]]] = {}

    def kept(self, name: Hashable, made_of: object, make: Callable[[], T]) -> T:
        """Return a part that needs no closing. It is kept as long as anybody refers to it.

        Args:
            name: The name of the part.
            made_of: What it is made of. A part is shared only if this is equal.
            make: Makes the part. It is an object that can be referred to weakly.

        Returns:
            The part.
        """
        alive = [one for one in self._kept.get(name, ()) if one[1]() is not None]
        for before, known in alive:
            if before == made_of and (part := cast("T | None", known())) is not None:
                return part
        made = make()
        self._kept[name] = [*alive, (made_of, ref(made))]
        return made

    def latest(self, name: Hashable) -> object | None:
        """Return a part that needs no closing, with any origin.

        Args:
            name: The name of the part.

        Returns:
            The part that was made last, of those that somebody refers to; ``None`` if none is.
        """
        alive = (known() for _, known in reversed(self._kept.get(name, ())))
        return next((part for part in alive if part is not None), None)

    @asynccontextmanager
    async def opened(
        self,
        name: Hashable,
        made_of: object,
        open_part: Callable[[], AbstractAsyncContextManager[T]],
    ) -> AsyncGenerator[T]:
        """Use a part, and open it if it is not open.

        Args:
            name: The name of the part.
            made_of: What it is made of. A part is shared only if this is equal.
            open_part: Opens the part.

        Yields:
            The part. It is closed when its last user leaves the context; an exception of that comes
            from there.
        """
        parts = self._open.setdefault(name, [])
        part = next((one for one in parts if one.made_of == made_of), None)
        if part is None:
            part = self._begin(made_of, open_part)
            parts.append(part)
        part.users += 1
        try:
            yield await asyncio.shield(part.opened)
        finally:
            part.users -= 1
            if not part.users:
                parts.remove(part)
                part.unused.set()
                if not part.opened.done():
                    part.task.cancel()
                await part.task

    def _begin(
        self, made_of: object, open_part: Callable[[], AbstractAsyncContextManager[T]]
    ) -> _OpenPart[T]:
        """Begin to open a part."""
        opened: asyncio.Future[T] = get_running_loop().create_future()
        unused = asyncio.Event()

        async def run() -> None:
            try:
                async with open_part() as part:
                    opened.set_result(part)
                    await unused.wait()
            except BaseException as error:
                if opened.done():
                    raise
                if isinstance(error, asyncio.CancelledError):
                    opened.cancel()
                    raise
                opened.set_exception(error)

        task = get_running_loop().create_task(run(), name="shared part")
        return _OpenPart(made_of, opened, task, unused)
