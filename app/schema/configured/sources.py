"""The sources that the fields of the settings read: their records, and their expressions."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BeforeValidator, Field

from app.schema.configured.tables import MistakeList, SchemaTables, unknown
from app.schema.configured.types import ConfiguredTypes, ReadField, ReadObject, as_expression
from app.settings.defaults import OF_ONE_SOURCE, WITHOUT
from app.settings.lists import ListSettings
from app.settings.nested import Keys, bracketed
from app.settings.public_schema import SchemaLookupSettings, UserFieldSettings
from app.settings.response import AnswerSettings
from app.settings.source import (
    OWN_ADDRESS,
    Endpoints,
    EndpointSettings,
    KeyFromSettings,
    SourceSettings,
)
from app.sources.base import PageSpec, Record, SourceSpec
from app.sources.field_types import id_text
from app.sources.lists.contract import default_list
from app.sources.mapping.fields import FOREIGN_KEYS
from app.sources.own.contract import OwnSource


class FoundUser(Record):
    """A row that a lookup finds."""

    looked_up: str = Field(description="The key by which the row was found.")
    user_id: Annotated[str | None, BeforeValidator(id_text)] = Field(
        default=None, description="The user."
    )


_KEY = "id"
"""The name of the key in JSON, if nothing says it."""


class _SourcePlace(Struct, frozen=True):
    """A source, or one endpoint of it that is read apart.

    Attributes:
        name: Its name: ``support``, or ``support.tickets``.
        settings: The settings of the service; ``None`` if there are none.
    """

    name: str
    settings: SourceSettings | None

    @property
    def endpoint(self) -> str:
        """The name of the endpoint; empty for the whole source."""
        return self.name.partition(".")[2]

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of the service."""
        return {} if self.settings is None else self.settings.endpoints

    @property
    def is_divided(self) -> bool:
        """Whether endpoints give the fields, each some of them."""
        return not self.endpoint and bool(self.endpoints)

    @property
    def mapping(self) -> SourceSettings | EndpointSettings | None:
        """The settings that have the expressions of the fields."""
        if self.settings is None or not self.endpoint:
            return self.settings
        return self.settings.endpoints[self.endpoint]

    def with_fields(self, fields: Mapping[str, str]) -> SourceSettings | None:
        """Return the settings of the service with other expressions.

        Args:
            fields: The expressions by name of the record's field.

        Returns:
            The settings; ``None`` if there are none.
        """
        if self.settings is None or not self.endpoint:
            settings = self.settings
            return None if settings is None else settings.model_copy(update={"fields": fields})
        changed = self.settings.endpoints[self.endpoint].model_copy(update={"fields": fields})
        endpoints = {**self.settings.endpoints, self.endpoint: changed}
        return self.settings.model_copy(update={"endpoints": endpoints})


class ConfiguredSources:
    """Makes the specs of sources, and adds the expressions of fields to their settings.

    Args:
        tables: The settings.
        types: The objects and enums.
        base: The sources of the schema that the settings are added to, by name.
        own: The sources that the module brings, by name.
        mistakes: Gets what does not fit.

    Attributes:
        specs: The sources by name, with the endpoints whose fields are read apart.
        settings: The settings of the services, by name.
    """

    def __init__(
        self,
        tables: SchemaTables,
        types: ConfiguredTypes,
        base: Mapping[str, SourceSpec[Any]],
        own: Mapping[str, OwnSource],
        mistakes: MistakeList,
    ) -> None:
        base = {**base, **{name: one.spec for name, one in own.items()}}
        self.specs = dict(base)
        unset = SourceSettings(base_url=OWN_ADDRESS)
        self.settings = {**dict.fromkeys(own, unset), **tables.sources}
        self._tables = tables
        self._types = types
        self._base = base
        self._own = own
        self._mistakes = mistakes

    @property
    def names(self) -> Sequence[str]:
        """The names of the sources and endpoints that fields may read."""
        known = {**self._base, **self.settings}
        endpoints = [
            f"{name}.{one}" for name, source in self.settings.items() for one in source.endpoints
        ]
        return [*known, *endpoints]

    def check(self, settings: UserFieldSettings, keys: Keys) -> bool:
        """Report the source of a field if nobody defines it, or if it cannot read the field.

        Args:
            settings: The field. It has a source.
            keys: Its place.

        Returns:
            Whether the field can be read.
        """
        name = str(settings.source)
        service, _, endpoint = name.partition(".")
        known = {**self.settings, **self._base}
        if service not in known:
            if service not in self._tables.unread:
                self._mistakes.add((*keys, "source"), f"is {service}, {unknown(service, known)}")
            return False
        if service in self._own:
            what = f"is {service}, a source of a module: expected the field in that module."
            self._mistakes.add((*keys, "source"), what)
            return False
        endpoints = _SourcePlace(service, self.settings.get(service)).endpoints
        if endpoint and endpoint not in endpoints:
            if name not in self._tables.unread:
                what = f"is {name}, {unknown(endpoint, endpoints, f'endpoint of {service}')}"
                self._mistakes.add((*keys, "source"), what)
            return False
        place = _SourcePlace(name, self.settings.get(service))
        given = (None if place.mapping is None else place.mapping.fields) or {}
        if settings.value is not None and keys[-1] in given:
            table = bracketed(("sources", *name.replace(".", ".endpoints.").split("."), "fields"))
            self._mistakes.add((*keys, "value"), f"is in {table}, too: expected it once.")
            return True
        if not endpoint and endpoints and settings.value is not None:
            what = (
                f"cannot be read, because {service} has endpoints: expected it in the fields of one"
                f' of them, or source = "{service}.{next(iter(endpoints))}".'
            )
            self._mistakes.add((*keys, "value"), what)
            return False
        return True

    def add(self, name: str, fields: Sequence[ReadField]) -> None:
        """Add the fields that read a source.

        Args:
            name: The source, or an endpoint of one.
            fields: The fields.
        """
        place = _SourcePlace(name, self.settings.get(name.partition(".")[0]))
        base, mapping = self._base.get(name), place.mapping
        if base is not None:
            key, aliases = None, {one.alias or "" for one in base.record.model_fields.values()}
        else:
            key = _key_in(None if mapping is None else mapping.answer)
            aliases = {key}
        aliases.add(FOREIGN_KEYS)
        has_mapping = mapping is not None and bool(mapping.fields)
        names = None if has_mapping else self._types.member_names(fields, aliases)
        if place.is_divided or names is None:
            # The record's own names, which need not be those of rows.
            key, aliases = (_KEY, {_KEY}) if base is None else (None, aliases)
            names = _free_names(fields, aliases)
            if place.is_divided:
                self._check_division(place, fields)
                self._complete_division(place, fields)
            else:
                self._add_expressions(place, base, fields, names)
        title = "".join(part.capitalize() for part in re.split(r"[._]", name))
        record = self._types.record(
            f"{title}Record" if base is None else base.record.__name__,
            fields,
            names,
            of_row=True,
            key=key,
            **({} if base is None else {"base": base.record}),
        )
        self.specs[name] = (
            SourceSpec(name, record, path="", parameter="", key="key")
            if base is None
            else replace(base, record=record)
        )

    def add_unread(self) -> None:
        """Add the sources that no field reads. They may have the keys of other sources."""
        services = {name.partition(".")[0] for name in self.specs}
        for name in self._tables.sources:
            if name not in services:
                self.add(name, [])
        services_with_keys = dict.fromkeys(
            one.source
            for settings in self.settings.values()
            for origins in (settings.origins, *(one.origins for one in settings.lookups.values()))
            for one in origins
        )
        for service in services_with_keys:
            # If each endpoint is a source of its own, the rows of the first one have the keys.
            endpoints = _SourcePlace(service, self.settings.get(service)).endpoints
            first = f"{service}.{next(iter(endpoints), '')}"
            if endpoints and service not in self.specs and first not in self.specs:
                self.add(first, [])

    def add_list(self, spec: PageSpec[Any], item: ReadObject, own: ListSettings | None) -> None:
        """Add a list that is read page by page.

        Args:
            spec: The list.
            item: The object that an item is.
            own: Its settings beside the field; ``None`` if there are none.
        """
        source = self.settings.get(spec.name)
        if source is None:
            return
        if own is not None and spec.list in source.lists:
            what = f"is in [sources.{spec.name}.lists], too: expected it once."
            self._mistakes.add(("user", spec.list, "list"), what)
        settings = own or source.lists.get(spec.list)
        if item.expressions is not None:
            settings = settings or default_list(spec)
            given = settings.fields or {}
            fields = {**item.expressions, **given}
            settings = settings.model_copy(update={"fields": fields})
        if settings is not None:
            lists = {**source.lists, spec.list: settings}
            self.settings[spec.name] = source.model_copy(update={"lists": lists})

    def add_lookup(self, name: str, settings: SchemaLookupSettings) -> SourceSpec[Any] | None:
        """Add an endpoint that finds the ids of users by another key.

        Args:
            name: The root field, which is the name of the endpoint, too.
            settings: Its settings.

        Returns:
            The endpoint; ``None`` if its source is not known.
        """
        source = self.settings.get(settings.source)
        if settings.source in self._own:
            what = f"is {settings.source}, a source of a module: expected one that speaks HTTP."
            self._mistakes.add(("schema", "lookups", name, "source"), what)
            return None
        if source is None:
            known = {**self.settings, **self._base}
            if settings.source not in known and settings.source not in self._tables.unread:
                what = f"is {settings.source}, {unknown(settings.source, known)}"
                self._mistakes.add(("schema", "lookups", name, "source"), what)
            return None
        endpoint = EndpointSettings(
            request=settings.request, answer=settings.answer, fields={"user_id": settings.value}
        )
        endpoints = {**source.endpoints, name: endpoint}
        self.settings[settings.source] = source.model_copy(update={"endpoints": endpoints})
        return SourceSpec(
            name=f"{settings.source}.{name}",
            record=FoundUser,
            path="",
            parameter="",
            key="looked_up",
            unique=True,
        )

    def check_all(self) -> None:
        """Report sources without settings, and those without a request."""
        for name in self._own:
            self._check_own(name)
        for name, settings in self.settings.items():
            self._check_origins(("sources", name), settings.origins)
            for lookup, one in settings.lookups.items():
                self._check_origins(("sources", name, "lookups", lookup), one.origins)
        for name in self.specs:
            service, _, endpoint = name.partition(".")
            source = self.settings.get(service)
            if source is None:
                if service not in self._tables.unread:
                    self._mistakes.add(("sources", service), None)
            elif not (name in self._base or endpoint or source.endpoints or source.request):
                if near := get_close_matches(name, self._base, n=1):
                    what = f"is read by no field of the schema: did you mean {near[0]}?"
                    self._mistakes.add(("sources", name), what)
                else:
                    self._mistakes.add(("sources", name, "request"), None)

    def _check_origins(self, keys: Keys, origins: Sequence[KeyFromSettings]) -> None:
        """Report keys that are to be in the rows of a source of the module."""
        for one in origins:
            if one.source in self._own:
                what = f"is {one.source}, a source of a module: expected one whose rows are JSON."
                self._mistakes.add((*keys, "key_from"), what)

    def _check_own(self, name: str) -> None:
        """Report settings of a source of the module that are only for services."""
        settings = self.settings[name]
        own = OF_ONE_SOURCE - {"key_from", WITHOUT}
        wrong = [
            one for one in SourceSettings.model_fields if one in own & settings.model_fields_set
        ]
        if settings.base_url != OWN_ADDRESS:
            wrong = ["base_url", *wrong]
        for one in wrong:
            what = f"is for services that speak HTTP, and {name} is a source of a module."
            self._mistakes.add(("sources", name, one), what)

    def _add_expressions(
        self,
        place: _SourcePlace,
        base: SourceSpec[Any] | None,
        fields: Sequence[ReadField],
        names: Mapping[str, str],
    ) -> None:
        """Add the expressions of fields to the settings of their source."""
        given = None if place.mapping is None else place.mapping.fields
        expressions = dict(given or {})
        if base is not None and not expressions:
            expressions = {
                info.alias or one: as_expression(info.alias or one)
                for one, info in base.record.model_fields.items()
                if one != base.key
            }
        for one in fields:
            name = names[one.name]
            text = expressions.get(name, one.text)
            expressions[name] = self._types.expression(replace(one, text=text))
        changed = place.with_fields(expressions)
        if changed is not None:
            self.settings[place.name.partition(".")[0]] = changed

    def _complete_division(self, place: _SourcePlace, fields: Sequence[ReadField]) -> None:
        """Add the fields of objects to the expressions that endpoints have."""
        by_name = {one.name: one for one in fields}
        completed = {
            name: one.model_copy(
                update={
                    "fields": {
                        field: self._types.expression(replace(by_name[field], text=text))
                        if field in by_name
                        else text
                        for field, text in (one.fields or {}).items()
                    }
                    or None
                }
            )
            for name, one in place.endpoints.items()
        }
        if place.settings is not None:
            changed = place.settings.model_copy(update={"endpoints": completed})
            self.settings[place.name] = changed

    def _check_division(self, place: _SourcePlace, fields: Sequence[ReadField]) -> None:
        """Report fields that no endpoint of a source gives."""
        endpoints = place.endpoints
        given = {name for one in endpoints.values() for name in one.fields or ()}
        for one in fields:
            if one.name not in given:
                what = (
                    f"is {place.name}, whose endpoints do not give it: expected {one.name} in the"
                    f" fields of one of {', '.join(endpoints)}."
                )
                self._mistakes.add(("user", one.name, "source"), what)


def _key_in(answer: AnswerSettings | None) -> str:
    """Return the name of the member with the key of a row, if it is only a name."""
    path = (_KEY,) if answer is None or answer.key is None else answer.key
    first, *more = path
    return _KEY if more or not isinstance(first, str) else first


def _free_names(fields: Sequence[ReadField], taken: set[str]) -> Mapping[str, str]:
    """Return names for fields that no other field of the record has."""
    names: dict[str, str] = {}
    for one in fields:
        free = one.name
        while free in taken:
            free += "_"
        names[one.name] = free
    return names
