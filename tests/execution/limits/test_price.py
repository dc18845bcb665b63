"""The cost of operations."""

from collections.abc import Sequence
from typing import Any

import pytest
from graphql import GraphQLField, GraphQLObjectType, build_schema, parse
from hypothesis import given
from hypothesis import strategies as st

from app.execution.limits.price import Pricing
from app.execution.schema import build_schema as build_ours

CORE = build_ours().core
PRICING = Pricing(CORE, max_ids=100, max_representations=1_000)

EDGES = "edges { node { id total { amount } } }"


def cost_of(query: str, **variables: object) -> int:
    """Return the cost of the only operation of a document."""
    [price] = PRICING.prices(parse(query)).values()
    return price.cost_for(variables)


def user_cost_of(fields: str, **variables: object) -> int:
    """Return the cost of fields of a user, without the user itself."""
    return (
        cost_of(f'query($n: Int, $x: Boolean!) {{ user(id: "x") {{ {fields} }} }}', **variables) - 1
    )


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ("id __typename username plan", 0),
        ("balance { amount currency }", 1),
        ("events { id }", 20),
        ("events(first: 3) { id type }", 3),
        ("events(first: 0) { id }", 0),
        ("events(first: -1) { id }", 20),
        ("events(first: null) { id }", 20),
        ("invoices { pageInfo { hasNextPage } }", 5 + 1),
        (f"invoices {{ {EDGES} }}", 5 + 20 * 3),
        (f"invoices(first: 2) {{ {EDGES} }}", 5 + 2 * 3),
        ("invoices(first: 2) { edges { cursor } }", 5 + 2),
        ("invoices(first: 2147483647) { edges { cursor } }", 5 + 100),
        ("a: balance { amount } b: balance { amount }", 2),
        ("... { balance { amount } }", 1),
        ("... on User { balance { amount } }", 1),
        ("balance @skip(if: true) { amount } events @include(if: false) { id }", 0),
        ("balance @skip(if: false) { amount }", 1),
    ],
)
def test_fields_cost_the_weight_in_the_schema_times_their_number(fields: str, cost: int) -> None:
    assert user_cost_of(fields) == cost


@pytest.mark.parametrize(
    ("number", "events"), [(3, 3), (0, 0), (-1, 20), (None, 20), ("3", 20), (True, 20), ([], 20)]
)
def test_the_number_of_items_can_be_a_variable(number: object, events: int) -> None:
    assert user_cost_of("events(first: $n) { id }", n=number) == events
    assert user_cost_of(f"invoices(first: $n) {{ {EDGES} }}", n=number) == 5 + events * 3


def test_a_missing_variable_costs_as_its_default() -> None:
    query = 'query($n: Int = 7) { user(id: "x") { events(first: $n) { id } } }'

    assert cost_of(query) == 1 + 7
    assert cost_of(query, n=2) == 1 + 2


def test_skipped_fields_cost_nothing() -> None:
    fields = "balance @include(if: $x) { amount } ... @skip(if: $x) { events { id } }"

    assert (user_cost_of(fields, x=True), user_cost_of(fields, x=False)) == (1, 20)


@pytest.mark.parametrize(
    ("ids", "users", "entities"),
    [
        (["a"] * 50, 50, 50),
        ([], 0, 0),
        ("a", 1, 1),
        (["a"] * 101, 100, 101),
        (["a"] * 5000, 100, 1000),
        (None, 1, 1),
    ],
)
def test_the_cost_grows_with_the_number_of_ids_up_to_their_limit(
    ids: object, users: int, entities: int
) -> None:
    query = "query($ids: [ID!]!) { users(ids: $ids) { balance { amount } } }"
    joined = "query($ids: [_Any!]!) { _entities(representations: $ids) { ... on User { id } } }"

    assert cost_of(query, ids=ids) == users * 2
    assert cost_of(joined, ids=ids) == entities


def test_ids_written_in_the_document_are_counted() -> None:
    assert cost_of('{ users(ids: ["a", "b", "c"]) { balance { amount } } }') == 3 * 2


def test_a_fragment_costs_in_each_place_by_the_list_size_there() -> None:
    query = """
        query($n: Int) {
          user(id: "x") { a: invoices(first: 2) { ...I } b: invoices(first: $n) { ...I } }
        }
        fragment I on InvoiceConnection { edges { node { total { amount } } } }
    """

    assert cost_of(query, n=4) == 1 + (5 + 2 * 3) + (5 + 4 * 3)


def test_fragments_that_double_are_priced_without_expanding_them() -> None:
    fragments = [f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(90)]
    last = "fragment F90 on User { events(first: $n) { id } }"
    query = "query($n: Int) { user(id: 1) { ...F0 } } " + " ".join([*fragments, last])

    assert cost_of(query, n=3) == 1 + 3 * 2**90


def test_each_operation_has_its_own_price_and_a_mutation_has_none() -> None:
    document = parse("query A { user(id: 1) { id } } query B { __typename } mutation C { x }")

    prices = {name: price.cost_for({}) for name, price in PRICING.prices(document).items()}

    assert prices == {"A": 1, "B": 0, "C": 0}


def test_introspection_is_not_part_of_the_cost_of_data() -> None:
    query = '{ user(id: "x") { balance { amount } } __schema { types { name } } ...F }'
    query += ' fragment F on Query { __type(name: "User") { name } }'
    [price] = PRICING.prices(parse(query)).values()

    assert price.cost_for({}) == 1 + 1
    assert price.introspected == 1 + len(CORE.type_map) + 1
    assert 0 < price.schemas < 1


@given(
    st.lists(st.sampled_from(["a", "b"]), max_size=5),
    st.integers(0, 9),
    st.booleans(),
    st.integers(0, 3),
)
def test_variables_cost_the_same_as_values_in_the_document(
    ids: Sequence[str],
    number: int,
    on: bool,  # noqa: FBT001 # drawn
    spreads: int,
) -> None:
    def query(head: str, ids: str, number: str, on: str) -> str:
        return f"""
            query{head} {{ users(ids: {ids}) {{ id {"...F " * spreads} }} }}
            fragment F on User {{ balance @include(if: {on}) {{ amount }} ...G ...G }}
            fragment G on User {{
              invoices(first: {number}) {{ ...C }} events(first: {number}) {{ id }}
            }}
            fragment C on InvoiceConnection {{ edges {{ node {{ total {{ amount }} }} }} }}
        """

    written = query(
        "", "[" + ", ".join(f'"{one}"' for one in ids) + "]", str(number), str(on).lower()
    )
    head = "($ids: [ID!]!, $n: Int, $x: Boolean!)"
    values: dict[str, Any] = {"ids": list(ids), "n": number, "x": on}

    each = 2 * ((5 + number * 3) + number) + on
    assert cost_of(written) == len(ids) * (1 + spreads * each)
    assert cost_of(query(head, "$ids", "$n", "$x"), **values) == cost_of(written)


def names_of(field: GraphQLField) -> list[str]:
    """Return the names of the directives of a field in the exported schema."""
    assert field.ast_node is not None
    return [one.name.value for one in field.ast_node.directives or ()]


def test_the_exported_schema_has_the_costs_of_fields() -> None:
    exported = build_schema(build_ours().as_str(), assume_valid_sdl=True)
    user = exported.type_map["User"]
    assert isinstance(user, GraphQLObjectType)

    costs_of = {
        name: costs
        for name, field in user.fields.items()
        if (costs := [one for one in names_of(field) if one in {"cost", "listSize"}])
    }
    assert costs_of == {"invoices": ["cost", "listSize"], "events": ["listSize"]}
