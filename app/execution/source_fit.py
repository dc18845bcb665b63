"""Whether the settings of sources fit the records that ``User`` reads. Pure."""

from collections.abc import Iterator

from app.schema.user import specs
from app.settings.nested import Keys, value_at
from app.sources.endpoints import misfits


def misfits_in(values: object) -> Iterator[tuple[Keys, str]]:
    """Find what does not fit in the settings of sources.

    Args:
        values: All settings, nested as in the file.

    Yields:
        The keys of each mistake, and what is wrong.
    """
    for name, spec in specs().items():
        place: Keys = ("sources", name)
        for mistake in misfits(spec, value_at(values, place)):
            yield (*place, *mistake.keys), mistake.what
