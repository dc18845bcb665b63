"""A JSON body is cut where its keys go."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.template import Template, cut_template


def filled(cut: Template, *keys: str) -> object:
    """Write keys into a template, and read it."""
    return json.loads(f"{cut.before}{cut.between.join(keys)}{cut.after}")


def test_a_list_of_keys_takes_its_place() -> None:
    cut = cut_template(' { "ids": "{keys}", "n": [1, "ü"] } ')

    assert filled(cut, "a", "b") == {"ids": ["a", "b"], "n": [1, "ü"]}


def test_an_item_is_written_for_each_key() -> None:
    cut = cut_template('{"all": [[{"inputs": [{"id": "urn:{key}!", "type": "user"}]}]]}')

    items = [{"id": "urn:a!", "type": "user"}, {"id": "urn:b!", "type": "user"}]
    assert filled(cut, "a", "b") == {"all": [[{"inputs": items}]]}


def test_numbers_take_the_place_of_strings() -> None:
    assert filled(cut_template('{"ids": "{keys}"}', numbers=True), "1", "2") == {"ids": [1, 2]}
    assert filled(cut_template('[{"id": "{key}"}]', numbers=True), "1") == [{"id": 1}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ('{"ids": {keys}}', "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ('["{key}", NaN]', "once"),
        ('[["{key}"], NaN]', "JSON"),
        ('[["{key}"], 1e999]', "JSON"),
        ("[]", "once"),
        ('"{key}"', "once"),
        ('{"id": "{key}"}', "once"),
        ('["{key}", "{key}"]', "once"),
        ('["{key}{key}"]', "once"),
        ('["{key}", "other"]', "only item"),
        ('["{keys} and more"]', "once"),
        ('{"a": "{keys}", "b": "{keys}"}', "once"),
        ('[{"{key}": 1}]', "once"),
        ('[{"{key}": "{key}"}]', "once"),
        ('{"a": ["{key}"], "b": "{keys}"}', "once"),
    ],
)
def test_what_has_not_one_place_for_keys_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        cut_template(text)


def test_a_number_has_to_take_the_place_of_a_whole_string() -> None:
    with pytest.raises(ValueError, match="alone in its string"):
        cut_template('["urn:{key}"]', numbers=True)


@given(
    name=st.text(max_size=10),
    other=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_all_else_in_a_template_stays_as_it_is(name: str, other: object) -> None:
    text = json.dumps({name: "{keys}", f"{name}2": other})
    if "{key" in text.replace('"{keys}"', "", 1):
        return

    cut = cut_template(text)

    assert filled(cut, "a") == {name: ["a"], f"{name}2": other}
    assert f"{cut.before}{cut.between}{cut.after}".isascii()
