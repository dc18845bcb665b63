"""Declaring a field together with what it reads: an attribute of a source's record, or of a part.

The objects inside a user's fields are tables as well (``projects``): each is made from a part of a
record by ``of``. The executor makes them. A compiled operation reads the same attributes, by the
same table, and makes none.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import strawberry
from graphql import GraphQLField
from pydantic import BaseModel
from strawberry.types.base import StrawberryObjectDefinition, get_object_definition
from strawberry.types.field import StrawberryField

from app.auth.policies import PUBLIC, Policy
from app.sources.base import FieldSet, PageSpec, SourceSpec
from app.sources.results import SourceResults

P = TypeVar("P", bound=BaseModel)

Bind = Callable[[Mapping[str, Any]], Callable[[Any], object]]
"""Makes, of a field's coerced arguments, what reads its value from the record, as it is there.

Whatever the arguments are, it reads the same fields of the record.

Raises ``BadUserInputError`` where an argument cannot be right.
"""

_SOURCE_FIELD = "reading"
_PROJECTION = "showing"


class HasResults(Protocol):
    """A type whose fields read what sources said."""

    @property
    def results(self) -> SourceResults:
        """What each asked source said."""
        ...


def reads(
    spec: SourceSpec[Any],
    attribute: str,
    description: str,
    *,
    may: Policy,
    of: Callable[[Any], Any] | None = None,
    fields: Collection[str] | None = None,
) -> Any:  # noqa: ANN401 # the class body says the type
    """Declare a field that shows one attribute of one source's record.

    The field is ``null`` when the source does not know the user, and fails with the source's code
    when the source failed.

    Args:
        spec: The source.
        attribute: The attribute of its record: a field, or a property of it.
        description: What clients read about the field.
        may: Who may see it.
        of: Makes the public value of what was read, where that is another one.
        fields: The fields of the record that a property reads; all are asked for where it does not
            say. A field reads itself.

    Returns:
        The field.

    Raises:
        TypeError: The record has no such attribute, or no such fields.
    """
    if attribute in spec.record.model_fields:
        fields = (attribute,)
    elif not hasattr(spec.record, attribute):
        raise TypeError(f"{spec.record.__name__} has no attribute {attribute}")
    shown = Projection(attribute, of)
    wanted = _fields_of(spec, fields)

    def resolve(root: HasResults) -> Any:  # noqa: ANN401 # the class body says the type
        record = root.results.read(spec, wanted)
        return None if record is None else shown.read(record)

    return _field(resolve, SourceField(spec, wanted, may, showing=shown), description)


def resolves(
    spec: SourceSpec[Any],
    resolver: Callable[..., object],
    description: str,
    *,
    may: Policy,
    fields: Collection[str],
    bind: Bind | None = None,
    pages: PageSpec[Any] | None = None,
    directives: Sequence[object] = (),
) -> Any:  # noqa: ANN401 # the class body says the type
    """Declare a field that has a resolver of its own, and reads a source.

    Args:
        spec: The source that is asked before the field is resolved.
        resolver: Resolves it.
        description: What clients read about the field.
        may: Who may see it.
        fields: The fields of the record that the resolver reads.
        bind: Makes what reads the value from the record alone, where that is all it takes.
        pages: The list of the source that the resolver reads page by page.
        directives: What else the schema says of it.

    Returns:
        The field.

    Raises:
        TypeError: The record has no such fields.
    """
    reading = SourceField(spec, _fields_of(spec, fields), may, bind=bind, pages=pages)
    return _field(resolver, reading, description, directives)


def projects(
    part: type[BaseModel],
    attribute: str,
    description: str,
    *,
    of: Callable[[Any], Any] | None = None,
) -> Any:  # noqa: ANN401 # the class body says the type
    """Declare a field of an object that is made from a part of a record.

    Args:
        part: The part.
        attribute: The attribute of it that the field shows.
        description: What clients read about the field.
        of: Makes the public value of what was read, where that is another one.

    Returns:
        The field.

    Raises:
        TypeError: The part has no such attribute.
    """
    if attribute not in part.model_fields and not hasattr(part, attribute):
        raise TypeError(f"{part.__name__} has no attribute {attribute}")
    return strawberry.field(
        description=description, metadata={_PROJECTION: Projection(attribute, of)}
    )


class Projected(Generic[P]):
    """Base of the objects inside a user's fields: each is made from a part of a record."""

    @classmethod
    def of(cls, part: P) -> Self:
        """Make it.

        Args:
            part: What it shows.

        Returns:
            The object.
        """
        fields = get_object_definition(cls, strict=True).fields
        return cls(**{one.python_name: one.metadata[_PROJECTION].read(part) for one in fields})


@dataclass(frozen=True, slots=True)
class Projection:
    """What a field shows of a record or a part of one.

    Attributes:
        attribute: The attribute that it reads.
        of: Makes the public value of what was read, where that is another one.
    """

    attribute: str
    of: Callable[[Any], object] | None = None

    @property
    def makes_object(self) -> bool:
        """Whether ``of`` only puts a part of a record into the object that shows it."""
        owner: object = getattr(self.of, "__self__", None)
        return isinstance(owner, type) and issubclass(owner, Projected)

    def read(self, part: object) -> object:
        """Read the value as the executor wants it; what is absent is ``None``."""
        value: object = getattr(part, self.attribute)
        return value if value is None or self.of is None else self.of(value)


def projection_of(field: GraphQLField) -> Projection | None:
    """Find what a field of an object shows.

    Args:
        field: The field, of GraphQL's own schema.

    Returns:
        What it shows, or ``None`` where it has a resolver instead.
    """
    strawberrys: StrawberryField = field.extensions["strawberry-definition"]
    found: Projection | None = strawberrys.metadata.get(_PROJECTION)
    return found


def _field(
    resolver: Callable[..., object],
    reading: "SourceField",
    description: str,
    directives: Sequence[object] = (),
) -> Any:  # noqa: ANN401 # the class body says the type
    """Make Strawberry's field of a reading."""
    may = reading.may
    return strawberry.field(
        resolver=resolver,
        # Explorers show descriptions, and no directives.
        description=description if may == PUBLIC else f"{description} Only for {may.whose}.",
        metadata={_SOURCE_FIELD: reading},
        directives=[*may.directives, *directives],
    )


def _fields_of(spec: SourceSpec[Any], read: Collection[str] | None) -> FieldSet:
    """Find which fields of a source's record are asked for, given what is read, if that is known.

    The key is none of them: it always comes.
    """
    known = frozenset[str](spec.record.model_fields)
    if read is not None and (unknown := sorted({*read} - known)):
        raise TypeError(f"{spec.record.__name__} has no field {unknown[0]}")
    return (known if read is None else frozenset(read)) - {spec.key}


@dataclass(frozen=True, slots=True)
class SourceField:
    """A field and the source that it reads.

    Attributes:
        spec: The source.
        fields: The fields of its record that it reads, but for the key.
        may: Who may see it.
        showing: The attribute that it shows, where that is all it does.
        bind: Makes what reads the value from the record alone, where the field has arguments.
        pages: The list of it that the field reads page by page, if it does.
    """

    spec: SourceSpec[Any]
    fields: FieldSet
    may: Policy
    showing: Projection | None = None
    bind: Bind | None = None
    pages: PageSpec[Any] | None = None


def source_fields(
    definition: StrawberryObjectDefinition, public_name: Callable[[Any], str]
) -> Mapping[str, SourceField]:
    """List which fields of a type read which source.

    Args:
        definition: The type.
        public_name: Gives the public name of a field.

    Returns:
        What each field that reads a source reads, by its public name, in the order of the type.
    """
    return {
        public_name(field): field.metadata[_SOURCE_FIELD]
        for field in definition.fields
        if _SOURCE_FIELD in field.metadata
    }
