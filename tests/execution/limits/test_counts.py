"""Counts of a document are equal to those of the document with all fragments expanded."""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

from app.execution.limits.counts import INTROSPECTION, DocumentCounts, count


def counts_of(text: str) -> DocumentCounts:
    """Count the only operation of a document."""
    [counts] = count(parse(text))
    return counts


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Write documents whose fragments spread only later ones."""
    number = draw(st.integers(0, 4))

    def selections(first: int, depth: int) -> str:
        kinds = ["field", "alias", "__schema"]
        kinds += ["object", "inline"] if depth else []
        kinds += ["spread"] if first < number else []
        written: list[str] = []
        for _ in range(draw(st.integers(1, 3))):
            directive = draw(st.sampled_from(["", " @a", " @a @b"]))
            match draw(st.sampled_from(kinds)):
                case "field":
                    written.append(f"x{directive}")
                case "alias":
                    written.append(f"y: x{directive}")
                case "object":
                    written.append(f"o{directive} {selections(first, depth - 1)}")
                case "inline":
                    written.append(f"...{directive} {selections(first, depth - 1)}")
                case "spread":
                    written.append(f"...F{draw(st.integers(first, number - 1))}{directive}")
                case introspection:
                    inner = selections(first, depth - 1) if depth else ""
                    written.append(f"{introspection}{directive} {inner}")
        return "{ " + " ".join(written) + " }"

    fragments = [f"fragment F{n} on T @f {selections(n + 1, 2)}" for n in range(number)]
    head = draw(st.sampled_from(["", "query @q ", "query Q($v: T @v) "]))
    return " ".join([head + selections(0, 3), *fragments])


class ExpandedCounts:
    """Counts a document by the specification, with fragments expanded in their places."""

    def __init__(self, document: DocumentNode) -> None:
        self.depth = self.aliases = self.root_fields = self.directives = 0
        definitions = document.definitions
        self._fragments = {
            one.name.value: one for one in definitions if isinstance(one, FragmentDefinitionNode)
        }
        [operation] = [one for one in definitions if isinstance(one, OperationDefinitionNode)]
        self.directives += len(operation.directives or ())
        for one in operation.variable_definitions or ():
            self.directives += len(one.directives or ())
        self._walk(operation.selection_set, 0, counted=True, is_root=True)

    def _walk(
        self, selections: SelectionSetNode | None, depth: int, *, counted: bool, is_root: bool
    ) -> None:
        here: dict[str, Any] = {"counted": counted, "is_root": is_root}
        for node in selections.selections if selections is not None else ():
            self.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                self.aliases += node.alias is not None
                self.root_fields += is_root
                self.depth = max(self.depth, depth + 1 if counted else 0)
                below = counted and node.name.value not in INTROSPECTION
                self._walk(node.selection_set, depth + 1, counted=below, is_root=False)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                self.directives += len(fragment.directives or ())
                self._walk(fragment.selection_set, depth, **here)
            else:
                self._walk(getattr(node, "selection_set"), depth, **here)  # noqa: B009 # inline


@given(documents())
def test_counts_are_equal_to_those_of_the_expanded_document(text: str) -> None:
    full = ExpandedCounts(parse(text))

    assert counts_of(text) == DocumentCounts(
        full.depth, full.aliases, full.root_fields, full.directives
    )


def test_fragments_that_double_are_counted_without_expanding_them() -> None:
    fragments = [f"fragment F{n} on T {{ ...F{n + 1} ...F{n + 1} }}" for n in range(100)]

    counts = counts_of("{ ...F0 } " + " ".join(fragments) + " fragment F100 on T { a: x @b }")

    assert counts == DocumentCounts(1, 2**100, 2**100, 2**100)


def test_recursive_and_missing_fragments_count_as_empty() -> None:
    ring = "{ ...A ...Nowhere } fragment A on T { a: x ...B } fragment B on T { b: x ...A }"

    assert counts_of(ring) == DocumentCounts(1, 2, 2, 0)


def test_each_operation_is_counted_separately() -> None:
    two = "query A { x { x } } query B { a: x ...F } fragment F on T { b: x }"

    assert count(parse(two)) == [DocumentCounts(2, 0, 1, 0), DocumentCounts(1, 2, 2, 0)]
