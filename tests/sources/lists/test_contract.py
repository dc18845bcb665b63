"""The settings of a list: the default contract, and what does not fit an item."""

import pytest

from app.execution.source_fit import misfits_in
from app.settings.source import SourceSettings
from app.sources.lists.contract import settings_of
from app.sources.records import INVOICES
from tests.sources.lists.service import FIELDS

LIST = {"path": "/list", "parameter": "owner"}


def told(lists: object, source: str = "billing") -> list[tuple[str, str]]:
    """Say where something does not fit, and what."""
    return wrong_in({"sources": {source: {"base_url": "http://a", "lists": lists}}})


def wrong_in(values: object) -> list[tuple[str, str]]:
    """Say where something does not fit, and what; not what is missing."""
    found = misfits_in(values)
    return [(".".join(map(str, keys)), what) for keys, what in found if what is not None]


def test_without_settings_a_list_has_the_default_contract() -> None:
    source = SourceSettings.model_validate({"base_url": "http://a"})

    own = settings_of(INVOICES, source)

    assert own.model_dump(exclude_defaults=True) == {
        "path": "/invoices",
        "parameter": "userId",
        "page_size_parameter": "limit",
        "rows": ("items",),
        "next_cursor": ("nextCursor",),
    }


def test_a_list_that_the_source_does_not_have_is_told() -> None:
    place = "sources.billing.lists"

    assert told({"invoice": LIST, "orders": {}}) == [
        (f"{place}.invoice", "is no list of billing: did you mean invoices?"),
        (f"{place}.orders", "is no list of billing: expected one of invoices."),
    ]
    assert told({"invoices": LIST}, "profile") == [
        ("sources.profile.lists.invoices", "is no list of profile: it has none.")
    ]


def test_a_list_that_the_service_cannot_lack_is_told() -> None:
    values = {"sources": {"billing": {"without_lists": ["invoices", "orders", 7]}}}

    assert wrong_in(values) == [
        (
            "sources.billing.without_lists",
            "has orders, which is no list of billing: expected one of invoices.",
        )
    ]


def test_an_item_needs_an_expression_for_each_of_its_fields() -> None:
    fields = {"id": "a", "totl": "b", "issuedAt": "c"}

    assert told({"invoices": {**LIST, "fields": fields}}) == [
        (
            "sources.billing.lists.invoices.fields.totl",
            "is no field of billing.invoices: did you mean total?",
        ),
        (
            "sources.billing.lists.invoices.fields",
            "lacks number, status, total: expected an expression for each, as every item has it.",
        ),
    ]


def test_words_and_defaults_have_to_fit_the_fields_of_an_item() -> None:
    own = {
        **LIST,
        "fields": {**FIELDS, "number": "no"},
        "defaults": {"number": 7, "status": "none", "nothing": 1, "id": "x"},
        "words": {"status": {"a": "b"}, "totl": {"a": "b"}},
    }
    place = "sources.billing.lists.invoices"

    assert [(keys, what.partition(":")[0]) for keys, what in told({"invoices": own})] == [
        (f"{place}.words.totl", "is no field of billing.invoices"),
        (f"{place}.defaults.nothing", "is no field of billing.invoices"),
        (f"{place}.defaults.number", "does not fit"),
        (f"{place}.defaults.id", "is the key"),
    ]


def test_a_default_takes_the_place_of_an_expression() -> None:
    fields = {name: text for name, text in FIELDS.items() if name != "status"}

    assert not told({"invoices": {**LIST, "fields": fields, "defaults": {"status": "open"}}})


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"invoices": LIST},
        {"invoices": {**LIST, "fields": FIELDS}},
        {"invoices": {"path": "no path", "fields": {}}},
        {"invoices": 7},
        7,
        None,
    ],
)
def test_what_fits_or_is_for_others_to_judge_is_not_told(lists: object) -> None:
    assert told(lists) == []
