"""The log: one event per line, with the ids of the request that it belongs to.

One logger is created, and passed to all code that logs. Uvicorn and other libraries log through the
standard library. Their lines go through the same processors, so that the log has one form, and
through the same writer (``writer.py``), so that nobody waits for the log and the order of lines is
kept. The log never has values of GraphQL variables, records or tokens, and tracebacks show no local
values.
"""

import atexit
import io
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor

from app.observability.bounds import (
    MAX_LINE,
    MAX_MISTAKES,
    MAX_TEXT,
    MISTAKES,
    TRACEBACK_SHARE,
    as_text,
    cut,
    fitting,
    for_people,
    plain,
    printable,
)
from app.observability.logger import bound_logger
from app.observability.sampling import RepeatLimit, Sampler
from app.observability.sinks import ATOMIC, DescriptorSink, StreamSink, descriptor_of, is_pipe
from app.observability.writer import LogGap, LogWriter
from app.settings.models import LogSettings

_DELETE = 0x7F  # an integer, because `in` on bytes tries that first

_MARK = 40
"""The most characters of the mark in a text that was cut."""

LogFormat = Literal["json", "console"]
"""The format of lines: ``json`` for machines, ``console`` for people."""


_FIELDS = "event_fields"
"""The attribute of a log record with the values of ``library_event``."""

STREAM_PATIENCE = 0.5
"""The longest wait for a line to a stream that the caller passed, in seconds."""

EXIT_PATIENCE = 0.5
"""The longest wait for the log at the end of the process, in seconds."""


def log_format_of(settings: LogSettings, stream: TextIO) -> LogFormat:
    """Return the format of lines for a stream.

    Args:
        settings: The settings of the log.
        stream: Where the lines go.

    Returns:
        The format that is set; with ``auto``, ``console`` on a terminal and ``json`` elsewhere.
    """
    if settings.format != "auto":
        return settings.format
    return "console" if stream.isatty() else "json"


def make_log(
    settings: LogSettings, form: LogFormat | None = None, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """Create the logger of the process.

    Args:
        settings: Level, format and sampling.
        form: The format; by default as ``log_format_of`` says.
        stream: Where lines go; by default standard error, by the same writer that the lines of
            libraries use (``uvicorn_log_config``).

    Returns:
        A logger that adds the context variables of the running request to each event. It never
        raises, and blocks no longer than ``writer.py`` says.
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
    return log.bind()  # an unbound proxy would build the logger again for each line


class LogLines:
    """Turns events into lines.

    Attributes:
        stream: Where the lines go.
        form: The format of lines.
        begin: Processors that every event runs through first.
        render: Processors that turn the event into a line.
    """

    def __init__(self, form: LogFormat, stream: TextIO) -> None:
        """Choose the processors.

        Args:
            form: The format of lines.
            stream: Where the lines go. A terminal gets colours. Lines to a pipe that several
                processes write to are short enough never to be mixed with theirs.
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
        """Make the line of an event that has only plain values.

        Args:
            level: The level of the event.
            event: The event, which is changed.

        Returns:
            The line.
        """
        line: Any = event
        for process in (*self.begin, *self.render):
            line = process(None, level, line)
        return str(line)

    def dropped(self, gap: LogGap) -> str:
        """Make the line that reports dropped lines.

        Args:
            gap: The dropped lines.

        Returns:
            The line.
        """
        event: EventDict = {
            "event": "log.dropped",
            "lines": gap.levels.total(),
            **gap.levels,
            "seconds": round(gap.seconds, 3),
            "reason": gap.reason or "lines came faster than the log could write them",
        }
        return self.line("warning", event)

    def otherwise(self, level: str, event: str, error: Exception) -> str:
        """Make the line of an event for which a processor raised; it has none of the values.

        Args:
            level: The level of the event.
            event: The name of the event.
            error: The exception.

        Returns:
            The line.
        """
        return self.line(level, {"event": cut(event, 100), "unwritten": type(error).__name__})


def is_worker() -> bool:
    """Return whether this process is one of several that write to the same log.

    Returns:
        Whether ``multiprocessing`` started it.
    """
    return multiprocessing.parent_process() is not None


class LibraryHandler(logging.Handler):
    """Passes lines of the standard library's logging to the writer of the log.

    Attributes:
        stream: The stream that the writer writes to.
        writer: The writer.
    """

    def __init__(self, form: LogFormat) -> None:
        """Create it for standard error.

        Args:
            form: The format of lines.
        """
        super().__init__()
        self.stream = sys.stderr
        self._lines = LogLines(form, self.stream)
        self.writer = writer_to(self.stream, self._lines.dropped, json=form == "json")
        _flush_before_sigterm(self.writer)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. It never raises, and never prints an error.

        Args:
            record: The record.
        """
        level = record.levelname.lower()
        try:
            line = self.format(record)
        except structlog.DropEvent:
            return
        except Exception as error:  # noqa: BLE001 # arguments that do not fit into the text
            line = self._lines.otherwise(level, as_text(record.msg), error)
        write: Callable[[str], None] = getattr(self.writer, level, self.writer.info)
        write(line)

    def flush(self) -> None:
        """Wait until all lines are written, for ``EXIT_PATIENCE`` seconds at most."""
        self.writer.flush(EXIT_PATIENCE)


def _flush_before_sigterm(writer: LogWriter) -> None:
    """Write the waiting lines before SIGTERM ends the process.

    uvicorn stops gracefully, restores the handler that it found, and sends the signal to itself
    again. The default action would end the process at once, without the waiting lines.
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
    """Return the writer to standard error; a process has one, to keep the order of lines."""
    for handler in logging.getLogger("uvicorn").handlers:
        if isinstance(handler, LibraryHandler) and handler.stream is lines.stream:
            return handler.writer  # ``logging.shutdown`` flushes it at the end of the process
    writer = writer_to(lines.stream, lines.dropped, json=lines.form == "json")
    atexit.register(writer.flush, EXIT_PATIENCE)
    return writer


def _no_gap(_: LogGap) -> str:
    """Make a line that reports dropped lines, without any format."""
    return "(lines were dropped)"


def writer_to(
    stream: TextIO, tell: Callable[[LogGap], str] = _no_gap, *, json: bool = False
) -> LogWriter:
    """Create a writer to a standard stream of the process.

    Args:
        stream: The stream.
        tell: Makes the line that reports dropped lines.
        json: Whether lines are JSON, which is UTF-8 whatever the stream's encoding is.

    Returns:
        The writer. It bypasses the buffer of the stream, because the process would wait for that
        buffer at its end.
    """
    descriptor = descriptor_of(stream)
    if descriptor is None:
        return LogWriter(StreamSink(stream), tell)
    encoding = "utf-8" if json else stream.encoding
    return LogWriter(DescriptorSink(descriptor, encoding=encoding, shared=is_worker()), tell)


def _stream_writer(lines: LogLines, stream: TextIO) -> LogWriter:
    """Create the writer to a stream that the caller passed, and reads."""
    return LogWriter(
        StreamSink(stream),
        lines.dropped,
        inline=type(stream) is io.StringIO,  # memory takes a line at once
        patience=STREAM_PATIENCE,
        patient=True,
    )


def library_event(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log an event through a logger of the standard library, in the form of our own events.

    Args:
        logger: A logger whose handler is the one of ``uvicorn_log_config``.
        level: The level, by its number.
        event: The name of the event.
        fields: The values of the event.
    """
    logger.log(level, event, extra={_FIELDS: fields})


def uvicorn_log_config(settings: LogSettings, form: LogFormat) -> dict[str, Any]:
    """Return uvicorn's logging configuration, so that its lines look like ours.

    Args:
        settings: The level.
        form: The format of lines.

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
    """Create the formatter of uvicorn's lines; ``uvicorn_log_config`` names it.

    Args:
        form: The format of lines.

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
    """List the processors that every event runs through first."""
    if form == "console":
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        return [RepeatLimit(), structlog.processors.add_log_level, clock]
    return [RepeatLimit(), _stamp(os.getpid())]


def _render(form: LogFormat, *, colours: bool, max_line: int | None) -> Sequence[Processor]:
    """List the processors that turn an event into a line."""
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
    """Write a traceback for people; none of its lines looks like an event."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    lines = cut(text, MAX_TEXT * TRACEBACK_SHARE).split("\n")
    out.writelines(f"\n  {printable(line)}" for line in lines)


def _stamp(pid: int) -> Processor:
    """Create the processor that adds level, time and the number of the process."""

    def stamp(_: object, level: str, event: EventDict) -> EventDict:
        event["level"] = level
        # In UTC, as ``datetime.isoformat`` would write it at ten times the cost.
        event["timestamp"] = orjson.dumps(datetime.now(UTC), option=orjson.OPT_UTC_Z)[1:-1].decode()
        event["pid"] = pid
        return event

    return stamp


def _json_writer(max_line: int) -> Processor:
    """Create the processor that writes an event as one line of JSON of bounded length."""

    def write(log: object, name: str, event: EventDict) -> str:
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(log, name, event)
        try:
            line = orjson.dumps(event, default=as_text)
        except TypeError:  # `_json_of` says which values cause it
            return fitting(event, _json_of, max_line)
        if len(line) <= max_line and line.isascii() and _DELETE not in line:
            return line.decode()  # the usual line needs no search for unsafe characters
        is_long = MISTAKES in event and max_line == MAX_LINE
        return fitting(event, _json_of, MAX_MISTAKES if is_long else max_line)

    return write


def _json_of(event: Mapping[str, object]) -> str:
    """Write JSON; values without a JSON form are written as text."""
    try:
        line = orjson.dumps(event, default=as_text).decode()
    except TypeError:  # orjson rejects huge integers, other keys than text, lone surrogates
        values = (f"{_loose_json(str(name))}:{_loose_json(value)}" for name, value in event.items())
        line = "{" + ",".join(values) + "}"
        line = line.encode("utf-8", "replace").decode()
    return plain(line)


def _loose_json(value: object) -> str:
    """Write a value as JSON that orjson rejects."""
    try:
        return json.dumps(
            value, default=as_text, skipkeys=True, ensure_ascii=False, allow_nan=False
        )
    except Exception:  # noqa: BLE001 # NaN, a cycle, too deep, or the value's own code
        return json.dumps(as_text(value, repr), ensure_ascii=False)


def _as_server_event(_: object, __: str, event: EventDict) -> EventDict:
    """Turn a message of uvicorn or of a library into an event; ``library_event`` names its own."""
    fields: Mapping[str, object] | None = getattr(event.get("_record"), _FIELDS, None)
    if fields is not None:
        event.update(fields)
        return event
    record: logging.LogRecord | None = event.get("_record")
    is_export = record is not None and record.name.startswith("opentelemetry.")
    event["message"] = str(event.pop("event")).rstrip()
    event["event"] = "telemetry.message" if is_export else "server.message"
    event.pop("color_message", None)
    return event


def _level(settings: LogSettings) -> int:
    """Return the number of the level that is set."""
    return logging.getLevelNamesMapping()[settings.level.upper()]
