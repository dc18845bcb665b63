"""The writer of the log: it never raises, never waits long, and counts dropped lines."""

import asyncio
import io
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app.observability.sinks import DescriptorSink, StreamSink
from app.observability.writer import OVERHEAD, RESERVE, LogGap, LogWriter

QUEUE = 10_000
LINE = "x" * (100 - OVERHEAD)
"""A line that takes a hundred characters of the queue."""

LONG = 10.0
"""Seconds after which a thread counts as stuck."""


class BlockableSink:
    """A sink that takes lines, refuses them, or blocks the writer.

    Attributes:
        lines: The lines that were written.
        writes: The number of successful calls.
        refusals: The number of refused calls.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.writes = self.refusals = 0
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self._rest: list[str] = []
        self._changed = threading.Condition()

    def write(self, lines: Sequence[str]) -> None:
        """Take lines as soon as the sink is not blocked."""
        self._rest += lines
        self.entered.set()
        assert self.open.wait(LONG)
        if self.error is not None:
            with self._changed:
                self.refusals += 1
                self._changed.notify_all()
            raise self.error
        with self._changed:
            self.writes += 1
            self.lines += self._rest
            self._rest.clear()
            self._changed.notify_all()

    def forget(self) -> None:
        """Forget lines that were not written."""
        self._rest.clear()

    def wait(self, is_there: Callable[[list[str]], bool]) -> None:
        """Wait until a condition of the lines is true."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_there(self.lines), LONG), self.lines[-3:]

    def wait_for_refusals(self) -> None:
        """Wait until the writer has retried after a refusal."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.refusals > 1, LONG)

    @contextmanager
    def blocked(self) -> Generator[None]:
        """Block the writer, as an unread pipe does."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    @contextmanager
    def refusing(self, error: Exception) -> Generator[None]:
        """Refuse lines, as a full disk does."""
        self.error = error
        try:
            yield
        finally:
            self.error = None


def gap_line(gap: LogGap) -> str:
    """Write the line about dropped lines."""
    assert gap.seconds >= 0
    return f"dropped {dict(gap.levels)}: {gap.reason}"


def writer_on(sink: BlockableSink, *, patience: float = LONG) -> LogWriter:
    """Make a writer with a small queue."""
    return LogWriter(sink, gap_line, room=QUEUE, patience=patience)


def test_lines_are_written_in_their_order() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)
    expected = [f"line {number}" for number in range(50)]

    for number, line in enumerate(expected):
        (writer.info, writer.debug, writer.warning)[number % 3](line)

    assert writer.flush(LONG)
    assert sink.lines == expected


def test_lines_that_wait_together_are_written_in_one_call() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    with sink.blocked():
        writer.info("first")
        assert sink.entered.wait(LONG)
        for number in range(50):
            writer.info(f"line {number}")
    assert writer.flush(LONG)

    assert sink.writes == 2


async def test_a_caller_does_not_wait_for_its_line() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    with sink.blocked():
        writer.info("first")
        assert sink.entered.wait(LONG)
        started = time.monotonic()
        for _ in range(1_000):
            writer.info(LINE)
            writer.warning(LINE)
        assert time.monotonic() - started < 1
        assert not writer.flush(0.0)


def test_an_error_and_earlier_lines_are_written_when_its_call_returns() -> None:
    for name in ("error", "critical"):
        sink = BlockableSink()
        writer = writer_on(sink)

        writer.info("before")
        getattr(writer, name)("wrong")

        assert sink.lines == ["before", "wrong"]


def test_only_the_first_error_waits_for_a_stuck_log() -> None:
    sink = BlockableSink()
    writer = writer_on(sink, patience=0.05)

    with sink.blocked():
        started = time.monotonic()
        for _ in range(100):
            writer.error("wrong")
        assert 0.05 <= time.monotonic() - started < 1
    assert writer.flush(LONG)
    assert sink.lines == ["wrong"] * 100


def test_an_error_does_not_wait_for_a_log_that_refuses_it() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    with sink.refusing(OSError(28, "No space left on device")):
        started = time.monotonic()
        for _ in range(100):
            writer.error("wrong")
        assert time.monotonic() - started < LONG / 2
        assert sink.refusals
    writer.error("last")

    assert writer.flush(LONG)
    assert sink.lines == [*["wrong"] * 100, "last"]


def test_errors_wait_for_a_slow_log_only_a_share_of_the_time() -> None:
    class Slow(BlockableSink):
        def write(self, lines: Sequence[str]) -> None:
            time.sleep(0.02)  # the slow write that the test needs
            super().write(lines)

    writer = writer_on(Slow(), patience=0.5)

    started = time.monotonic()
    for _ in range(50):
        writer.error("wrong")

    assert time.monotonic() - started < 0.5


def test_lines_beyond_the_queue_are_dropped_and_logged_in_their_place() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    with sink.blocked():
        writer.info("first")
        assert sink.entered.wait(LONG)
        for number in range(250):
            writer.info(f"{number:03} {LINE[4:]}")
    assert writer.flush(LONG)
    writer.info("after")
    assert writer.flush(LONG)

    kept = [line[:3] for line in sink.lines[1:]]
    lost = 250 - kept.index("dro")
    assert writer.dropped == lost > 100
    assert kept == [*(f"{number:03}" for number in range(250 - lost)), "dro", "aft"]
    assert f"dropped {{'info': {lost}}}: " in sink.lines


def test_dropped_lines_are_logged_even_without_a_later_line() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    with sink.blocked():
        for _ in range(200):
            writer.info(LINE)
    sink.wait(lambda lines: any(line.startswith("dropped") for line in lines))

    assert [line for line in sink.lines if line != LINE] == [
        f"dropped {{'info': {writer.dropped}}}: "
    ]


def test_every_line_is_written_or_counted_as_dropped() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    for _ in range(5):
        with sink.blocked():
            for _ in range(300):
                writer.info(LINE)
        assert writer.flush(LONG)

    gaps = [line for line in sink.lines if line != LINE]
    assert len(sink.lines) - len(gaps) + writer.dropped == 1_500
    assert sum(int(line.split(": ")[1].rstrip("}")) for line in gaps) == writer.dropped > 0


def test_a_slow_log_has_few_lines_about_dropped_ones() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)
    with sink.blocked():
        for _ in range(200):
            writer.info(LINE)
        gap_free_at = writer.dropped
        # The queue has only little space again: lines are dropped without a new gap for each.
        for _ in range(100):
            writer.info(LINE)
    assert writer.dropped == gap_free_at + 100
    assert writer.flush(LONG)

    assert sum(line.startswith("dropped") for line in sink.lines) == 1


def test_errors_are_kept_when_ordinary_lines_are_dropped() -> None:
    sink = BlockableSink()
    writer = writer_on(sink, patience=0.0)

    with sink.blocked():
        for number in range(200):
            writer.info(LINE)
            if number % 10 == 0:
                writer.error(f"error {number}")
    assert writer.flush(LONG)

    assert sum(line.startswith("error") for line in sink.lines) == 20


def test_errors_beyond_the_reserve_are_dropped() -> None:
    sink = BlockableSink()
    writer = writer_on(sink, patience=0.0)
    most = (QUEUE + RESERVE) // 100

    with sink.blocked():
        for _ in range(most + 500):
            writer.error(LINE)
    assert writer.flush(LONG)

    assert writer.dropped >= 500
    assert f"dropped {{'error': {writer.dropped}}}: " in sink.lines


def test_memory_is_bounded_by_characters_and_by_lines() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    with sink.blocked():
        for _ in range(1_000):
            writer.info("")
    assert writer.flush(LONG)

    assert sink.lines.count("") <= QUEUE // OVERHEAD


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError(), "OSError"),
        (ValueError("I/O operation on closed file"), "ValueError"),
        (RuntimeError("any error of a stream"), "RuntimeError"),
    ],
)
def test_a_log_that_refuses_lines_gets_them_when_it_works_again(
    error: Exception, reason: str
) -> None:
    sink = BlockableSink()
    writer = writer_on(sink, patience=0.0)

    with sink.refusing(error):
        writer.error("first")
        sink.wait_for_refusals()
        for _ in range(150):
            writer.info(LINE)
        assert not writer.flush(0.0)
    assert writer.flush(LONG)
    writer.info("after")
    assert writer.flush(LONG)

    assert sink.lines[0] == "first"
    assert sink.lines[-2:] == [f"dropped {{'info': {writer.dropped}}}: {reason}", "after"]
    assert sink.lines.count(LINE) + writer.dropped == 150


def test_lines_of_many_threads_are_written_whole_and_in_order() -> None:
    sink = BlockableSink()
    writer = LogWriter(sink, gap_line)
    expected = [f"{thread} {number}" for thread in range(4) for number in range(500)]

    def log_lines(some: Sequence[str]) -> None:
        for line in some:
            writer.info(line)

    with ThreadPoolExecutor(4) as threads:
        for thread in range(4):
            threads.submit(log_lines, expected[thread * 500 :][:500])

    assert writer.flush(LONG)
    assert sorted(sink.lines) == sorted(expected)
    for thread in range(4):
        own = [line for line in sink.lines if line.startswith(f"{thread} ")]
        assert own == expected[thread * 500 :][:500]


def test_a_line_may_be_logged_while_another_is_queued() -> None:
    class Loud(str):
        """A text that logs another line when the writer reads its length."""

        __slots__ = ()

        def __len__(self) -> int:
            writer.info("inner")
            return super().__len__()

    sink = BlockableSink()
    writer = writer_on(sink)

    writer.info(Loud("outer"))

    assert writer.flush(LONG)
    assert sorted(set(sink.lines)) == ["inner", "outer"]


def test_a_line_of_the_last_turn_of_an_event_loop_is_written() -> None:
    sink = BlockableSink()
    writer = writer_on(sink)

    async def log_lines() -> None:
        writer.info("the last line")

    asyncio.run(log_lines())

    assert writer.flush(LONG)
    assert sink.lines == ["the last line"]


def test_a_stream_in_memory_is_written_immediately_without_a_thread() -> None:
    stream = io.StringIO()
    writer = LogWriter(StreamSink(stream), gap_line, inline=True)
    before = threading.active_count()

    for number in range(3):
        writer.info(f"line {number}")
        assert stream.getvalue().endswith(f"line {number}\n")

    assert threading.active_count() == before


def test_a_stream_in_memory_gets_refused_lines_with_the_next_line() -> None:
    sink = BlockableSink()
    writer = LogWriter(sink, gap_line, inline=True, room=QUEUE)

    with sink.refusing(OSError(28, "No space left on device")):
        for _ in range(150):
            writer.info(LINE)
    writer.info("after")

    lost = f"dropped {{'info': {writer.dropped}}}: No space left on device"
    assert sink.lines[-2:] == [lost, "after"]
    assert sink.lines.count(LINE) + writer.dropped == 150


def test_lines_wait_for_the_next_one_if_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sink = BlockableSink()
    writer = writer_on(sink, patience=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)  # as at the machine's limit of threads
        writer.info("first")
        writer.error("second")
    assert sink.lines == []

    writer.info("third")

    assert writer.flush(LONG)
    assert sink.lines == ["first", "second", "third"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_writes_only_its_own_lines() -> None:
    reader, end = os.pipe()
    ours, theirs = os.pipe()
    os.set_blocking(end, False)
    filled = 0
    try:
        while True:
            filled += os.write(end, b"x" * 4096)
    except BlockingIOError:
        pass
    writer = LogWriter(DescriptorSink(end), gap_line)
    writer.info("of the parent")
    assert not writer.flush(0.1)  # the pipe is full: the line waits, partly in the sink

    child = os.fork()
    if child == 0:
        writer.info("of the child")
        os.write(theirs, b"1" if not writer.flush(0.0) else b"0")
        os._exit(0 if writer.flush(LONG) else 1)
    assert os.read(ours, 1) == b"1"
    text = b""
    while text.count(b"\n") < 2:
        text += os.read(reader, 65_536)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert writer.flush(LONG)

    assert sorted(text[filled:].decode().splitlines()) == ["of the child", "of the parent"]
    for one in (reader, end, ours, theirs):
        os.close(one)
