"""The values that are allowed at each place of the settings, as the models define them.

Pydantic only checks values that are there. Other modules need to know before what is allowed at a
place: to find the place of a variable's value, to recognise a secret before it is read, and to
translate pydantic's locations of mistakes.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.settings.base import FromFolder, UsualNames
from app.settings.nested import Table


class FieldSchema(Struct, frozen=True):
    """The values that are allowed at one place. With a union of types, several kinds are.

    Attributes:
        tables: The models of which a table at this place is one.
        tag: The discriminator: the field that says which of these models a table is.
        entries: The schema of a table's values, if the operator chooses the names; else ``None``.
        usual: The names that such a table usually has.
        items: The schema of a list's items; ``None`` if no list is allowed.
        secret: Whether a secret is allowed.
        plain: Whether any other single value is allowed.
        located: Whether a text is a path that a file names relative to its own folder.
        united: Whether it is a union of several types, so that pydantic's locations of mistakes
            below name one of them.
    """

    tables: tuple[type[BaseModel], ...] = ()
    tag: str | None = None
    entries: "FieldSchema | None" = None
    usual: tuple[str, ...] = ()
    items: "FieldSchema | None" = None
    secret: bool = False
    plain: bool = False
    located: bool = False
    united: bool = False

    @property
    def holds(self) -> bool:
        """Whether a value with places in it is allowed: a table or a list."""
        return bool(self.tables or self.entries or self.items)

    def kinds(self) -> dict[str, type[BaseModel]]:
        """Return the models by the value of their tag.

        Returns:
            The models; empty if there is no tag.
        """
        if self.tag is None:
            return {}
        return {
            str(word): model
            for model in self.tables
            for word in get_args(model.model_fields[self.tag].annotation)
        }

    def of(self, table: Table) -> "FieldSchema":
        """Narrow the schema to the model that the tag of a table names.

        Args:
            table: The table.

        Returns:
            The schema of that model; the same schema if the table names none.
        """
        kind = self.kinds().get(str(table.get(self.tag))) if self.tag is not None else None
        return self if kind is None else FieldSchema(tables=(kind,))

    def differ(self, one: Table, other: Table) -> bool:
        """Return whether two tables are of different kinds.

        Args:
            one: A table at this place.
            other: Another one.

        Returns:
            Whether their tags name different models. A table without a tag may be of any kind.
        """
        if self.tag is None or self.tag not in one or self.tag not in other:
            return False
        kinds, tags = self.kinds(), (str(one[self.tag]), str(other[self.tag]))
        return kinds.get(tags[0], tags[0]) is not kinds.get(tags[1], tags[1])

    def named(self, label: str | int) -> "FieldSchema":
        """Narrow the schema to the type that a location of pydantic names.

        Args:
            label: The part of the location: the value of a tag, or the name of a type.

        Returns:
            The schema of that type.
        """
        if self.tag is not None and not str(label).startswith("tagged-union"):
            return self.of({self.tag: label})
        models = tuple(model for model in self.tables if model.__name__ == label)
        return FieldSchema(tables=models) if models else replace(self, united=self.tag is not None)

    def names(self) -> tuple[str, ...]:
        """Return the names of all settings of the models, or the usual names in a table.

        Returns:
            The names, in the order of the settings, each once.
        """
        every = (name for model in self.tables for name in settings_of(model))
        return tuple(dict.fromkeys((*every, *self.usual)))

    def below(self, key: str | int) -> "Setting":
        """Return the setting at a key of a table, or at a position in a list.

        Args:
            key: The key or the position.

        Returns:
            The setting. Its schema is ``NOWHERE`` if the key is not allowed.
        """
        if isinstance(key, int):
            return Setting(self.items or NOWHERE)
        fields = [known[key] for known in map(settings_of, self.tables) if key in known]
        if not fields:
            return Setting(self.entries or NOWHERE, required=key in self.usual)
        setting = Setting.of(fields)
        if self.tag in {None, key}:
            return setting
        return replace(setting, meaning=self._meaning(key))

    def _meaning(self, key: str) -> str:
        """Return the description of a setting, with the kinds of tables that have it."""
        kinds: dict[str, list[str]] = {}
        for word, model in self.kinds().items():
            if (info := model.model_fields.get(key)) is not None:
                kinds.setdefault(info.description or "", []).append(f"`{word}`")
        every = sum(map(len, kinds.values())) == len(self.kinds())
        if every and len(kinds) == 1:
            return next(iter(kinds))
        return " ".join(f"For {', '.join(words)}: {meaning}" for meaning, words in kinds.items())


def settings_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the settings of a table, by the names that operators write.

    Args:
        model: The model of the table.

    Returns:
        The fields of the model, by alias where they have one.
    """
    return {info.alias or name: info for name, info in model.model_fields.items()}


def settings_in(table: BaseModel) -> Mapping[str, Any]:
    """Return the values of a table, by the names that operators write.

    Args:
        table: The table.

    Returns:
        The values of all its fields.
    """
    known = type(table).model_fields
    return {known[name].alias or name: value for name, value in table}


NOWHERE = FieldSchema()
"""The schema of a place that does not exist: no value is allowed."""


class Setting(Struct, frozen=True):
    """One setting, or a table of them.

    Attributes:
        schema: The values that are allowed.
        meaning: Its description.
        required: Whether it must be set.
        default: Its value if it is not set.
        examples: Examples of its value.
        dependent: Whether it has an effect only with another setting: its table is absent by
            default, or is of another kind.
    """

    schema: FieldSchema
    meaning: str = ""
    required: bool = False
    default: Any = None
    examples: tuple[object, ...] = ()
    dependent: bool = False

    @classmethod
    def of(cls, infos: Collection[FieldInfo]) -> "Setting":
        """Make a setting from the fields of one name; models of a union may share a name.

        Args:
            infos: The fields, at least one.

        Returns:
            The setting. It is required only if each of the fields is.
        """
        first = next(iter(infos))
        required = all(info.is_required() for info in infos)
        return cls(
            schema=_together(_schema_of_field(info) for info in infos),
            meaning=" ".join(dict.fromkeys(info.description for info in infos if info.description)),
            required=required,
            default=None if first.is_required() else first.get_default(call_default_factory=True),
            examples=tuple(first.examples or ()),
        )


def example_of(setting: Setting) -> object:
    """Return an example of a list or a table.

    Args:
        setting: The setting.

    Returns:
        The first example in its description, or its default, or else one of its first item or of
        all required settings.
    """
    schema = setting.schema
    for given in (*setting.examples, setting.default):
        if given and isinstance(given, list | tuple | dict):
            return cast("object", given)
    if schema.items is not None:
        return [example_of(Setting(schema.items))]
    if schema.entries is not None:
        return {next(iter(schema.usual), "name"): example_of(Setting(schema.entries))}
    if not schema.tables:
        return next(iter(setting.examples), "value")
    if schema.tag is not None:
        return {schema.tag: next(iter(schema.kinds()))}
    required = [name for name in schema.names() if schema.below(name).required]
    return {
        name: next(iter(schema.below(name).examples), "value")
        for name in required or schema.names()[:1]
    }


def _schema_of_field(info: FieldInfo) -> FieldSchema:
    """Return the schema of a field, with the usual names of a table of free names."""
    schema = field_schema_of(info.annotation, _tag_of(info.discriminator))
    usual = next((one.names for one in info.metadata if isinstance(one, UsualNames)), ())
    return replace(schema, usual=usual)


def field_schema_of(annotation: object, tag: str | None = None) -> FieldSchema:
    """Return the schema of a type.

    Args:
        annotation: The type.
        tag: The discriminator of a union of models.

    Returns:
        The schema. An unknown type counts as a single value; pydantic still checks it.
    """
    annotation = getattr(annotation, "__value__", annotation)  # the value of a type alias
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        tags = (_tag_of(getattr(one, "discriminator", None)) for one in args[1:])
        schema = field_schema_of(args[0], next((one for one in tags if one is not None), tag))
        located = any(isinstance(one, FromFolder) for one in args[1:])
        return replace(schema, located=located or schema.located)
    if origin in {Union, UnionType}:
        members = [field_schema_of(one) for one in args if one is not NoneType]
        united = _together(members)
        return replace(united, tag=tag or united.tag, united=len(members) > 1 or united.united)
    kind = origin or annotation
    return _of_class(kind, args) if isinstance(kind, type) else FieldSchema(plain=True)


def _of_class(kind: type, args: tuple[object, ...]) -> FieldSchema:
    """Return the schema of a class."""
    if issubclass(kind, BaseModel):
        return FieldSchema(tables=(kind,))
    if issubclass(kind, Mapping):
        return FieldSchema(entries=field_schema_of(args[1]) if args else FieldSchema(plain=True))
    if issubclass(kind, Collection) and not issubclass(kind, str | bytes):
        inner = [field_schema_of(one) for one in args if one is not ...]
        return FieldSchema(items=_together(inner) if inner else FieldSchema(plain=True))
    return FieldSchema(secret=True) if kind is SecretStr else FieldSchema(plain=True)


def _tag_of(discriminator: object) -> str | None:
    """Return the name of the discriminating field; ``None`` if the discriminator is no field."""
    name: object = getattr(discriminator, "discriminator", discriminator)
    return name if isinstance(name, str) else None


def _together(schemas: Iterable[FieldSchema]) -> FieldSchema:
    """Merge schemas; each value that one of them allows is allowed."""
    return reduce(_united, schemas)


def _united(one: FieldSchema, other: FieldSchema) -> FieldSchema:
    """Merge two schemas."""
    return FieldSchema(
        tables=tuple(dict.fromkeys((*one.tables, *other.tables))),
        tag=one.tag or other.tag,
        entries=_either(one.entries, other.entries),
        usual=tuple(dict.fromkeys((*one.usual, *other.usual))),
        items=_either(one.items, other.items),
        secret=one.secret or other.secret,
        plain=one.plain or other.plain,
        located=one.located or other.located,
        united=one.united or other.united,
    )


def _either(one: FieldSchema | None, other: FieldSchema | None) -> FieldSchema | None:
    """Merge two schemas of which either may be missing."""
    return _united(one, other) if one is not None and other is not None else one or other
