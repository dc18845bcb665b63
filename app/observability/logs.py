"""The log: one event a line, with the request it belongs to.

A logger is made once and handed to whoever has something to say. Uvicorn speaks through the
standard library's logging, and so do libraries that have something to warn of; their lines go
through the same processors, so that one log has one form. Nothing here knows queries' variables,
records or tokens, and tracebacks show no local values.
"""

import json
import logging
import sys
import traceback
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor

from app.observability.bounds import (
    MAX_LINE,
    MAX_TEXT,
    TRACEBACK_SHARE,
    cut,
    fitting,
    for_people,
    plain,
    printable,
)
from app.observability.lines import Lines
from app.observability.logger import bound_logger
from app.settings import LogSettings

_DELETE = 0x7F  # as a number, since Python first takes what is looked for in bytes for one

Form = Literal["json", "console"]
"""How a line is written: for machines, or for people."""


def form_of(settings: LogSettings, stream: TextIO) -> Form:
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
    settings: LogSettings, form: Form | None = None, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """Make the logger of the process.

    Args:
        settings: Level and form.
        form: The form, where the settings leave it open.
        stream: Where lines go; standard error by default.

    Returns:
        A logger that adds what is bound to the running request.
    """
    out = sys.stderr if stream is None else stream
    chosen = form or form_of(settings, out)
    log: FilteringBoundLogger = structlog.wrap_logger(
        # Whoever hands over a stream looks into it; the process's own is written a turn at a time.
        Lines(out) if stream is None else structlog.WriteLogger(out),
        processors=[
            structlog.contextvars.merge_contextvars,
            *([Sampler(settings.sample)] if settings.sample < 1 else ()),
            *_common(chosen),
            *_render(chosen, colours=out.isatty()),
        ],
        wrapper_class=bound_logger(_level(settings)),
    )
    return log.bind()  # unbound, it would look for what it stands for with every line


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


def uvicorn_log_config(settings: LogSettings, form: Form) -> dict[str, Any]:
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
        "handlers": {"ours": {"class": "logging.StreamHandler", "formatter": "ours"}},
        "loggers": {
            "uvicorn": {"handlers": ["ours"], "level": _level(settings), "propagate": False},
        },
        "root": {"handlers": ["ours"], "level": "WARNING"},
    }


def uvicorn_formatter(form: Form) -> logging.Formatter:
    """Make the formatter of uvicorn's lines; named in its logging configuration.

    Args:
        form: How lines are written.

    Returns:
        The formatter.
    """
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _as_server_event,
            structlog.contextvars.merge_contextvars,
            *_common(form),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_render(form, colours=sys.stderr.isatty()),
        ],
    )


def _common(form: Form) -> Sequence[Processor]:
    """List what happens to every event, whoever says it."""
    if form == "console":
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        return [structlog.processors.add_log_level, clock]
    return [_stamp]


def _render(form: Form, *, colours: bool) -> Sequence[Processor]:
    """List what makes a line of an event."""
    if form == "console":
        return [
            for_people,
            structlog.dev.ConsoleRenderer(
                colors=colours,
                pad_event_to=18,
                sort_keys=False,
                exception_formatter=_indented_traceback,
            ),
        ]
    return [_json]


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


def _json(log: object, name: str, event: EventDict) -> str:
    """Write an event as one line of JSON, of no more than ``MAX_LINE`` bytes."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(log, name, event)
    try:
        line = orjson.dumps(event, default=str)
    except TypeError:  # what that is about is told below
        return fitting(event, _json_of)
    if len(line) <= MAX_LINE and line.isascii() and _DELETE not in line:
        return line.decode()  # the everyday line: looking at each character took its time
    return fitting(event, _json_of)


def _json_of(event: Mapping[str, object]) -> str:
    """Write JSON; whatever it has no form for is written as text."""
    try:
        line = orjson.dumps(event, default=str).decode()
    except TypeError:  # what orjson is strict about: huge integers, odd keys, lone surrogates
        texts = {str(name): value for name, value in event.items()}
        line = json.dumps(texts, default=repr, skipkeys=True, ensure_ascii=False)
        line = line.encode("utf-8", "replace").decode()
    return plain(line)


def _as_server_event(_: object, __: str, event: EventDict) -> EventDict:
    """Turn a sentence of uvicorn's, or of a library's, into an event with a name of its own."""
    event["message"] = str(event.pop("event")).rstrip()
    event["event"] = "server.message"
    event.pop("color_message", None)
    return event


def _level(settings: LogSettings) -> int:
    """Find the number of a level."""
    return logging.getLevelNamesMapping()[settings.level.upper()]
