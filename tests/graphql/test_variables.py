"""Variables: what is only looked at comes out as graphql-core would have coerced it."""

from typing import Any, cast

import pytest
from graphql import GraphQLError, OperationDefinitionNode, parse
from graphql.execution.values import get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from app.graphql.schema import build_schema
from app.graphql.variables import MAX_COERCION_ERRORS, Coercion

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
    """Write values or errors so that they can be compared."""
    if isinstance(values, list):
        errors = cast("list[GraphQLError]", values)
        return [(error.message, error.locations) for error in errors]
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
def test_any_values_come_out_as_graphql_core_has_them(
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


@pytest.mark.parametrize(
    ("declarations", "given"),
    [("$ids: [ID!]!", {"ids": ["a", "b"]}), ("$id: ID!, $x: Boolean!", {"id": "a", "x": True})],
)
def test_what_clients_send_is_handed_on_as_it_is(
    declarations: str, given: dict[str, object]
) -> None:
    coerced = Coercion(CORE, operation(declarations)).coerce(given)

    assert not isinstance(coerced, list)
    assert coerced.coerced == given
    assert all(coerced.coerced[name] is value for name, value in given.items())
