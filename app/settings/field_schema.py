"""What may stand at each place of the settings, read off their models.

Pydantic says what is wrong with a value once it is there. To find the place of a variable's value,
to know a secret before it is read, and to tell where pydantic found a mistake, one has to know
beforehand what may stand where.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.settings.nested import Table


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """What may stand at one place; several of these where types are united.

    Attributes:
        tables: Models whose fields a table has.
        tag: The field that says which of them a table is.
        entries: What a table holds whose names are the operator's own.
        items: What a list holds.
        secret: Whether a secret may stand here.
        plain: Whether any other single value may.
        united: Whether pydantic names one of several types where it says what is wrong below.
    """

    tables: tuple[type[BaseModel], ...] = ()
    tag: str | None = None
    entries: "FieldSchema | None" = None
    items: "FieldSchema | None" = None
    secret: bool = False
    plain: bool = False
    united: bool = False

    @property
    def holds(self) -> bool:
        """Whether something with places of its own may stand here: a table or a list."""
        return bool(self.tables or self.entries or self.items)

    def kinds(self) -> dict[str, type[BaseModel]]:
        """List the models by the word that a table has for its tag."""
        if self.tag is None:
            return {}
        return {
            str(word): model
            for model in self.tables
            for word in get_args(model.model_fields[self.tag].annotation)
        }

    def of(self, table: Table) -> "FieldSchema":
        """Narrow this to what a table says that it is."""
        kind = self.kinds().get(str(table.get(self.tag))) if self.tag is not None else None
        return self if kind is None else FieldSchema(tables=(kind,))

    def named(self, label: str | int) -> "FieldSchema":
        """Narrow this to what pydantic names: the tag of a model, or one type of several."""
        if self.tag is not None and not str(label).startswith("tagged-union"):
            return self.of({self.tag: label})
        models = tuple(model for model in self.tables if model.__name__ == label)
        return FieldSchema(tables=models) if models else replace(self, united=self.tag is not None)

    def names(self) -> tuple[str, ...]:
        """List what a table here holds by names of ours."""
        return tuple(dict.fromkeys(name for model in self.tables for name in model.model_fields))

    def below(self, key: str | int) -> "Setting":
        """Tell what may stand below a key; nothing, where the key may not be."""
        if isinstance(key, int):
            return Setting(self.items or NOWHERE)
        fields = [model.model_fields[key] for model in self.tables if key in model.model_fields]
        return Setting.of(fields) if fields else Setting(self.entries or NOWHERE)


NOWHERE = FieldSchema()
"""Of a place where nothing may stand."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, or a table of them.

    Attributes:
        schema: What its value may be.
        meaning: What it is for.
        required: Whether it has to be there.
        default: Its value where it is not.
        examples: What one might write.
        dependent: Whether it means nothing unless something else is set: its table is not there by
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
        """Read it off the fields of that name; tables of several kinds may share one."""
        first = next(iter(infos))
        required = all(info.is_required() for info in infos)
        return cls(
            schema=_together(
                field_schema_of(info.annotation, _tag_of(info.discriminator)) for info in infos
            ),
            meaning=" ".join(dict.fromkeys(info.description for info in infos if info.description)),
            required=required,
            default=None if first.is_required() else first.get_default(call_default_factory=True),
            examples=tuple(first.examples or ()),
        )


def field_schema_of(annotation: object, tag: str | None = None) -> FieldSchema:
    """Tell what a type allows.

    Args:
        annotation: The type.
        tag: The field that tells united models apart.

    Returns:
        Its shape. A type that is not known here is a plain value; pydantic judges it all the same.
    """
    annotation = getattr(annotation, "__value__", annotation)  # of a name for a type
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        tags = (_tag_of(getattr(one, "discriminator", None)) for one in args[1:])
        return field_schema_of(args[0], next((one for one in tags if one is not None), tag))
    if origin in {Union, UnionType}:
        members = [field_schema_of(one) for one in args if one is not NoneType]
        united = _together(members)
        return replace(united, tag=tag or united.tag, united=len(members) > 1 or united.united)
    kind = origin or annotation
    return _of_class(kind, args) if isinstance(kind, type) else FieldSchema(plain=True)


def _of_class(kind: type, args: tuple[object, ...]) -> FieldSchema:
    """Tell what a class allows."""
    if issubclass(kind, BaseModel):
        return FieldSchema(tables=(kind,))
    if issubclass(kind, Mapping):
        return FieldSchema(entries=field_schema_of(args[1]) if args else FieldSchema(plain=True))
    if issubclass(kind, Collection) and not issubclass(kind, str | bytes):
        inner = [field_schema_of(one) for one in args if one is not ...]
        return FieldSchema(items=_together(inner) if inner else FieldSchema(plain=True))
    return FieldSchema(secret=True) if kind is SecretStr else FieldSchema(plain=True)


def _tag_of(discriminator: object) -> str | None:
    """Find the name of the field that tells models apart, where a field does."""
    name: object = getattr(discriminator, "discriminator", discriminator)
    return name if isinstance(name, str) else None


def _together(shapes: Iterable[FieldSchema]) -> FieldSchema:
    """Unite shapes."""
    return reduce(_united, shapes)


def _united(one: FieldSchema, other: FieldSchema) -> FieldSchema:
    """Unite two shapes."""
    return FieldSchema(
        tables=tuple(dict.fromkeys((*one.tables, *other.tables))),
        tag=one.tag or other.tag,
        entries=_either(one.entries, other.entries),
        items=_either(one.items, other.items),
        secret=one.secret or other.secret,
        plain=one.plain or other.plain,
        united=one.united or other.united,
    )


def _either(one: FieldSchema | None, other: FieldSchema | None) -> FieldSchema | None:
    """Unite two shapes of which either may be missing."""
    return _united(one, other) if one is not None and other is not None else one or other
