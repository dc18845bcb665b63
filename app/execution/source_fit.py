"""Whether the settings of the schema and of sources fit together. Pure.

The settings may be invalid. Then their valid parts are checked, so that all mistakes of a file are
found at once.
"""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from app.schema.configured import ConfiguredSchema, schema_of
from app.schema.configured.extended import own_sources
from app.schema.configured.modules import load_module
from app.schema.configured.tables import MistakeList, SchemaTables, unknown
from app.schema.definitions import EnumDefinition, SchemaDefinition, type_name
from app.settings.base import SettingsModel
from app.settings.models import DEFAULT_SOURCES, Settings
from app.settings.nested import NOTHING, Keys, as_table, value_at
from app.settings.public_schema import (
    EnumSettings,
    ObjectSettings,
    PublicName,
    SchemaSettings,
    TypeName,
    UserFieldSettings,
)
from app.settings.source import OWN_ADDRESS, EndpointSettings, ServiceName, SourceSettings
from app.sources.base import SourceSpec
from app.sources.endpoints import misfits, valid_part
from app.sources.lists.contract import field_mistakes, list_misfits
from app.sources.mapping.row_mapper import MappingMistake, name_in_json

M = TypeVar("M", bound=SettingsModel)

_ANY_ENDPOINT = {"request": {"form": "list", "path": "/", "parameter": "ids"}}
"""The settings that an endpoint needs."""


def misfits_in(values: object) -> Iterator[tuple[Keys, str | None]]:
    """Find what does not fit in the settings of the schema and of sources.

    Args:
        values: All settings, nested as in the file.

    Yields:
        The keys of each mistake, and what is wrong; ``None`` if the setting is missing.
    """
    made = schema_of(_tables(values))
    for one in made.mistakes:
        if one.what is not None or not _is_told(values, one.keys):
            yield one.keys, one.what
    # A field that could not be made is reported where it is defined, and not where it is read.
    wrong = _wrong_fields(values)
    unmade = {*_unmade(values, made), *wrong}
    for keys, mistake in (*_misfits_of_records(values, made), *_misfits_of_lists(values, made)):
        if mistake.unknown not in unmade and wrong.isdisjoint(map(str, mistake.keys)):
            yield keys, mistake.what
    stored: Keys = ("cache_control", "fields")
    known = {*made.definition.by_name, *unmade}
    for name in as_table(value_at(values, stored)) or ():
        if name not in known:
            yield (*stored, name), unknown(name, sorted(known), "field of a user")


def completed(values: object) -> object:
    """Add what the settings of a source need to those of the sources that a module brings.

    Args:
        values: All settings, nested as in the file.

    Returns:
        The settings, in which these sources have an address.
    """
    sources, whole = as_table(value_at(values, ("sources",))), as_table(values)
    schema = _schema_in(values)
    if whole is None or schema.module is None:
        return values
    if sources is None and "sources" in whole:
        return values
    usual = DEFAULT_SOURCES if schema.extends == "default" else ()
    added = {
        name: {"base_url": OWN_ADDRESS, **table}
        for name in own_sources(load_module(schema.module), usual, MistakeList())
        if (table := as_table((sources or {}).get(name, {}))) is not None
    }
    return {**whole, "sources": {**(sources or {}), **added}} if added else values


_TABLES = {one.alias or name for name, one in Settings.model_fields.items()}
"""The names of all settings and tables, as they are in a file."""


def definition_in(values: object) -> SchemaDefinition | None:
    """Make the schema of settings that may lack what the schema does not need.

    Args:
        values: All settings, nested as in the file. Addresses and secrets may be missing.

    Returns:
        The definition of the schema; ``None`` if anything that it is made of is wrong.
    """
    tables = _tables(values)
    made = schema_of(tables)
    given = {name: as_table(value_at(values, (name,))) or {} for name in ("user", "types", "enums")}
    read = {"user": tables.user, "types": tables.types, "enums": tables.enums}
    lost = any(given[name].keys() - read[name].keys() for name in given)
    lost = lost or any(_valid(UserFieldSettings, one) is None for one in given["user"].values())
    shown = {name for name, one in tables.user.items() if not one.hidden}
    lost = lost or not shown <= made.definition.by_name.keys()
    schema = value_at(values, ("schema",))
    lost = lost or (schema is not NOTHING and _valid(SchemaSettings, schema) is None)
    # A table with a misspelt name may be one that the schema is made of.
    lost = lost or not (as_table(values) or {}).keys() <= _TABLES
    wrong = any(one.keys[0] != "sources" for one in made.mistakes)
    return None if lost or wrong else made.definition


def _unmade(values: object, made: ConfiguredSchema) -> Collection[str]:
    """Return the names of the fields of ``[user]`` that could not be made."""
    fields = (as_table(value_at(values, ("user",))) or {}).items()
    shown = {name for name, own in fields if (as_table(own) or {}).get("hidden") is not True}
    return shown - made.definition.by_name.keys()


def _wrong_fields(values: object) -> AbstractSet[str]:
    """Return the names of the fields of ``[user]`` of which some settings were left out."""
    fields = (as_table(value_at(values, ("user",))) or {}).items()
    return {name for name, own in fields if _valid(UserFieldSettings, own) is None}


def _misfits_of_records(
    values: object, made: ConfiguredSchema
) -> Iterator[tuple[Keys, MappingMistake]]:
    """Find settings of sources that do not fit the records of the schema."""
    lookups = {one.source.name: one.name for one in made.definition.lookups}
    taken = {spec.name for spec in made.definition.sources.values()}
    for spec in made.definition.sources.values():
        if (settings := made.sources.get(spec.service)) is not None:
            own = value_at(values, ("sources", spec.service))
            enums = _enums_of(spec, made.definition)
            for mistake in (*misfits(spec, settings, taken), *_wrong_words(spec, enums, own)):
                place: Keys = ("sources", spec.service, *mistake.keys)
                if spec.name in lookups and mistake.keys[0] == "endpoints":
                    place = ("schema", "lookups", lookups[spec.name], *mistake.keys[2:])
                yield place, mistake


def _misfits_of_lists(
    values: object, made: ConfiguredSchema
) -> Iterator[tuple[Keys, MappingMistake]]:
    """Find settings of lists that do not fit the lists of the schema."""
    for service in dict.fromkeys(one.service for one in made.definition.sources.values()):
        lists = made.definition.lists.get(service, {})
        own = value_at(values, ("sources", service))
        if service in made.definition.own:  # its lists have no settings but ``without_lists``
            own = {"without_lists": value_at(own, ("without_lists",))}
        for mistake in list_misfits(lists, service, own):
            yield ("sources", service, *mistake.keys), mistake
        for name, pages in lists.items():
            if value_at(values, ("user", name, "list")) is not NOTHING:
                for mistake in field_mistakes(pages, made.sources[service].lists[name]):
                    yield ("user", name, "list", *mistake.keys), mistake


def _enums_of(spec: SourceSpec[Any], definition: SchemaDefinition) -> Mapping[str, EnumDefinition]:
    """Return the enums that fields of a user make of a source's words, by field of its record."""
    by_name = {one.name: one for one in definition.enums}
    return {
        one.attribute: by_name[type_name(one.kind)]
        for one in definition.fields
        if one.source is spec and one.attribute and type_name(one.kind) in by_name
    }


def _wrong_words(
    spec: SourceSpec[Any], enums: Mapping[str, EnumDefinition], values: object
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


def _tables(values: object) -> SchemaTables:
    """Return the settings of the schema that are valid by themselves."""
    unread = set[str]()
    parts = {
        name: as_table(value_at(values, (name,))) or {}
        for name in ("user", "types", "enums", "sources")
    }
    sources = dict[str, SourceSettings]()
    for name, own in parts["sources"].items():
        source = valid_part(_with_valid_endpoints(own)) if _fits(ServiceName, name) else None
        if source is None:
            unread.add(name)
            continue
        sources[name] = source
        lost = (as_table(value_at(own, ("endpoints",))) or {}).keys() - source.endpoints.keys()
        unread |= {f"{name}.{endpoint}" for endpoint in lost}
    schema, lost_fields = _schema_in(values), set[str]()
    return SchemaTables(
        schema,
        _user_fields(parts["user"], lost_fields),
        _each(TypeName, ObjectSettings, parts["types"], unread),
        _each(TypeName, EnumSettings, parts["enums"], unread),
        sources,
        None if schema.module is None else load_module(schema.module),
        frozenset(unread),
        frozenset(lost_fields),
    )


def _is_told(values: object, keys: Keys) -> bool:
    """Return whether what is missing at a place is reported already: there, or as misspelt."""
    if value_at(values, keys) is not NOTHING:
        return True
    around = as_table(value_at(values, keys[:-1])) if keys[0] == "user" else None
    others = (around or {}).keys() - UserFieldSettings.model_fields.keys()
    return bool(get_close_matches(str(keys[-1]), others, n=1))


def _schema_in(values: object) -> SchemaSettings:
    """Return what is valid in the settings of the schema as a whole."""
    table = as_table(value_at(values, ("schema",))) or {}
    lookups = as_table(table.get("lookups")) or {}
    fitting = {
        name: one
        for name, one in lookups.items()
        if _valid(SchemaSettings, {"lookups": {name: one}}) is not None
    }
    kept = {**_valid_settings(SchemaSettings, table), "lookups": fitting}
    if "extends" in table and "extends" not in kept:
        # What it begins with is not known. Missing default sources are no mistake then.
        given = as_table(value_at(values, ("sources",))) or {}
        kept["extends"] = "none" if given.keys().isdisjoint(DEFAULT_SOURCES) else "default"
    return _valid(SchemaSettings, kept) or SchemaSettings()


def _user_fields(tables: Mapping[str, object], lost: set[str]) -> Mapping[str, UserFieldSettings]:
    """Return what is valid in each field of a user, and add the names of the others to ``lost``."""
    found: dict[str, UserFieldSettings] = {}
    for name, table in tables.items():
        one = None
        if _fits(PublicName, name) and (own := as_table(table)) is not None:
            kept = _valid_settings(UserFieldSettings, own, beside={"connection": True})
            one = _valid(UserFieldSettings, own) or _valid(UserFieldSettings, kept)
        if one is None:
            lost.add(name)
        else:
            found[name] = one
    return found


def _with_valid_endpoints(source: object) -> object:
    """Replace what is wrong in the endpoints of a source, so that it counts as there."""
    table = as_table(source)
    endpoints = None if table is None else as_table(table.get("endpoints"))
    if table is None or endpoints is None:
        return source
    return {**table, "endpoints": {name: _usable(one) for name, one in endpoints.items()}}


def _usable(endpoint: object) -> object:
    """Replace what is wrong in an endpoint by what is valid."""
    table = as_table(endpoint)
    if table is None or _valid(EndpointSettings, table) is not None:
        return endpoint
    given = {
        name: _usable_fields(value) if name == "fields" else value for name, value in table.items()
    }
    return {**_ANY_ENDPOINT, **_valid_settings(EndpointSettings, given, beside=_ANY_ENDPOINT)}


def _usable_fields(fields: object) -> object:
    """Replace each expression that is none by a valid one."""
    table = as_table(fields)
    return (
        fields
        if table is None
        else {
            name: one
            if _valid(EndpointSettings, {**_ANY_ENDPOINT, "fields": {name: one}}) is not None
            else "anything"
            for name, one in table.items()
        }
    )


def _valid_settings(
    model: type[SettingsModel],
    table: Mapping[str, object],
    *,
    beside: Mapping[str, object] | None = None,
) -> Mapping[str, object]:
    """Return the settings of a table that are valid by themselves, or beside some others."""
    return {
        name: value
        for name, value in table.items()
        if _valid(model, {name: value}) is not None
        or _valid(model, {**(beside or {}), name: value}) is not None
    }


def _each(
    names: Any,  # noqa: ANN401 # a special form
    model: type[M],
    tables: Mapping[str, object],
    unread: set[str],
) -> Mapping[str, M]:
    """Return the valid tables of a kind, and add the names of the others to ``unread``."""
    found: dict[str, M] = {}
    for name, table in tables.items():
        one = _valid(model, table) if _fits(names, name) else None
        if one is None:
            unread.add(name)
        else:
            found[name] = one
    return found


def _fits(names: Any, name: str) -> bool:  # noqa: ANN401 # a special form
    """Return whether a name is a valid one of its kind."""
    try:
        TypeAdapter(names).validate_python(name)
    except ValidationError:
        return False
    return True


def _valid(model: type[M], table: object) -> M | None:
    """Return a table; ``None`` if it is not valid."""
    if table is NOTHING:
        return None
    try:
        return model.model_validate(table)
    except ValidationError:
        return None
