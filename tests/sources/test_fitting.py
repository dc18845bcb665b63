"""Mistakes in the settings of sources that do not fit the records."""

import pytest

from app.sources.endpoints import misfits, valid_part
from app.sources.records import BILLING

EVERY = {"plan": "a", "status": "b", "balance": "c"}


def mistakes(values: object) -> list[tuple[str, str]]:
    """Return the place of each mistake and its message up to the colon."""
    settings = valid_part(values)
    found = () if settings is None else misfits(BILLING, settings, {BILLING.name})
    return [(".".join(one.keys), one.what.partition(":")[0]) for one in found]


def test_all_mistakes_are_reported_at_once() -> None:
    fields = {"pla": "a", "renews_at": "b", "renewsAt": "c"}

    assert sorted(mistakes({"base_url": "http://a", "fields": fields})) == [
        ("fields.pla", "is no field of billing"),
        ("fields.renewsAt", "is there already, by its other name."),
    ]


def test_other_mistakes_neither_hide_these_mistakes_nor_are_reported() -> None:
    values = {
        "base_url": "no address",
        "timeout": "soon",
        "nothing": 1,
        "fields": {**EVERY, "plan": "foo(", "pla": "a"},
    }

    assert mistakes(values) == [("fields.pla", "is no field of billing")]


def test_a_key_that_is_configured_twice_is_reported() -> None:
    fields = {**EVERY, "user_id": "id"}

    assert mistakes({"fields": fields, "answer": {"key": ["id"]}}) == [
        ("answer.key", "is given twice")
    ]


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
def test_valid_settings_and_mistakes_of_other_checks_are_not_reported(values: object) -> None:
    assert mistakes(values) == []
