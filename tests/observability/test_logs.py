"""The log: one event on each line, with the id of its request."""

import io
import logging
import logging.config
import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.observability.logs import (
    LogFormat,
    log_format_of,
    make_log,
    uvicorn_formatter,
    uvicorn_log_config,
)
from app.settings.models import LogSettings

Level = Literal["debug", "info", "warning", "error"]

SECRET = "canary-secret"

HOSTILE = {
    "CR and LF": 'done\r\n{"event": "forged"}\n',
    "ANSI": "\x1b[31mred\x1b[0m\x1b[2J",
    "a line separator": "a\u2028b\u2029c\x85d",
    "control characters": "\x00\x07\x08\x7f",
    "control sequences of a terminal": "\x9b2J\x85\u202e\ufeff",
    "quotes": "\"'\\`{}%s%d",
}


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return that it is."""
        return True


def lines(stream: io.StringIO) -> list[Mapping[str, Any]]:
    """Read a log of JSON lines."""
    text = stream.getvalue()
    assert not text or text.endswith("\n")
    return [orjson.loads(line) for line in text.split("\n")[:-1]]


def json_line(event: str, **values: object) -> Mapping[str, Any]:
    """Log one event as JSON and read it back."""
    stream = io.StringIO()
    make_log(LogSettings(), "json", stream).info(event, **values)
    [line] = lines(stream)
    return line


def console_text(event: str, stream: io.StringIO | None = None, **values: object) -> str:
    """Log one event in the console form and read it back."""
    stream = stream or io.StringIO()
    make_log(LogSettings(), "console", stream).info(event, **values)
    return stream.getvalue()


def fail() -> None:
    """Raise with a secret in a local variable."""
    password = SECRET + "-local"
    raise ValueError(f"wrong by {len(password)}")


def test_an_event_is_one_line_of_json_with_its_level_time_and_values() -> None:
    line = json_line("source.fetch", source="billing", keys=2, status=None)

    assert {**line, "timestamp": ""} == {
        "event": "source.fetch",
        "level": "info",
        "source": "billing",
        "keys": 2,
        "status": None,
        "pid": os.getpid(),
        "timestamp": "",
    }
    moment = datetime.fromisoformat(line["timestamp"])
    assert moment.utcoffset() == datetime.now(UTC).utcoffset()


def test_values_bound_to_a_request_are_in_each_of_its_lines() -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(), "json", stream)

    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        log.info("first")
        log.warning("second")
    log.info("third")

    assert [line.get("request_id") for line in lines(stream)] == ["req-1", "req-1", None]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_events_below_the_configured_level_are_not_written(
    level: Level, expected: list[str]
) -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(level=level), "json", stream)

    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")

    assert [line["level"] for line in lines(stream)] == expected


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_an_event_with_hostile_text_is_one_line(text: str) -> None:
    for line in (json_line(text), json_line("event", detail=text), json_line("event", **{text: 1})):
        assert text in (line["event"], line.get("detail"), *line)


@given(text=st.text())
def test_any_text_is_read_back_unchanged(text: str) -> None:
    assert json_line("event", detail=text)["detail"] == text


def test_a_json_line_has_no_colours_on_a_terminal() -> None:
    stream = Terminal()
    make_log(LogSettings(), "json", stream).error("event")

    assert "\x1b" not in stream.getvalue()
    assert lines(stream)[0]["event"] == "event"


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        Path("/a/b"),
        ValueError("what"),
        1j,
        2**70,
        -(2**70),
        {1: "a", None: "b", (1, 2): "c"},
        "lone \ud800 surrogate",
        {"deep": ["lone \udfff surrogate"]},
        float("nan"),
        float("inf"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_value_that_json_does_not_support_is_written(value: object) -> None:
    line = json_line("event", value=value, other=1)

    assert line["event"] == "event"
    assert line["other"] == 1
    assert "value" in line


class Odd:
    """A value whose own code raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error

    __repr__ = __str__


def list_in_itself() -> list[object]:
    """Make a list that contains itself."""
    made: list[object] = []
    made.append(made)
    return made


def deep_list() -> object:
    """Make nested lists that are deeper than the limit of recursion."""
    made: object = 1
    for _ in range(100_000):
        made = [made]
    return made


POISON: Mapping[str, Callable[[], object]] = {
    "raises": lambda: Odd(ValueError("what")),
    "raises recursion": lambda: Odd(RecursionError()),
    "raises memory": lambda: Odd(MemoryError()),
    "is in a list": lambda: [1, {"a": Odd(KeyError("what"))}],
    "is a name": lambda: {Odd(KeyError("what")): 1},
    "contains itself": list_in_itself,
    "is deep": deep_list,
    "is a number that Python does not write": lambda: 10**5_000,
    "is a text of ten million": lambda: "x" * 10_000_000,
    "is a list of many": lambda: list(range(100_000)),
    "is not a number, beside what orjson refuses": lambda: [float("nan"), "\ud800"],
}
"""Values that are hard to write."""


@pytest.mark.parametrize("make", POISON.values(), ids=POISON)
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_value_that_cannot_be_written_does_not_affect_its_event(
    make: Callable[[], object], form: LogFormat
) -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(), form, stream)

    for write in (log.info, log.bind(bound=make()).error):
        write("event", value=make(), other="the other value")
    with structlog.contextvars.bound_contextvars(request_id=make()):
        log.info("event", other="the other value")

    assert stream.getvalue().count("the other value") == 3
    assert max(map(len, stream.getvalue().splitlines())) < 10_000
    if form == "json":
        assert [line["event"] for line in lines(stream)] == ["event"] * 3


def test_an_event_whose_processors_raise_is_written_by_its_name() -> None:
    class Name(str):
        """A name that cannot be compared or encoded."""

        __slots__ = ()

        def __len__(self) -> int:
            raise ValueError("what")

        __str__ = __repr__ = encode = __len__  # type: ignore[assignment] # nothing works

    stream = io.StringIO()

    make_log(LogSettings(), "console", stream).info("event", value=Name("x"))

    assert "event" in stream.getvalue()


def test_the_console_shows_lists_and_tables_without_brackets_and_quotes() -> None:
    line = console_text(
        "event", errors={"SOURCE_TIMEOUT": 2}, lost={"a": ["B", "C"]}, names=["x", "y"]
    )

    assert "errors='SOURCE_TIMEOUT: 2' lost='a: B, C' names='x, y'" in line


@pytest.mark.parametrize("form", ["json", "console"])
def test_wrong_arguments_of_a_format_do_not_raise(form: LogFormat) -> None:
    stream = io.StringIO()

    make_log(LogSettings(), form, stream).info("%d users", "no number", value=1)

    assert "%d users" in stream.getvalue()
    assert "no number" in stream.getvalue()


class Broken(io.StringIO):
    """A stream that refuses text while it is broken."""

    broken = True

    def write(self, text: str) -> int:
        """Write a text, or raise."""
        if self.broken:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_broken_stream_gets_all_lines_when_it_works_again() -> None:
    stream = Broken()
    log = make_log(LogSettings(), "json", stream)

    try:
        fail()
    except ValueError:
        log.exception("first")
    log.info("second")
    stream.broken = False
    log.info("third")

    assert [line["event"] for line in lines(stream)] == ["first", "second", "third"]


def test_dropped_lines_are_logged_with_counts_and_seconds() -> None:
    stream = Broken()
    log = make_log(LogSettings(), "json", stream)

    for number in range(2_000):
        log.info("event", number=number, value="x" * 1_000)
    stream.broken = False
    log.info("does not fit, and causes a write")
    log.info("after")

    found = lines(stream)
    [gap] = [line for line in found if line["event"] == "log.dropped"]
    assert gap["level"] == "warning"
    assert gap["lines"] == gap["info"] == 2_001 - (len(found) - 2) > 0
    assert gap["seconds"] >= 0
    assert gap["reason"] == "No space left on device"
    assert found[-1]["event"] == "after"


def test_a_closed_stream_does_not_raise() -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(), "json", stream)
    stream.close()

    log.info("event")
    log.error("event")


def test_a_text_that_a_stream_cannot_encode_is_escaped() -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii")

    make_log(LogSettings(), "json", stream).info("event", name="zwölf \ud800")

    assert raw.getvalue().count(b"zw\\xf6lf") == 1


def test_a_value_that_json_does_not_support_is_written_as_text() -> None:
    assert json_line("event", path=Path("a"))["path"] == "a"
    assert json_line("event", error=ValueError("what"))["error"] == "what"
    assert json_line("event", at=datetime(2026, 1, 2, tzinfo=UTC))["at"].startswith("2026-01-02T00")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_logged_without_local_values(form: LogFormat) -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(), form, stream)
    try:
        fail()
    except ValueError:
        log.exception("bug")

    text = stream.getvalue()
    assert "ValueError: wrong by 19" in text
    assert "in fail" in text
    assert SECRET not in text
    if form == "json":
        [line] = lines(stream)
        assert line["exception"].startswith("Traceback (most recent call last):")
        assert "exc_info" not in line


def test_the_console_shows_an_event_and_its_values_on_one_line() -> None:
    text = console_text("gateway.started", version="1.2", sources=3)

    assert text.count("\n") == 1
    assert "gateway.started" in text
    assert "version=1.2" in text
    assert "sources=3" in text
    assert "info" in text
    assert not text.startswith("{")


def test_the_console_has_colours_only_on_a_terminal() -> None:
    assert "\x1b[" in console_text("event", Terminal(), a=1)
    assert "\x1b[" not in console_text("event", a=1)


@pytest.mark.parametrize(
    ("wanted", "stream", "form"),
    [
        ("auto", io.StringIO(), "json"),
        ("auto", Terminal(), "console"),
        ("json", Terminal(), "json"),
        ("console", io.StringIO(), "console"),
    ],
)
def test_a_terminal_gets_the_console_form_unless_another_is_configured(
    wanted: Literal["auto", "json", "console"], stream: io.StringIO, form: LogFormat
) -> None:
    settings = LogSettings(format=wanted)

    assert log_format_of(settings, stream) == form
    make_log(settings, stream=stream).info("event")
    assert stream.getvalue().startswith("{") is (form == "json")


class Uvicorn:
    """A logger such as that of uvicorn, with our formatter."""

    def __init__(self, form: LogFormat) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(uvicorn_formatter(form))
        self.logger = logging.Logger("uvicorn.error")  # noqa: LOG001 # used by this test alone
        self.logger.addHandler(handler)


def test_messages_of_uvicorn_are_events_of_the_same_form() -> None:
    uvicorn = Uvicorn("json")

    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        uvicorn.logger.info(
            "Started server process [%d]", 7, extra={"color_message": "Started [\x1b[36m%d\x1b[0m]"}
        )

    [line] = lines(uvicorn.stream)
    assert {**line, "timestamp": ""} == {
        "event": "server.message",
        "message": "Started server process [7]",
        "level": "info",
        "request_id": "req-1",
        "pid": os.getpid(),
        "timestamp": "",
    }


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_message_of_uvicorn_is_one_line(text: str) -> None:
    uvicorn = Uvicorn("json")

    uvicorn.logger.warning("Invalid HTTP request: %s", text)

    [line] = lines(uvicorn.stream)
    assert line["message"] == f"Invalid HTTP request: {text}".rstrip()
    assert line["level"] == "warning"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_of_uvicorn_is_logged_once_without_local_values(
    form: LogFormat,
) -> None:
    uvicorn = Uvicorn(form)
    try:
        fail()
    except ValueError:
        uvicorn.logger.exception("Exception in ASGI application\n")

    text = uvicorn.stream.getvalue()
    assert text.count("ValueError: wrong by 19") == 1
    assert SECRET not in text
    if form == "json":
        assert len(lines(uvicorn.stream)) == 1


def test_the_console_shows_messages_of_uvicorn_in_the_same_form() -> None:
    uvicorn = Uvicorn("console")

    uvicorn.logger.info("Uvicorn running on %s", "http://127.0.0.1:8000")

    text = uvicorn.stream.getvalue()
    assert "server.message" in text
    assert "Uvicorn running on http://127.0.0.1:8000" in text
    assert text.count("\n") == 1


def flush(logger: logging.Logger) -> None:
    """Wait until all lines are written."""
    for handler in logger.handlers:
        handler.flush()


@pytest.fixture
def uvicorn_logger() -> Generator[logging.Logger]:
    """Give uvicorn's logger, and restore it and the root logger afterwards."""
    loggers = [logging.getLogger("uvicorn"), logging.getLogger()]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    on_end = signal.getsignal(signal.SIGTERM)
    yield loggers[0]
    signal.signal(signal.SIGTERM, on_end)
    for one, was in zip(loggers, before, strict=True):
        one.handlers[:], one.level, one.propagate = was


@pytest.mark.parametrize(("level", "count"), [("info", 2), ("warning", 1), ("error", 0)])
def test_uvicorn_is_configured_with_our_form_and_level(
    uvicorn_logger: logging.Logger, capsys: pytest.CaptureFixture[str], level: Level, count: int
) -> None:
    logging.config.dictConfig(uvicorn_log_config(LogSettings(level=level), "json"))

    uvicorn_logger.getChild("error").info("started")
    uvicorn_logger.getChild("error").warning("odd")
    flush(uvicorn_logger)

    output = capsys.readouterr()
    found = [orjson.loads(line)["message"] for line in output.err.splitlines()]
    assert found == ["started", "odd"][2 - count :]
    assert not output.out


@pytest.mark.usefixtures("uvicorn_logger")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_wrong_logging_call_of_a_library_does_not_raise(
    capsys: pytest.CaptureFixture[str], form: LogFormat
) -> None:
    logging.config.dictConfig(uvicorn_log_config(LogSettings(), form))

    logging.getLogger("aiohttp").error("%d connections of %s", "no number")  # noqa: PLE1206 # on purpose
    logging.getLogger("aiohttp").error(Odd(ValueError("what")))
    logging.getLogger("aiohttp").error("odd: %s", Odd(ValueError("what")))
    flush(logging.getLogger())

    err = capsys.readouterr().err
    assert "%d connections of %s" in err
    assert "<Odd that raised ValueError>" in err
    assert "Logging error" not in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 3


@pytest.mark.usefixtures("uvicorn_logger")
def test_lines_of_libraries_and_the_gateway_are_in_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.config.dictConfig(uvicorn_log_config(LogSettings(), "json"))
    log = make_log(LogSettings(), "json")

    for number in range(20):
        (log.info if number % 3 else logging.getLogger("uvicorn.error").info)(f"{number}")
    flush(logging.getLogger("uvicorn"))

    found = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    output = [line.get("message", line["event"]) for line in found]
    assert output == [str(number) for number in range(20)]


@pytest.mark.usefixtures("uvicorn_logger")
def test_warnings_of_libraries_have_the_form_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(uvicorn_log_config(LogSettings(level="error"), "json"))

    logging.getLogger("asyncio").warning("odd\nfuture")
    logging.getLogger("asyncio").info("started")
    flush(logging.getLogger())

    [line] = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["message"]) == ("server.message", "odd\nfuture")


def test_the_log_configuration_can_be_sent_to_worker_processes() -> None:
    config = uvicorn_log_config(LogSettings(), "json")

    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 # our own data


def test_the_log_goes_to_stderr_and_not_to_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_log(LogSettings(), "json", sys.stderr).info("event")

    output = capsys.readouterr()
    assert orjson.loads(output.err)["event"] == "event"
    assert not output.out


def logged(share: float, ids: list[str]) -> list[tuple[str, str]]:
    """Log an operation and a call of each request, half of them failed; return the kept lines."""
    stream = io.StringIO()
    log = make_log(LogSettings(sample=share), "json", stream)
    for number, one in enumerate(ids):
        failed = number % 2
        with structlog.contextvars.bound_contextvars(request_id=one):
            (log.warning if failed else log.info)("source.fetch")
            log.info("graphql.operation", errors={"SOURCE_TIMEOUT": 1} if failed else {})
            log.info("gateway.started")
    return [(line["event"], line["request_id"]) for line in lines(stream)]


def test_a_share_of_good_requests_and_all_failed_ones_are_logged() -> None:
    ids = [f"request-{number}" for number in range(2_000)]

    kept = logged(0.1, ids)

    good = {one for number, one in enumerate(ids) if number % 2 == 0}
    calls = [one for event, one in kept if event == "source.fetch"]
    operations = [one for event, one in kept if event == "graphql.operation"]
    assert calls == operations
    assert set(ids) - good <= set(calls)
    assert 50 <= len(good & set(calls)) <= 150
    assert [one for event, one in kept if event == "gateway.started"] == ids


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (1.0, 2)])
def test_no_or_all_good_requests_can_be_logged(share: float, kept: int) -> None:
    output = logged(share, ["request-1"])

    assert len([event for event, _ in output if event != "gateway.started"]) == kept
