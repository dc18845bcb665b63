"""The methods of the logger, with fewer steps between an event and its line. They never raise.

structlog passes the values of an event as keywords from one function to the next. For a usual event
of eight values, that takes as long as all later work on it.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from app.observability.bounds import as_text

LEVELS = ("debug", "info", "warning", "error", "critical")

Otherwise = Callable[[str, str, Exception], str]
"""Makes a line from a level, the name of an event, and the exception of a processor."""


def _bare(level: str, event: str, error: Exception) -> str:
    """Make a line without any format."""
    return f"{level} {event} {type(error).__name__}"


def bound_logger(level: int, otherwise: Otherwise = _bare) -> type[FilteringBoundLogger]:
    """Create the class of a logger.

    Args:
        level: The number of the least severe level that is written.
        otherwise: Makes the line of an event for which a processor raises.

    Returns:
        structlog's own class for that level, with its level methods replaced. The rest is
        structlog's, also the formatting of positional arguments into the event.
    """
    usual = structlog.make_filtering_bound_logger(level)
    numbers = logging.getLevelNamesMapping()
    methods = {
        name: _method(name, getattr(usual, name))
        for name in LEVELS
        if numbers[name.upper()] >= level
    }
    more = {**methods, "_otherwise": staticmethod(otherwise)}
    return cast("type[FilteringBoundLogger]", type("BoundLogger", (_Logger, usual), more))


class _Logger(structlog.BoundLoggerBase):
    """The values bound to a logger, and its way from event to line."""

    _otherwise: Otherwise

    def log_event(self, level: str, event: str, values: EventDict) -> None:
        """Run an event through all processors, and write the result."""
        try:
            line: Any = {**self._context, **values} if self._context else values
            line["event"] = event
            for process in self._processors:
                line = process(self._logger, level, line)
        except structlog.DropEvent:
            return
        except Exception as error:  # noqa: BLE001 # the code of a value can raise anything
            line = self._otherwise(level, as_text(event), error)
        getattr(self._logger, level)(line)

    # structlog's documentation gives it to subclasses: its own methods come here.
    def _proxy_to_logger(self, method_name: str, event: str | None = None, **values: Any) -> None:  # noqa: ANN401 # whatever is logged
        """Write an event for structlog's own methods."""
        self.log_event(method_name, "" if event is None else event, values)


def _method(level: str, usual: Callable[..., None]) -> Callable[..., None]:
    """Create the method of a level."""

    # Positional-only, so that a value of an event may have the name of a parameter.
    def method(self: _Logger, event: str, /, *args: object, **values: Any) -> None:  # noqa: ANN401 # whatever is logged
        if args:
            try:
                usual(self, event, *args, **values)
            except Exception:  # noqa: BLE001 # arguments that do not fit into the text
                self.log_event(level, event, {**values, "arguments": args})
        else:
            self.log_event(level, event, values)

    return method
