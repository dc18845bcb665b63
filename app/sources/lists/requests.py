"""The request of an upstream page, by the settings of its list. Pure."""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from app.expressions.places import KEY
from app.settings.lists import ListSettings, PagingWay
from app.settings.source import SourceSettings
from app.sources.base import UserId
from app.sources.mapping.paging import with_parameter
from app.sources.mapping.requests import UpstreamRequest, encoder_for

MAX_DIGITS = 15
"""The longest number of a page or of an item that is requested."""

_SAMPLE = UserId("7302195846103729481")
"""A key that can be written everywhere, and that is nowhere else in a request."""

_SAMPLE_SIZE = 730_219_584
"""A number of items that is nowhere else in a request."""


class ListEncoder:
    """Encodes the requests of one list.

    Args:
        settings: The settings of the list.
        source: The settings of its source.

    Attributes:
        absent: Statuses that mean "no such user", besides those of the settings.
        method: The HTTP method of the requests.
    """

    def __init__(self, settings: ListSettings, source: SourceSettings) -> None:
        self._settings = settings
        # The settings of the list, not of the source, say what a status means.
        own = source.model_copy(update={"answer": settings.answer})
        self._encoder = encoder_for(settings.request, own)
        self._way = settings.way
        self.absent = self._encoder.absent
        self.method = self._encoder.method

    def accepts(self, cursor: str | None) -> bool:
        """Return whether a position can be one of this list.

        Args:
            cursor: The cursor in the position, which a client sent.

        Returns:
            False if it is not a number although pages are requested by numbers.
        """
        if cursor is None or not self._way.counts:
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
        request = self._encoder.encode_one(user)
        if request is None:
            return None
        pairs = self._page(cursor, size)
        if request.body:
            body = json.dumps({**json.loads(request.body), **dict(pairs)}, separators=(",", ":"))
            return replace(request, body=body.encode("ascii"))
        target: str | None = request.target
        for name, value in pairs:
            target = None if target is None else with_parameter(target, name, str(value))
        if target is None:
            return None
        # The encoder has made the request for this call alone.
        request.target = target
        return request

    def example(self, size: int | None) -> str:
        """Write the request of a first page for people.

        Args:
            size: The maximum number of items; ``None`` if it is not known.

        Returns:
            Path and query, with ``{key}`` in place of the user, and ``…`` in place of a size that
            is not known.
        """
        request = self.encode(_SAMPLE, None, size or _SAMPLE_SIZE)
        if request is None:
            return self._settings.path
        return request.target.replace(_SAMPLE, KEY).replace(str(_SAMPLE_SIZE), "…")

    def _page(self, cursor: str | None, size: int) -> Sequence[tuple[str, str | int]]:
        """Return the parameters of a page, by their names."""
        settings = self._settings
        pairs: list[tuple[str | None, str | int]] = [(settings.page_size_parameter, size)]
        match self._way:
            case PagingWay.PAGE:
                pairs.append((settings.page_parameter, int(cursor or settings.first_page)))
            case PagingWay.OFFSET:
                number = int(cursor or 0) + settings.first_offset
                pairs.append((settings.offset_parameter, number))
            case _ if cursor is not None:
                pairs.append((settings.cursor_parameter, cursor))
            case _:
                pass
        return [(name, value) for name, value in pairs if name is not None]
