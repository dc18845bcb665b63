"""Declares a field together with the attribute that it reads, of a record or of a part of one.

Objects inside a user's fields are declared in the same way (``projects``): ``of`` makes each from a
part of a record. The executor makes these objects. A compiled operation reads the same attributes,
by the same declarations, and makes no objects.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
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
"""Makes, from a field's coerced arguments, a function that reads the field's value from the record.

The function reads the same fields of the record for all arguments.

Raises ``BadUserInputError`` if an argument is not valid.
"""

_SOURCE_FIELD = "source_field"
_PROJECTION = "projection"


class HasResults(Protocol):
    """A type whose fields read source results."""

    @property
    def results(self) -> SourceResults:
        """The results of the sources that the operation needs."""
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
    """Declare a field that shows one attribute of a source's record.

    The field is ``null`` if the source does not know the user, and an error with the source's code
    if the source has failed.

    Args:
        spec: The source.
        attribute: The attribute: a field or a property of the record.
        description: The description of the field in the schema.
        may: The policy of the field.
        of: Converts the value of the attribute to the public value; ``None`` if they are the same.
        fields: The fields of the record that a property reads; ``None`` for all of them. Ignored if
            the attribute is itself a field.

    Returns:
        The Strawberry field.

    Raises:
        TypeError: The record has no such attribute, or no such fields.
    """
    if attribute in spec.record.model_fields:
        fields = (attribute,)
    elif not hasattr(spec.record, attribute):
        raise TypeError(f"{spec.record.__name__} has no attribute {attribute}")
    projection = Projection(attribute, of)
    needed = _fields_of(spec, fields)

    def resolve(root: HasResults) -> Any:  # noqa: ANN401 # the class body says the type
        record = root.results.read(spec, needed)
        return None if record is None else projection.read(record)

    return _field(resolve, SourceField(spec, needed, may, projection=projection), description)


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
    """Declare a field that has its own resolver and reads a source.

    Args:
        spec: The source. Its result is loaded before the field is resolved.
        resolver: The resolver.
        description: The description of the field in the schema.
        may: The policy of the field.
        fields: The fields of the record that the resolver reads.
        bind: Makes a function that reads the value from the record, if the record is enough.
        pages: The list of the source that the resolver reads page by page, if it does.
        directives: Further directives of the field in the schema.

    Returns:
        The Strawberry field.

    Raises:
        TypeError: The record has no such fields.
    """
    source_field = SourceField(spec, _fields_of(spec, fields), may, bind=bind, pages=pages)
    return _field(resolver, source_field, description, directives)


def projects(
    part: type[BaseModel],
    attribute: str,
    description: str,
    *,
    of: Callable[[Any], Any] | None = None,
) -> Any:  # noqa: ANN401 # the class body says the type
    """Declare a field of an object that is made from a part of a record.

    Args:
        part: The model of the part.
        attribute: The attribute of the part that the field shows.
        description: The description of the field in the schema.
        of: Converts the value of the attribute to the public value; ``None`` if they are the same.

    Returns:
        The Strawberry field.

    Raises:
        TypeError: The part has no such attribute.
    """
    if attribute not in part.model_fields and not hasattr(part, attribute):
        raise TypeError(f"{part.__name__} has no attribute {attribute}")
    return strawberry.field(
        description=description, metadata={_PROJECTION: Projection(attribute, of)}
    )


class Projected(Generic[P]):
    """Base class of the objects inside a user's fields. Each is made from a part of a record."""

    @classmethod
    def of(cls, part: P) -> Self:
        """Make the object from a part of a record.

        Args:
            part: The part of the record.

        Returns:
            The object.
        """
        fields = get_object_definition(cls, strict=True).fields
        return cls(
            **{field.python_name: field.metadata[_PROJECTION].read(part) for field in fields}
        )


class Vocabulary(Enum):
    """Base class of public enums. Each member is made from words of a source.

    ``of`` gives any new word of a source a member, so that no client breaks. Settings must not
    have new words: ``wrong_word`` finds them.
    """

    @classmethod
    def words(cls) -> "Mapping[str, Vocabulary]":
        """Return the known words in lower case, with the member of each.

        Returns:
            The words. The name of a member is one of them.
        """
        return {member.name.lower(): member for member in cls}

    @classmethod
    def wrong_word(cls, word: str) -> str | None:
        """Return what is wrong with a word in the settings.

        Args:
            word: The word.

        Returns:
            What was found, and what is expected; ``None`` if the word is known.
        """
        words = cls.words()
        if word.lower() in words:
            return None
        near = get_close_matches(word.lower(), words, n=1)
        expected = (
            f"did you mean {words[near[0]].name}?"
            if near
            else f"expected one of {', '.join(member.name for member in cls)}."
        )
        return f"got {word!r}: {expected}"


@dataclass(frozen=True, slots=True)
class Projection:
    """How a field gets its value from one attribute of a record, or of a part of one.

    Attributes:
        attribute: The attribute that it reads.
        of: Converts the value of the attribute to the public value; ``None`` if they are the same.
    """

    attribute: str
    of: Callable[[Any], object] | None = None

    @property
    def makes_object(self) -> bool:
        """Whether ``of`` only makes a ``Projected`` object from a part of a record."""
        owner: object = getattr(self.of, "__self__", None)
        return isinstance(owner, type) and issubclass(owner, Projected)

    @property
    def vocabulary(self) -> type[Vocabulary] | None:
        """The enum of which ``of`` makes a member; ``None`` if it makes another value."""
        owner: object = getattr(self.of, "__self__", None)
        return owner if isinstance(owner, type) and issubclass(owner, Vocabulary) else None

    def read(self, part: object) -> object:
        """Read the value for the executor.

        Args:
            part: The record, or the part of one.

        Returns:
            The public value; ``None`` if the attribute is ``None``.
        """
        value: object = getattr(part, self.attribute)
        return value if value is None or self.of is None else self.of(value)


def projection_of(field: GraphQLField) -> Projection | None:
    """Return the projection of a field that ``projects`` has declared.

    Args:
        field: The field in graphql-core's schema.

    Returns:
        The projection; ``None`` if the field has a resolver instead.
    """
    definition: StrawberryField = field.extensions["strawberry-definition"]
    projection: Projection | None = definition.metadata.get(_PROJECTION)
    return projection


def _field(
    resolver: Callable[..., object],
    source_field: "SourceField",
    description: str,
    directives: Sequence[object] = (),
) -> Any:  # noqa: ANN401 # the class body says the type
    """Make the Strawberry field of a source field."""
    may = source_field.may
    return strawberry.field(
        resolver=resolver,
        # Explorers show descriptions, but not directives.
        description=description if may == PUBLIC else f"{description} Only for {may.audience}.",
        metadata={_SOURCE_FIELD: source_field},
        directives=[*may.directives, *directives],
    )


def _fields_of(spec: SourceSpec[Any], read: Collection[str] | None) -> FieldSet:
    """Return the fields to request, without the key; all if it is unknown which are read."""
    # The key is not requested, because it is always in the row.
    known = frozenset[str](spec.record.model_fields)
    if read is not None and (unknown := sorted({*read} - known)):
        raise TypeError(f"{spec.record.__name__} has no field {unknown[0]}")
    return (known if read is None else frozenset(read)) - {spec.key}


@dataclass(frozen=True, slots=True)
class SourceField:
    """A field of a user, and the source that it reads.

    Attributes:
        spec: The source.
        fields: The fields of the record that it reads, without the key.
        may: The policy of the field.
        projection: How it reads one attribute, if it has no resolver of its own.
        bind: Makes a function that reads the value from the record, if the field has arguments and
            the record is enough.
        pages: The list of the source that it reads page by page, if it does.
    """

    spec: SourceSpec[Any]
    fields: FieldSet
    may: Policy
    projection: Projection | None = None
    bind: Bind | None = None
    pages: PageSpec[Any] | None = None


def source_fields(
    definition: StrawberryObjectDefinition, public_name: Callable[[Any], str]
) -> Mapping[str, SourceField]:
    """Return the fields of a type that read a source.

    Args:
        definition: The type.
        public_name: Returns the public name of a field.

    Returns:
        The source fields by public name, in the order of the type.
    """
    return {
        public_name(field): field.metadata[_SOURCE_FIELD]
        for field in definition.fields
        if _SOURCE_FIELD in field.metadata
    }
