"""The fields and types that a Python module adds to the schema."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, cast

from graphql import NamedTypeNode, TypeNode, print_ast
from msgspec import Struct

from app.auth.policies import Policy
from app.expressions.expression import ExpressionError, checked_expression
from app.schema.computed import ValueCheck, ValueTypes, arity_mistake, page_function_mistake
from app.schema.configured.modules import LoadedModule
from app.schema.configured.tables import MistakeList, SchemaTables, unknown
from app.schema.configured.types import ConfiguredTypes, ReadField, as_expression
from app.schema.definitions import Computation, OutdatedName, UserField, key_of_items, lists
from app.schema.extension import Extension, ExtensionField, Input
from app.settings.nested import Keys
from app.settings.public_schema import PUBLIC_NAME
from app.sources.base import PageSpec, Record, SourceSpec
from app.sources.own.contract import OPEN_EXPECTED, OwnList, OwnSource

_PLACE: Keys = ("schema", "module")

_SOURCE_NAME = r"[a-z][a-z0-9_]{0,63}"

_OF_FILE = "field_"
"""The beginning of the names that fields of the file have in a record."""


class _DeclaredField(Struct, frozen=True):
    """A field of the module whose type and source are known.

    Attributes:
        field: The declaration.
        kind: Its type.
    """

    field: ExtensionField
    kind: TypeNode


def own_sources(
    module: LoadedModule | None, usual: Collection[str], mistakes: MistakeList
) -> Mapping[str, OwnSource]:
    """Check the sources that the module brings.

    Args:
        module: The module; ``None`` without one.
        usual: The names of the default sources.
        mistakes: Gets what does not fit.

    Returns:
        The sources that can be used, by name.
    """
    if module is None or module.extension is None:
        return {}
    found: dict[str, OwnSource] = {}

    def add(what: str) -> None:
        mistakes.add(_PLACE, f"{module.name}: {what}")

    if len(module.sources) < len(module.extension.sources):
        add("has something among its sources that is none: expected what OwnSource makes.")
    for own in module.sources:
        if not re.fullmatch(_SOURCE_NAME, own.name):
            add(f"the source {own.name} has a wrong name: expected small letters, digits and _.")
        elif own.name in usual or own.name in found:
            add(f"the source {own.name} is there already: expected another name.")
        elif (wrong := _spec_mistake(own)) is not None:
            add(f"the source {own.name} cannot be used: {wrong}.")
        else:
            found[own.name] = own
    return found


def _spec_mistake(own: OwnSource) -> str | None:
    """Return why a source cannot be used; ``None`` if it can."""
    record = cast("object", own.record)
    if not isinstance(record, type) or not issubclass(record, Record):
        return f"its record is {record!r}, which is no Record"
    if not callable(cast("object", own.open)):
        return "its open is no function"
    if (
        iscoroutinefunction(own.open)
        or isasyncgenfunction(own.open)
        or isgeneratorfunction(own.open)
    ):
        return f"its open is a plain function: {OPEN_EXPECTED}"
    try:
        _ = own.spec
    except TypeError as error:
        return str(error)
    return None


class ExtendedFields:
    """Makes the fields of a user that the module declares.

    Args:
        tables: The settings.
        taken: The names of the fields that the schema has without the module, with where they are
            from.
        types: The objects and enums, with those of the module.
        mistakes: Gets what does not fit.
    """

    def __init__(
        self,
        tables: SchemaTables,
        taken: Mapping[str, str],
        types: ConfiguredTypes,
        mistakes: MistakeList,
    ) -> None:
        module = tables.module
        self._extension = Extension("") if module is None else module.extension or Extension("")
        self._module = "" if module is None else module.name
        # The sources whose endpoints are read apart: none of them says which fields it gives.
        self._apart = {
            name: [f"{name}.{one}" for one in source.endpoints]
            for name, source in tables.sources.items()
            if source.endpoints and not any(one.fields for one in source.endpoints.values())
        }
        self._own = {one.name for one in (() if module is None else module.sources)}
        self._taken = taken
        self._unread = tables.unread
        self._types = types
        self._mistakes = mistakes
        self._declared: list[_DeclaredField] = []

    @property
    def outdated(self) -> tuple[OutdatedName, ...]:
        """The deprecated names of the API that the module uses."""
        used = (one.field.outdated for one in self._declared)
        found = dict.fromkeys(one for one in used if one is not None)
        return tuple(OutdatedName(self._module, *names) for names in found)

    def completed(self, own: Mapping[str, OwnSource]) -> Mapping[str, OwnSource]:
        """Add to the sources of the module what its fields say.

        Args:
            own: The sources of the module by name.

        Returns:
            The sources, with their lists, and with the checks of the values that are shown.
        """
        lists, checks = self._lists(), self._checks(own)
        return {
            name: replace(one, lists=lists.get(name, {}), checks=checks[name])
            for name, one in own.items()
        }

    def _checks(
        self, own: Mapping[str, OwnSource]
    ) -> Mapping[str, Mapping[str, Sequence[ValueCheck]]]:
        """Make the checks of the values that are shown as they are, by source and field."""
        found = {name: dict[str, list[ValueCheck]]() for name in own}
        for one in self._declared:
            source, field = own.get(one.field.source), one.field
            if source is not None and field.compute is None and not field.is_list:
                names = _names_in(source.record)
                for name in (names[str(one)] for one in field.reads if one in names):
                    check = self._values.check(one.kind)
                    found[source.name].setdefault(name, []).append(check)
        return found

    def _lists(self) -> Mapping[str, Mapping[str, OwnList]]:
        """Make the lists of the module's sources, by source and field."""
        found: dict[str, dict[str, OwnList]] = {}
        for one in self._declared:
            if one.field.is_list:
                check = self._values.check(one.kind)
                of_source = found.setdefault(one.field.source, {})
                of_source[one.field.name] = OwnList(check, one.field.pages)
        return found

    @property
    def _values(self) -> ValueTypes:
        """The types of the schema, of which values are checked."""
        objects = {name: made.definition for name, made in self._types.objects.items()}
        return ValueTypes(objects, self._types.enums)

    def inputs(self, sources: Collection[str]) -> Mapping[str, Sequence[ReadField]]:
        """Check the declarations.

        Args:
            sources: The names of the sources and endpoints that fields may read.

        Returns:
            The values that the module reads besides the fields of records, by source.
        """
        found: dict[str, dict[str, ReadField]] = {}
        names: set[str] = set()
        # A module says what it wants.
        for field in cast("Sequence[object]", self._extension.fields):
            if not isinstance(field, ExtensionField):
                what = "expected what shows, computed or lists makes."
                self._add(f"has {field!r} among its fields: {what}")
                continue
            kind = self._kind_of(field, names, sources)
            names.add(field.name)
            own = found.setdefault(field.source, {})
            read = [self._input(field, one, own) for one in field.reads if isinstance(one, Input)]
            if kind is not None and None not in read and field.source in sources:
                self._declared.append(_DeclaredField(field, kind))
                own |= {one.name: one for one in read if one is not None}
        readable = {*sources} - self._apart.keys()
        return {source: [*own.values()] for source, own in found.items() if source in readable}

    def build(
        self, specs: Mapping[str, SourceSpec[Any]], lost: Collection[str]
    ) -> Sequence[UserField]:
        """Make the fields.

        Args:
            specs: The sources by name, with the inputs of the module.
            lost: The names of the fields of the file that could not be made.

        Returns:
            The fields that fit.
        """
        made = (self._field(one, specs[one.field.source], lost) for one in self._declared)
        return [one for one in made if one is not None]

    def _kind_of(
        self, field: ExtensionField, names: Collection[str], sources: Collection[str]
    ) -> TypeNode | None:
        """Check all of a field but what it reads, and return its type."""
        about = f"{field.name} "
        wrong = len(self._mistakes.found)
        if not re.fullmatch(PUBLIC_NAME, field.name):
            self._add(f"{about}is no name in GraphQL: expected letters, digits and _.")
        elif field.name == "id":
            self._add(f"{about}is there always: expected another name.")
        elif field.name in names:
            self._add(f"{about}is declared twice.")
        elif (other := self._taken.get(field.name)) is not None:
            self._add(f"{about}is a field of {other}")
        if not field.description:
            self._add(f"{about}has no description.")
        may = cast("object", field.may)
        if not isinstance(may, Policy):
            self._add(f"{about}has may = {may!r}: expected a policy, such as PUBLIC.")
        self._check_source(field, sources)
        if field.is_list:
            self._check_list(field, sources)
        else:
            self._check_reads(field)
        about = f"{self._module}: {about}"
        kind = self._types.kind_of(field.type, _PLACE, about=about)
        self._types.is_sized_list(kind, field.assumed_size, _PLACE, about=about)
        if field.is_list and kind is not None:
            self._check_item(field, kind)
        return kind if len(self._mistakes.found) == wrong else None

    def _check_source(self, field: ExtensionField, sources: Collection[str]) -> None:
        """Report a source that is not known, or whose endpoints are read apart."""
        about = f"{field.name} reads the source {field.source},"
        if field.source not in sources:
            if not self._unread.isdisjoint({field.source, field.source.partition(".")[0]}):
                return  # its mistake is reported where it is
            self._add(f"{about} {unknown(field.source, sources)}")
        elif (endpoints := self._apart.get(field.source)) is not None:
            self._add(f"{about} which has endpoints: expected one of {', '.join(endpoints)}.")

    def _check_reads(self, field: ExtensionField) -> None:
        """Report a field whose function does not take what it reads, or that shows nothing."""
        reads = [one if isinstance(one, str) else one.name for one in field.reads]
        if field.compute is None and len(reads) != 1:
            self._add(f"{field.name} reads {len(reads)} values: expected the one that it shows.")
        elif field.compute is not None and (what := arity_mistake(field.compute, reads)):
            self._add(f"{field.name} {what}")

    def _check_list(self, field: ExtensionField, sources: Collection[str]) -> None:
        """Report a list whose pages cannot be fetched."""
        if field.source in sources and field.source not in self._own:
            self._add(
                f"{field.name} is a list of {field.source}: expected a source of this module, such"
                " as OwnSource makes."
            )
        if field.pages is not None and (what := page_function_mistake(field.pages)) is not None:
            self._add(f"{field.name} {what}")

    def _check_item(self, field: ExtensionField, kind: TypeNode) -> None:
        """Report a list whose items cannot be distinguished, or have no record of the module."""
        name = print_ast(kind)
        item = self._types.objects.get(name) if isinstance(kind, NamedTypeNode) else None
        if item is None:
            self._add(
                f"{field.name} has the type {field.type}: expected the object that an item is,"
                " without ! and []."
            )
        elif item.from_file:
            self._add(
                f"{field.name} has items of the type {name}, which is one of the file: expected an"
                " object of the module."
            )
        elif key_of_items(item.definition) is None:
            self._add(
                f"{field.name} has items of the type {name}, which has no field of type ID!:"
                " expected one, which identifies the items of a page."
            )

    def _input(
        self, field: ExtensionField, one: Input, own: Mapping[str, ReadField]
    ) -> ReadField | None:
        """Make a value that only functions read."""
        about = f"{field.name} reads {one.name}, which "
        if field.source in self._own:
            self._add(f"{about}is an Input: expected a field of the record of {field.source}.")
            return None
        if not re.fullmatch(PUBLIC_NAME, one.name):
            self._add(f"{about}is no name: expected letters, digits and _.")
            return None
        kind = self._types.kind_of(one.type, _PLACE, about=f"{self._module}: {about}")
        if kind is None:
            return None
        text = as_expression(one.name) if one.value is None else one.value
        if (wrong := _expression_mistake(text)) is not None:
            self._add(f"{about}has the value {text!r}: {wrong}.")
            return None
        made = ReadField(one.name, kind, text, "Read by a module.")
        other = own.get(one.name, made)
        if (print_ast(other.kind), other.text) != (print_ast(kind), made.text):
            self._add(f"{about}another field reads in another way: expected the same input.")
            return None
        return made

    def _field(
        self, one: _DeclaredField, spec: SourceSpec[Any], lost: Collection[str]
    ) -> UserField | None:
        """Make a field; ``None`` if the source lacks what it reads."""
        field = one.field
        if field.is_list:
            return self._list(one, spec)
        inputs: list[str] = []
        known = _names_in(spec.record)
        for read in field.reads:
            name = read if isinstance(read, str) else read.name
            if name not in known and name in lost:
                return None  # the mistake is reported there
            if name not in known:
                hint = unknown(name, _names_to_write(spec))
                self._add(f"{field.name} reads {name} of {spec.name}, {hint}")
                return None
            inputs.append(known[name])
        return UserField(
            field.name,
            print_ast(one.kind),
            spec,
            field.description,
            field.may,
            reads=frozenset(inputs) - {spec.key},
            assumed_size=field.assumed_size,
            weight=field.cost,
            deprecated=field.deprecated,
            computation=Computation(
                inputs=tuple(inputs),
                function=field.compute or _itself,
                checked=self._values.check(one.kind),
                module=self._module,
            ),
        )

    def _list(self, one: _DeclaredField, spec: SourceSpec[Any]) -> UserField:
        """Make a field that is read page by page."""
        field, item = one.field, self._types.objects[print_ast(one.kind)].definition
        pages: PageSpec[Any] = PageSpec(
            name=spec.service,
            list=field.name,
            record=item.record,
            path=f"/{field.name}",
            parameter="userId",
            key=key_of_items(item) or "",
        )
        cost = {} if field.cost is None else {"weight": field.cost}
        return lists(
            field.name,
            item.name,
            spec,
            pages,
            field.description,
            may=field.may,
            deprecated=field.deprecated,
            **cost,
        )

    def _add(self, what: str) -> None:
        """Add a mistake of the module."""
        self._mistakes.add(_PLACE, f"{self._module}: {what}")


def _expression_mistake(text: object) -> str | None:
    """Return why a value is no expression; ``None`` if it is one."""
    if not isinstance(text, str):
        return "expected an expression (JMESPath)"
    try:
        checked_expression(text)
    except ExpressionError as error:
        return str(error)
    return None


def _itself(value: object) -> object:
    """Return a value, for a field that shows it."""
    return value


def _names_to_write(spec: SourceSpec[Any]) -> Sequence[str]:
    """Return the names by which a module should read the fields of a source, for messages."""
    fields = spec.record.model_fields.items()
    return [
        text
        for name, info in fields
        if name != spec.key
        for text in (
            (name.removeprefix(_OF_FILE),)
            if name.startswith(_OF_FILE)
            else dict.fromkeys((name, info.alias or name))
        )
    ]


def _names_in(record: type[Record]) -> Mapping[str, str]:
    """Return the fields of a record by their names, and by those of the public fields."""
    names = {info.alias or name: name for name, info in record.model_fields.items()}
    own = {name: name for name in record.model_fields}
    public = {name.removeprefix(_OF_FILE): name for name in own if name.startswith(_OF_FILE)}
    return {**own, **names, **public}
