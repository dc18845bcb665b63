"""A JSON body is cut where its keys go."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.template import Template, cut_template


def filled(cut: Template, *keys: str) -> object:
    """Write keys into a template, and read it."""
    written = [key + "".join(text + key for text in cut.within) for key in keys]
    return json.loads(f"{cut.before}{cut.between.join(written)}{cut.after}")


def test_a_list_of_keys_takes_its_place() -> None:
    cut = cut_template(' { "ids": "{keys}", "n": [1, "ü"] } ')

    assert filled(cut, "a", "b") == {"ids": ["a", "b"], "n": [1, "ü"]}


def test_an_item_is_written_for_each_key() -> None:
    cut = cut_template('{"all": [[{"inputs": [{"id": "urn:{key}!", "type": "user"}]}]]}')

    items = [{"id": "urn:a!", "type": "user"}, {"id": "urn:b!", "type": "user"}]
    assert filled(cut, "a", "b") == {"all": [[{"inputs": items}]]}


def test_a_key_may_have_several_places_in_an_item_and_several_items() -> None:
    cut = cut_template('{"all": [{"id": "{key}:a", "url": "/{key}"}, {"id": "{key}:b"}], "n": 1}')

    items = [
        item for key in "xy" for item in ({"id": f"{key}:a", "url": f"/{key}"}, {"id": f"{key}:b"})
    ]
    assert filled(cut, "x", "y") == {"all": items, "n": 1}
    assert filled(cut_template('[["{key}", "{key}"]]'), "x", "y") == [["x", "x", "y", "y"]]
    numbers = cut_template('[{"id": "{key}", "same": "{key}"}]', numbers=True)
    assert filled(numbers, "1", "2") == [{"id": 1, "same": 1}, {"id": 2, "same": 2}]


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
        ('["{key}", "other"]', "in each item"),
        ('["{key}", ["{key}"]]', "in each item"),
        ('{"a": ["{key}"], "b": ["{key}"]}', "in each item"),
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
    for text in ('["urn:{key}"]', '[{"id": "{key}", "url": "/{key}"}]'):
        with pytest.raises(ValueError, match="alone in its string"):
            cut_template(text, numbers=True)


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
