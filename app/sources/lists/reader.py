"""From a response to an upstream page of a list: its items, and whether more follow. Pure.

A page is the last one only if the response shows it. ``UpstreamPage.more`` is ``None`` if nothing
shows it; then the next page is read, and an empty page is the end.
"""

from collections.abc import Sequence
from decimal import localcontext
from typing import Generic, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from app.errors import MalformedError, SourceFailure
from app.expressions.expression import (
    EXACT,
    EvaluationError,
    ResponseFacts,
    path_expression,
)
from app.settings.lists import ListSettings, PagingWay
from app.settings.response import MoreSettings
from app.sources.base import PageSpec, Record, UserId
from app.sources.failures import failure_of_status, meaning_of
from app.sources.lists.contract import named_in_full
from app.sources.mapping.contract import Observer, RowDamage
from app.sources.mapping.decoding import BY_LIBRARIES, PageDecoder, ReadMethods
from app.sources.mapping.paging import (
    NextPage,
    PageSigns,
    cursor_of_row,
    signs_of,
)
from app.sources.mapping.row_mapper import ObservedRowMapper, RowMapper, name_in_json
from app.sources.mapping.rows import RawAnswer
from app.sources.mapping.scan import ScannedDocument, is_text

R = TypeVar("R", bound=Record)

MAX_CURSOR = 2_048
"""Maximum length of a cursor. Cursors of the public connection contain it."""


class UpstreamPage(Struct, Generic[R]):
    """A page of the service.

    Attributes:
        items: The items, in the source's order.
        keys: The keys of the items.
        cursors: For each item, the cursor of the page after it; empty if items have none.
        more: Whether items follow; ``None`` if nothing in the response shows it.
        cursor: The cursor of the next page; ``None`` if there is none, if it is not known, or if
            the gateway counts pages itself.
        sign: What shows that more items follow, for messages.
    """

    items: Sequence[R]
    keys: Sequence[str]
    cursors: Sequence[str] = ()
    more: bool | None = False
    cursor: str | None = None
    sign: str = ""


class MalformedPage(Struct, frozen=True):
    """A page with a list of items, in which something does not fit the contract.

    The problem concerns one user, so the circuit breaker of the service must not count it.

    Attributes:
        detail: What does not fit, without any values.
    """

    detail: str


class _Extent(Struct, frozen=True):
    """Whether items follow a page; the attributes are those of ``UpstreamPage``."""

    more: bool | None
    cursor: str | None = None
    sign: str = ""


_END = _Extent(more=False)

_NEXT_PAGE = "a next page"
"""The sign of a response that names the next page."""

_SIGNS = frozenset({"link", "content-range"})
"""The headers that may show whether more items follow."""

_NAMED = PagingWay.NAMED


def checked_cursor(cursor: str) -> str:
    """Check a cursor of a source.

    Args:
        cursor: The cursor.

    Returns:
        The cursor, which can be requested and written.

    Raises:
        MalformedError: It is empty, too long, or no text.
    """
    if not cursor.strip() or not is_text(cursor) or len(cursor) > MAX_CURSOR:
        raise MalformedError(
            f"expected a cursor of 1 to {MAX_CURSOR:,} characters, got {len(cursor):,}"
        )
    return cursor


class PageReader(Generic[R]):
    """Reads the pages of one list.

    Args:
        spec: The list.
        settings: Its settings.
        observer: Called for each item with how it was made; ``None`` for no observer.
        lenient: Whether ``null`` in place of the items is an empty list. Some services write one in
            this way. The default contract does not allow it.
        methods: How responses are decoded and expressions evaluated.

    Raises:
        MappingError: The settings do not fit the items. It has all mistakes.
    """

    def __init__(
        self,
        spec: PageSpec[R],
        settings: ListSettings,
        observer: Observer | None = None,
        *,
        lenient: bool = True,
        methods: ReadMethods = BY_LIBRARIES,
    ) -> None:
        self._name = spec.name
        self._settings = settings
        self._way = settings.way
        self._answer = settings.answer
        self._more = settings.more
        self._lenient = lenient
        named = named_in_full(spec)
        self._mapper = (
            RowMapper(named, settings, methods=methods)
            if observer is None
            else ObservedRowMapper(named, settings, observer)
        )
        self._key = name_in_json(spec, spec.key)
        self._numbers = spec.numbers or self._mapper.key is not None
        self._key_expression = self._mapper.key or self._mapper.compiled(
            path_expression((self._key,))
        )
        self._key_name = spec.key
        self._decode = None if observer is not None else self._decoder(spec, methods)

    def read(
        self, answer: RawAnswer, cursor: str | None, size: int
    ) -> UpstreamPage[R] | MalformedPage | SourceFailure | None:
        """Read a response.

        Args:
            answer: The response.
            cursor: The cursor of the requested page; ``None`` for the first one.
            size: The requested number of items.

        Returns:
            The page, or what does not fit in it. ``None`` if the source does not know the user;
            only the first page can show that. A failure if a later page does not exist.

        Raises:
            MalformedError: The response as a whole does not fit the settings.
        """
        meaning = meaning_of(answer.status, self._answer)
        if meaning == "absent":
            return None if cursor is None else failure_of_status(self._name, answer.status, None)
        if self._decode is not None and meaning == "rows":
            page = self._decoded(self._decode, answer)
            if page is not None:
                return page
        document = self._mapper.scan(answer.body, self._answer)
        if document.rows is None or (document.null and not self._lenient):
            signs = signs_of(document, answer.headers, self._more)
            if signs.total != 0:  # some services omit an empty list
                raise MalformedError(f"expected a list of items{self._place()}, got nothing")
        with localcontext(EXACT):
            try:
                return self._page(document, answer, cursor, size, partial=meaning == "partial")
            except MalformedError as error:
                return MalformedPage(str(error))

    def _decoder(self, spec: PageSpec[R], methods: ReadMethods) -> PageDecoder[R] | None:
        """Return the decoder of pages that are an object with the items and a cursor beside them.

        There is none if items are mapped, or if anything else shows whether more items follow.
        """
        settings, more = self._settings, self._more
        if settings.fields or settings.words or settings.defaults or self._way is not _NAMED:
            return None
        if MoreSettings(next_cursor=settings.next_cursor) != more:
            return None
        match (settings.rows, settings.next_cursor):
            case ((str(items),), (str(cursor),)):
                return methods.pages(spec.record, items, cursor)
            case _:
                return None

    def _decoded(self, decode: PageDecoder[R], answer: RawAnswer) -> UpstreamPage[R] | None:
        """Return the page that a decoder makes of a response; ``None`` if it cannot.

        So each page that is malformed, or is not usual, is read in one way only.
        """
        if not _SIGNS.isdisjoint(answer.headers):
            return None
        page = decode(answer.body)
        if page is None or len(page.items) > self._answer.max_rows:
            return None
        keys: list[object] = [getattr(item, self._key_name) for item in page.items]
        if any(type(key) is not str for key in keys):
            return None
        cursor = page.cursor
        if cursor is None or not cursor.strip():
            return UpstreamPage(page.items, cast("list[str]", keys))
        if len(cursor) > MAX_CURSOR:
            return None
        return UpstreamPage(
            page.items, cast("list[str]", keys), more=True, cursor=cursor, sign=_NEXT_PAGE
        )

    def _page(
        self,
        document: ScannedDocument,
        answer: RawAnswer,
        cursor: str | None,
        size: int,
        *,
        partial: bool,
    ) -> UpstreamPage[R]:
        """Return the page that a document is."""
        rows = document.rows or ()
        cursors: list[str] = []
        if self._settings.row_cursor is not None:
            cursors = [
                checked_cursor(cursor_of_row(row, self._settings.row_cursor)) for row in rows
            ]
        if document.ended:
            signs = signs_of(document, answer.headers, self._more)
            extent = self._shown(signs) or self._counted(
                len(rows), signs, cursor, size, partial=partial
            )
        else:
            extent = _Extent(more=True, sign=f"more than {len(rows):,} items in one answer")
        following = extent.cursor
        if cursors and extent.more is not False:
            following = cursors[-1]
        facts = ResponseFacts(answer.status, answer.headers)
        keys = [self._key_of(row, facts) for row in rows]
        items = self._items(rows, keys, facts)
        return UpstreamPage(
            items, [key for key, _ in keys], cursors, extent.more, following, extent.sign
        )

    def _shown(self, signs: PageSigns) -> _Extent | None:
        """Return whether items follow, if the response says so in words; else ``None``."""
        if signs.following is not None:
            cursor = self._cursor_in(signs.following)
            return _Extent(more=True, cursor=cursor, sign=_NEXT_PAGE)
        if signs.has_more:
            return _Extent(more=True, sign="`has_more`")
        part = signs.part
        if part is not None and part.after is not None and part.total is not None:
            return _Extent(more=True, sign="`Content-Range`") if part.after < part.total else _END
        return _END if signs.has_more is False else None

    def _counted(
        self, count: int, signs: PageSigns, cursor: str | None, size: int, *, partial: bool
    ) -> _Extent:
        """Return whether items follow, by the number of items and by the status."""
        # ``Content-Range`` may give the number, too, for a page of any way.
        if signs.total is not None and (self._settings.total is not None or cursor is None):
            return self._by_total(count, signs.total, cursor, size)
        if partial:
            return _Extent(more=True, sign="its status")
        if self._way is PagingWay.NAMED:
            return _END
        if self._way is not PagingWay.WHOLE:
            return _Extent(more=None)
        if self._settings.page_size_parameter is not None and count >= size:
            return _Extent(more=True, sign=f"{count:,} items, as many as there may be")
        return _END

    def _by_total(self, count: int, total: int, cursor: str | None, size: int) -> _Extent:
        """Return whether items follow, by the number of items on all pages."""
        first = self._settings.first_page
        before = 0
        if self._way is PagingWay.PAGE:
            before = (int(cursor or first) - first) * size
        elif self._way is PagingWay.OFFSET:
            before = int(cursor or 0)
        if before + count >= total:
            return _END
        if self._way is PagingWay.PAGE and count < size:
            raise MalformedError(
                f"expected a page of {size:,} items, because more follow, got {count:,}: the"
                " service seems not to accept this `max_page_size`"
            )
        return _Extent(more=True, sign=f"{total:,} items in all")

    def _cursor_in(self, page: NextPage) -> str | None:
        """Return the cursor of a next page; ``None`` if the gateway cannot request it."""
        if self._way.counts or self._way is PagingWay.ROW:
            return None
        if page.cursor is not None:
            return checked_cursor(page.cursor)
        found = _parameter_of(page.url or "", self._settings.cursor_parameter)
        return None if found is None else checked_cursor(found)

    def _items(
        self, rows: Sequence[object], keys: Sequence[tuple[str, str]], facts: ResponseFacts
    ) -> Sequence[R]:
        """Return the items. Each key comes with what is wrong with it."""
        users = [UserId(key) for key, _ in keys]
        made = self._mapper.records(rows, users, facts)
        if not any(wrong for _, wrong in keys) and RowDamage not in map(type, made):
            return cast("Sequence[R]", made)
        items: list[R] = []
        for item, (_, wrong) in zip(made, keys, strict=True):
            if not wrong and not isinstance(item, RowDamage):
                items.append(item)
                continue
            place = ".".join(str(step) for step in (*self._settings.rows, len(items)))
            raise MalformedError(f"{place}.{wrong or cast('RowDamage[R]', item).text}")
        return items

    def _key_of(self, row: object, facts: ResponseFacts) -> tuple[str, str]:
        """Return the key of an item, and what is wrong with it."""
        try:
            key = self._key_expression.evaluate(row, facts)
        except EvaluationError as error:
            return "", f"{self._key}: {error}"
        if self._numbers and type(key) is int:
            return str(key), ""
        if isinstance(key, str) and is_text(key):
            return key, ""
        kind = "nothing" if key is None else "something else"
        return "", f"{self._key}: expected text, got {kind}"

    def _place(self) -> str:
        """Return the path of the items for a message."""
        rows = self._settings.rows
        return f" at {' → '.join(map(str, rows))}" if rows else ""


def _parameter_of(url: str, name: str) -> str | None:
    """Return a query parameter of an address; ``None`` if it has none."""
    try:
        pairs = parse_qsl(urlsplit(url).query, errors="strict")
    except ValueError:
        return None
    return next((value for one, value in pairs if one == name), None)
