"""Functions on nested values."""

import pytest

from app.settings.nested import (
    NOTHING,
    Keys,
    bracketed,
    dotted,
    laid_over,
    replaced,
    value_at,
)

VALUES = {"a": {"b": [1, {"c": 2}]}, "d": 3}


@pytest.mark.parametrize(
    ("keys", "name", "place"),
    [
        (("d",), "d", "d"),
        (("a",), "a", "[a]"),
        (("a", "b"), "a.b", "[a] b"),
        (("a", "b", 0), "a.b#1", "[a] b#1"),
        (("a", "b", 1), "a.b#2", "[a.b#2]"),
        (("a", "b", 1, "c"), "a.b#2.c", "[a.b#2] c"),
        (("a", "x y", "é"), 'a."x y"."é"', '[a."x y"] "é"'),
    ],
)
def test_a_place_is_named_as_in_toml(keys: Keys, name: str, place: str) -> None:
    assert dotted(keys) == name
    assert bracketed(keys, VALUES) == place


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ((), VALUES),
        (("a", "b", 1, "c"), 2),
        (("a", "b", 2), NOTHING),
        (("a", "b", "c"), NOTHING),
        (("a", 0), NOTHING),
        (("d", "e"), NOTHING),
    ],
)
def test_a_value_is_found_by_its_keys(keys: Keys, value: object) -> None:
    assert value_at(VALUES, keys) == value


def test_tables_are_merged_key_by_key_and_lists_are_replaced() -> None:
    above = {"a": {"x": 1, "y": [1]}, "b": {"x": 1}, "c": 1}
    below = {"a": {"y": [2, 3], "z": 2}, "b": 2, "c": {"x": 2}, "d": 2}

    assert laid_over(above, below) == {
        "a": {"x": 1, "y": [1], "z": 2},
        "b": {"x": 1},
        "c": 1,
        "d": 2,
    }
    assert below == {"a": {"y": [2, 3], "z": 2}, "b": 2, "c": {"x": 2}, "d": 2}


def test_single_values_are_replaced_in_place() -> None:
    assert replaced(VALUES, lambda keys, value: (dotted(keys), value)) == {
        "a": {"b": [("a.b#1", 1), {"c": ("a.b#2.c", 2)}]},
        "d": ("d", 3),
    }
