"""A page of any size, from any position, built of the pages of a service. Pure.

A position is a request and the key of an item: the public cursor of the item has both. A page that
begins after an item is read from the request with which the item was found; the items up to it are
left out. So a position stays right if new items come before it. By offset, the request begins at
the item itself. If the page begins where an upstream page does, the position is the cursor alone.

New items before a page that the gateway counts move old items to it. If the last item so far is on
the next page, too, the page goes on after it.
"""

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from msgspec import Struct

from app.errors import MalformedError
from app.settings.lists import ListSettings, PagingWay
from app.sources.base import (
    Page,
    PageItem,
    PageRequest,
    PageTrail,
    Position,
    PositionGone,
    Record,
)
from app.sources.lists.reader import UpstreamPage

R = TypeVar("R", bound=Record)

_START = Position(cursor=None, item=None)
"""The start of a list."""

READ_BEFORE = "the next page is one that was read before"


class PageRules(Struct, frozen=True):
    """What the settings of a list say about its pages. It is read once, and used for each page.

    Attributes:
        way: How the next page is requested.
        counts: Whether pages are requested by numbers that the gateway counts itself.
        shows_end: Whether each answer shows whether more items follow.
        most: The most items of an upstream page.
        first: The number of the first upstream page.
    """

    way: PagingWay
    counts: bool
    shows_end: bool
    most: int
    first: int

    @classmethod
    def of(cls, settings: ListSettings) -> Self:
        """Read the settings of a list.

        Args:
            settings: The settings.

        Returns:
            The rules.
        """
        return cls(
            way=settings.way,
            counts=settings.way.counts,
            shows_end=settings.shows_end,
            most=settings.max_page_size,
            first=settings.first_page,
        )


class _Found(Struct, frozen=True):
    """The items of an upstream page that belong to the page.

    Attributes:
        start: Index of the first one.
        end: Index after the last one.
        searched: Whether the item after which the page begins has not been found.
        moved: Whether that item is not where it was.
    """

    start: int
    end: int
    searched: bool
    moved: bool


class PageBuilder(Generic[R]):
    """Builds a page of any size, from any position, of upstream pages.

    Args:
        request: The page.
        rules: What the settings of the list say.

    Attributes:
        cursor: The cursor of the next upstream page that is needed.
        items: The items of the page so far.
    """

    def __init__(self, request: PageRequest, rules: PageRules) -> None:
        position = request.after or _START
        self.cursor = position.cursor
        self.items: list[PageItem[R]] = []
        self._first = request.first
        self._rules = rules
        self._way = rules.way
        self._wanted = position.item
        self._last: str | None = None
        self._trail = position.trail
        self._before: Sequence[str] = ()

    @property
    def size(self) -> int:
        """How many items to request from the service."""
        most, way = self._rules.most, self._way
        searching = self._wanted is not None
        # By offset, a page begins at the item after which the wanted ones are.
        at_item = way is PagingWay.OFFSET and not (searching and self._before)
        whole = way is PagingWay.PAGE or way is PagingWay.WHOLE
        if whole or (searching and not at_item):
            return most  # the item has to be found first, so the upstream page is long
        needed = self._first - len(self.items)
        if at_item and (searching or self._last is not None):
            needed += 1
        if not self._rules.shows_end:
            needed += 1  # it shows whether more follow
        return max(1, min(most, needed))

    def add(self, upstream: UpstreamPage[R]) -> Page[R] | PositionGone | None:
        """Add the wanted items of an upstream page.

        Args:
            upstream: The page at ``cursor``.

        Returns:
            The complete page, or that its position is gone; ``None`` if the next upstream page is
            needed.

        Raises:
            MalformedError: The next upstream page is one that was read before, or cannot be
                requested.
        """
        self._check_progress(upstream)
        found = self._take(upstream)
        if found.end < len(upstream.keys) and not found.searched:
            self._end_at_row(upstream, found)
            return Page(tuple(self.items), has_next=True)
        more = upstream.more
        if more is None and not upstream.keys:
            more = False
        elif more is False and found.moved:
            more = None  # new items before it moved it, or the service ignores the offset
        if more is False:
            if found.searched:
                return PositionGone()
            return Page(tuple(self.items), has_next=False)
        full = len(self.items) == self._first
        following = self._following(upstream)
        if following is None:
            if full and not found.searched:
                return Page(tuple(self.items), has_next=True)
            raise MalformedError(
                f"the list was cut off, as told by {upstream.sign}, and the next page is not known"
            )
        trail = self._next_trail(following)
        if found.start < found.end and not self._rules.counts:
            self.items[-1] = PageItem(self.items[-1].item, Position(following, None, trail))
        if full and more:
            return Page(tuple(self.items), has_next=True)
        self.cursor, self._trail = following, trail
        self._before = upstream.keys or self._before
        return None

    def _check_progress(self, upstream: UpstreamPage[R]) -> None:
        """Detect a service that ignores the parameter of the page.

        If the gateway counts pages, their numbers never repeat, so the items are compared.
        """
        keys, before = upstream.keys, self._before
        # If one item alone came before, a longer page may begin with it because of a new one.
        if (
            self._rules.counts
            and before[:1] == keys[:1] != []
            and (len(before) > 1 or len(keys) == 1)
        ):
            raise MalformedError(READ_BEFORE)
        if self.cursor is not None and self.cursor in upstream.cursors:
            raise MalformedError("the page after an item has the item itself on it")

    def _take(self, upstream: UpstreamPage[R]) -> _Found:
        """Add the items that belong to the page."""
        keys, start, searched, moved = upstream.keys, 0, False, False
        if self._wanted is not None:
            searched = self._wanted not in keys
            start = len(keys) if searched else keys.index(self._wanted) + 1
            moved = self._way is PagingWay.OFFSET and start > 1
            if not searched:
                self._wanted = None
        elif self._last is not None and self._last in keys:
            start = keys.index(self._last) + 1
        end = min(len(keys), start + self._first - len(self.items))
        self.items += [
            PageItem(upstream.items[index], self._position(keys[index], index))
            for index in range(start, end)
        ]
        if self._rules.counts and keys and not searched:
            self._last = keys[-1]
        return _Found(start, end, searched, moved)

    def _position(self, key: str, index: int) -> Position:
        """Return the position after an item of the upstream page."""
        if self._way is PagingWay.OFFSET:
            return Position(str(int(self.cursor or 0) + index), key)
        return Position(self.cursor, key, self._trail)

    def _end_at_row(self, upstream: UpstreamPage[R], found: _Found) -> None:
        """Let the next page begin at the last item of this one, if that has a cursor."""
        if upstream.cursors and found.start < found.end:
            cursor = upstream.cursors[found.end - 1]
            position = Position(cursor, None, self._next_trail(cursor))
            self.items[-1] = PageItem(self.items[-1].item, position)

    def _following(self, upstream: UpstreamPage[R]) -> str | None:
        """Return the cursor of the next upstream page; ``None`` if it cannot be requested."""
        match self._way:
            case PagingWay.PAGE:
                return str(int(self.cursor or self._rules.first) + 1)
            case PagingWay.OFFSET:
                return str(int(self.cursor or 0) + len(upstream.keys)) if upstream.keys else None
            case _:
                return upstream.cursor

    def _next_trail(self, following: str) -> PageTrail:
        """Return the trail to the next upstream page."""
        if self._rules.counts:
            return self._trail  # numbers never repeat
        trail = self._trail.to(following)
        if following == self.cursor or trail is None:
            raise MalformedError(READ_BEFORE)
        return trail
