"""The log: one event a line, with the request it belongs to.

A logger is made once and handed to whoever has something to say. Uvicorn speaks through the
standard library's logging, and so do libraries that have something to warn of; their lines go
through the same processors, so that one log has one form. They also go through the same writer
(``writer.py``), so that nobody waits for the log, and the order of lines is kept. Nothing here
knows queries' variables, records or tokens, and tracebacks show no local values.
"""

import atexit
import io
import json
import logging
import multiprocessing
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor

from app.observability.bounds import (
    MAX_LINE,
    MAX_TEXT,
    TRACEBACK_SHARE,
    as_text,
    cut,
    fitting,
    for_people,
    plain,
    printable,
)
from app.observability.logger import bound_logger
from app.observability.sinks import ATOMIC, DescriptorSink, StreamSink, descriptor_of, is_pipe
from app.observability.writer import LogGap, LogWriter
from app.settings.models import LogSettings

_DELETE = 0x7F  # as a number, since Python first takes what is looked for in bytes for one

_MARK = 40
"""Characters by which a text that was cut says so, at most."""

LogFormat = Literal["json", "console"]
"""How a line is written: for machines, or for people."""


STREAM_PATIENCE = 0.5
"""Seconds that a line to a stream that was handed over is waited for, at most."""

EXIT_PATIENCE = 0.5
"""Seconds that the end of the process waits for the log, at most."""


def log_format_of(settings: LogSettings, stream: TextIO) -> LogFormat:
    """Decide how lines are written.

    Args:
        settings: What the operator wants.
        stream: Where they go.

    Returns:
        The form; people get theirs on a terminal unless the operator decided.
    """
    if settings.format != "auto":
        return settings.format
    return "console" if stream.isatty() else "json"


def make_log(
    settings: LogSettings, form: LogFormat | None = None, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """Make the logger of the process.

    Args:
        settings: Level and form.
        form: The form, where the settings leave it open.
        stream: Where lines go; standard error by default, by the writer that the lines of
            libraries go through as well (``uvicorn_log_config``).

    Returns:
        A logger that adds what is bound to the running request. It never raises, and waits for no
        stream longer than ``writer.py`` says.
    """
    out = sys.stderr if stream is None else stream
    lines = LogLines(form or log_format_of(settings, out), out)
    log: FilteringBoundLogger = structlog.wrap_logger(
        _process_writer(lines) if stream is None else _stream_writer(lines, stream),
        processors=[
            structlog.contextvars.merge_contextvars,
            *([Sampler(settings.sample)] if settings.sample < 1 else ()),
            *lines.begin,
            *lines.render,
        ],
        wrapper_class=bound_logger(_level(settings), lines.otherwise),
    )
    return log.bind()  # unbound, it would look for what it stands for with every line


class LogLines:
    """How events become lines.

    Attributes:
        stream: Where the lines go.
        begin: What happens to every event, whoever says it. Processors.
        render: What makes a line of an event. Processors.
    """

    def __init__(self, form: LogFormat, stream: TextIO) -> None:
        """Choose how.

        Args:
            form: For machines, or for people.
            stream: Where the lines go. It decides whether they may have colours, and how long they
                may be: lines to a pipe that several processes write to are short enough never to
                be mixed with theirs.
        """
        self.stream = stream
        shared_pipe = False
        if is_worker() and (descriptor := descriptor_of(stream)) is not None:
            shared_pipe = is_pipe(descriptor)
        self.form: LogFormat = form
        self.begin = _begin(form)
        self.render = _render(
            form,
            colours=stream.isatty(),
            max_line=min(MAX_LINE, ATOMIC - 1) if shared_pipe else None,
        )

    def line(self, level: str, event: EventDict) -> str:
        """Make the line of an event that has nothing but plain values.

        Args:
            level: Its level.
            event: The event.

        Returns:
            The line.
        """
        line: Any = event
        for process in (*self.begin, *self.render):
            line = process(None, level, line)
        return str(line)

    def dropped(self, gap: LogGap) -> str:
        """Make the line that says what was dropped.

        Args:
            gap: What was.

        Returns:
            The line.
        """
        event: EventDict = {
            "event": "log.dropped",
            "lines": gap.levels.total(),
            **gap.levels,
            "seconds": round(gap.seconds, 3),
            "reason": gap.reason or "the log took lines more slowly than they came",
        }
        return self.line("warning", event)

    def otherwise(self, level: str, event: str, error: Exception) -> str:
        """Make the line of an event that could not be written with its values.

        Args:
            level: Its level.
            event: Its name.
            error: What was raised.

        Returns:
            The line.
        """
        return self.line(level, {"event": cut(event, 100), "unwritten": type(error).__name__})


def is_worker() -> bool:
    """Tell whether this process is one of several that write to the same log."""
    return multiprocessing.parent_process() is not None


class LibraryHandler(logging.Handler):
    """Hands lines of the standard library's logging to the writer of the log.

    Attributes:
        stream: Where the writer writes to.
        writer: The writer.
    """

    def __init__(self, form: LogFormat) -> None:
        """Make it for standard error.

        Args:
            form: How lines are written.
        """
        super().__init__()
        self.stream = sys.stderr
        self._lines = LogLines(form, self.stream)
        self.writer = writer_to(self.stream, self._lines.dropped, json=form == "json")
        _flush_before_sigterm(self.writer)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. Never raises, and never prints what went wrong."""
        level = record.levelname.lower()
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 # arguments that do not fit into the text
            line = self._lines.otherwise(level, as_text(record.msg), error)
        write: Callable[[str], None] = getattr(self.writer, level, self.writer.info)
        write(line)

    def flush(self) -> None:
        """Wait for a short time until all lines are written."""
        self.writer.flush(EXIT_PATIENCE)


def _flush_before_sigterm(writer: LogWriter) -> None:
    """Have the end of the process by SIGTERM wait for the log, too.

    uvicorn stops gracefully, puts back the handler that it found, and sends the signal to itself
    again. Without a handler that ends the process at once, with lines that wait.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def end(number: int, _: FrameType | None) -> None:
        writer.flush(EXIT_PATIENCE)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)


def _process_writer(lines: LogLines) -> LogWriter:
    """Find the writer to standard error, or make it: one process has one, for the lines' order."""
    for one in logging.getLogger("uvicorn").handlers:
        if isinstance(one, LibraryHandler) and one.stream is lines.stream:
            return one.writer  # ``logging.shutdown`` flushes it at the end of the process
    writer = writer_to(lines.stream, lines.dropped, json=lines.form == "json")
    atexit.register(writer.flush, EXIT_PATIENCE)
    return writer


def _no_gap(_: LogGap) -> str:
    """Make the line that says what was dropped, where no form is known."""
    return "(lines were dropped)"


def writer_to(
    stream: TextIO, tell: Callable[[LogGap], str] = _no_gap, *, json: bool = False
) -> LogWriter:
    """Make a writer to a standard stream of the process.

    Args:
        stream: The stream.
        tell: Makes the line that says what was dropped.
        json: Whether lines are JSON, which is UTF-8 whatever the stream's encoding is.

    Returns:
        The writer; it writes past the stream's buffer, which the end of the process would wait for.
    """
    descriptor = descriptor_of(stream)
    if descriptor is None:
        return LogWriter(StreamSink(stream), tell)
    encoding = "utf-8" if json else stream.encoding
    return LogWriter(DescriptorSink(descriptor, encoding=encoding, shared=is_worker()), tell)


def _stream_writer(lines: LogLines, stream: TextIO) -> LogWriter:
    """Make the writer to a stream that was handed over, by somebody who looks into it."""
    return LogWriter(
        StreamSink(stream),
        lines.dropped,
        inline=type(stream) is io.StringIO,  # memory takes a line at once
        patience=STREAM_PATIENCE,
        patient=True,
    )


class Sampler:
    """Drops what went well of most requests. A processor.

    The request's id decides, so that what is told of a request is told by all processes alike. A
    call that several requests share has an id of its own.
    """

    SAMPLED = frozenset({"graphql.operation", "source.fetch"})
    """The events of which there is one or more for every request."""

    def __init__(self, share: float) -> None:
        """Make it.

        Args:
            share: Of the requests, that are told.
        """
        self._threshold = share * 2**32

    def __call__(self, _: object, level: str, event: EventDict) -> EventDict:
        """Let an event pass, or drop it."""
        good = level == "info" and not event.get("errors")
        if good and event["event"] in self.SAMPLED:
            number = zlib.crc32(str(event.get("request_id")).encode("utf-8", "replace"))
            if number >= self._threshold:
                raise structlog.DropEvent
        return event


def uvicorn_log_config(settings: LogSettings, form: LogFormat) -> dict[str, Any]:
    """Describe uvicorn's logging, so that its lines look like ours.

    Args:
        settings: The level.
        form: How lines are written.

    Returns:
        A configuration for ``logging.config``; it can be sent to worker processes.
    """
    name = f"{__name__}.uvicorn_formatter"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": name, "form": form}},
        "handlers": {
            "ours": {"()": f"{__name__}.LibraryHandler", "form": form, "formatter": "ours"}
        },
        "loggers": {
            "uvicorn": {"handlers": ["ours"], "level": _level(settings), "propagate": False},
        },
        "root": {"handlers": ["ours"], "level": "WARNING"},
    }


def uvicorn_formatter(form: LogFormat) -> logging.Formatter:
    """Make the formatter of uvicorn's lines; named in its logging configuration.

    Args:
        form: How lines are written.

    Returns:
        The formatter.
    """
    lines = LogLines(form, sys.stderr)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _as_server_event,
            structlog.contextvars.merge_contextvars,
            *lines.begin,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *lines.render,
        ],
    )


def _begin(form: LogFormat) -> Sequence[Processor]:
    """List what happens to every event, whoever says it."""
    if form == "console":
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        return [structlog.processors.add_log_level, clock]
    return [_stamp]


def _render(form: LogFormat, *, colours: bool, max_line: int | None) -> Sequence[Processor]:
    """List what makes a line of an event."""
    if form == "json":
        return [_json_writer(max_line or MAX_LINE)]
    console = structlog.dev.ConsoleRenderer(
        colors=colours,
        pad_event_to=18,
        sort_keys=False,
        exception_formatter=_indented_traceback,
    )
    if max_line is None:
        return [for_people, console]
    most = max_line // 4 - _MARK  # a character takes up to four bytes
    return [for_people, lambda log, level, event: cut(console(log, level, event), most)]


def _indented_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback for people; none of its lines can be taken for an event."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    lines = cut(text, MAX_TEXT * TRACEBACK_SHARE).split("\n")
    out.writelines(f"\n  {printable(line)}" for line in lines)


def _stamp(_: object, level: str, event: EventDict) -> EventDict:
    """Tell level and time, in UTC, as ``datetime.isoformat`` would at ten times the cost."""
    event["level"] = level
    event["timestamp"] = orjson.dumps(datetime.now(UTC), option=orjson.OPT_UTC_Z)[1:-1].decode()
    return event


def _json_writer(max_line: int) -> Processor:
    """Make what writes an event as one line of JSON, of so many bytes at most."""

    def write(log: object, name: str, event: EventDict) -> str:
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(log, name, event)
        try:
            line = orjson.dumps(event, default=as_text)
        except TypeError:  # what that is about is told below
            return fitting(event, _json_of, max_line)
        if len(line) <= max_line and line.isascii() and _DELETE not in line:
            return line.decode()  # the everyday line: looking at each character took its time
        return fitting(event, _json_of, max_line)

    return write


def _json_of(event: Mapping[str, object]) -> str:
    """Write JSON; whatever it has no form for is written as text."""
    try:
        line = orjson.dumps(event, default=as_text).decode()
    except TypeError:  # what orjson is strict about: huge integers, odd keys, lone surrogates
        values = (f"{_loose_json(str(name))}:{_loose_json(value)}" for name, value in event.items())
        line = "{" + ",".join(values) + "}"
        line = line.encode("utf-8", "replace").decode()
    return plain(line)


def _loose_json(value: object) -> str:
    """Write a value as JSON that orjson does not write."""
    try:
        return json.dumps(
            value, default=as_text, skipkeys=True, ensure_ascii=False, allow_nan=False
        )
    except Exception:  # noqa: BLE001 # no number, a ring, too deep, or the value's own code
        return json.dumps(as_text(value, repr), ensure_ascii=False)


def _as_server_event(_: object, __: str, event: EventDict) -> EventDict:
    """Turn a sentence of uvicorn's, or of a library's, into an event with a name of its own."""
    event["message"] = str(event.pop("event")).rstrip()
    event["event"] = "server.message"
    event.pop("color_message", None)
    return event


def _level(settings: LogSettings) -> int:
    """Find the number of a level."""
    return logging.getLevelNamesMapping()[settings.level.upper()]
