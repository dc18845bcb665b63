"""The cost of introspection: it counts the objects of the response, and has a limit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from time import process_time
from typing import cast

import pytest
from graphql import (
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute_sync,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
    get_introspection_query,
    introspection_types,
    is_leaf_type,
    parse,
)
from graphql.type import get_named_type
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import LimitError
from app.execution.documents import Documents
from app.execution.limits.budget import CostBudget
from app.execution.limits.introspection import COUNTLESS, FOLLOW, IntrospectionPricing
from app.execution.schema import build_schema as build_ours
from app.settings.limits import LimitsSettings
from app.settings.models import Settings
from tests.fakes import settings_for_fakes
from tests.properties import examples

TYPES = 300
"""The number of types of the large schema."""

OPTIONS = (
    *("descriptions", "specified_by_url", "directive_is_repeatable", "schema_description"),
    *("input_value_deprecation", "experimental_directive_deprecation", "one_of"),
)
"""The options of graphql-js: each of its versions and tools sets some of them."""

ROVER = """
    query GraphIntrospectQuery {
      __schema {
        queryType { name } mutationType { name } subscriptionType { name }
        types { ...FullType }
        directives { name description locations args { ...InputValue } }
      }
    }
    fragment FullType on __Type {
      kind name description
      fields(includeDeprecated: true) {
        name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
      }
      inputFields { ...InputValue }
      interfaces { ...TypeRef }
      enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
      possibleTypes { ...TypeRef }
    }
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
    fragment TypeRef on __Type {
      kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
        ofType { kind name ofType { kind name ofType { kind name } } } } } } }
    }
"""
"""The introspection query of Apollo's command line."""


@cache
def ours() -> GraphQLSchema:
    """Build the default schema."""
    return build_ours().core


@cache
def large() -> GraphQLSchema:
    """Make a schema of 300 types, each of which refers to a dozen others."""
    kinds = [
        "interface Node { id: ID! }",
        "enum E { A B C D }",
        "scalar S",
        "directive @d on FIELD",
    ]
    for number in range(TYPES - 20):
        fields = " ".join(
            f'"Field {n}" f{n}(first: [Int!]! = [1], by: I{n % 10}): [T{(number * 7 + n) % 270}!]!'
            for n in range(12)
        )
        kinds.append(f'"Type {number}" type T{number} implements Node {{ id: ID! s: S {fields} }}')
    kinds += [f"input I{n} {{ a: [Int!]! = [1] b: I{(n + 1) % 10} e: E }}" for n in range(10)]
    kinds += [f"union U{n} = T{n} | T{n + 1} | T{n + 2}" for n in range(7)]
    query = " ".join(
        f"t{number}: T{number} u{number % 7}_{number}: U{number % 7}" for number in range(40)
    )
    return build_schema(" ".join([*kinds, f"type Query {{ {query} }}"]))


WHOLE = get_introspection_query(**dict.fromkeys(OPTIONS, True))


def chosen(**limits: int) -> Settings:
    """Make default settings that allow introspection."""
    return settings_for_fakes(introspection=True, limits=LimitsSettings.model_validate(limits))


class IntrospectionChecks:
    """Checks documents by the limits of the settings.

    Args:
        core: The schema that documents query.
        limits: Limits that differ from the defaults.
    """

    def __init__(self, core: GraphQLSchema, **limits: int) -> None:
        made = chosen(**limits)
        self._limits = made.limits
        self._documents = Documents.from_settings(core, made, size=10)

    def passes(self, *texts: str) -> None:
        """Check the operations of one request.

        Raises:
            LimitError: The operations are over a limit.
        """
        allowance = CostBudget(self._limits)
        for text in texts:
            document = self._documents.get(text)
            for error in document.errors:
                raise error.original_error or error
            allowance.count(document.operation(None).price, {})


def objects_in(value: object) -> int:
    """Count the objects in a response."""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    return isinstance(value, dict) + sum(objects_in(one) for one in inner)


def test_the_large_schema_is_large() -> None:
    named = [name for name in large().type_map if not name.startswith("__")]

    assert len(named) >= TYPES


def test_every_introspection_field_that_returns_objects_is_counted() -> None:
    giving = {
        name
        for kind in introspection_types.values()
        for name, field in getattr(kind, "fields", {}).items()
        if not is_leaf_type(get_named_type(field.type))
    }

    assert giving == FOLLOW.keys()


@pytest.mark.parametrize("core", [ours, large], ids=["ours", "300 types"])
@pytest.mark.parametrize("option", [None, *OPTIONS, "all"])
def test_tools_can_introspect_any_schema_within_the_default_limits(
    core: Callable[[], GraphQLSchema], option: str | None
) -> None:
    chosen = {one: option in {one, "all"} for one in OPTIONS}

    for depth in (1, 7, 9, 12):
        IntrospectionChecks(core()).passes(get_introspection_query(**chosen, type_depth=depth))


@pytest.mark.parametrize("core", [ours, large], ids=["ours", "300 types"])
def test_apollo_s_command_line_can_introspect_any_schema(core: Callable[[], GraphQLSchema]) -> None:
    IntrospectionChecks(core()).passes(ROVER)


def test_the_query_of_tools_counts_as_the_whole_schema_once() -> None:
    pricing = IntrospectionPricing(ours(), most=2)

    answer = execute_sync(ours(), parse(WHOLE))

    assert not answer.errors
    assert pricing.counts(parse(WHOLE)) == [pricing.whole] == [objects_in(answer.data) - 1]


def test_a_request_may_query_the_whole_schema_twice_and_no_more() -> None:
    checks = IntrospectionChecks(large())

    checks.passes(WHOLE, WHOLE)
    with pytest.raises(LimitError) as raised:
        checks.passes(WHOLE, WHOLE, "{ __schema { types { name } } }")

    assert raised.value.message == (
        "the request asks for the whole schema 3 times over: at most 2 are allowed (introspection)"
    )
    assert raised.value.code == "QUERY_TOO_COMPLEX"


def test_each_request_has_its_own_limit_on_introspection() -> None:
    checks = IntrospectionChecks(large())

    for _ in range(5):
        checks.passes(WHOLE)


def nested(path: str) -> str:
    """Write nested fields."""
    names = path.split()
    return "{ " + " { ".join(names) + " }" * len(names)


def many(one: str, count: int) -> str:
    """Write a selection several times, each with its own alias."""
    return "{ " + " ".join(f"a{number}: {one}" for number in range(count)) + " }"


def doubled(kind: str, times: int, last: str) -> str:
    """Write fragments that each spread the next one twice."""
    each = [f"fragment F{n} on {kind} {{ ...F{n + 1} ...F{n + 1} }}" for n in range(times)]
    return " ".join([*each, f"fragment F{times} on {kind} {last}"])


REFERRED = "type ofType ofType ofType"

HOSTILE: Mapping[str, str] = {
    "two levels of fields": nested(
        f"__schema types fields {REFERRED} fields {REFERRED} fields {REFERRED} name"
    ),
    "fields and arguments": nested(f"__schema types fields {REFERRED} fields args {REFERRED} name"),
    "interfaces and back": nested("__schema types interfaces possibleTypes interfaces name"),
    "fields of interfaces": nested("__schema types interfaces possibleTypes fields name"),
    "many schemas": many("__schema { types { fields { name } } }", 50),
    "many types": "{ __schema " + many("types { fields { name } }", 50) + " }",
    "many fields": "{ __schema { types " + many("fields { name }", 50) + " } }",
    "fragments of the schema": "{ __schema { ...F0 } } "
    + doubled("__Schema", 20, "{ types { fields { name } } }"),
    "fragments of Query": "{ ...F0 } " + doubled("Query", 20, "{ __schema { types { name } } }"),
    "fragments of types": "{ __schema { types { ...F0 } } } "
    + doubled("__Type", 20, "{ fields { name } }"),
    "any type": "query($n: String!) "
    + nested("__type(name:$n) interfaces possibleTypes fields args name"),
}
"""Queries that return many times the schema."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_query_for_many_times_the_schema_is_refused_quickly(kind: str) -> None:
    checks = IntrospectionChecks(large(), aliases=0, root_fields=0)
    checks.passes(WHOLE)
    started = process_time()

    with pytest.raises((LimitError, GraphQLError), match=r"at most|depth exceeded"):
        checks.passes(HOSTILE[kind])

    assert process_time() - started < 0.5  # a wide margin, because tests run in parallel


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { queryType { name } } }",
        '{ __type(name: "T1") { name fields { name type { name ofType { name } } } } }',
        "query($n: String!) { __type(name: $n) { name fields { name type { name } } } }",
        "{ "
        + " ".join(f'a{n}: __type(name: "T{n}") {{ fields {{ name }} }}' for n in range(20))
        + " }",
    ],
)
def test_a_usual_introspection_query_costs_little(query: str) -> None:
    [price] = Documents.from_settings(large(), chosen(), size=0).get(query).operations.values()

    assert 0 < price.price.schemas < 0.05  # a fortieth of the limit


def test_introspection_without_a_limit_is_never_refused() -> None:
    checks = IntrospectionChecks(large(), introspection=0, aliases=0, root_fields=0, tokens=0)

    checks.passes(*[WHOLE] * 5)
    checks.passes(HOSTILE["many schemas"], HOSTILE["fragments of Query"])


@pytest.mark.parametrize("whether", ["@skip(if: true)", "@include(if: false)"])
def test_skipped_introspection_costs_nothing(whether: str) -> None:
    query = (
        "{ __schema ? { types { name } } ...F ?"
        ' __type(name: "Query") { name fields ? { name } ... ? { interfaces { name } } } }'
        " fragment F on Query { __schema { types { name } } }"
    ).replace("?", whether)

    assert IntrospectionPricing(ours(), most=2).counts(parse(query)) == [1]


@pytest.mark.parametrize("name", ["No", "user", ""])
def test_an_unknown_type_costs_nothing(name: str) -> None:
    query = f'{{ __type(name: "{name}") {{ fields {{ name }} }} }}'

    assert IntrospectionPricing(ours(), most=2).counts(parse(query)) == [0]


def test_a_type_named_by_a_variable_costs_as_much_as_the_largest_type() -> None:
    pricing = IntrospectionPricing(ours(), most=2)
    query = "query($n: String!) { __type(name: $n) { fields { name } } }"
    each = [
        pricing.counts(parse(query.replace("$n)", f'"{name}")').replace("($n: String!)", "")))
        for name in ours().type_map
    ]

    assert pricing.counts(parse(query)) == max(each)


def test_each_operation_has_its_own_count_of_introspection() -> None:
    pricing = IntrospectionPricing(ours(), most=1)
    document = parse(
        "query A { __typename } query B { __schema { queryType { name } } } query C "
        + many("__schema { types { name } }", 99)
    )

    assert pricing.counts(document) == [0, 2, COUNTLESS]


MEMBERS: Mapping[str, Sequence[str]] = {
    "schema": ["types:type", "queryType:type", "mutationType:type", "directives:directive"],
    "type": [
        *("fields:field", "interfaces:type", "possibleTypes:type", "inputFields:input"),
        *("enumValues:value", "ofType:type"),
    ],
    "field": ["args:input", "type:type"],
    "input": ["type:type"],
    "directive": ["args:input"],
    "value": [],
}
DEPRECATED = {"fields", "inputFields", "enumValues", "args", "directives"}


@st.composite
def selections(draw: st.DrawFn, kind: str = "schema", depth: int = 5) -> str:
    """Make a selection of members of one kind, each with its own alias."""
    parts = ["__typename"]
    if depth and MEMBERS[kind]:
        for number, one in enumerate(draw(st.lists(st.sampled_from(MEMBERS[kind]), max_size=2))):
            name, _, inner = one.partition(":")
            argument = "(includeDeprecated: true)" if name in DEPRECATED else ""
            parts.append(f"a{number}: {name}{argument} {draw(selections(inner, depth - 1))}")
    return "{ " + " ".join(parts) + " }"


SMALL = build_schema("""
    type Query { a(x: [I!]! = []): [T!]! u: U @deprecated n: N }
    type T implements N { n: N t: T @deprecated e(i: I @deprecated, j: Int): E }
    interface N { n: N } union U = T | Query enum E { A B @deprecated }
    input I { i: I b: [Int!] @deprecated } type Mutation { m: T } directive @d(x: I) on FIELD
""")


@settings(max_examples=examples(200), deadline=None)
@given(selected=selections())
@example(selected="{ a: types { b: possibleTypes { c: interfaces { d: possibleTypes { name }}}}}")
def test_the_count_is_the_number_of_objects_in_the_response(selected: str) -> None:
    query = f"{{ __schema {selected} }}"
    answer = execute_sync(SMALL, parse(query))  # without limits, at any depth

    assert not answer.errors
    assert IntrospectionPricing(SMALL, most=10**6).counts(parse(query)) == [
        objects_in(answer.data) - 1
    ]
