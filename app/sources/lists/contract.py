"""The settings of a list, by default those of the default contract; and whether they fit. Pure."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from msgspec.structs import replace
from pydantic import ValidationError

from app.settings.lists import ListSettings
from app.settings.nested import as_list, as_table
from app.settings.source import SourceSettings
from app.sources.base import PageSpec, Record
from app.sources.mapping.row_mapper import (
    MappingError,
    MappingMistake,
    RowMapper,
    by_field,
    name_in_json,
)

R = TypeVar("R", bound=Record)


def default_list(spec: PageSpec[Any]) -> ListSettings:
    """Return the settings that are the default contract of a list.

    Args:
        spec: The list.

    Returns:
        The settings: ``GET {path}?{parameter}=a&limit=20&cursor=…``, which answers ``{items: […],
        nextCursor?}``.
    """
    return ListSettings(
        path=spec.path,
        parameter=spec.parameter,
        page_size_parameter="limit",
        rows=("items",),
        next_cursor=("nextCursor",),
    )


def settings_of(spec: PageSpec[Any], settings: SourceSettings) -> ListSettings:
    """Return the settings of a list.

    Args:
        spec: The list.
        settings: The settings of its source.

    Returns:
        The settings in ``lists``; those of the default contract if there are none.
    """
    return settings.lists.get(spec.list) or default_list(spec)


def named_in_full(spec: PageSpec[R]) -> PageSpec[R]:
    """Return a list with the name of its source and its own: ``billing.invoices``.

    Args:
        spec: The list.

    Returns:
        The list under that name, for messages about its items.
    """
    return replace(spec, name=f"{spec.name}.{spec.list}")


def list_misfits(
    lists: Mapping[str, PageSpec[Any]], source: str, values: object
) -> Iterator[MappingMistake]:
    """Find settings of lists that do not fit the lists of a source.

    Args:
        lists: The lists of the source, by name.
        source: The name of the source.
        values: The settings of the source as they were read, which may be invalid.

    Yields:
        Each mistake.
    """
    table = as_table(values) or {}
    for name, value in (as_table(table.get("lists")) or {}).items():
        if name not in lists:
            what = f"is no list of {source}: {_hint(name, lists)}"
            yield MappingMistake(("lists", name), what, unknown=name)
            continue
        try:
            settings = ListSettings.model_validate(value)
        except ValidationError:
            continue  # reported with the other invalid values
        for mistake in field_mistakes(lists[name], settings):
            yield replace(mistake, keys=("lists", name, *mistake.keys))
    for missing in as_list(table.get("without_lists")) or ():
        if isinstance(missing, str) and missing not in lists:
            what = f"has {missing}, which is no list of {source}: {_hint(missing, lists)}"
            yield MappingMistake(("without_lists",), what, unknown=missing)


def _hint(name: str, lists: Mapping[str, object]) -> str:
    """Suggest the name of a list."""
    if not lists:
        return "it has none."
    near = get_close_matches(name, lists, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(lists)}."


def field_mistakes(spec: PageSpec[Any], settings: ListSettings) -> Iterator[MappingMistake]:
    """Find what does not fit in the fields of a list.

    Args:
        spec: The list.
        settings: Its settings.

    Yields:
        Each mistake.
    """
    named = named_in_full(spec)
    try:
        RowMapper(named, settings)
    except MappingError as error:
        yield from error.mistakes
    if settings.fields is None:
        return
    given = {**by_field(named, settings.fields)[0], **by_field(named, settings.defaults)[0]}
    missing = [
        name_in_json(spec, field)
        for field, info in spec.record.model_fields.items()
        if info.is_required() and field not in given
    ]
    if missing:
        what = f"lacks {', '.join(missing)}: expected an expression for each, as every item has it."
        yield MappingMistake(("fields",), what)
