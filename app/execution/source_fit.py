"""Whether the settings of sources fit the records that ``User`` reads. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.schema.fields import Vocabulary
from app.schema.user import lists, specs, vocabularies
from app.settings.nested import Keys, as_table, value_at
from app.sources.base import SourceSpec
from app.sources.endpoints import misfits
from app.sources.lists.contract import list_misfits
from app.sources.mapping.row_mapper import MappingMistake, name_in_json


def misfits_in(values: object) -> Iterator[tuple[Keys, str]]:
    """Find what does not fit in the settings of sources.

    Args:
        values: All settings, nested as in the file.

    Yields:
        The keys of each mistake, and what is wrong.
    """
    pages, enums = lists(), vocabularies()
    for name, spec in specs().items():
        place: Keys = ("sources", name)
        own = value_at(values, place)
        for mistake in (
            *misfits(spec, own),
            *_wrong_words(spec, enums.get(name, {}), own),
            *list_misfits(pages.get(name, {}), name, own),
        ):
            yield (*place, *mistake.keys), mistake.what


def _wrong_words(
    spec: SourceSpec[Any], enums: Mapping[str, type[Vocabulary]], values: object
) -> Iterator[MappingMistake]:
    """Find words for a field in the settings of a source that the field's public enum lacks."""
    parts = as_table(value_at(values, ("endpoints",))) or {}
    for part in ((), *(("endpoints", name) for name in parts)):
        for field, enum in enums.items():
            for name in {field, name_in_json(spec, field)}:
                words = as_table(value_at(values, (*part, "words", name))) or {}
                places: Mapping[tuple[str, ...], object] = {
                    ("defaults", name): value_at(values, (*part, "defaults", name)),
                    **{("words", name, word): value for word, value in words.items()},
                }
                for keys, word in places.items():
                    if isinstance(word, str) and (what := enum.wrong_word(word)) is not None:
                        yield MappingMistake((*part, *keys), what)
