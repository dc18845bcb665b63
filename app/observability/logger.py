"""The methods of the logger, with fewer steps between an event and its line.

structlog hands what an event has to say on as keywords from one function to the next. With the
eight values of an everyday event that takes as long as all that is done with them afterwards.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

LEVELS = ("debug", "info", "warning", "error", "critical")


def bound_logger(level: int) -> type[FilteringBoundLogger]:
    """Make the class of a logger.

    Args:
        level: The number of the least level that is written.

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
    return cast("type[FilteringBoundLogger]", type("BoundLogger", (_Logger, usual), methods))


class _Logger(structlog.BoundLoggerBase):
    """What is bound to a logger, and how it writes."""

    def say(self, level: str, event: str, values: EventDict) -> None:
        """Have an event go through all processors, and write what comes of it."""
        line: Any = {**self._context, **values} if self._context else values
        line["event"] = event
        try:
            for process in self._processors:
                line = process(self._logger, level, line)
        except structlog.DropEvent:
            return
        getattr(self._logger, level)(line)


def _method(level: str, usual: Callable[..., None]) -> Callable[..., None]:
    """Make the method of a level."""

    # By position alone: else each value's name would be compared with those of the parameters.
    def method(self: _Logger, event: str, /, *args: object, **values: Any) -> None:  # noqa: ANN401 # whatever is logged
        if args:
            usual(self, event, *args, **values)
        else:
            self.say(level, event, values)

    return method
