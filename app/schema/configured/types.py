"""The objects and enums of the settings, with the records and expressions that read them."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Optional, cast

from graphql import (
    GraphQLSyntaxError,
    ListTypeNode,
    NonNullTypeNode,
    TypeNode,
    parse_type,
    print_ast,
)
from msgspec import Struct
from pydantic import AfterValidator, Field, create_model

from app.schema.configured.tables import MistakeList, SchemaTables, unknown
from app.schema.default import MONEY
from app.schema.definitions import (
    SCALARS,
    EnumDefinition,
    EnumValue,
    ObjectDefinition,
    ObjectField,
    SchemaDefinition,
    type_name,
)
from app.schema.extension import Extension
from app.settings.nested import Keys
from app.settings.public_schema import NODE_TYPE, PUBLIC_NAME, TYPE_NAME, EnumSettings
from app.sources.base import Record
from app.sources.field_types import SCALAR_FIELDS, OneOf

_ROOTS = frozenset({"Query", "Mutation", "Subscription"})
"""Names that tools take for those of root types (GraphQL specification, section 3.3.1)."""

OWN_TYPES = (*sorted(_ROOTS), "PageInfo", *SCALARS)
"""Names of types that have a meaning in every schema, besides those of lists."""

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A name that an expression has without quotes."""

_IN_QUOTES = re.compile(r'"(?:[^"\\]|\\.)*"')

_NO_ENUM_VALUES = frozenset({"true", "false", "null"})
"""Names that are no values of enums (GraphQL specification, section 3.9)."""


class ReadField(Struct, frozen=True):
    """A field that is read from a row, or from the part of a row that is an object.

    Attributes:
        name: Its public name.
        kind: Its type.
        text: The expression of its value, without the fields of objects in it.
        description: Its description.
    """

    name: str
    kind: TypeNode
    text: str
    description: str

    @property
    def attribute(self) -> str:
        """Its name in the record: no keyword of Python, and no attribute of all models."""
        return f"field_{self.name}"


class ReadObject(Struct, frozen=True):
    """An object, and how it is read from a part of a row.

    Attributes:
        definition: Its definition.
        expressions: The expression of each field, by its public name; ``None`` if the record has
            the names of the part.
        from_file: Whether the settings define it.
    """

    definition: ObjectDefinition
    expressions: Mapping[str, str] | None = None
    from_file: bool = False


class ConfiguredTypes:
    """Makes the objects and enums.

    Args:
        tables: The settings.
        base: The schema that they are added to; ``None`` for none.
        mistakes: Gets what does not fit.

    Attributes:
        objects: The objects that could be made, by name.
        enums: The enums by name.
    """

    def __init__(
        self, tables: SchemaTables, base: SchemaDefinition | None, mistakes: MistakeList
    ) -> None:
        self._tables = tables
        self._mistakes = mistakes
        objects, enums = ((MONEY,), ()) if base is None else (base.objects, base.enums)
        in_text = tables.schema.names.in_text
        self.objects = {
            one.name: ReadObject(replace(one, description=in_text(one.description)))
            for one in objects
        }
        self.enums = {one.name: replace(one, description=in_text(one.description)) for one in enums}
        listed = [one.type for one in (() if base is None else base.fields) if one.pages]
        listed += [one.type for one in tables.user.values() if one.connection and one.type]
        extension = None if tables.module is None else tables.module.extension
        listed += () if extension is None else extension.listed
        of_lists = [f"{one}{end}" for one in listed for end in ("Edge", "Connection")]
        if tables.module is not None and extension is not None:
            self._extend(tables.module.name, extension, of_lists)
        self._taken = {*_own_types(tables), *self.objects, *self.enums, *of_lists}
        if tables.schema.type in self._taken:
            what = f"is {tables.schema.type}, which {_meaning(tables.schema.type)}."
            mistakes.add(("schema", "type"), what)
        self._taken.add(tables.schema.type)
        self._building: list[str] = []
        self._circles: set[frozenset[str]] = set()
        self.enums |= {name: self._enum(name, one) for name, one in tables.enums.items()}
        for name in tables.types:
            if name in self._taken:
                self._check_name(name, ("types", name))
            else:
                self._object(name, ("types", name))

    def _extend(self, module: str, extension: Extension, of_lists: Collection[str]) -> None:
        """Add the objects and enums of a Python module."""
        own = _own_types(self._tables)
        taken = {*own, *self.objects, *self.enums, *of_lists, self._tables.schema.type}
        # A module says what it wants.
        for one in cast("Sequence[object]", (*extension.objects, *extension.enums)):
            if not isinstance(one, ObjectDefinition | EnumDefinition):
                what = f"{module}: has {one!r} among its types: expected definitions of types."
                self._mistakes.add(("schema", "module"), what)
                continue
            about = f"{module}: {one.name} "
            parts = one.fields if isinstance(one, ObjectDefinition) else one.values
            if not re.fullmatch(TYPE_NAME, one.name):
                what = f"{about}is no name of a type in GraphQL: expected one such as Agent."
                self._mistakes.add(("schema", "module"), what)
            if one.name in taken:
                what = f"{about}is a type of the schema already: expected another name."
                self._mistakes.add(("schema", "module"), what)
            taken.add(one.name)
            for part in parts:
                refused = _NO_ENUM_VALUES if isinstance(one, EnumDefinition) else ()
                if not re.fullmatch(PUBLIC_NAME, part.name) or part.name in refused:
                    what = f"{about}has {part.name}, which is no name in GraphQL."
                    self._mistakes.add(("schema", "module"), what)
            if isinstance(one, EnumDefinition):
                self.enums[one.name] = one
            else:
                self.objects[one.name] = ReadObject(one)
        for one in extension.objects:
            self._check_parts(module, one)

    def _check_parts(self, module: str, definition: ObjectDefinition) -> None:
        """Report the fields of an object of the module whose types are unknown, or in a circle."""
        known = [*SCALARS, *self.enums, *self._tables.enums, *self.objects]
        for part in definition.fields:
            name = type_name(part.kind)
            of_part = f"{module}: {definition.name}.{part.name} "
            about = f"{of_part}has the type {name}, "
            self.is_sized_list(part.kind, part.assumed_size, ("schema", "module"), about=of_part)
            if name not in known:
                self._mistakes.add(("schema", "module"), f"{about}{unknown(name, known)}")
            elif definition.name in self._inside(name):
                self._mistakes.add(("schema", "module"), f"{about}which makes a circle of objects.")

    def _inside(self, name: str) -> Collection[str]:
        """Return the names of a type, and of all types inside."""
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one not in found and one in self.objects:
                waiting += [type_name(part.kind) for part in self.objects[one].definition.fields]
            found[one] = None
        return found

    def kind_of(self, text: str, keys: Keys, *, about: str = "") -> TypeNode | None:
        """Parse a type, and report one that is wrong or unknown.

        Args:
            text: The type in GraphQL's notation.
            keys: Its place.
            about: What has the type, as the beginning of the sentence.

        Returns:
            The type; ``None`` if it cannot be used.
        """
        try:
            kind = parse_type(text, no_location=True)
        except GraphQLSyntaxError:
            what = f"{about}got {text!r}: expected a type of GraphQL, such as Int or [Agent!]."
            self._mistakes.add(keys, what)
            return None
        name = type_name(kind)
        if name in SCALARS or name in self.enums or self._object(name, keys) is not None:
            return kind
        lost = name in self._tables.unread or self._tables.lost_module
        if not lost and name not in self._tables.types:
            known = [*SCALARS, *self.objects, *self.enums, *self._tables.types]
            where = f"{about}has the type" if about else "names"
            self._mistakes.add(keys, f"{where} {name}, {unknown(name, known)}")
        return None

    def is_sized_list(
        self, kind: TypeNode | None, assumed_size: int | None, keys: Keys, *, about: str = ""
    ) -> bool:
        """Report the number of items of a field that is no list.

        Args:
            kind: The type of the field; ``None`` if it is not known.
            assumed_size: The number of items that its cost assumes; ``None`` if it has none.
            keys: The place of the field.
            about: What has the number, as the beginning of the sentence, for a field of a module.

        Returns:
            Whether it is a list, or has no such number.
        """
        if kind is None or assumed_size is None or isinstance(_nullable(kind), ListTypeNode):
            return True
        what = f"is for lists, and the type is {print_ast(kind)}."
        if keys[:2] == ("schema", "module"):
            self._mistakes.add(keys, f"{about}has assumed_size, which {what}")
        else:
            self._mistakes.add((*keys, "assumed_size"), what)
        return False

    def record(
        self,
        name: str,
        fields: Sequence[ReadField],
        names: Mapping[str, str],
        *,
        base: type[Record] = Record,
        of_row: bool = False,
        key: str | None = None,
    ) -> type[Record]:
        """Make the record of some fields.

        Args:
            name: The name of the class.
            fields: The fields.
            names: Their names in JSON, by public name.
            base: The record to which they are added.
            of_row: Whether it is the record of a row, whose fields may all be missing.
            key: The name of the key in JSON, if the record needs one. The attribute is ``key``.

        Returns:
            The record.
        """
        members: dict[str, Any] = {}
        if key is not None:
            members["key"] = (str, Field(alias=key, description="The user."))
        for one in fields:
            required = isinstance(one.kind, NonNullTypeNode) and not of_row
            default: Mapping[str, Any] = {} if required else {"default": None}
            info = Field(alias=names[one.name], description=one.description, **default)
            kind = self._not_null(_nullable(one.kind))
            annotation: object = kind if required else Optional[kind]  # noqa: UP045 # made at run time
            members[one.attribute] = (annotation, info)
        return create_model(name, __base__=base, __doc__=base.__doc__, **members)

    def member_names(
        self, fields: Sequence[ReadField], taken: Collection[str] = ()
    ) -> Mapping[str, str] | None:
        """Find whether each field is only a member of what it is read from.

        Args:
            fields: The fields.
            taken: Names of members that other fields of the record have.

        Returns:
            The names of the members, by public name; ``None`` if a field needs an expression.
        """
        names: dict[str, str] = {}
        for one in fields:
            inner = self.objects.get(type_name(one.kind))
            name = _member_in(one.text)
            if name is None or (inner is not None and inner.expressions is not None):
                return None
            if name in taken or name in names.values():
                return None  # a record has each name once
            names[one.name] = name
        return names

    def expression(self, one: ReadField) -> str:
        """Write the expression of a field, with the fields of objects in it.

        Args:
            one: The field.

        Returns:
            The expression (JMESPath).
        """
        return self._expression(one.kind, one.text)

    def _expression(self, kind: TypeNode, text: str) -> str:
        """Write the expression for a value of a type."""
        kind = _nullable(kind)
        if isinstance(kind, ListTypeNode):
            item = self._expression(kind.type, "@")
            return text if item == "@" else f"parts({text}, &{item})"
        inner = self.objects.get(type_name(kind))
        if inner is None or inner.expressions is None:
            return text
        members = ", ".join(f"{name}: {one}" for name, one in inner.expressions.items())
        return f"part({text}, &{{{members}}})"

    def _not_null(self, kind: TypeNode) -> Any:  # noqa: ANN401 # a type or a special form
        """Return the type of a record's value that is not ``null``."""
        if isinstance(kind, ListTypeNode):
            item = self._not_null(_nullable(kind.type))
            if not isinstance(kind.type, NonNullTypeNode):
                item = Optional[item]  # noqa: UP045 # made at run time
            return tuple.__class_getitem__((item, ...))
        name = type_name(kind)
        if name in SCALAR_FIELDS:
            return SCALAR_FIELDS[name]
        if name in self.enums:
            enum = self.enums[name]
            words = AfterValidator(OneOf(frozenset(enum.words)))
            return str if enum.unknown is not None else Annotated[str, words]
        return self.objects[name].definition.record

    def _enum(self, name: str, settings: EnumSettings) -> EnumDefinition:
        """Make an enum."""
        keys: Keys = ("enums", name)
        self._check_name(name, keys)
        values: list[EnumValue] = []
        taken: dict[str, str] = {}
        for value, one in settings.values.items():
            if value in _NO_ENUM_VALUES:
                self._mistakes.add((*keys, "values", value), "is no value of an enum in GraphQL.")
            words = one.words or (value,)
            for word in words:
                if (other := taken.setdefault(word.lower(), value)) != value:
                    what = f"has {word!r}, which {other} has, too."
                    self._mistakes.add((*keys, "values", value, "value"), what)
            values.append(EnumValue(value, one.description, words, one.deprecated))
        if settings.unknown is not None and settings.unknown not in settings.values:
            hint = unknown(settings.unknown, settings.values)
            self._mistakes.add((*keys, "unknown"), f"is {settings.unknown}, {hint}")
        return EnumDefinition(name, settings.description, tuple(values), settings.unknown)

    def _check_name(self, name: str, keys: Keys) -> None:
        """Report the name of a type that the schema has already."""
        if name in self._taken:
            self._mistakes.add(keys, f"{_meaning(name)}: expected another name.")
        elif keys[0] == "enums" and name in self._tables.types:
            self._mistakes.add(keys, f"is in [types.{name}], too: expected one of both.")

    def _object(self, name: str, place: Keys) -> ReadObject | None:
        """Return an object, made at most once; ``None`` if it cannot be made."""
        if name in self.objects or name not in self._tables.types:
            return self.objects.get(name)
        if name in self._building:
            circle = self._building[self._building.index(name) :]
            if frozenset(circle) not in self._circles:
                way = " → ".join([*circle, name])
                self._mistakes.add(place, f"makes a circle of objects: {way}.")
            self._circles.add(frozenset(circle))
            return None
        settings = self._tables.types[name]
        fields: list[ReadField] = []
        self._building.append(name)
        for public, one in settings.fields.items():
            keys: Keys = ("types", name, "fields", public)
            kind = self.kind_of(one.type, (*keys, "type"))
            if kind is not None and self.is_sized_list(kind, one.assumed_size, keys):
                text = one.value or as_expression(public)
                fields.append(ReadField(public, kind, text, one.description))
        self._building.pop()
        if len(fields) < len(settings.fields):
            return None
        names = self.member_names(fields)
        expressions = None if names else {one.name: self.expression(one) for one in fields}
        in_json = names or {one.name: one.name for one in fields}
        shown = tuple(
            ObjectField(
                one.name,
                print_ast(one.kind),
                one.description,
                one.attribute,
                settings.fields[one.name].deprecated,
                settings.fields[one.name].assumed_size,
            )
            for one in fields
        )
        record = self.record(f"{name}Part", fields, in_json)
        definition = ObjectDefinition(name, settings.description, shown, record)
        self.objects[name] = ReadObject(definition, expressions, from_file=True)
        return self.objects[name]


def _own_types(tables: SchemaTables) -> Sequence[str]:
    """Return the types of every schema with these settings."""
    return (*OWN_TYPES, NODE_TYPE) if tables.schema.node else OWN_TYPES


def _meaning(name: str) -> str:
    """Say why no type of a file may have a name."""
    if name == NODE_TYPE:
        return "is a type of the schema already, unless [schema] has node = false"
    return "is a root type of GraphQL" if name in _ROOTS else "is a type of the schema already"


def _nullable(kind: TypeNode) -> TypeNode:
    """Return a type without non-null."""
    return kind.type if isinstance(kind, NonNullTypeNode) else kind


def as_expression(name: str) -> str:
    """Write the name of a member as an expression.

    Args:
        name: The name.

    Returns:
        The name, in quotes where it needs some.
    """
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _member_in(text: str) -> str | None:
    """Return the name of the member that an expression reads; ``None`` if it does more."""
    text = text.strip()
    if _IN_QUOTES.fullmatch(text):
        return str(json.loads(text))
    return text if _BARE.fullmatch(text) else None
