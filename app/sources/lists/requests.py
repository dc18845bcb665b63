"""The request of an upstream page, by the settings of its list. Pure."""

from dataclasses import replace

from app.expressions.template import KEY
from app.settings.lists import ListSettings, PagingWay
from app.settings.source import SourceSettings
from app.sources.base import UserId
from app.sources.mapping.paging import with_parameter
from app.sources.mapping.requests import UpstreamRequest, each_encoder

MAX_DIGITS = 15
"""The longest number of a page or of an item that is requested."""


class ListEncoder:
    """Encodes the requests of one list.

    Args:
        settings: The settings of the list.
        source: The settings of its source.
    """

    def __init__(self, settings: ListSettings, source: SourceSettings) -> None:
        self._settings = settings
        self._encoder = each_encoder(settings.request, source)
        self.absent = (
            frozenset({404})
            if self._encoder.request.has_place_in_path and 404 not in settings.status  # noqa: PLR2004 # "not found"
            else frozenset[int]()
        )

    def accepts(self, cursor: str | None) -> bool:
        """Return whether a position can be one of this list.

        Args:
            cursor: The cursor in the position, which a client sent.

        Returns:
            False if it is not a number although pages are requested by numbers.
        """
        if cursor is None or not self._settings.way.counts:
            return True
        return cursor.isascii() and cursor.isdecimal() and len(cursor) <= MAX_DIGITS

    def encode(self, user: UserId, cursor: str | None, size: int) -> UpstreamRequest | None:
        """Encode the request of an upstream page.

        Args:
            user: The key of the user.
            cursor: The cursor of the page; ``None`` for the first page. If pages have numbers, it
                is the page's number. If they are requested by offset, it is the number of items
                before the page.
            size: The maximum number of items of the page.

        Returns:
            The request; ``None`` if the key or the cursor cannot be written in it.
        """
        encoded = self._encoder.encode([user])
        if not encoded.sent:
            return None
        [request] = encoded.sent
        target = self._target(request.target, cursor, size)
        return None if target is None else replace(request, target=target)

    def example(self, size: int | None) -> str:
        """Write the request of a first page for people.

        Args:
            size: The maximum number of items; ``None`` if it is not known.

        Returns:
            Path and query, with ``{key}`` in place of the user, and ``…`` in place of a size that
            is not known.
        """
        whole = f"{self._encoder.before}{KEY}{self._encoder.after}"
        target = self._target(whole, None, size) or whole
        parameter = self._settings.page_size_parameter
        if size is not None or parameter is None:
            return target
        return f"{target}{'&' if '?' in target else '?'}{parameter}=…"

    def _target(self, target: str, cursor: str | None, size: int | None) -> str | None:
        """Add the parameters of a page to a target; ``None`` if they cannot be written."""
        settings = self._settings
        pairs: list[tuple[str | None, str]] = []
        if size is not None:
            pairs.append((settings.page_size_parameter, str(size)))
        match settings.way:
            case PagingWay.PAGE:
                pairs.append((settings.page_parameter, cursor or str(settings.first_page)))
            case PagingWay.OFFSET:
                number = int(cursor or 0) + settings.first_offset
                pairs.append((settings.offset_parameter, str(number)))
            case _ if cursor is not None:
                pairs.append((settings.cursor_parameter, cursor))
            case _:
                pass
        whole: str | None = target
        for parameter, value in pairs:
            if parameter is not None and whole is not None:
                whole = with_parameter(whole, parameter, value)
        return whole
