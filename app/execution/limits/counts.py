"""The text of a document, and how much there is in it, counted before it is validated.

The text of a document, and where its lines begin.

How much there is in a document: counted by one walk over it, before it is validated.

What an operation has is counted as if its fragments stood in it in full, as often as they are
spread. Each fragment is nevertheless looked at once, and nothing here calls itself: a document of
fragments that spread each other twice, a hundred deep, has 2^100 fields and takes a millisecond.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    Token,
)
from graphql.language import SourceLocation

_LINE_END = re.compile(r"\r\n|[\n\r]")


class IndexedSource(Source):
    """A document's text that knows where its lines begin.

    graphql-core looks for them from the start of the text for each error anew: with many lines and
    many errors that takes seconds.
    """

    def get_location(self, position: int) -> SourceLocation:
        """Find the line and the column of a position.

        Args:
            position: How many characters come before it.

        Returns:
            Line and column, counted from 1.
        """
        starts, ends = self._lines
        before = bisect_left(starts, position)
        return SourceLocation(before + 1, position + 1 - (ends[before - 1] if before else 0))

    @cached_property
    def _lines(self) -> tuple[list[int], list[int]]:
        """Find where the breaks between lines start and end."""
        breaks = [match.span() for match in _LINE_END.finditer(self.body)]
        return [start for start, _ in breaks], [end for _, end in breaks]


def unlink_tokens(token: Token) -> int:
    """Take the tokens of a document out of the chain in which the parser leaves them.

    Each knows the one before and the one after it: a document that is dropped would be freed by
    nothing but a full run of the garbage collector, which is rare (``server/process.py``).

    Args:
        token: Any of them.

    Returns:
        How many there are.
    """
    while token.prev is not None:
        token = token.prev
    count, following = 1, token.next
    while following is not None:
        count += 1
        token.next = following.prev = None
        token, following = following, following.next
    return count


INTROSPECTION = frozenset({"__schema", "__type"})
"""The fields below which depth is not counted: their types refer to themselves."""


@dataclass(frozen=True, slots=True)
class DocumentCounts:
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
class _FragmentCounts:
    """What stands in a definition itself, and the fragments that it spreads."""

    counts: DocumentCounts
    spreads: tuple[_Spread, ...]


def count(document: DocumentNode) -> list[DocumentCounts]:
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
    totals: dict[str, DocumentCounts] = {}
    for name in _inner_first(fragments):
        totals[name] = _total(fragments[name], totals)
    return [
        _total(_own(one), totals)
        for one in document.definitions
        if isinstance(one, OperationDefinitionNode)
    ]


def _own(definition: OperationDefinitionNode | FragmentDefinitionNode) -> _FragmentCounts:
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
    return _FragmentCounts(DocumentCounts(depth, aliases, root_fields, directives), tuple(spreads))


def _inner_first(fragments: Mapping[str, _FragmentCounts]) -> Iterable[str]:
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


def _total(own: _FragmentCounts, totals: Mapping[str, DocumentCounts]) -> DocumentCounts:
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
    return DocumentCounts(depth, aliases, root_fields, directives)
