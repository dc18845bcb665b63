"""The logger says what structlog's own would."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict, FilteringBoundLogger

from app.observability.logger import bound_logger

METHODS = ("debug", "info", "warning", "warn", "error", "critical", "exception")

Said = list[tuple[str, EventDict]]


class RecordingSink:
    """What is written on."""

    def msg(self, line: str) -> None:
        """Write a line."""

    debug = info = warning = error = critical = msg


def logger(kind: type[FilteringBoundLogger]) -> tuple[FilteringBoundLogger, Said]:
    """Make a logger, and what it says."""
    said: Said = []

    def note(_: object, level: str, event: EventDict) -> str:
        said.append((level, dict(event)))
        if event["event"] == "drop":
            raise structlog.DropEvent
        return "line"

    log: FilteringBoundLogger = structlog.wrap_logger(
        RecordingSink(), processors=[note], wrapper_class=kind
    )
    return log.bind(), said


def both(level: int, use: Callable[[FilteringBoundLogger], object]) -> Sequence[Said]:
    """Use our logger and structlog's in the same way."""
    all_said: list[Said] = []
    for kind in (bound_logger(level), structlog.make_filtering_bound_logger(level)):
        log, said = logger(kind)
        use(log)
        all_said.append(said)
    return all_said


@pytest.mark.parametrize("level", [10, 20, 30, 40, 50])
def test_each_method_says_the_same_at_each_level(level: int) -> None:
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
def test_the_values_are_there_in_the_same_order(
    event: str, values: dict[str, Any], bound: dict[str, Any]
) -> None:
    ours, theirs = both(20, lambda log: log.bind(**bound).info(event, **values))

    assert ours == theirs
    assert [list(said) for _, said in ours] == [list(said) for _, said in theirs]


def test_what_is_bound_to_a_logger_is_not_changed_by_what_it_says() -> None:
    log, said = logger(bound_logger(20))
    bound = log.bind(a=1)

    bound.info("first", a=2, b=3)
    bound.info("drop")
    bound.info("last")

    assert [event for _, event in said] == [
        {"a": 2, "b": 3, "event": "first"},
        {"a": 1, "event": "drop"},
        {"a": 1, "event": "last"},
    ]


def test_arguments_are_put_into_the_text() -> None:
    ours, theirs = both(20, lambda log: log.info("%s of %d", "one", 2, value=3))

    assert ours == theirs == [("info", {"event": "one of 2", "value": 3})]


def test_a_value_may_be_called_what_a_parameter_is_called() -> None:
    log, said = logger(bound_logger(20))

    values: dict[str, Any] = {"self": 1, "level": 2}
    log.info("event", **values)

    assert said == [("info", {"self": 1, "level": 2, "event": "event"})]
