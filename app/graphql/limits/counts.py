"""How much there is in a document: counted by one walk over it, before it is validated.

What an operation has is counted as if its fragments stood in it in full, as often as they are
spread. Each fragment is nevertheless looked at once, and nothing here calls itself: a document of
fragments that spread each other twice, a hundred deep, has 2^100 fields and takes a millisecond.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

INTROSPECTION = frozenset({"__schema", "__type"})
"""The fields below which depth is not counted: their types refer to themselves."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is in an operation, or in a fragment.

    Attributes:
        depth: Of its deepest field.
        aliases: How many fields have an alias.
        root_fields: How many fields it selects itself, rather than in another field.
        directives: How many directives stand in it.
    """

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    directives: int = 0


@dataclass(frozen=True, slots=True)
class _Spread:
    """A fragment that is spread somewhere.

    Attributes:
        name: Its name.
        level: In how many fields it stands; ``None`` where depth is not counted.
    """

    name: str
    level: int | None


@dataclass(frozen=True, slots=True)
class _Own:
    """What stands in a definition itself, and the fragments that it spreads."""

    counts: Counts
    spreads: tuple[_Spread, ...]


def count(document: DocumentNode) -> list[Counts]:
    """Count what is in each operation of a document.

    Args:
        document: The document. It may be invalid: a fragment that is not there has nothing in it,
            and neither has one within itself.

    Returns:
        What is in the operations, in their order.
    """
    fragments = {
        one.name.value: _own(one)
        for one in document.definitions
        if isinstance(one, FragmentDefinitionNode)
    }
    totals: dict[str, Counts] = {}
    for name in _inner_first(fragments):
        totals[name] = _total(fragments[name], totals)
    return [
        _total(_own(one), totals)
        for one in document.definitions
        if isinstance(one, OperationDefinitionNode)
    ]


def _own(definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Own:
    """Count what stands in a definition itself."""
    depth = aliases = root_fields = 0
    directives = len(definition.directives or ()) + sum(
        len(one.directives or ()) for one in definition.variable_definitions or ()
    )
    spreads: list[_Spread] = []
    rest: list[tuple[SelectionSetNode | None, int | None]] = [(definition.selection_set, 0)]
    while rest:
        selection_set, level = rest.pop()
        for node in selection_set.selections if selection_set is not None else ():
            directives += len(node.directives or ())
            match node:
                case FieldNode():
                    aliases += node.alias is not None
                    root_fields += level == 0
                    below = None if level is None else level + 1
                    depth = max(depth, below or 0)
                    if node.name.value in INTROSPECTION:
                        below = None
                    rest.append((node.selection_set, below))
                case InlineFragmentNode():
                    rest.append((node.selection_set, level))
                case FragmentSpreadNode():
                    spreads.append(_Spread(node.name.value, level))
                case _:
                    pass  # there is nothing else
    return _Own(Counts(depth, aliases, root_fields, directives), tuple(spreads))


def _inner_first(fragments: Mapping[str, _Own]) -> Iterable[str]:
    """Order fragments so that each comes after those that it spreads, as far as that can be."""
    ordered: dict[str, None] = {}
    begun: set[str] = set()
    for first in fragments:
        rest = [(first, False)]
        while rest:
            name, is_last_visit = rest.pop()
            if is_last_visit:
                ordered[name] = None
            elif name not in begun and name in fragments:
                begun.add(name)
                rest.append((name, True))
                rest.extend((spread.name, False) for spread in fragments[name].spreads)
    return ordered


def _total(own: _Own, totals: Mapping[str, Counts]) -> Counts:
    """Add what is in the fragments that a definition spreads."""
    depth, aliases = own.counts.depth, own.counts.aliases
    root_fields, directives = own.counts.root_fields, own.counts.directives
    for spread in own.spreads:
        if (inner := totals.get(spread.name)) is None:
            continue
        aliases += inner.aliases
        directives += inner.directives
        if spread.level == 0:
            root_fields += inner.root_fields
        if spread.level is not None:
            depth = max(depth, spread.level + inner.depth)
    return Counts(depth, aliases, root_fields, directives)
