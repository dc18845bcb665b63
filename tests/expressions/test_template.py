"""The template of a JSON body is split at the place of its keys."""

import json
import re
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.escapes import Escape
from app.expressions.template import Template, cut_template


def filled(cut: Template, *keys: str) -> object:
    """Write keys into a template and parse the result."""
    written = [cut.write(key) for key in keys]
    assert None not in written
    between = "" if cut.between is None else cut.between
    return json.loads(f"{cut.before}{between.join(map(str, written))}{cut.after}")


def test_a_list_of_keys_replaces_its_placeholder() -> None:
    cut = cut_template(' { "ids": "{keys}", "n": [1, "ü"] } ')

    assert filled(cut, "a", "b") == {"ids": ["a", "b"], "n": [1, "ü"]}


def test_an_item_is_written_for_each_key() -> None:
    cut = cut_template('{"all": [[{"inputs": [{"id": "urn:{key}!", "type": "user"}]}]]}')

    items = [{"id": "urn:a!", "type": "user"}, {"id": "urn:b!", "type": "user"}]
    assert filled(cut, "a", "b") == {"all": [[{"inputs": items}]]}


def test_several_items_are_written_for_each_key() -> None:
    cut = cut_template('{"all": [{"id": "{key}", "url": "/{key}"}, {"of": "{key}"}], "n": 1}')

    items = [item for key in "xy" for item in ({"id": key, "url": f"/{key}"}, {"of": key})]
    assert filled(cut, "x", "y") == {"all": items, "n": 1}
    assert filled(cut_template('["{key}", "{key}"]'), "x", "y") == ["x", "x", "y", "y"]


def test_keys_may_be_written_as_numbers() -> None:
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
        ('["{key}", "other"]', "within each item"),
        ('["{key}", ["{key}"]]', "within each item"),
        ('{"id": "{key}", "ids": ["{key}"]}', "within each item"),
        ('["/users?filter=id eq {key}"]', "percent-encoded URL"),
        ('["{keys} and more"]', "once"),
        ('{"a": "{keys}", "b": "{keys}"}', "once"),
        ('[{"{key}": 1}]', "once"),
        ('[{"{key}": "{key}"}]', "once"),
        ('{"a": ["{key}"], "b": "{keys}"}', "once"),
    ],
)
def test_a_template_without_exactly_one_place_for_keys_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        cut_template(text)


def test_a_key_may_be_in_several_places_of_an_item() -> None:
    cut = cut_template('{"all": [{"id": "{key}", "url": "/users/{key}?id={key}", "n": 1}]}')

    assert filled(cut, "a b", "c") == {
        "all": [
            {"id": "a b", "url": "/users/a%20b?id=a%20b", "n": 1},
            {"id": "c", "url": "/users/c?id=c", "n": 1},
        ]
    }


def test_a_template_without_a_list_is_for_one_user() -> None:
    cut = cut_template('{"query": "{ user }", "variables": {"id": "{key}"}}')

    assert cut.between is None
    assert filled(cut, 'a"b') == {"query": "{ user }", "variables": {"id": 'a"b'}}


@pytest.mark.parametrize(
    ("text", "key", "written"),
    [
        ('["/users/{key}?$select=id"]', "a&b", "/users/a%26b?$select=id"),
        ('["/users/{key}?$select=id"]', "a/b", None),
        ('["/users/{key}?$select=id"]', "..", None),
        ('["/users?id={key}&x=1"]', "a&y=2", "/users?id=a%26y%3D2&x=1"),
        ('["https://a.b/users?id={key}"]', "a#b", "https://a.b/users?id=a%23b"),
        ("""["/users?$filter=id%20eq%20'{key}'"]""", "a&b", "/users?$filter=id%20eq%20'a%26b'"),
        ("""["/users?$filter=id%20eq%20'{key}'"]""", "a'b", None),
        ("""["id eq '{key}'"]""", "a&b", "id eq 'a&b'"),
        ("""["id eq '{key}'"]""", "a' or 'b", None),
        ('["users/{key}"]', "a", "users/a"),
        ('["users/{key}"]', "a/b", None),
        ('["id eq {key}"]', "a or b", None),
        ('["id eq {key}"]', "a1", "id eq a1"),
        ('["{key}"]', "a' or \"b", "a' or \"b"),
    ],
)
def test_a_key_is_escaped_for_the_url_and_the_expression_around_it(
    text: str, key: str, written: str | None
) -> None:
    cut = cut_template(text)

    if written is None:
        assert cut.write(key) is None
    else:
        assert filled(cut, key) == [written]


@pytest.mark.parametrize(
    ("escape", "written"),
    [("double", "id eq 'a''b'"), ("backslash", "id eq 'a\\'b'")],
)
def test_a_quote_within_quotes_is_escaped_as_configured(escape: Escape, written: str) -> None:
    assert filled(cut_template("""["id eq '{key}'"]""", escape=escape), "a'b") == [written]


@given(key=st.text(min_size=1, max_size=8))
def test_no_key_changes_the_structure_of_a_url_within_json(key: str) -> None:
    cut = cut_template('[{"url": "/users/{key}/posts?author={key}&limit=5"}]')
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    text = cut.write(key)
    if text is None:
        assert key in {".", ".."} or "/" in key or "\\" in key
        return

    [item] = json.loads(f"{cut.before}{text}{cut.after}")
    parts = urlsplit(str(item["url"]))
    assert parts.path.split("/")[1] == "users"
    assert unquote(parts.path.split("/")[2]) == key
    assert parts.path.split("/")[3:] == ["posts"]
    assert parse_qsl(parts.query, keep_blank_values=True) == [("author", key), ("limit", "5")]


def test_a_number_has_to_replace_a_whole_string() -> None:
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
def test_the_rest_of_a_template_is_not_changed(name: str, other: object) -> None:
    text = json.dumps({name: "{keys}", f"{name}2": other})
    if "{key" in text.replace('"{keys}"', "", 1):
        return

    cut = cut_template(text)

    assert filled(cut, "a") == {name: ["a"], f"{name}2": other}
    assert f"{cut.before}{cut.between}{cut.after}".isascii()
