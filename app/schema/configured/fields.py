"""The fields of a user that the settings define."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import TypeNode, print_ast

from app.auth.policies import policy_of
from app.schema.configured.extended import ExtendedFields
from app.schema.configured.sources import ConfiguredSources
from app.schema.configured.tables import MistakeList, SchemaTables, unknown
from app.schema.configured.types import ConfiguredTypes, ReadField, as_expression
from app.schema.definitions import (
    OutdatedName,
    SchemaDefinition,
    UserField,
    key_of_items,
    lists,
)
from app.settings.nested import Keys
from app.settings.public_schema import UserFieldSettings
from app.sources.base import PageSpec, SourceSpec
from app.sources.own.contract import OwnSource

_NEEDED = ("source", "type", "description", "may")
"""The settings that a field cannot do without."""


class ConfiguredFields:
    """Makes the fields of a user.

    Args:
        tables: The settings.
        base: The schema that they are added to; ``None`` for none.
        types: The objects and enums.
        sources: The sources.
        mistakes: Gets what does not fit.
    """

    def __init__(
        self,
        tables: SchemaTables,
        base: SchemaDefinition | None,
        types: ConfiguredTypes,
        sources: ConfiguredSources,
        mistakes: MistakeList,
    ) -> None:
        self._user = tables.user
        self._own_objects = tables.types
        self._base: Mapping[str, UserField] = {} if base is None else base.by_name
        self._names = tables.schema.names
        self._types = types
        self._sources = sources
        self._mistakes = mistakes
        self._kept = {
            name: one
            for name, one in self._base.items()
            if name not in self._user or not self._user[name].hidden
        }
        default = "the default schema: expected another name, or hidden = true for that one."
        shown = [name for name, one in tables.user.items() if not one.hidden]
        self._lost = tables.lost_fields | {*shown}
        self._extended = ExtendedFields(
            tables,
            {
                **dict.fromkeys(self._kept, default),
                **{name: f"the file, too ([user.{name}]): expected it once." for name in shown},
            },
            types,
            mistakes,
        )

    @property
    def outdated(self) -> tuple[OutdatedName, ...]:
        """The deprecated names of the API for extensions that the module uses."""
        return self._extended.outdated

    def completed(self, own: Mapping[str, OwnSource]) -> Mapping[str, OwnSource]:
        """Add the lists of the module to its sources.

        Args:
            own: The sources of the module by name.

        Returns:
            The sources, with the lists whose fields ``build`` has made.
        """
        return self._extended.completed(own)

    def build(self) -> Sequence[UserField]:
        """Make the fields.

        Returns:
            The default fields that are not hidden, and those of the settings and of the module.
        """
        own: dict[str, ReadField] = {}
        for name, settings in self._user.items():
            found = self._read_field(name, settings)
            if found is not None:
                own[name] = found
        by_source: dict[str, list[ReadField]] = {}
        for name, one in own.items():
            of_source = by_source.setdefault(str(self._user[name].source), [])
            if not self._user[name].connection:
                of_source.append(one)
        for source, inputs in self._extended.inputs(self._sources.names).items():
            self._add_inputs(by_source.setdefault(source, []), inputs)
        for source, fields in by_source.items():
            self._sources.add(source, fields)
        self._sources.add_unread()
        specs = self._sources.specs
        kept = [
            replace(
                one,
                source=specs[one.source.name],
                description=self._names.in_text(one.description),
            )
            for one in self._kept.values()
        ]
        defined = [self._defined(one, specs) for one in own.values()]
        return [*kept, *defined, *self._extended.build(specs, self._lost - own.keys())]

    def _add_inputs(self, fields: list[ReadField], inputs: Sequence[ReadField]) -> None:
        """Add the values that only the module reads to the fields that read the same source."""
        taken = {one.name for one in fields}
        for one in inputs:
            if one.name in taken:
                what = f"reads {one.name} as an Input: expected only the name, since the file has"
                self._mistakes.add(("schema", "module"), f"{what} [user.{one.name}].")
            else:
                fields.append(one)

    def _read_field(self, name: str, settings: UserFieldSettings) -> ReadField | None:
        """Check a field; ``None`` if it is none that can be made."""
        keys: Keys = ("user", name)
        if name in self._base or settings.hidden:
            self._check_default(name, settings)
            return None
        if name == "id":
            self._mistakes.add(keys, "is there always: expected another name.")
            return None
        missing = [one for one in _NEEDED if getattr(settings, one) is None]
        for one in missing:
            self._mistakes.add((*keys, one), None)
        known = settings.source is None or self._sources.check(settings, keys)
        kind = (
            None if settings.type is None else self._types.kind_of(settings.type, (*keys, "type"))
        )
        if kind is None or missing or not known or not self._fits(settings, kind, keys):
            return None
        text = settings.value or as_expression(name)
        return ReadField(name, kind, text, str(settings.description))

    def _check_default(self, name: str, settings: UserFieldSettings) -> None:
        """Report a default field that is not hidden, and a hidden one that is no default field."""
        if name in self._base and not settings.hidden:
            what = (
                "is a field of the default schema: expected another name, only hidden = true, or"
                ' extends = "none" in [schema].'
            )
            self._mistakes.add(("user", name), what)
        elif not self._base:
            what = (
                'hides a field of the default schema, which extends = "none" lacks: leave it out.'
            )
            self._mistakes.add(("user", name), what)
        elif name not in self._base:
            hint = unknown(name, self._base, "default field")
            self._mistakes.add(("user", name), f"hides a field, {hint}")

    def _fits(self, settings: UserFieldSettings, kind: TypeNode, keys: Keys) -> bool:
        """Report settings that do not fit the type of a field."""
        if not self._types.is_sized_list(kind, settings.assumed_size, keys):
            return False
        if not settings.connection:
            return True
        item = self._types.objects.get(print_ast(kind))
        if item is None:
            what = f"got {settings.type!r}: expected the object that an item is, without ! and []."
            self._mistakes.add((*keys, "type"), what)
            return False
        if key_of_items(item.definition) is None:
            what = (
                f"is {settings.type}, which has no field of type ID!: expected one, which"
                " identifies the items of a page."
            )
            self._mistakes.add((*keys, "type"), what)
            return False
        return True

    def _defined(self, one: ReadField, specs: Mapping[str, SourceSpec[Any]]) -> UserField:
        """Make the definition of a field."""
        settings = self._user[one.name]
        spec, may = specs[str(settings.source)], policy_of(str(settings.may))
        if not settings.connection:
            return UserField(
                one.name,
                print_ast(one.kind),
                spec,
                one.description,
                may,
                attribute=one.attribute,
                reads=frozenset({one.attribute}),
                assumed_size=settings.assumed_size,
                weight=settings.cost,
                deprecated=settings.deprecated,
            )
        item = self._types.objects[print_ast(one.kind)]
        pages: PageSpec[Any] = PageSpec(
            name=spec.service,
            list=one.name,
            record=item.definition.record,
            path=f"/{one.name}",
            parameter="userId",
            key=key_of_items(item.definition) or "",
            numbers=item.definition.name in self._own_objects,
        )
        self._sources.add_list(pages, item, settings.list)
        cost = {} if settings.cost is None else {"weight": settings.cost}
        return lists(
            one.name,
            item.definition.name,
            spec,
            pages,
            one.description,
            may=may,
            deprecated=settings.deprecated,
            **cost,
        )
