"""The logger writes the same events as structlog's own logger."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict, FilteringBoundLogger

from app.observability.logger import bound_logger

METHODS = ("debug", "info", "warning", "warn", "error", "critical", "exception")

LoggedEvents = list[tuple[str, EventDict]]


class RecordingSink:
    """A sink for log lines."""

    def msg(self, line: str) -> None:
        """Write a line."""

    debug = info = warning = error = critical = msg


def logger(kind: type[FilteringBoundLogger]) -> tuple[FilteringBoundLogger, LoggedEvents]:
    """Make a logger and the list of its events."""
    logged: LoggedEvents = []

    def note(_: object, level: str, event: EventDict) -> str:
        logged.append((level, dict(event)))
        if event["event"] == "drop":
            raise structlog.DropEvent
        return "line"

    log: FilteringBoundLogger = structlog.wrap_logger(
        RecordingSink(), processors=[note], wrapper_class=kind
    )
    return log.bind(), logged


def both(level: int, use: Callable[[FilteringBoundLogger], object]) -> Sequence[LoggedEvents]:
    """Use our logger and structlog's in the same way, and return the events of both."""
    all_events: list[LoggedEvents] = []
    for kind in (bound_logger(level), structlog.make_filtering_bound_logger(level)):
        log, logged = logger(kind)
        use(log)
        all_events.append(logged)
    return all_events


@pytest.mark.parametrize("level", [10, 20, 30, 40, 50])
def test_each_method_logs_the_same_events_at_each_level(level: int) -> None:
    def use(log: FilteringBoundLogger) -> None:
        for name in METHODS:
            getattr(log, name)("event", value=1)
        log.log(30, "event", value=2)

    ours, theirs = both(level, use)

    assert ours == theirs
    assert ours


@given(
    event=st.text(max_size=10).filter(lambda text: "%" not in text),
    values=st.dictionaries(
        st.text(max_size=5).filter(lambda name: name not in {"self", "event", "method_name"}),
        st.integers(),
    ),
    bound=st.dictionaries(st.sampled_from(["a", "b"]), st.integers()),
)
def test_the_values_of_an_event_are_in_the_same_order(
    event: str, values: dict[str, Any], bound: dict[str, Any]
) -> None:
    ours, theirs = both(20, lambda log: log.bind(**bound).info(event, **values))

    assert ours == theirs
    assert [list(logged) for _, logged in ours] == [list(logged) for _, logged in theirs]


def test_the_bound_values_of_a_logger_do_not_change_with_its_events() -> None:
    log, logged = logger(bound_logger(20))
    bound = log.bind(a=1)

    bound.info("first", a=2, b=3)
    bound.info("drop")
    bound.info("last")

    assert [event for _, event in logged] == [
        {"a": 2, "b": 3, "event": "first"},
        {"a": 1, "event": "drop"},
        {"a": 1, "event": "last"},
    ]


def test_arguments_are_formatted_into_the_text() -> None:
    ours, theirs = both(20, lambda log: log.info("%s of %d", "one", 2, value=3))

    assert ours == theirs == [("info", {"event": "one of 2", "value": 3})]


def test_a_value_may_have_the_name_of_a_parameter() -> None:
    log, logged = logger(bound_logger(20))

    values: dict[str, Any] = {"self": 1, "level": 2}
    log.info("event", **values)

    assert logged == [("info", {"self": 1, "level": 2, "event": "event"})]
