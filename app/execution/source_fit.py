"""Whether the settings of sources fit the records that ``User`` reads. Pure."""

from collections.abc import Iterator

from app.schema.default import DEFAULT_SCHEMA
from app.settings.nested import Keys, value_at
from app.sources.endpoints import misfits
from app.sources.lists.contract import list_misfits


def misfits_in(values: object) -> Iterator[tuple[Keys, str]]:
    """Find what does not fit in the settings of sources.

    Args:
        values: All settings, nested as in the file.

    Yields:
        The keys of each mistake, and what is wrong.
    """
    pages = DEFAULT_SCHEMA.lists
    for name, spec in DEFAULT_SCHEMA.sources.items():
        place: Keys = ("sources", name)
        own = value_at(values, place)
        for mistake in (*misfits(spec, own), *list_misfits(pages.get(name, {}), name, own)):
            yield (*place, *mistake.keys), mistake.what
