"""Lines of the log: when they are written, and that none is lost."""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from app.observability.lines import Lines


class File(io.StringIO):
    """Counts how often it is written to, and how often it is told that this was all."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = self.flushes = 0

    def write(self, text: str) -> int:
        """Take some text."""
        self.writes += 1
        return super().write(text)

    def flush(self) -> None:
        """Take note."""
        self.flushes += 1


async def turn() -> None:
    """Let the event loop do all that is to be done in its next turn."""
    await asyncio.sleep(0)


def test_without_an_event_loop_a_line_is_written_at_once() -> None:
    file = File()
    lines = Lines(file)

    for number in range(3):
        lines.info(f"line {number}")
        assert file.writes == file.flushes == number + 1

    assert file.getvalue() == "line 0\nline 1\nline 2\n"


async def test_the_lines_of_one_turn_are_written_together_by_its_end() -> None:
    file = File()
    lines = Lines(file)

    async def speak(number: int) -> None:
        lines.info(f"first {number}")
        await turn()
        lines.debug(f"second {number}")

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(speak(number))
        assert file.getvalue() == ""
        await turn()
    await turn()

    first, second = ("".join(f"{which} {n}\n" for n in range(3)) for which in ("first", "second"))
    assert file.getvalue() == first + second
    assert file.writes == file.flushes == 2


async def test_what_went_wrong_is_written_at_once_after_what_was_said_before() -> None:
    for number, name in enumerate(("warning", "error", "critical")):
        file = File()
        lines = Lines(file)

        lines.info("before")
        getattr(lines, name)("wrong")
        assert file.getvalue() == "before\nwrong\n", number

        lines.info("after")
        await turn()
        assert file.getvalue() == "before\nwrong\nafter\n"
        assert file.writes == 2


def test_what_is_said_in_the_last_turn_of_an_event_loop_is_not_lost() -> None:
    file = File()
    lines = Lines(file)

    async def speak() -> None:
        lines.info("the last word")

    asyncio.run(speak())

    assert file.getvalue() == "the last word\n"


def test_threads_lose_nothing_and_cut_nothing() -> None:
    file = File()
    lines = Lines(file)
    said = [f"{thread} {number}" for thread in range(4) for number in range(500)]

    def speak(some: Sequence[str]) -> None:
        for line in some:
            lines.info(line)

    with ThreadPoolExecutor(4) as threads:
        for thread in range(4):
            threads.submit(speak, said[thread * 500 :][:500])

    assert sorted(file.getvalue().splitlines()) == sorted(said)
