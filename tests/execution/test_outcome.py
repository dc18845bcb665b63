"""The effect of source failures: one table, and properties of all results."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.execution.outcome import UNKNOWN, WHOLE, Outcome, outcome_of, propagates, results_of
from app.execution.plan import SourceNeeds, UserGroup, UserSelection
from app.execution.request import OnError
from app.sources.base import DamagedRecord, Record, UserId
from app.sources.results import Result, failure_among


class Row(Record):
    """A record."""


ROW = Row()
ODD = SourceFailure("profile", Code.SOURCE_MALFORMED, "email: no text")
DAMAGED = DamagedRecord(ROW, {"email": ODD})
LATE = SourceFailure("profile", Code.SOURCE_TIMEOUT, "too slow")
DOWN = SourceFailure("billing", Code.SOURCE_UNAVAILABLE, "gone")
BOTH = SourceNeeds(("profile", "billing"), existence_only=False)
EXISTENCE = SourceNeeds(("profile",), existence_only=True)


@pytest.mark.parametrize(
    ("needs", "profile", "billing", "required", "expected"),
    [
        # no source fails
        (BOTH, ROW, ROW, "", WHOLE),
        # a source that does not know the user
        (BOTH, None, ROW, "", WHOLE),
        (BOTH, None, None, "", UNKNOWN),
        (BOTH, None, None, "profile", UNKNOWN),
        # an optional source fails
        (BOTH, LATE, ROW, "", Outcome(known=True, failures={"profile": LATE})),
        (BOTH, ROW, DOWN, "", Outcome(known=True, failures={"billing": DOWN})),
        (BOTH, LATE, DOWN, "", Outcome(known=True, failures={"profile": LATE, "billing": DOWN})),
        # an optional source fails and the other does not know the user: it may exist
        (BOTH, LATE, None, "", Outcome(known=True, failures={"profile": LATE})),
        # a required source fails, or another one does
        (BOTH, LATE, ROW, "profile", Outcome(known=False, failure=LATE)),
        (BOTH, LATE, DOWN, "billing", Outcome(known=False, failure=DOWN)),
        (BOTH, LATE, DOWN, "profile billing", Outcome(known=False, failure=LATE)),
        (BOTH, ROW, DOWN, "profile", Outcome(known=True, failures={"billing": DOWN})),
        (BOTH, None, DOWN, "billing", Outcome(known=False, failure=DOWN)),
        # a damaged record is a record: it fails no user, even of a required source
        (BOTH, DAMAGED, None, "profile", Outcome(known=True, failures={"profile": DAMAGED})),
        (BOTH, DAMAGED, DOWN, "billing", Outcome(known=False, failure=DOWN)),
        # a required source that is not needed has no effect
        (BOTH, LATE, ROW, "activity", Outcome(known=True, failures={"profile": LATE})),
    ],
)
def test_the_outcome_of_a_user_depends_on_its_needed_and_required_sources(
    needs: SourceNeeds, profile: Result, billing: Result, required: str, expected: Outcome
) -> None:
    results = {"profile": profile, "billing": billing}

    assert outcome_of(results, needs, required.split()) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (ROW, WHOLE),
        (None, UNKNOWN),
        (LATE, Outcome(known=False, failure=LATE)),
        (DAMAGED, Outcome(known=True, failures={"profile": DAMAGED})),
    ],
)
def test_the_source_of_existence_decides_whether_a_user_exists(
    profile: Result, expected: Outcome
) -> None:
    assert outcome_of({"profile": profile}, EXISTENCE, ()) == expected


def test_a_field_fails_with_the_failure_of_its_first_failed_source() -> None:
    outcome = Outcome(known=True, failures={"profile": LATE, "billing": DOWN})

    assert outcome.failure_of(("billing", "profile"), ()) is DOWN
    assert outcome.failure_of(("activity", "profile"), ()) is LATE
    assert outcome.failure_of(("activity",), ()) is None
    assert outcome.failure_of((), ()) is None
    results: dict[str, Result] = {"activity": ROW, "billing": DOWN}
    assert failure_among(("activity", "billing"), results, ()) is DOWN


def test_a_damaged_record_field_fails_only_the_fields_that_read_it() -> None:
    outcome = Outcome(known=True, failures={"profile": DAMAGED, "billing": DOWN})

    assert outcome.failure_of(("profile",), {"email"}) is ODD
    assert outcome.failure_of(("profile",), {"locale", "email"}) is ODD
    assert outcome.failure_of(("profile",), None) is ODD
    assert outcome.failure_of(("profile",), {"locale"}) is None
    assert outcome.failure_of(("profile", "billing"), {"locale"}) is DOWN


@given(
    results=st.fixed_dictionaries(
        {name: st.sampled_from([ROW, None, LATE, DOWN]) for name in ("profile", "billing")}
    ),
    required=st.sets(st.sampled_from(["profile", "billing", "activity"])),
)
def test_a_user_is_either_known_or_failed_or_unknown(
    results: dict[str, Result], required: set[str]
) -> None:
    outcome = outcome_of(results, BOTH, required)

    failed = {name for name, one in results.items() if isinstance(one, SourceFailure)}
    assert (outcome == UNKNOWN) is (set(results.values()) == {None})
    assert (outcome.failure is not None) is bool(failed & required)
    assert not (outcome.known and outcome.failure is not None)
    if outcome.known:
        assert set(outcome.failures) == failed


def test_the_first_bug_among_the_sources_of_a_group_is_its_bug() -> None:
    bug = ZeroDivisionError("a bug")
    group = UserGroup(UserSelection((), BOTH), [UserId("a"), UserId("b")], [0, 1])
    well = {UserId("a"): ROW, UserId("b"): None, UserId("c"): ZeroDivisionError("of nobody here")}

    assert results_of(group, {"profile": well, "billing": {**well, UserId("b"): bug}}).bug is bug
    assert results_of(group, {"profile": well, "billing": well, "activity": {}}).bug is None


@pytest.mark.parametrize(
    ("on_error", "nullable", "expected"),
    [
        ("NULL", True, False),
        ("NULL", False, False),
        ("PROPAGATE", True, False),
        ("PROPAGATE", False, True),
        ("HALT", True, True),
        ("HALT", False, True),
    ],
)
def test_on_error_decides_whether_an_error_propagates(
    on_error: OnError,
    nullable: bool,  # noqa: FBT001 # a column of the table
    expected: bool,  # noqa: FBT001 # the same
) -> None:
    assert propagates(on_error, nullable=nullable) is expected
