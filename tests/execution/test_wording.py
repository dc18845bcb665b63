"""Messages of errors have words of JSON and GraphQL, and none of Python."""

import json
import math
import re
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    parse,
    validate,
)
from graphql.utilities import (
    validate_input_value,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
)
from hypothesis import example, given
from hypothesis import strategies as st

from app.execution.response_errors import MAX_WRITTEN, about_value, in_words, json_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
PYTHON = re.compile(r"\b(?:None|True|False|inf|nan|Infinity|NaN)\b|<|\{'|\['|object at")


def without_strings(text: str) -> str:
    """Replace JSON strings by empty ones."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)


@given(value=VALUES)
@example(value=[math.inf, -math.inf, math.nan])
@example(value={"None": [None, True, {"": False}]})
def test_a_value_is_written_as_json_and_shortened_if_it_is_long(value: object) -> None:
    text = json_text(value)

    assert len(text) <= MAX_WRITTEN + 3
    if not text.endswith(("…", '…"')):
        assert not PYTHON.search(without_strings(text))
        if "a number beyond" not in text and "no number" not in text:
            assert json.loads(text) == value


def test_a_huge_value_is_written_without_being_read_completely() -> None:
    assert json_text(["x"] * 10_000_000).startswith('["x", "x"')
    assert json_text({str(number): number for number in range(1_000)}).endswith("…")


def parsing(value: object) -> object:
    """Raise an error with words of Python's."""
    raise ValueError(f"{value!r} is no <class 'X'>: None")


ODD = GraphQLScalarType("Odd", coerce_input_value=parsing)
INPUT = GraphQLInputObjectType(
    "In",
    {
        "id": GraphQLInputField(GraphQLNonNull(GraphQLID)),
        "n": GraphQLInputField(GraphQLInt),
        "odd": GraphQLInputField(ODD),
    },
)
SCHEMA = GraphQLSchema(
    GraphQLObjectType(
        "Query",
        {
            "f": GraphQLField(
                GraphQLString,
                args={
                    "id": GraphQLArgument(GraphQLNonNull(GraphQLID)),
                    "n": GraphQLArgument(GraphQLInt),
                    "odd": GraphQLArgument(ODD),
                    "of": GraphQLArgument(INPUT),
                },
            )
        },
    )
)
BIG = "9" * 5_000
UNKNOWN = "not to include unknown field"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("id: null", "Expected value of non-null type 'ID!' not to be null."),
        (f"id: 1, n: {BIG}", f"Expected value of type 'Int', found: {BIG}."),
        ('id: 1, odd: "a\'b"', "Expected value of type 'Odd', found: \"a'b\"."),
        ("id: 1, odd: 1.5", "Expected value of type 'Odd', found: 1.5."),
        ("id: 1, of: {id: null}", "Expected value of non-null type 'ID!' not to be null."),
        ("id: 1, of: {id: 1, odd: [true]}", "Expected value of type 'Odd', found: [true]."),
        ("id: 1, n: 1e9", "Int cannot represent non-integer value: 1e9"),
    ],
)
def test_the_error_of_an_argument_has_no_words_of_its_parser(arguments: str, expected: str) -> None:
    [error] = validate(SCHEMA, parse(f"{{ f({arguments}) }}"))

    assert in_words(error.message) == expected


def mistakes_in(value: object) -> list[str]:
    """List the messages of the errors in a value of an input type."""
    found: list[str] = []

    def note(error: GraphQLError, place: list[str | int]) -> None:
        at: Any = value
        for part in place:
            at = at[part]
        found.append(about_value(error, at))

    validate_input_value(value, INPUT, note, hide_suggestions=True)
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        (True, ["Expected value of type 'In' to be an object, found: true."]),
        (
            {"n": None},
            ["Expected value of type 'In' to include required field 'id', found: {\"n\": null}."],
        ),
        (
            {"id": "1", "x": [None]},
            [f"""Expected value of type 'In' {UNKNOWN} 'x', found: {{"id": "1", "x": [null]}}."""],
        ),
        ({"id": None}, ["Expected value of non-null type 'ID!' not to be null."]),
        ({"id": "1", "odd": {"a": True}}, ["Expected value of type 'Odd', found: {\"a\": true}."]),
        ({"id": "1", "n": math.nan}, ["Int cannot represent non-integer value: no number"]),
    ],
)
def test_the_errors_of_an_input_object_show_values_as_json(
    value: object, expected: list[str]
) -> None:
    assert mistakes_in(value) == expected


@given(value=VALUES)
def test_no_value_causes_words_of_python_in_a_message(value: object) -> None:
    for message in mistakes_in({"id": value, "n": value, "odd": value}):
        if not message.endswith(("…", '…"', "….")):
            assert not PYTHON.search(without_strings(message)), message
