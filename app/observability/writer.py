"""The writer of the log: its thread writes the lines, so that no other code waits for the log.

A log can be a full disk, a pipe without a reader, or a stopped terminal. Then the thread waits and
tries again. Lines wait in memory, up to a bound. Lines above the bound are dropped and counted, and
one line reports them as soon as the log works again.

The thread is also cheaper than a write in each turn of the event loop: under load, one system call
writes all lines of ``GATHER`` seconds.

The caller waits for lines of level error, for a short time: the process may be about to end.
"""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from app.observability.sinks import CHUNK, Sink

ROOM = 1_048_576
"""The most characters of lines that wait to be written."""

RESERVE = 262_144
"""Characters beyond ``ROOM`` for lines of level warning and above."""

GATHER = 0.02
"""The least seconds between two writes, unless a line is urgent."""

PATIENCE = 0.05
"""The longest wait for a line of level error, in seconds."""

SLOW = 0.01
"""The log counts as slow when the wait for a line takes more than these seconds."""

REST = 1.0
"""Seconds without any wait after the log was slow."""

RETRY_FIRST = 0.01
RETRY_MOST = 0.25
"""Seconds between two attempts to write: the first wait, and the longest."""

IDLE = 5.0
"""Seconds without lines after which the thread ends; the next line begins another."""

OVERHEAD = 64
"""What a line counts in the queue besides its characters."""

_ORDINARY = frozenset({"debug", "info"})
_AWAITED = frozenset({"error", "critical"})


class LogGap(Struct):
    """A place in the log where lines were dropped.

    Attributes:
        since: When the first of them was dropped, by ``time.monotonic``.
        levels: How many were dropped, by level.
        reason: Why the log could not be written; empty when it was only too slow.
        seconds: How long lines were dropped; set when the log works again.
    """

    since: float
    levels: Counter[str] = field(default_factory=Counter[str])
    reason: str = ""
    seconds: float = 0.0


class LogWriter:
    """Takes lines from any thread, and writes them in their order. It never raises.

    Its methods are the levels of structlog's loggers.

    Attributes:
        dropped: How many lines were dropped so far.
    """

    def __init__(
        self,
        sink: Sink,
        tell: Callable[[LogGap], str],
        *,
        inline: bool = False,
        patience: float = PATIENCE,
        patient: bool = False,
        room: int = ROOM,
    ) -> None:
        """Create a writer; its thread begins with the first line.

        Args:
            sink: Where the lines go.
            tell: Makes the line that reports dropped lines.
            inline: Whether the caller's own thread writes the lines, into memory for instance.
            patience: The longest wait for a line, in seconds.
            patient: Whether the caller waits for each line, and not only for errors.
            room: The most characters of lines that wait to be written.
        """
        self.dropped = 0
        self._sink = sink
        self._tell = tell
        self._inline = inline
        self._patience = patience
        self._patient = patient
        self._room = room
        self._wait_from = 0.0
        self._begin()

    def _begin(self) -> None:
        """Begin with an empty queue."""
        self._process = os.getpid()
        # Reentrant: a signal handler or a finalizer may log while its thread logs another line.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[str | LogGap] = deque()
        self._size = 0
        self._gap: LogGap | None = None
        self._thread: threading.Thread | None = None
        self._writing = False
        self._idle = False
        self._urgent = False
        self._hurry = False
        self._stuck = False
        self._refusals = 0
        self._reason = ""
        self._portion_size = 0
        self._sink.forget()

    def info(self, line: str) -> None:
        """Take a line that may wait a moment.

        Args:
            line: The line, without its line end.
        """
        self._take("info", line)

    def debug(self, line: str) -> None:
        """Take a line that may wait a moment; see ``info``."""
        self._take("debug", line)

    def warning(self, line: str) -> None:
        """Take a line that may wait a moment, and is kept when ``info`` lines are dropped."""
        self._take("warning", line)

    def error(self, line: str) -> None:
        """Take a line, and wait for a short time until it is written; see ``info``."""
        self._take("error", line)

    def critical(self, line: str) -> None:
        """Take a line, and wait for a short time until it is written; see ``info``."""
        self._take("critical", line)

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are written.

        Args:
            seconds: The longest wait.

        Returns:
            Whether all lines are written; ``False`` in a process forked since the last line.
        """
        if self._process != os.getpid():
            return False
        with self._lock:
            if self._inline:
                self._write_inline()
            else:
                self._wait_for(self._is_done, seconds)
            return self._is_done()

    def _take(self, level: str, line: str) -> None:
        """Take a line, or drop it if too many wait."""
        if self._process != os.getpid():
            self._begin()  # after a fork, waiting lines and their thread are the parent's
        with self._lock:
            if self._inline:
                self._write_inline()  # waiting lines go first, and make room
            self._keep(level, line)
            if self._inline:
                self._write_inline()
        if self._patient or level in _AWAITED:
            self._wait()

    def _keep(self, level: str, line: str) -> None:
        """Queue a line if there is room for it; drop it otherwise."""
        ordinary = level in _ORDINARY
        size = self._size + len(line) + OVERHEAD
        crowded = size > self._room // 2
        # Once a line is dropped, further ones are until half the room is free: one gap, not many.
        dropping = self._gap is not None and crowded and ordinary
        if dropping or size > (self._room if ordinary else self._room + RESERVE):
            self._drop(level)
            return
        self._queue.append(line)
        self._size = size
        if not self._inline:
            self._wake(urgent=crowded or level in _AWAITED)

    def _wake(self, *, urgent: bool) -> None:
        """Make the thread write the lines that were taken."""
        if self._thread is None:
            self._start()
        elif self._idle or (urgent and not self._urgent):
            self._changed.notify_all()
        self._idle = False
        self._urgent = self._urgent or urgent

    def _drop(self, level: str) -> None:
        """Count a dropped line, at its place among the others."""
        self.dropped += 1
        if self._gap is None:
            self._gap = LogGap(time.monotonic())
            self._queue.append(self._gap)
        self._gap.levels[level] += 1
        self._gap.reason = self._reason

    def _wait(self) -> None:
        """Wait until the lines are written, unless the log has just been slow."""
        began = time.monotonic()
        if self._stuck or began < self._wait_from:
            return
        with self._lock:
            refusals = self._refusals
            self._wait_for(lambda: self._is_done() or self._refusals > refusals, self._patience)
        ended = time.monotonic()
        if ended - began > SLOW and not self._patient:
            self._wait_from = ended + REST

    def _wait_for(self, is_enough: Callable[[], bool], seconds: float) -> None:
        """Make the thread write at once, and wait for it."""
        if self._is_done() or self._thread is threading.current_thread():
            return
        self._start()
        self._hurry = True
        self._changed.notify_all()
        self._stuck = not self._changed.wait_for(is_enough, seconds)

    def _start(self) -> None:
        """Begin the thread, if that is possible."""
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread is available now: the next line tries again
            self._reason = str(error)
        else:
            self._thread = thread

    def _run(self) -> None:
        """Write lines until none come for a while. This is the thread."""
        try:
            while (lines := self._next()) is not None:
                self._write(lines)
        finally:
            if self._thread is threading.current_thread():
                self._thread = None  # for any reason; the next line begins another

    def _next(self) -> Sequence[str] | None:
        """Wait for lines to write; return ``None`` when the thread has to end."""
        with self._changed:
            while not self._queue:
                self._idle = True
                if not self._changed.wait(IDLE) and not self._queue:
                    self._idle = False
                    self._thread = None  # under the lock: no line is taken in between
                    return None
            self._idle = False
            return self._portion()

    def _portion(self) -> Sequence[str]:
        """Take the lines of the next write from the queue."""
        lines: list[str] = []
        self._portion_size = 0
        while self._queue and self._portion_size < CHUNK:
            entry = self._queue[0]
            if isinstance(entry, LogGap):
                if lines:
                    break  # it grows until all lines before it are written
                entry = self._close_gap(entry)
            self._queue.popleft()
            self._portion_size += len(entry) + OVERHEAD
            lines.append(entry)
        self._writing = True
        self._urgent = self._urgent and bool(self._queue)
        return lines

    def _close_gap(self, gap: LogGap) -> str:
        """End a gap, as all lines before it are written; return the line that reports it."""
        if gap is self._gap:
            self._gap = None
        gap.seconds = time.monotonic() - gap.since
        line = self._tell(gap)
        self._size += len(line) + OVERHEAD
        return line

    def _write(self, lines: Sequence[str]) -> None:
        """Write lines, and try again until it works."""
        wait = RETRY_FIRST
        while not self._try(lines):
            lines = ()
            with self._changed:
                self._changed.wait_for(self._is_hurried, wait)
                self._hurry = False
            wait = min(2 * wait, RETRY_MOST)
        with self._changed:
            self._written()
            self._changed.notify_all()
            self._changed.wait_for(self._is_urgent, GATHER)

    def _write_inline(self) -> None:
        """Write the waiting lines with one attempt, as the caller must not wait for the log."""
        while self._writing or self._queue:
            if not self._try(() if self._writing else self._portion()):
                return
            self._written()

    def _try(self, lines: Sequence[str]) -> bool:
        """Try to write lines, or the rest of them; return whether it worked."""
        try:
            self._sink.write(lines)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        except Exception as error:  # noqa: BLE001 # a closed stream, or a faulty one
            reason = type(error).__name__
        else:
            return True
        with self._changed:
            self._refusals += 1
            self._reason = reason
            if self._gap is not None:
                self._gap.reason = reason
            self._changed.notify_all()
        return False

    def _written(self) -> None:
        """Free the room of the lines just written."""
        self._writing = self._stuck = False
        self._size -= self._portion_size
        self._reason = ""
        self._hurry = self._hurry and bool(self._queue)

    def _is_urgent(self) -> bool:
        """Return whether lines have to be written at once."""
        return self._urgent or self._hurry

    def _is_hurried(self) -> bool:
        """Return whether somebody waits for the lines."""
        return self._hurry

    def _is_done(self) -> bool:
        """Return whether all lines are written."""
        return not (self._queue or self._writing)
