"""Warnings that could be written for each row or request are few, and name their requests."""

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


class Written:
    """A log that is written to seldom."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._stream = io.StringIO()
        log = make_log(LogSettings(format="json"), stream=self._stream)
        self.seldom = SeldomLog(log, self.clock)

    def events(self) -> list[Mapping[str, Any]]:
        """Read what was written."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def test_the_first_is_written_at_once_and_the_next_after_a_while_with_a_count() -> None:
    written = Written()
    for number in range(3):
        written.seldom.warn(
            "source.odd_rows", "profile", RequestContext(f"r{number}"), unasked=number
        )
    written.clock.advance(WARN_EVERY)
    for number in range(3, 5):
        written.seldom.warn(
            "source.odd_rows", "profile", RequestContext(f"r{number}"), unasked=number
        )

    told = [(one["request_id"], one["unasked"], one.get("left_out")) for one in written.events()]
    assert told == [("r0", 0, None), ("r3", 3, 2)]


def test_nothing_is_said_of_others_if_none_were_left_out() -> None:
    written = Written()
    for _ in range(2):
        written.seldom.warn("source.odd_rows", "profile", RequestContext("r"))
        written.clock.advance(WARN_EVERY)

    assert ["left_out" in one for one in written.events()] == [False, False]


def test_each_source_and_each_kind_is_told_by_itself() -> None:
    written = Written()
    kinds = [("profile", "one"), ("profile", "two"), ("billing", "one")]
    for source, event in kinds * 2:
        written.seldom.warn(event, source, RequestContext("r"))

    assert [(one["source"], one["event"]) for one in written.events()] == kinds


@pytest.mark.parametrize(("severe", "level"), [(False, "warning"), (True, "error")])
def test_it_names_the_requests_that_share_the_call(*, severe: bool, level: str) -> None:
    written = Written()
    requests = tuple(f"r{number}" for number in range(MAX_NAMED + 5))
    written.seldom.warn("kind", "profile", RequestContext("own", requests=requests), severe=severe)

    (event,) = written.events()
    assert event["level"] == level
    assert (event["request_id"], event["shared_by"]) == ("own", MAX_NAMED + 5)
    assert event["requests"] == [*requests[:MAX_NAMED]]


@given(gaps=st.lists(st.floats(0, 2 * WARN_EVERY), max_size=30))
def test_there_is_never_more_than_one_in_a_while_and_none_is_lost_from_the_count(
    gaps: list[float],
) -> None:
    written = Written()
    moments: list[float] = []
    for gap in gaps:
        written.clock.advance(gap)
        before = len(written.events())
        written.seldom.warn("kind", "profile", RequestContext("r"))
        moments += [written.clock.seconds] * (len(written.events()) - before)
    written.clock.advance(WARN_EVERY)
    written.seldom.warn("kind", "profile", RequestContext("r"))

    events = written.events()
    assert len(events) + sum(one.get("left_out", 0) for one in events) == len(gaps) + 1
    assert all(b - a >= WARN_EVERY - 1e-6 for a, b in itertools.pairwise(moments))
