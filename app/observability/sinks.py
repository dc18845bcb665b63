"""Where lines of the log end: a file descriptor, or a Python stream.

A sink may block, and may raise: ``LogWriter`` calls it from its own thread.
"""

import os
import select
import stat
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

CHUNK = 65_536
"""The most bytes of one write, unless other processes write to the same pipe."""

ATOMIC = max(4_096, getattr(select, "PIPE_BUF", 0))
"""Bytes that one write to a pipe never mixes with those of other processes (POSIX, ``write``)."""


class Sink(Protocol):
    """The target of lines."""

    def write(self, lines: Sequence[str]) -> None:
        """Write lines, after the rest of earlier ones.

        Args:
            lines: The lines, without line ends. The sink keeps them: after an exception, the next
                call goes on where this one stopped.

        Raises:
            Exception: It cannot write now.
        """
        ...

    def forget(self) -> None:
        """Forget the rest of earlier lines: after a fork, it belongs to the parent process."""
        ...


class DescriptorSink:
    """Writes to a file descriptor, past Python's buffers. A ``Sink``."""

    def __init__(self, descriptor: int, *, encoding: str = "utf-8", shared: bool = False) -> None:
        """Duplicate a descriptor, and write to the copy.

        If somebody closed the original, the next file or connection of the process would get its
        number, and the lines.

        Args:
            descriptor: The descriptor. Its flags are not changed, because all users of the same
                terminal or pipe share them.
            encoding: The encoding of lines; characters that it lacks are escaped.
            shared: Whether other processes write to it, too. Lines to a pipe are then written in
                portions that are never mixed with theirs.
        """
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._encoding = encoding
        self._chunk = ATOMIC if shared and is_pipe(descriptor) else CHUNK
        self._rest: deque[memoryview] = deque()

    def write(self, lines: Sequence[str]) -> None:
        """Write lines; each system call writes whole lines, as many as fit. See ``Sink``.

        Args:
            lines: The lines, without line ends.

        Raises:
            OSError: It cannot write now.
        """
        self._rest.extend(self._portions(lines))
        while self._rest:
            written = os.write(self._descriptor, self._rest[0])
            if written < len(self._rest[0]):
                self._rest[0] = self._rest[0][written:]
            else:
                self._rest.popleft()

    def forget(self) -> None:
        """Forget the rest of earlier lines."""
        self._rest.clear()

    def _portions(self, lines: Sequence[str]) -> Sequence[memoryview]:
        """Join whole lines to portions, one for each system call."""
        portions: list[bytearray] = []
        for line in lines:
            encoded = line.encode(self._encoding, "backslashreplace")
            if not portions or len(portions[-1]) + len(encoded) + 1 > self._chunk:
                portions.append(bytearray())
            portions[-1] += encoded
            portions[-1] += b"\n"
        return [memoryview(portion) for portion in portions]


class StreamSink:
    """Writes to a stream. A ``Sink``."""

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream.

        Args:
            stream: The stream; characters that its encoding lacks are escaped.
        """
        self._stream = stream
        self._rest = ""

    def write(self, lines: Sequence[str]) -> None:
        """Write lines by one call of the stream. See ``Sink``.

        Args:
            lines: The lines, without line ends.

        Raises:
            OSError: It cannot write now.
            ValueError: The stream is closed.
        """
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
        """Forget the rest of earlier lines."""
        self._rest = ""


def is_pipe(descriptor: int) -> bool:
    """Return whether a file descriptor is a pipe.

    Args:
        descriptor: The descriptor.

    Returns:
        Whether it is a pipe or a FIFO.

    Raises:
        OSError: The descriptor is not open.
    """
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def descriptor_of(stream: TextIO) -> int | None:
    """Return the file descriptor of a stream.

    Args:
        stream: The stream.

    Returns:
        The descriptor; ``None`` if the stream has none, or it is closed.
    """
    fileno: Callable[[], int] = stream.fileno
    try:
        descriptor = fileno()
        os.fstat(descriptor)
    except (OSError, ValueError):  # a stream in memory, or one that is closed
        return None
    return descriptor
