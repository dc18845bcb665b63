"""Which media type a client wants. Pure."""

from functools import lru_cache

from app.http.answers import GRAPHQL_JSON, JSON

HTML = "text/html"

LONGEST = 512
"""How many characters a value has at most that is remembered; those of browsers have 150."""

_OFFERS = {
    JSON: (JSON, "application/*", "*/*"),
    GRAPHQL_JSON: (GRAPHQL_JSON, "application/*", "*/*"),
}


def negotiate(accept: str | None) -> str | None:
    """Choose between the media types of a GraphQL answer (RFC 9110, section 12.5.1).

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        The type that the client likes best; plain JSON where it likes both the same and names
        neither before the other; ``None`` when it wants neither.
    """
    # What is longer is not remembered: it would be for the client to say how much that is.
    return _chosen(accept) if accept is None or len(accept) <= LONGEST else _choose(accept)


def _choose(accept: str | None) -> str | None:
    """Choose between the media types of a GraphQL answer."""
    if not accept or not accept.strip():
        return JSON
    ranges = _ranges(accept)
    best: tuple[float, int] = (0.0, 0)
    chosen = None
    for offer, matches in _OFFERS.items():
        named = [match for match in matches if match in ranges]
        if not named:
            continue
        quality, place = ranges[named[0]]  # the most specific one counts
        exact = 1 if named[0] == offer else 0
        if quality > 0 and (quality, exact * 1000 - place) > best:
            best, chosen = (quality, exact * 1000 - place), offer
    return chosen


_chosen = lru_cache(maxsize=256)(_choose)
"""The same, remembered: clients have few ways to say it, and say it with every request."""


def prefers_html(accept: str | None) -> bool:
    """Tell a browser that wants a page from a client that wants data.

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        Whether HTML is named, and no type of a GraphQL answer is liked as much.
    """
    ranges = _ranges(accept or "")
    html, _ = ranges.get(HTML, (0.0, 0))
    return html > max(ranges.get(one, (0.0, 0))[0] for one in (JSON, GRAPHQL_JSON))


def _ranges(accept: str) -> dict[str, tuple[float, int]]:
    """Read an ``Accept`` header.

    Args:
        accept: Its value.

    Returns:
        Quality and place of each media range, by its name in lower case.
    """
    ranges: dict[str, tuple[float, int]] = {}
    for place, entry in enumerate(accept.split(",")):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        ranges.setdefault(name, (quality, place))
    return ranges
