"""Variables are coerced as by graphql-core, and valid ones are not copied."""

import math
from typing import Any, cast

import pytest
from graphql import GraphQLError, OperationDefinitionNode, parse
from graphql.execution.values import get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from app.execution.schema import build_schema
from app.execution.variables import MAX_COERCION_ERRORS, Coercion

CORE = build_schema().core

TYPES = ["ID!", "[ID!]!", "String!", "Boolean!", "ID", "[ID!]", "[ID]!", "Int!", "Int", "Boolean"]

GIVEN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)

LIKELY = st.lists(st.text(max_size=5), max_size=5) | st.text(max_size=5) | st.booleans()


def operation(declarations: str) -> OperationDefinitionNode:
    """Parse an operation with variables."""
    head = f"({declarations})" if declarations else ""
    (node,) = parse(f"query Q{head} {{ __typename }}").definitions
    return cast("OperationDefinitionNode", node)


def outcome(values: Any) -> object:  # noqa: ANN401 # graphql-core's union
    """Return values or errors in a form to compare: found values have other words in messages."""
    if isinstance(values, list):
        errors = cast("list[GraphQLError]", values)
        return [(error.message.partition(": ")[0], error.locations) for error in errors]
    sources = {
        name: (str(source.signature.type), source.signature.default_value, source.value)
        for name, source in values.sources.items()
    }
    return (sources, repr(values.coerced))


@given(
    types=st.lists(st.sampled_from(TYPES), max_size=4),
    default=st.booleans(),
    values=st.lists(LIKELY | GIVEN, min_size=5, max_size=5),
    missing=st.sets(st.integers(0, 4)),
)
def test_any_values_are_coerced_as_by_graphql_core(
    types: list[str], *, default: bool, values: list[Any], missing: set[int]
) -> None:
    declarations = [f"$v{number}: {kind}" for number, kind in enumerate(types)]
    if default:
        declarations.append('$v4: String! = "d"')
    node = operation(", ".join(declarations))
    given = {
        f"v{number}": value for number, value in enumerate(values) if number not in missing
    } | {"other": 1}

    coerced = Coercion(CORE, node).coerce(given)

    definitions = node.variable_definitions or ()
    wanted = get_variable_values(CORE, definitions, given, max_errors=MAX_COERCION_ERRORS)
    assert outcome(coerced) == outcome(wanted)


WRONG: list[tuple[str, Any, str]] = [
    ("Int", True, "Int cannot represent non-integer value: true"),
    ("Int", 1.5, "Int cannot represent non-integer value: 1.5"),
    ("Int", "x", 'Int cannot represent non-integer value: "x"'),
    ("Int", "it's", 'Int cannot represent non-integer value: "it\'s"'),
    ("Int", math.inf, "Int cannot represent non-integer value: a number beyond 1.8e308"),
    ("Int", -math.inf, "Int cannot represent non-integer value: a number beyond -1.8e308"),
    ("Int", 2**31, "Int cannot represent non 32-bit signed integer value: 2147483648"),
    ("Int", [None, False], "Int cannot represent non-integer value: [null, false]"),
    ("ID!", None, "Expected value of non-null type 'ID!' not to be null."),
    ("ID!", {"a": True}, 'ID cannot represent value: {"a": true}'),
    ("ID!", {"a": {"b": {"c": [{}]}}}, 'ID cannot represent value: {"a": {"b": {"c": [{}]}}}'),
    ("ID", [], "ID cannot represent value: []"),
    ("Boolean!", "True", 'Boolean cannot represent a non boolean value: "True"'),
    (
        "Boolean!",
        "\x00\u202e",
        'Boolean cannot represent a non boolean value: "\\u0000\\u202e"',
    ),
    ("String", 10**300, f"String cannot represent a non string value: {str(10**300)[:240]}…"),
    ("String", ["x" * 999], f'String cannot represent a non string value: ["{"x" * 238}…'),
    ("Boolean", "x" * 999, f'Boolean cannot represent a non boolean value: "{"x" * 240}…"'),
]


@pytest.mark.parametrize(("kind", "value", "message"), WRONG)
def test_an_invalid_value_is_shown_as_json(kind: str, value: object, message: str) -> None:
    [error] = cast(
        "list[GraphQLError]", Coercion(CORE, operation(f"$v: {kind}")).coerce({"v": value})
    )

    assert error.message == f"Variable '$v' has invalid value: {message}"


def test_invalid_items_of_a_list_are_reported_with_their_indexes() -> None:
    values = Coercion(CORE, operation("$v: [ID!]!")).coerce({"v": ["a", None, {"b": None}]})

    null, other = [error.message for error in cast("list[GraphQLError]", values)]
    head = "Variable '$v' has invalid value at"
    assert null == f"{head} [1]: Expected value of non-null type 'ID!' not to be null."
    assert other == f'{head} [2]: ID cannot represent value: {{"b": null}}'


def test_a_missing_required_variable_is_reported() -> None:
    [error] = cast("list[GraphQLError]", Coercion(CORE, operation("$v: ID!")).coerce({}))

    assert error.message == (
        "Variable '$v' has invalid value: Expected a value of non-null type 'ID!' to be provided."
    )


@pytest.mark.parametrize(("wrong", "reported"), [(50, 50), (51, 51), (500, 51)])
def test_only_the_first_of_many_invalid_values_are_reported(wrong: int, reported: int) -> None:
    values = Coercion(CORE, operation("$v: [ID!]!")).coerce({"v": [None] * wrong})

    messages = [error.message for error in cast("list[GraphQLError]", values)]
    assert len(messages) == reported
    assert (messages[-1].startswith("Too many errors")) is (wrong > MAX_COERCION_ERRORS)


def test_variables_in_without_are_left_out() -> None:
    values = Coercion(CORE, operation("$v: ID!, $w: ID!"), without=["v"]).coerce({"w": "a"})

    assert not isinstance(values, list)
    assert values.coerced == {"w": "a"}


@pytest.mark.parametrize(
    ("declarations", "given"),
    [("$ids: [ID!]!", {"ids": ["a", "b"]}), ("$id: ID!, $x: Boolean!", {"id": "a", "x": True})],
)
def test_valid_values_of_clients_are_used_without_a_copy(
    declarations: str, given: dict[str, object]
) -> None:
    coerced = Coercion(CORE, operation(declarations)).coerce(given)

    assert not isinstance(coerced, list)
    assert coerced.coerced == given
    assert all(coerced.coerced[name] is value for name, value in given.items())
