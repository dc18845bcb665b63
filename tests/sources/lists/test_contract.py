"""The settings of a list: the default contract, and mistakes in settings."""

import pytest

from app.execution.source_fit import misfits_in
from app.settings.source import SourceSettings
from app.sources.lists.contract import settings_of
from app.sources.records import INVOICES
from tests.sources.lists.service import FIELDS

LIST = {"path": "/list", "parameter": "owner"}


def mistakes(lists: object, source: str = "billing") -> list[tuple[str, str]]:
    """Return the place and message of each mistake in the settings of lists."""
    return mistakes_in({"sources": {source: {"base_url": "http://a", "lists": lists}}})


def mistakes_in(values: object) -> list[tuple[str, str]]:
    """Return the place and message of each mistake; missing values do not count."""
    found = misfits_in(values)
    return [(".".join(map(str, keys)), what) for keys, what in found if what is not None]


def test_a_list_without_settings_has_the_default_contract() -> None:
    source = SourceSettings.model_validate({"base_url": "http://a"})

    own = settings_of(INVOICES, source)

    assert own.model_dump(exclude_defaults=True) == {
        "path": "/invoices",
        "parameter": "userId",
        "page_size_parameter": "limit",
        "rows": ("items",),
        "next_cursor": ("nextCursor",),
    }


def test_an_unknown_list_of_a_source_is_reported() -> None:
    place = "sources.billing.lists"

    assert mistakes({"invoice": LIST, "orders": {}}) == [
        (f"{place}.invoice", "is no list of billing: did you mean invoices?"),
        (f"{place}.orders", "is no list of billing: expected one of invoices."),
    ]
    assert mistakes({"invoices": LIST}, "profile") == [
        ("sources.profile.lists.invoices", "is no list of profile: it has none.")
    ]


def test_an_unknown_list_in_without_lists_is_reported() -> None:
    values = {"sources": {"billing": {"without_lists": ["invoices", "orders", 7]}}}

    assert mistakes_in(values) == [
        (
            "sources.billing.without_lists",
            "has orders, which is no list of billing: expected one of invoices.",
        )
    ]


def test_an_item_needs_an_expression_for_each_of_its_fields() -> None:
    fields = {"id": "a", "totl": "b", "issuedAt": "c"}

    assert mistakes({"invoices": {**LIST, "fields": fields}}) == [
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

    assert [(keys, what.partition(":")[0]) for keys, what in mistakes({"invoices": own})] == [
        (f"{place}.words.totl", "is no field of billing.invoices"),
        (f"{place}.defaults.nothing", "is no field of billing.invoices"),
        (f"{place}.defaults.number", "does not fit"),
        (f"{place}.defaults.id", "is the key"),
    ]


def test_a_default_takes_the_place_of_an_expression() -> None:
    fields = {name: text for name, text in FIELDS.items() if name != "status"}

    assert not mistakes({"invoices": {**LIST, "fields": fields, "defaults": {"status": "open"}}})


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
def test_valid_settings_and_mistakes_of_other_checks_are_not_reported(lists: object) -> None:
    assert mistakes(lists) == []
