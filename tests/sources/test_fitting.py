"""Whether the settings of sources fit the records that they are made into."""

import pytest

from app.sources.endpoints import misfits, valid_part
from app.sources.records import BILLING

EVERY = {"plan": "a", "status": "b", "balance": "c"}


def told(values: object) -> list[tuple[str, str]]:
    """Say where something does not fit, and what, up to the colon."""
    settings = valid_part(values)
    found = () if settings is None else misfits(BILLING, settings, {BILLING.name})
    return [(".".join(one.keys), one.what.partition(":")[0]) for one in found]


def test_all_that_does_not_fit_is_told_at_once() -> None:
    fields = {"pla": "a", "renews_at": "b", "renewsAt": "c"}

    assert sorted(told({"base_url": "http://a", "fields": fields})) == [
        ("fields.pla", "is no field of billing"),
        ("fields.renewsAt", "is there already, by its other name."),
    ]


def test_what_else_is_wrong_hides_nothing_and_is_not_told_here() -> None:
    values = {
        "base_url": "no address",
        "timeout": "soon",
        "nothing": 1,
        "fields": {**EVERY, "plan": "foo(", "pla": "a"},
    }

    assert told(values) == [("fields.pla", "is no field of billing")]


def test_a_key_that_is_said_twice_is_told() -> None:
    fields = {**EVERY, "user_id": "id"}

    assert told({"fields": fields, "answer": {"key": ["id"]}}) == [("answer.key", "is given twice")]


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "http://a"},
        {"fields": EVERY},
        {"fields": "not a table"},
        {"fields": {1: 2}},
        {"fields": EVERY, "answer": {"rows": 7}},
        {},
        [],
        None,
    ],
)
def test_what_fits_or_is_for_others_to_judge_is_not_told(values: object) -> None:
    assert told(values) == []
