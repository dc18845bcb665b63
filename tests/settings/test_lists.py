"""The settings of a list that is read page by page."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.settings.lists import ListSettings, PagingWay
from app.settings.source import SourceSettings

LIST = {"path": "/invoices", "parameter": "customer"}
KEYED = {"path": "/customers/{key}/invoices"}
API_KEY = {"kind": "api_key", "key": "k", "parameter": "token"}
NAMES = {"kind": "api_key", "key": "k", "header": "X-Key"}


def messages_about(values: dict[str, Any]) -> str:
    """Return the messages about settings that are refused."""
    with pytest.raises(ValidationError) as raised:
        ListSettings.model_validate(values)
    return "; ".join(error["msg"] for error in raised.value.errors())


@pytest.mark.parametrize(
    ("own", "way"),
    [
        ({}, PagingWay.WHOLE),
        ({"total": ["total"]}, PagingWay.WHOLE),
        ({"next_cursor": ["meta", "next"]}, PagingWay.NAMED),
        ({"next_url": ["links", "next"]}, PagingWay.NAMED),
        ({"next_header": "Link"}, PagingWay.NAMED),
        ({"row_cursor": ["id"], "has_more": ["has_more"]}, PagingWay.ROW),
        ({"row_cursor": ["id"]}, PagingWay.ROW),
        ({"page_parameter": "page", "page_size_parameter": "n", "total": ["t"]}, PagingWay.PAGE),
        ({"offset_parameter": "offset", "total": ["total"]}, PagingWay.OFFSET),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        LIST,
        KEYED,
        {**LIST, "value": "eq.{key}"},
        {"path": "/list", "parameters": {"filter": "customer:'{key}'"}},
        {"path": "/list", "headers": {"X-Customer": "{key}"}},
        {"path": "/search", "template": '{"customer": "{key}"}'},
    ],
)
def test_a_list_of_a_source_needs_few_settings(
    place: dict[str, Any], own: dict[str, Any], way: PagingWay
) -> None:
    invoices = {"rows": ["data"], **place, **own}
    values = {"base_url": "http://billing", "lists": {"invoices": invoices}}

    made = SourceSettings.model_validate(values)

    assert made.lists["invoices"].way is way
    assert SourceSettings.model_validate(made.model_dump()) == made


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "Field required"),
        ({"path": "/invoices"}, "expected parameter, or {key} in path, parameters or headers"),
        ({**KEYED, "value": "eq.{key}"}, "expected parameter beside value"),
        ({**LIST, "value": "eq"}, "expected {key} in it"),
        ({"path": "/search", "template": "{"}, "expected JSON"),
        ({"path": "/search", "template": "{}"}, 'expected "{keys}" once'),
        ({"path": "/search", "template": '["{key}"]'}, "expected an object in template"),
        ({**LIST, "template": '{"a": "{key}"}'}, "expected no parameter beside template"),
        ({"path": "/a?b={key}"}, "percent-encoded and without a query"),
        ({**LIST, "more": 1}, "Extra inputs"),
        ({**LIST, "headers": {"Authorization": "x"}}, "has its own settings"),
        ({**LIST, "headers": {"a": "x", "A": "y"}}, "each header once"),
        ({**LIST, "parameters": {"customer": "x"}}, "each query parameter once"),
        ({**LIST, "parameters": {"cursor": "x"}}, "each query parameter once"),
        ({**LIST, "page_parameter": "customer"}, "each query parameter once"),
        ({**LIST, "max_page_size": 0}, "greater than or equal to 1"),
        ({**LIST, "fields": {"id": "a("}}, "expected more, got the end"),
        ({**LIST, "status": {"200": "absent"}}, "greater than or equal to 201"),
        ({**LIST, "status": {"404": "gone"}}, "'failure'"),
        ({**LIST, "next_cursor": []}, "at least 1"),
        ({**LIST, "next_cursor": ["a"], "page_parameter": "page"}, "at most one of"),
        ({**LIST, "next_header": "Link", "row_cursor": ["id"]}, "at most one of"),
        ({**LIST, "page_parameter": "p", "offset_parameter": "o"}, "at most one of"),
        ({**LIST, "has_more": ["more"]}, "expected beside has_more how pages continue"),
        ({**LIST, "row_cursor": ["id"], "total": ["n"]}, "expected no total beside a cursor"),
        ({**LIST, "next_header": "Link", "total": ["n"]}, "expected no total beside a cursor"),
        ({**LIST, "page_parameter": "p", "total": ["n"]}, "expected page_size_parameter beside"),
        ({**LIST, "next_cursor": ["next"]}, "expected rows beside next_cursor"),
        ({**LIST, "rows": ["d"], "next_url": ["d", "n"]}, "expected next_url outside of rows"),
        ({**LIST, "first_page": 2}, "less than or equal to 1"),
    ],
)
def test_a_list_that_cannot_work_is_refused_with_the_expected_value(
    values: dict[str, Any], why: str
) -> None:
    assert why in messages_about(values)


def test_a_list_with_page_numbers_may_have_a_parameter_named_cursor() -> None:
    values = {**LIST, "page_parameter": "page", "parameters": {"cursor": "x"}}

    assert ListSettings.model_validate(values).all_parameters == ("customer", "page", "cursor")


@pytest.mark.parametrize(
    ("own", "auth", "why"),
    [
        ({"parameters": {"token": "x"}}, API_KEY, "expected another name than token"),
        ({"next_header": "N", "cursor_parameter": "token"}, API_KEY, "lists.invoices has it"),
        ({"headers": {"x-key": "v"}}, NAMES, "expected no x-key in lists.invoices.headers"),
    ],
)
def test_a_list_cannot_set_a_parameter_or_header_of_auth(
    own: dict[str, Any], auth: dict[str, Any], why: str
) -> None:
    values = {"base_url": "http://b", "auth": auth, "lists": {"invoices": {**LIST, **own}}}

    with pytest.raises(ValidationError, match=why):
        SourceSettings.model_validate(values)


@pytest.mark.parametrize("name", ["", "Invoices", "1", "a-b", "a.b"])
def test_a_list_has_a_name_of_letters_and_digits(name: str) -> None:
    with pytest.raises(ValidationError, match="a letter first"):
        SourceSettings.model_validate({"base_url": "http://b", "lists": {name: LIST}})


def test_a_list_is_not_in_both_lists_and_without_lists() -> None:
    values = {"base_url": "http://b", "lists": {"invoices": LIST}, "without_lists": ["invoices"]}

    with pytest.raises(ValidationError, match="expected invoices in lists or in without_lists"):
        SourceSettings.model_validate(values)
