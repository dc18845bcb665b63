"""The writer of the log: it never raises, never waits long, and counts what it drops."""

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

ROOM = 10_000
LINE = "x" * (100 - OVERHEAD)
"""A line that takes a hundred characters of room."""

LONG = 10.0
"""Seconds after which a thread that should have done something counts as stuck."""


class BlockableSink:
    """A sink that takes lines, refuses them, or holds on to whoever writes.

    Attributes:
        lines: What was written.
        writes: By how many calls.
        refusals: How many calls were refused.
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
        """Take lines, once that is possible."""
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
        """Forget what is left."""
        self._rest.clear()

    def wait(self, is_there: Callable[[list[str]], bool]) -> None:
        """Wait for lines."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_there(self.lines), LONG), self.lines[-3:]

    def wait_for_refusals(self) -> None:
        """Wait until the writer has tried again after it was refused."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.refusals > 1, LONG)

    @contextmanager
    def blocked(self) -> Generator[None]:
        """Hold on to whoever writes, as a pipe that nobody reads."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    @contextmanager
    def refusing(self, error: Exception) -> Generator[None]:
        """Refuse lines, as a disk that is full."""
        self.error = error
        try:
            yield
        finally:
            self.error = None


def told(gap: LogGap) -> str:
    """Say what was dropped."""
    assert gap.seconds >= 0
    return f"dropped {dict(gap.levels)}: {gap.reason}"


def writer_on(paper: BlockableSink, *, patience: float = LONG) -> LogWriter:
    """Make a writer of little room."""
    return LogWriter(paper, told, room=ROOM, patience=patience)


def test_lines_are_written_in_their_order() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)
    said = [f"line {number}" for number in range(50)]

    for number, line in enumerate(said):
        (writer.info, writer.debug, writer.warning)[number % 3](line)

    assert writer.flush(LONG)
    assert paper.lines == said


def test_lines_that_come_close_together_are_written_together() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    with paper.blocked():
        writer.info("first")
        assert paper.entered.wait(LONG)
        for number in range(50):
            writer.info(f"line {number}")
    assert writer.flush(LONG)

    assert paper.writes == 2


async def test_whoever_says_a_line_does_not_wait_for_it() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    with paper.blocked():
        writer.info("first")
        assert paper.entered.wait(LONG)
        started = time.monotonic()
        for _ in range(1_000):
            writer.info(LINE)
            writer.warning(LINE)
        assert time.monotonic() - started < 1
        assert not writer.flush(0.0)


def test_an_error_is_written_when_its_call_returns_and_all_before_it() -> None:
    for name in ("error", "critical"):
        paper = BlockableSink()
        writer = writer_on(paper)

        writer.info("before")
        getattr(writer, name)("wrong")

        assert paper.lines == ["before", "wrong"]


def test_an_error_is_waited_for_once_where_the_log_is_stuck() -> None:
    paper = BlockableSink()
    writer = writer_on(paper, patience=0.05)

    with paper.blocked():
        started = time.monotonic()
        for _ in range(100):
            writer.error("wrong")
        assert 0.05 <= time.monotonic() - started < 1
    assert writer.flush(LONG)
    assert paper.lines == ["wrong"] * 100


def test_an_error_is_not_waited_for_where_the_log_refuses_it() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    with paper.refusing(OSError(28, "No space left on device")):
        started = time.monotonic()
        for _ in range(100):
            writer.error("wrong")
        assert time.monotonic() - started < LONG / 2
        assert paper.refusals
    writer.error("last")

    assert writer.flush(LONG)
    assert paper.lines == [*["wrong"] * 100, "last"]


def test_a_slow_log_holds_up_errors_for_no_more_than_a_share_of_the_time() -> None:
    class Slow(BlockableSink):
        def write(self, lines: Sequence[str]) -> None:
            time.sleep(0.02)  # it is what the test is about
            super().write(lines)

    writer = writer_on(Slow(), patience=0.5)

    started = time.monotonic()
    for _ in range(50):
        writer.error("wrong")

    assert time.monotonic() - started < 0.5


def test_what_finds_no_room_is_dropped_counted_and_told_at_its_place() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    with paper.blocked():
        writer.info("first")
        assert paper.entered.wait(LONG)
        for number in range(250):
            writer.info(f"{number:03} {LINE[4:]}")
    assert writer.flush(LONG)
    writer.info("after")
    assert writer.flush(LONG)

    kept = [line[:3] for line in paper.lines[1:]]
    lost = 250 - kept.index("dro")
    assert writer.dropped == lost > 100
    assert kept == [*(f"{number:03}" for number in range(250 - lost)), "dro", "aft"]
    assert f"dropped {{'info': {lost}}}: " in paper.lines


def test_what_was_dropped_is_told_even_if_nothing_else_is_said() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    with paper.blocked():
        for _ in range(200):
            writer.info(LINE)
    paper.wait(lambda lines: any(line.startswith("dropped") for line in lines))

    assert [line for line in paper.lines if line != LINE] == [
        f"dropped {{'info': {writer.dropped}}}: "
    ]


def test_no_line_is_both_lost_and_not_counted() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    for _ in range(5):
        with paper.blocked():
            for _ in range(300):
                writer.info(LINE)
        assert writer.flush(LONG)

    gaps = [line for line in paper.lines if line != LINE]
    assert len(paper.lines) - len(gaps) + writer.dropped == 1_500
    assert sum(int(line.split(": ")[1].rstrip("}")) for line in gaps) == writer.dropped > 0


def test_a_log_that_takes_less_than_there_is_tells_of_few_gaps() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)
    with paper.blocked():
        for _ in range(200):
            writer.info(LINE)
        gap_free_at = writer.dropped
        # There is room again, but not much: it is not worth a gap for each line.
        for _ in range(100):
            writer.info(LINE)
    assert writer.dropped == gap_free_at + 100
    assert writer.flush(LONG)

    assert sum(line.startswith("dropped") for line in paper.lines) == 1


def test_errors_find_room_when_ordinary_lines_do_not() -> None:
    paper = BlockableSink()
    writer = writer_on(paper, patience=0.0)

    with paper.blocked():
        for number in range(200):
            writer.info(LINE)
            if number % 10 == 0:
                writer.error(f"error {number}")
    assert writer.flush(LONG)

    assert sum(line.startswith("error") for line in paper.lines) == 20


def test_errors_do_not_find_room_for_ever() -> None:
    paper = BlockableSink()
    writer = writer_on(paper, patience=0.0)
    most = (ROOM + RESERVE) // 100

    with paper.blocked():
        for _ in range(most + 500):
            writer.error(LINE)
    assert writer.flush(LONG)

    assert writer.dropped >= 500
    assert f"dropped {{'error': {writer.dropped}}}: " in paper.lines


def test_memory_is_bounded_by_characters_and_by_lines() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    with paper.blocked():
        for _ in range(1_000):
            writer.info("")
    assert writer.flush(LONG)

    assert paper.lines.count("") <= ROOM // OVERHEAD


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError(), "OSError"),
        (ValueError("I/O operation on closed file"), "ValueError"),
        (RuntimeError("whatever a stream raises"), "RuntimeError"),
    ],
)
def test_a_log_that_refuses_lines_gets_them_when_it_works_again(
    error: Exception, reason: str
) -> None:
    paper = BlockableSink()
    writer = writer_on(paper, patience=0.0)

    with paper.refusing(error):
        writer.error("first")
        paper.wait_for_refusals()
        for _ in range(150):
            writer.info(LINE)
        assert not writer.flush(0.0)
    assert writer.flush(LONG)
    writer.info("after")
    assert writer.flush(LONG)

    assert paper.lines[0] == "first"
    assert paper.lines[-2:] == [f"dropped {{'info': {writer.dropped}}}: {reason}", "after"]
    assert paper.lines.count(LINE) + writer.dropped == 150


def test_lines_of_many_threads_are_neither_lost_nor_cut() -> None:
    paper = BlockableSink()
    writer = LogWriter(paper, told)
    said = [f"{thread} {number}" for thread in range(4) for number in range(500)]

    def speak(some: Sequence[str]) -> None:
        for line in some:
            writer.info(line)

    with ThreadPoolExecutor(4) as threads:
        for thread in range(4):
            threads.submit(speak, said[thread * 500 :][:500])

    assert writer.flush(LONG)
    assert sorted(paper.lines) == sorted(said)
    for thread in range(4):
        own = [line for line in paper.lines if line.startswith(f"{thread} ")]
        assert own == said[thread * 500 :][:500]


def test_a_line_may_be_said_while_a_line_is_taken() -> None:
    class Loud(str):
        """A text whose length is asked for when a line is taken; it speaks then."""

        __slots__ = ()

        def __len__(self) -> int:
            writer.info("inner")
            return super().__len__()

    paper = BlockableSink()
    writer = writer_on(paper)

    writer.info(Loud("outer"))

    assert writer.flush(LONG)
    assert sorted(set(paper.lines)) == ["inner", "outer"]


def test_what_is_said_in_the_last_turn_of_an_event_loop_is_not_lost() -> None:
    paper = BlockableSink()
    writer = writer_on(paper)

    async def speak() -> None:
        writer.info("the last word")

    asyncio.run(speak())

    assert writer.flush(LONG)
    assert paper.lines == ["the last word"]


def test_a_stream_in_memory_is_written_to_at_once_and_without_a_thread() -> None:
    stream = io.StringIO()
    writer = LogWriter(StreamSink(stream), told, inline=True)
    before = threading.active_count()

    for number in range(3):
        writer.info(f"line {number}")
        assert stream.getvalue().endswith(f"line {number}\n")

    assert threading.active_count() == before


def test_a_stream_in_memory_that_refuses_lines_gets_them_with_the_next_one() -> None:
    paper = BlockableSink()
    writer = LogWriter(paper, told, inline=True, room=ROOM)

    with paper.refusing(OSError(28, "No space left on device")):
        for _ in range(150):
            writer.info(LINE)
    writer.info("after")

    lost = f"dropped {{'info': {writer.dropped}}}: No space left on device"
    assert paper.lines[-2:] == [lost, "after"]
    assert paper.lines.count(LINE) + writer.dropped == 150


def test_where_no_thread_can_be_had_lines_wait_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    paper = BlockableSink()
    writer = writer_on(paper, patience=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)  # the machine's own limit
        writer.info("first")
        writer.error("second")
    assert paper.lines == []

    writer.info("third")

    assert writer.flush(LONG)
    assert paper.lines == ["first", "second", "third"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_writes_its_own_lines_and_none_of_its_parent() -> None:
    reader, end = os.pipe()
    ours, theirs = os.pipe()
    os.set_blocking(end, False)
    filled = 0
    try:
        while True:
            filled += os.write(end, b"x" * 4096)
    except BlockingIOError:
        pass
    writer = LogWriter(DescriptorSink(end), told)
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
