"""Sinks: the streams and descriptors that get the lines of the log."""

import io
import os
import pty
from collections.abc import Generator
from pathlib import Path

import pytest

from app.observability.sinks import ATOMIC, DescriptorSink, StreamSink, descriptor_of, is_pipe


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    """Give a pipe, and close its ends afterwards."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def drain(reader: int) -> bytes:
    """Read all bytes that are in a pipe now."""
    os.set_blocking(reader, False)
    parts: list[bytes] = []
    try:
        while part := os.read(reader, 1_000_000):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"".join(parts)


def fill(writer: int) -> int:
    """Fill a pipe, and return the number of bytes that it took."""
    os.set_blocking(writer, False)
    filled = 0
    try:
        while True:
            filled += os.write(writer, b"x" * 4096)
    except BlockingIOError:
        return filled


def test_lines_are_written_with_line_ends(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    DescriptorSink(writer).write(["one", "zwölf", "lone \ud800 surrogate"])

    assert drain(reader) == "one\nzwölf\nlone \\ud800 surrogate\n".encode()


def test_characters_that_an_encoding_lacks_are_escaped(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    DescriptorSink(writer, encoding="ascii").write(["zwölf"])

    assert drain(reader) == b"zw\\xf6lf\n"


def test_a_write_after_an_error_continues_where_it_stopped(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    os.read(reader, 5_000)  # space for a page, and not for all lines
    sink = DescriptorSink(writer)
    lines = [f"{number} {'y' * 500}" for number in range(100)]
    with pytest.raises(BlockingIOError):
        sink.write(lines)
    found = drain(reader)

    sink.write(["last"])

    text = (found + drain(reader)).decode()
    assert text[text.index("0 ") :].splitlines() == [*lines, "last"]


def test_a_sink_does_not_write_forgotten_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    sink = DescriptorSink(writer)
    with pytest.raises(BlockingIOError):
        sink.write(["before"])
    drain(reader)

    sink.forget()
    sink.write(["after"])

    assert drain(reader) == b"after\n"


def test_a_descriptor_that_was_closed_and_reused_is_not_written_to(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "log", tmp_path / "database"
    descriptor = os.open(first, os.O_WRONLY | os.O_CREAT)
    sink = DescriptorSink(descriptor)
    os.close(descriptor)
    other = os.open(second, os.O_WRONLY | os.O_CREAT)
    assert other == descriptor

    sink.write(["line"])
    os.close(other)

    assert first.read_text() == "line\n"
    assert second.read_text() == ""


def test_the_flags_of_a_shared_terminal_are_unchanged() -> None:
    ours, theirs = pty.openpty()
    before = os.get_blocking(theirs)

    DescriptorSink(theirs, shared=True).write(["line"])

    assert os.get_blocking(theirs) is before is True
    assert os.read(ours, 100) == b"line\r\n"
    for end in (ours, theirs):
        os.close(end)


@pytest.mark.parametrize(("shared", "whole"), [(True, True), (False, False)])
def test_a_shared_pipe_gets_only_whole_lines(
    pipe: tuple[int, int], *, shared: bool, whole: bool
) -> None:
    reader, writer = pipe
    fill(writer)
    os.read(reader, 3 * 4096)  # space for three pages: a longer write would be cut there
    sink = DescriptorSink(writer, shared=shared)

    with pytest.raises(BlockingIOError):
        sink.write(["y" * 1_500] * 100)

    written = drain(reader).lstrip(b"x")
    assert len(written) > ATOMIC
    assert written.endswith(b"\n") is whole


def test_a_stream_is_flushed_after_each_write() -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii", newline="\n")

    StreamSink(stream).write(["one", "zwölf"])

    assert raw.getvalue() == b"one\nzw\\xf6lf\n"


def test_a_stream_gets_refused_lines_before_new_ones() -> None:
    class Full(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    sink = StreamSink(stream)
    with pytest.raises(OSError, match="No space"):
        sink.write(["one"])
    stream.full = False

    sink.write(["two"])

    assert stream.getvalue() == "one\ntwo\n"


def test_a_stream_in_memory_or_a_closed_one_has_no_descriptor(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    assert descriptor_of(io.StringIO()) is None
    with (tmp_path / "file").open("w") as file:
        descriptor = descriptor_of(file)
        assert descriptor is not None
        assert not is_pipe(descriptor)
    assert descriptor_of(file) is None
    assert is_pipe(pipe[0])
