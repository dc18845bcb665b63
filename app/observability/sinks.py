"""Where lines of the log end: a file descriptor, or a stream of Python's.

A sink may block, and may raise: ``LogWriter`` calls it from a thread of its own.
"""

import os
import select
import stat
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

CHUNK = 65_536
"""Bytes of one write, at most, where no other process writes to the same pipe."""

ATOMIC = max(4_096, getattr(select, "PIPE_BUF", 0))
"""Bytes of a write to a pipe that are never mixed with those of another process (POSIX, write)."""


class Sink(Protocol):
    """Takes lines."""

    def write(self, lines: Sequence[str]) -> None:
        """Write lines, and what is left of earlier ones.

        Args:
            lines: The lines, without their ends. They belong to the sink from then on: after an
                exception it goes on where it stopped when it is called again.

        Raises:
            Exception: It cannot write now.
        """
        ...

    def forget(self) -> None:
        """Forget what is left of earlier lines: this process is a copy of theirs."""
        ...


class DescriptorSink:
    """Writes to a file descriptor, past Python's buffers. A ``Sink``."""

    def __init__(self, descriptor: int, *, encoding: str = "utf-8", shared: bool = False) -> None:
        """Take a descriptor.

        It is duplicated, because somebody may close it: the next file or connection of the
        process would get its number, and the lines.

        Args:
            descriptor: The descriptor. Its flags stay as they are: they are shared with all who
                have the same terminal or pipe.
            encoding: How text is written; what it lacks is escaped.
            shared: Whether other processes write to it, too. Then lines to a pipe are written in
                portions that are never mixed with theirs.
        """
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._encoding = encoding
        self._chunk = ATOMIC if shared and is_pipe(descriptor) else CHUNK
        self._rest: deque[memoryview] = deque()

    def write(self, lines: Sequence[str]) -> None:
        """Write lines; whole lines by each call of the kernel, as far as they fit."""
        self._rest.extend(self._portions(lines))
        while self._rest:
            written = os.write(self._descriptor, self._rest[0])
            if written < len(self._rest[0]):
                self._rest[0] = self._rest[0][written:]
            else:
                self._rest.popleft()

    def forget(self) -> None:
        """Forget what is left."""
        self._rest.clear()

    def _portions(self, lines: Sequence[str]) -> Sequence[memoryview]:
        """Put whole lines together, up to what is written by one call."""
        portions: list[bytearray] = []
        for line in lines:
            encoded = line.encode(self._encoding, "backslashreplace")
            if not portions or len(portions[-1]) + len(encoded) + 1 > self._chunk:
                portions.append(bytearray())
            portions[-1] += encoded
            portions[-1] += b"\n"
        return [memoryview(one) for one in portions]


class StreamSink:
    """Writes to a stream. A ``Sink``."""

    def __init__(self, stream: TextIO) -> None:
        """Take a stream.

        Args:
            stream: The stream; what its encoding lacks is escaped.
        """
        self._stream = stream
        self._rest = ""

    def write(self, lines: Sequence[str]) -> None:
        """Write lines by one call of the stream."""
        self._rest += "".join(f"{line}\n" for line in lines)
        text = self._rest
        if not text.isascii():
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        if text:
            self._stream.write(text)
        self._rest = ""
        self._stream.flush()

    def forget(self) -> None:
        """Forget what is left."""
        self._rest = ""


def is_pipe(descriptor: int) -> bool:
    """Tell whether a file descriptor is a pipe.

    Args:
        descriptor: The descriptor.

    Returns:
        Whether it is.
    """
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def descriptor_of(stream: TextIO) -> int | None:
    """Find the file descriptor under a stream.

    Args:
        stream: The stream.

    Returns:
        The descriptor; ``None`` where there is none that is open.
    """
    find: Callable[[], int] = stream.fileno
    try:
        descriptor = find()
        os.fstat(descriptor)
    except (OSError, ValueError):  # a stream in memory, or one that is closed
        return None
    return descriptor
