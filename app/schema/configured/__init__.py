"""Makes the public schema of the settings, and finds what does not fit together.

Pure, but for the Python module that the settings may name (``modules.py``).

The fields of ``[user]`` are added to the default schema, or to none. A source's record is made of
the fields that read the source. Each ``value`` becomes an expression of the source's mapping. If
each is only the name of a member of the row, no mapping is needed: the record has these names, and
rows are decoded as those of the default contract.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec import Struct

from app.auth.policies import policy_of
from app.errors import ConfigurationError
from app.schema.configured.extended import own_sources
from app.schema.configured.fields import ConfiguredFields
from app.schema.configured.modules import load_module
from app.schema.configured.sources import ConfiguredSources
from app.schema.configured.tables import MistakeList, SchemaMistake, SchemaTables, unknown
from app.schema.configured.types import ConfiguredTypes
from app.schema.default import DEFAULT_SCHEMA
from app.schema.definitions import LookupDefinition, SchemaDefinition, UserField, type_name
from app.settings.models import Settings
from app.settings.nested import bracketed
from app.settings.source import SourceSettings
from app.sources.base import SourceSpec


class ConfiguredSchema(Struct, frozen=True):
    """The schema that the settings define.

    Attributes:
        definition: The definition.
        sources: The settings of the sources, with the expressions of the fields.
        mistakes: What does not fit. With mistakes, the definition lacks what is wrong.
    """

    definition: SchemaDefinition
    sources: Mapping[str, SourceSettings]
    mistakes: Sequence[SchemaMistake] = ()


def configured(settings: Settings) -> tuple[SchemaDefinition, Settings]:
    """Make the schema of settings.

    Args:
        settings: All settings.

    Returns:
        The definition of the schema, and the settings with the expressions of its fields.

    Raises:
        ConfigurationError: The settings of the schema do not fit together. It has all mistakes.
    """
    module = settings.public_schema.module
    made = schema_of(
        SchemaTables(
            settings.public_schema,
            settings.user,
            settings.types,
            settings.enums,
            settings.sources,
            None if module is None else load_module(module),
        )
    )
    if made.mistakes:
        raise ConfigurationError(
            tuple(f"{bracketed(one.keys)} {one.what or 'is missing.'}" for one in made.mistakes)
        )
    return made.definition, settings.model_copy(update={"sources": made.sources})


def schema_of(tables: SchemaTables) -> ConfiguredSchema:
    """Make the schema of its tables.

    Args:
        tables: The settings.

    Returns:
        The schema, with all mistakes.
    """
    base = DEFAULT_SCHEMA if tables.schema.extends == "default" else None
    mistakes = MistakeList()
    if tables.module is not None:
        for what in tables.module.mistakes:
            mistakes.add(("schema", "module"), f"{tables.module.name} {what}")
    types = ConfiguredTypes(tables, base, mistakes)
    usual = _sources_of(base, tables)
    own = own_sources(tables.module, usual, mistakes)
    sources = ConfiguredSources(tables, types, usual, own, mistakes)
    making = ConfiguredFields(tables, base, types, sources, mistakes)
    fields = making.build()
    sources.check_all()
    lookups = _lookups(tables, sources, mistakes)
    definition = replace(
        _definition(tables, types, sources, fields, mistakes),
        lookups=tuple(lookups),
        outdated=making.outdated,
        own=making.completed(own),
    )
    return ConfiguredSchema(definition, sources.settings, mistakes.found)


def _sources_of(
    base: SchemaDefinition | None, tables: SchemaTables
) -> Mapping[str, SourceSpec[Any]]:
    """Return the sources of the default fields that are not hidden."""
    shown = () if base is None else base.fields
    return {
        one.source.name: one.source
        for one in shown
        if one.name not in tables.user or not tables.user[one.name].hidden
    }


def _lookups(
    tables: SchemaTables, sources: ConfiguredSources, mistakes: MistakeList
) -> Iterator[LookupDefinition]:
    """Make the root fields that find users by other keys than their ids."""
    names = tables.schema.names
    taken = {*names.roots}
    for name, settings in tables.schema.lookups.items():
        rest = name.removeprefix(names.one)
        several = settings.several or (f"{names.several}{rest}s" if rest != name else f"{name}s")
        for one in (name, several):
            if one in taken:
                what = f"makes a root field {one}, which is there already: expected another name."
                mistakes.add(("schema", "lookups", name), what)
            taken.add(one)
        spec = sources.add_lookup(name, settings)
        if spec is not None:
            yield LookupDefinition(
                name,
                several,
                settings.key,
                settings.keys or f"{settings.key}s",
                settings.type,
                spec,
                "user_id",
                settings.description,
                policy_of(settings.may),
            )


def _definition(
    tables: SchemaTables,
    types: ConfiguredTypes,
    sources: ConfiguredSources,
    fields: Sequence[UserField],
    mistakes: MistakeList,
) -> SchemaDefinition:
    """Put the definition together, of the fields and types that fit."""
    settings = tables.schema
    names = settings.names
    _, _, *others = names.roots
    if names.one in others:
        what = f"is {names.type}, whose root field {names.one} is there already."
        mistakes.add(("schema", "type"), what)
    elif names.several in {names.one, *others}:
        mistakes.add(("schema", "plural"), f"gives two root fields one name: {names.several}.")
    existence = _existence(tables, sources, fields, mistakes)
    read = {one.source.name for one in fields} | {existence.name}
    used = _types_in(fields, types)
    return SchemaDefinition(
        description=settings.description or names.in_text(DEFAULT_SCHEMA.description),
        fields=tuple(fields),
        objects=tuple(one.definition for key, one in types.objects.items() if key in used),
        enums=tuple(one for key, one in types.enums.items() if key in used),
        existence=existence,
        names=names,
        others=tuple(one for key, one in sources.specs.items() if key not in read),
        drafts=settings.drafts,
    )


def _existence(
    tables: SchemaTables,
    sources: ConfiguredSources,
    fields: Sequence[UserField],
    mistakes: MistakeList,
) -> SourceSpec[Any]:
    """Return the source that says whether a user exists."""
    name, specs = tables.schema.existence, sources.specs
    if name in specs:
        return specs[name]
    if name is not None:
        mistakes.add(("schema", "existence"), f"is {name}, {unknown(name, specs)}")
    if fields:
        return fields[0].source
    if specs:
        return next(iter(specs.values()))
    if not tables.unread:
        mistakes.add(("sources",), "has no source: expected at least one, which knows users.")
    return DEFAULT_SCHEMA.existence


def _types_in(fields: Sequence[UserField], types: ConfiguredTypes) -> Collection[str]:
    """Return the names of the types that fields use, also within objects."""
    found: dict[str, None] = {}
    waiting = [type_name(one.kind) for one in fields]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            inner = types.objects[name].definition.fields if name in types.objects else ()
            waiting += [type_name(one.kind) for one in inner]
    return found
