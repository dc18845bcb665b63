"""The methods of the logger, with fewer steps between an event and its line. They never raise.

structlog hands what an event has to say on as keywords from one function to the next. With the
eight values of an everyday event that takes as long as all that is done with them afterwards.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from app.observability.bounds import as_text

LEVELS = ("debug", "info", "warning", "error", "critical")

Otherwise = Callable[[str, str, Exception], str]
"""Makes a line of a level, of an event's name, and of what was raised where it was written."""


def _bare(level: str, event: str, error: Exception) -> str:
    """Make a line of no form."""
    return f"{level} {event} {type(error).__name__}"


def bound_logger(level: int, otherwise: Otherwise = _bare) -> type[FilteringBoundLogger]:
    """Make the class of a logger.

    Args:
        level: The number of the least level that is written.
        otherwise: Makes the line of an event that a processor cannot write.

    Returns:
        structlog's own class for that, with the methods of those levels replaced. All else that it
        can do is structlog's, also whatever concerns arguments that are put into an event's text.
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
    """What is bound to a logger, and how it writes."""

    _otherwise: Otherwise

    def say(self, level: str, event: str, values: EventDict) -> None:
        """Have an event go through all processors, and write what comes of it."""
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
        """Write an event for a method of structlog's."""
        self.say(method_name, "" if event is None else event, values)


def _method(level: str, usual: Callable[..., None]) -> Callable[..., None]:
    """Make the method of a level."""

    # By position alone: else each value's name would be compared with those of the parameters.
    def method(self: _Logger, event: str, /, *args: object, **values: Any) -> None:  # noqa: ANN401 # whatever is logged
        if args:
            try:
                usual(self, event, *args, **values)
            except Exception:  # noqa: BLE001 # arguments that do not fit into the text
                self.say(level, event, {**values, "arguments": args})
        else:
            self.say(level, event, values)

    return method
