"""The fields of a type that an operation selects."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    build_schema,
    execute_sync,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
    parse,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from app.execution.selection import grouped_fields
from tests.properties import examples

TYPES = frozenset({"User", "_Entity"})

SCHEMA = build_schema(
    """
    type Query { user: User entity: _Entity }
    union _Entity = User | Other
    type Other { o: String }
    type User { a: String b: String c: String d: String self: User }
    """
)

NONE: set[str] = set()


def selected(text: str, **variables: object) -> set[str]:
    """Find the fields selected below the first field of a document."""
    document = parse(text)
    [operation] = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    nodes = [one for one in operation.selection_set.selections if isinstance(one, FieldNode)]
    groups = grouped_fields(
        nodes, types=TYPES, fragments=fragments_of(document), variables=variables
    )
    return {group[0].name.value for group in groups.values()}


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """Find the fragments of a document."""
    return {
        one.name.value: one
        for one in document.definitions
        if isinstance(one, FragmentDefinitionNode)
    }


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{ user { a b } }", {"a", "b"}),
        ("{ user { x: a y: a } }", {"a"}),
        ("{ user { __typename } }", {"__typename"}),
        ("{ user { a self { b } } }", {"a", "self"}),
        ("{ user { a } user { b } }", {"a", "b"}),
        ("{ user { ... { a } ... on User { b } } }", {"a", "b"}),
        ("{ entity { ... on Other { o } ... on User { a } ... on _Entity { __typename } } }",
         {"a", "__typename"}),
        ("{ user { ...F } } fragment F on User { a ...G } fragment G on User { b }", {"a", "b"}),
        ("{ entity { ...F } } fragment F on Other { o ... on _Entity { ... on User { a } } }",
         NONE),
        ("{ user { a @skip(if: true) b @skip(if: false) } }", {"b"}),
        ("{ user { a @include(if: true) b @include(if: false) } }", {"a"}),
        ("{ user { a @include(if: true) @skip(if: true) b @skip(if: false) @include(if: true) } }",
         {"b"}),
        ("{ user { a b @skip(if: true) b } }", {"a", "b"}),
        ("{ user { ... @skip(if: true) { a } ... @include(if: true) { b } } }", {"b"}),
        ("{ user { ...F @skip(if: true) ...F } } fragment F on User { a }", {"a"}),
        ("{ user { ...F ...F @skip(if: true) } } fragment F on User { a }", {"a"}),
        ("{ user { self { ...F } ...F } } fragment F on User { a }", {"self", "a"}),
        ("{ user { a @other(if: false) } }", {"a"}),
        ("{ user }", NONE),
    ],
)  # fmt: skip
def test_fragments_are_followed_and_skip_and_include_are_obeyed(
    text: str, fields: set[str]
) -> None:
    assert selected(text) == fields


def test_skip_and_include_read_the_variables() -> None:
    text = "{ user { a @include(if: $v) b @skip(if: $v) c } }"

    assert selected(text, v=True) == {"a", "c"}
    assert selected(text, v=False) == {"b", "c"}


DIRECTIVES = st.sampled_from(
    ["", "", "", *(f"@{d}(if: {v})" for d in ("include", "skip") for v in ("true", "false", "$t",
     "$f", "$y", "$n")), "@include(if: $y) @skip(if: $f)", "@include(if: $t) @skip(if: $y)"]
)  # fmt: skip
CONDITIONS = st.sampled_from(["", "on User", "on _Entity", "on Other"])
LEAVES = st.sampled_from(["a", "b", "c", "d", "__typename"])
NUMBER = 4
"""The number of fragments of a random document."""


@st.composite
def selections(draw: st.DrawFn, fragment: int, depth: int = 3) -> str:
    """Write a random selection set.

    Args:
        draw: Hypothesis's.
        fragment: The first fragment that it may spread, so that none spreads itself.
        depth: How deep it may be.
    """
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kinds = ["leaf", "leaf"]
        kinds += ["inline", "object"] if depth else []
        kinds += ["spread", "spread"] if fragment < NUMBER else []
        directives = draw(DIRECTIVES)
        match draw(st.sampled_from(kinds)):
            case "leaf":
                name = draw(LEAVES)
                alias = draw(st.sampled_from(["", f"alias1_{name}: ", f"alias2_{name}: "]))
                parts.append(f"{alias}{name} {directives}")
            case "object":
                parts.append(f"self {directives} {draw(selections(NUMBER, depth - 1))}")
            case "inline":
                condition = draw(CONDITIONS)
                inner = draw(selections(fragment, depth - 1))
                parts.append(f"... {condition} {directives} {inner}")
            case _:
                number = draw(st.integers(fragment, NUMBER - 1))
                parts.append(f"...F{number} {directives}")
    return "{ " + " ".join(parts) + " }"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Write a random document that selects one user or entity, perhaps in several places."""
    root = draw(st.sampled_from(["user", "entity"]))
    roots = [f"root: {root} {draw(selections(0))}" for _ in range(draw(st.integers(1, 2)))]
    fragments = [
        f"fragment F{number} {draw(CONDITIONS.filter(bool))} {draw(selections(number + 1, 1))}"
        for number in range(NUMBER)
    ]
    variables = "($t: Boolean!, $f: Boolean!, $y: Boolean! = true, $n: Boolean! = false)"
    return f"query{variables} {{ {' '.join(roots)} }} {' '.join(fragments)}"


@settings(max_examples=examples(150), deadline=None)
@given(text=documents())
def test_the_selected_fields_of_any_document_are_those_of_graphql_core(text: str) -> None:
    found: list[list[str]] = []

    def resolve(source: Any, info: GraphQLResolveInfo[Any]) -> object:  # noqa: ANN401 # graphql-core's
        if source is None:
            found.append(
                list(
                    grouped_fields(
                        info.field_nodes,
                        types=TYPES,
                        fragments=info.fragments,
                        variables=info.variable_values.coerced,
                    )
                )
            )
        return {"__typename": "User"} if info.field_name in {"user", "entity", "self"} else "x"

    result = execute_sync(
        SCHEMA, parse(text), field_resolver=resolve, variable_values={"t": True, "f": False}
    )

    assert not result.errors
    assert result.data is not None
    assert found == [list(result.data["root"])]


class Counting(Mapping[str, Any]):
    """A mapping that counts its lookups."""

    def __init__(self, inner: Mapping[str, Any]) -> None:
        self.count = 0
        self._inner = inner

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 # whatever is in it
        self.count += 1
        return self._inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)


@pytest.mark.parametrize("number", [4, 8, 16])
def test_fragments_that_double_take_linear_work(number: int) -> None:
    spread = "@include(if: $yes)"
    chain = [
        f"fragment F{n} on User {{ ...F{n + 1} {spread} ...F{n + 1} {spread} }}"
        for n in range(number)
    ]
    document = parse(
        f"{{ user {{ ...F0 {spread} ...F0 {spread} }} }} {' '.join(chain)}"
        f" fragment F{number} on User {{ a {spread} }}"
    )
    [operation] = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    [node] = [one for one in operation.selection_set.selections if isinstance(one, FieldNode)]
    fragments, variables = Counting(fragments_of(document)), Counting({"yes": True})

    groups = grouped_fields([node], types=TYPES, fragments=fragments, variables=variables)

    assert list(groups) == ["a"]
    # Each node has one condition, so that the variable is looked up once for each node visited.
    assert variables.count == 2 * (number + 1) + 1
    assert fragments.count == number + 1
