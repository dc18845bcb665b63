"""Counts of a document, made by one walk before it is validated; and the index of its lines.

An operation is counted as if its fragments were written out, as often as they are spread. Still,
each fragment is visited once, and no function here is recursive: a document of fragments that
spread each other twice, a hundred deep, has 2^100 fields and takes a millisecond.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
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
from msgspec import Struct

_LINE_END = re.compile(r"\r\n|[\n\r]")


class IndexedSource(Source):
    """The text of a document, with an index of its lines.

    For each error, graphql-core searches for the lines from the start of the text. With many lines
    and many errors this takes seconds.
    """

    def get_location(self, position: int) -> SourceLocation:
        """Find the line and the column of a position.

        Args:
            position: The number of characters before it.

        Returns:
            Line and column, counted from 1.
        """
        starts, ends = self._lines
        before = bisect_left(starts, position)
        return SourceLocation(before + 1, position + 1 - (ends[before - 1] if before else 0))

    @cached_property
    def _lines(self) -> tuple[list[int], list[int]]:
        """Find the starts and the ends of all line breaks."""
        breaks = [match.span() for match in _LINE_END.finditer(self.body)]
        return [start for start, _ in breaks], [end for _, end in breaks]


def unlink_tokens(token: Token) -> int:
    """Unlink the tokens of a document from each other.

    The parser links each token to the one before and the one after it. By these reference cycles,
    only a full run of the garbage collector would free a document, and those are rare
    (``server/collector.py``).

    Args:
        token: Any token of the document.

    Returns:
        The number of tokens.
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
"""The fields inside which depth is not counted: their types refer to themselves."""


class DocumentCounts(Struct, frozen=True):
    """Counts of an operation or a fragment.

    Attributes:
        depth: The depth of the deepest field.
        aliases: The number of fields with an alias.
        root_fields: The number of fields that are not inside another field.
        directives: The number of directives.
    """

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    directives: int = 0


class _Spread(Struct, frozen=True):
    """A fragment spread.

    Attributes:
        name: The name of the fragment.
        level: The number of fields around it; ``None`` where depth is not counted.
    """

    name: str
    level: int | None


class _FragmentCounts(Struct, frozen=True):
    """The counts of a definition without its fragments, and the fragments that it spreads."""

    counts: DocumentCounts
    spreads: tuple[_Spread, ...]


def count(document: DocumentNode) -> list[DocumentCounts]:
    """Count each operation of a document.

    Args:
        document: The document. It may be invalid: a missing fragment, or one inside itself, counts
            as empty.

    Returns:
        The counts of the operations, in the order of the document.
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
    """Count a definition without the fragments that it spreads."""
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
                    pass  # there are no other selections
    return _FragmentCounts(DocumentCounts(depth, aliases, root_fields, directives), tuple(spreads))


def _inner_first(fragments: Mapping[str, _FragmentCounts]) -> Iterable[str]:
    """Sort fragments so that each comes after those that it spreads, unless there are cycles."""
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
    """Add the counts of the fragments that a definition spreads."""
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
