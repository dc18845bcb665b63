"""Writing lines of the log: those of one turn of the event loop by one call of the kernel.

A system call for each line was a fourteenth of what a small answer cost. Under load many answers
are done in the same turn, and their lines can leave together; a line waits for no more than the
rest of its turn. Plain, and no thread: a log is a file or a pipe, which takes a write at once.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import TextIO


class Lines:
    """What structlog hands lines to.

    What went wrong is written at once, with all that was said before it, and so is whatever is
    said where no event loop runs.
    """

    def __init__(self, stream: TextIO) -> None:
        """Begin with nothing to write.

        Args:
            stream: Where the lines go.
        """
        self._stream = stream
        self._lines: deque[str] = deque()
        self._due = False

    def info(self, line: str) -> None:
        """Write a line before the next turn of the event loop begins.

        Args:
            line: The line, without its end.
        """
        self._lines.append(line)
        if self._due:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write()
        else:
            self._due = True
            loop.call_soon(self.write)

    def error(self, line: str) -> None:
        """Write a line at once.

        Args:
            line: The line, without its end.
        """
        self._lines.append(line)
        self.write()

    debug = info
    warning = critical = error

    def write(self) -> None:
        """Write what has not been written."""
        self._due = False
        lines: list[str] = []
        with suppress(IndexError):  # one by one: whatever a thread adds meanwhile is not lost
            while True:
                lines.append(self._lines.popleft())
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
