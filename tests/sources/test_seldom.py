"""Repeated warnings are limited to one in a time, and name their requests."""

import io
import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observability.logs import make_log
from app.settings.models import LogSettings
from app.sources.base import RequestContext
from app.sources.seldom import MAX_NAMED, WARN_EVERY, SeldomLog
from tests.clock import ManualClock


class LimitedLog:
    """A log with a limited number of warnings."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._stream = io.StringIO()
        log = make_log(LogSettings(format="json"), stream=self._stream)
        self.seldom = SeldomLog(log, self.clock)

    def events(self) -> list[Mapping[str, Any]]:
        """Return the logged events."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def test_the_first_warning_is_logged_and_a_later_one_has_the_number_left_out() -> None:
    limited = LimitedLog()
    for number in range(3):
        limited.seldom.warn(
            "source.odd_rows", "profile", RequestContext(f"r{number}"), unasked=number
        )
    limited.clock.advance(WARN_EVERY)
    for number in range(3, 5):
        limited.seldom.warn(
            "source.odd_rows", "profile", RequestContext(f"r{number}"), unasked=number
        )

    told = [(one["request_id"], one["unasked"], one.get("left_out")) for one in limited.events()]
    assert told == [("r0", 0, None), ("r3", 3, 2)]


def test_a_warning_has_no_count_if_none_was_left_out() -> None:
    limited = LimitedLog()
    for _ in range(2):
        limited.seldom.warn("source.odd_rows", "profile", RequestContext("r"))
        limited.clock.advance(WARN_EVERY)

    assert ["left_out" in one for one in limited.events()] == [False, False]


def test_warnings_are_limited_separately_for_each_source_and_event() -> None:
    limited = LimitedLog()
    kinds = [("profile", "one"), ("profile", "two"), ("billing", "one")]
    for source, event in kinds * 2:
        limited.seldom.warn(event, source, RequestContext("r"))

    assert [(one["source"], one["event"]) for one in limited.events()] == kinds


@pytest.mark.parametrize(("severe", "level"), [(False, "warning"), (True, "error")])
def test_a_warning_names_the_requests_that_share_the_call(*, severe: bool, level: str) -> None:
    limited = LimitedLog()
    requests = tuple(f"r{number}" for number in range(MAX_NAMED + 5))
    limited.seldom.warn("kind", "profile", RequestContext("own", requests=requests), severe=severe)

    (event,) = limited.events()
    assert event["level"] == level
    assert (event["request_id"], event["shared_by"]) == ("own", MAX_NAMED + 5)
    assert event["requests"] == [*requests[:MAX_NAMED]]


@given(gaps=st.lists(st.floats(0, 2 * WARN_EVERY), max_size=30))
def test_warnings_keep_their_distance_in_time_and_all_are_counted(
    gaps: list[float],
) -> None:
    limited = LimitedLog()
    moments: list[float] = []
    for gap in gaps:
        limited.clock.advance(gap)
        before = len(limited.events())
        limited.seldom.warn("kind", "profile", RequestContext("r"))
        moments += [limited.clock.seconds] * (len(limited.events()) - before)
    limited.clock.advance(WARN_EVERY)
    limited.seldom.warn("kind", "profile", RequestContext("r"))

    events = limited.events()
    assert len(events) + sum(one.get("left_out", 0) for one in events) == len(gaps) + 1
    assert all(b - a >= WARN_EVERY - 1e-6 for a, b in itertools.pairwise(moments))
