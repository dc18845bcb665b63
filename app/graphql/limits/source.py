"""The text of a document, and where its lines begin."""

import re
from bisect import bisect_left
from functools import cached_property

from graphql import Source, Token
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


def untie(token: Token) -> int:
    """Take the tokens of a document out of the chain in which the parser leaves them.

    Each knows the one before and the one after it: a document that is dropped would be freed by
    nothing but a full run of the garbage collector, which is rare (``process.py``).

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
