"""Builds Strawberry's types from the definitions of the schema, at start.

A field of a user has a resolver, which reads the results of its source. A field of an object inside
shows an attribute of a part of a record, and Strawberry's default resolver reads it: the parts
themselves are the objects.
"""

import types
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Optional, Protocol, TypeAlias, cast

import strawberry
from graphql import ListTypeNode, NonNullTypeNode, TypeNode
from msgspec import Struct

from app.auth.policies import owner_directive
from app.errors import SourceError, SourceFailure
from app.schema.connection import MAX_FIRST, PageEdge, page_request, resolved_page
from app.schema.definitions import (
    DEFAULT_FIRST,
    EnumDefinition,
    ObjectDefinition,
    ObjectField,
    SchemaDefinition,
    UserField,
    type_name,
)
from app.schema.directives import Cost, ListSize, SemanticNonNull
from app.schema.node import UserNode
from app.schema.page_types import PAGE_INFO, page_types
from app.schema.scalars import SafeInt, Url
from app.sources.base import PageRequest, PageResult, PageSpec, Record, UserId
from app.sources.results import SourceResults

ASSUMED_SIZE = 20
"""The number of objects in a list that the cost assumes, if the definition does not say it."""

PythonType: TypeAlias = Any
"""An annotation that Strawberry reads: a type, or a special form."""

Convert: TypeAlias = Callable[[Any], object]
"""Converts a value of a record to what Strawberry expects."""

_SCALARS: Mapping[str, PythonType] = {
    "String": str,
    "Int": int,
    "Float": float,
    "Boolean": bool,
    "ID": strawberry.ID,
    "DateTime": datetime,
    "Date": date,
    "SafeInt": SafeInt,
    "URL": Url,
}


class ResolvedUser(Struct, frozen=True):
    """A user that the resolvers of its fields read.

    Attributes:
        id: The user's id.
        results: The results of the sources that the operation needs.
    """

    id: str
    results: SourceResults


class PageLoader(Protocol):
    """Loads pages of lists, for one request."""

    async def load_page(self, spec: PageSpec[Record], request: PageRequest) -> PageResult[Record]:
        """Ask for one page of one user's list.

        Args:
            spec: The list.
            request: The page, by the user's id.

        Returns:
            What the source answered.
        """
        ...


class LoadsPages(Protocol):
    """What a resolver of a field needs of the request."""

    @property
    def loaders(self) -> PageLoader:
        """Ask the sources."""
        ...


ResolverInfo = strawberry.Info[LoadsPages, None]
"""The info that Strawberry passes to a resolver, with the context that it needs."""


First: TypeAlias = Annotated[
    int | None, strawberry.argument(description="How many at most; all when absent.")
]
"""The argument ``first`` of a list that is in the record."""


class TypeBuilder:
    """Builds the types of one schema.

    Args:
        schema: The definition of the schema.
        security_directives: Whether the types show routers who may see which field.
    """

    def __init__(self, schema: SchemaDefinition, *, security_directives: bool) -> None:
        self._schema = schema
        self._owner = owner_directive(schema.names) if security_directives else None
        self._enums = {one.name: _enum_type(one) for one in schema.enums}
        objects = (*schema.objects, *page_types(schema))
        self._definitions = {one.name: one for one in objects}
        self._objects: dict[str, PythonType] = {}

    def user(self) -> type:
        """Build the type of a user.

        Returns:
            The Strawberry type. Its values are ``ResolvedUser``.
        """
        fields: dict[str, tuple[PythonType, Any]] = {
            "id": (
                strawberry.ID,
                strawberry.field(
                    description=self._schema.names.in_text("Identifies the user in every source.")
                ),
            )
        }
        for one in self._schema.fields:
            # Another Python name, since a public name may be `id_` or a keyword of Python.
            fields[f"field_{one.name}"] = self._user_field(one)
        bases = (UserNode,) if self._schema.names.node else ()
        user = _with_fields(self._schema.names.type, fields, bases)
        user.is_type_of = classmethod(lambda _, value, __: isinstance(value, ResolvedUser))  # type: ignore[attr-defined] # Strawberry looks for it
        built: type = strawberry.federation.type(
            user, keys=["id"], description=self._schema.description
        )
        return built

    def _user_field(self, field: UserField) -> tuple[PythonType, Any]:
        """Build a field of a user: its type and its resolver."""
        directives = [*(field.may.directives(self._owner) if self._owner is not None else ())]
        if field.weight is not None:
            directives.append(Cost(weight=field.weight))
        if field.pages is not None:
            annotation: PythonType = self._annotation(field.shown)
            resolver = _page_resolver(field, field.pages)
            # Without `assumedSize`: the argument has a default, and Cosmo's composer rejects both.
            directives.append(
                ListSize(
                    slicing_arguments=["first"],
                    sized_fields=["edges"],
                    require_one_slicing_argument=False,
                )
            )
        else:
            annotation, convert = self._annotation(field.kind), self._convert(field.kind)
            if isinstance(field.kind, NonNullTypeNode) and field.missing is not None:
                convert = _never_none(field.missing, convert)
                if self._schema.drafts.semantic_non_null:
                    annotation = self._annotation(field.kind.type)
                    directives.append(SemanticNonNull())
            if field.assumed_size is None:
                resolver = _attribute_resolver(field, convert)
                directives += self._size(field.kind)
            else:
                resolver = _first_resolver(field, convert)
                directives.append(_sliced(field.assumed_size))
        return annotation, strawberry.field(
            resolver=resolver,
            name=field.name,
            description=field.full_description(self._schema.names),
            deprecation_reason=field.deprecated,
            directives=directives,
        )

    def _object(self, definition: ObjectDefinition) -> PythonType:
        """Return the type of an object, built once."""
        if definition.name not in self._objects:
            fields: dict[str, tuple[PythonType, Any]] = {}
            for one in definition.fields:
                # Strawberry's default resolver reads the attribute with the Python name.
                name = f"field_{one.name}" if one.attribute in fields else one.attribute
                fields[name] = self._object_field(one, name)
            self._objects[definition.name] = strawberry.federation.type(
                _with_fields(definition.name, fields),
                description=definition.description,
                shareable=definition is PAGE_INFO,  # other subgraphs have it, too
            )
        return self._objects[definition.name]

    def _object_field(self, field: ObjectField, name: str) -> tuple[PythonType, Any]:
        """Build a field of an object under a Python name."""
        convert = self._convert(field.kind)
        resolver: Callable[..., Any] | None
        if field.assumed_size is not None:
            resolver = _first_part_resolver(field, convert)
            directives: list[object] = [_sliced(field.assumed_size)]
        else:
            # Without a resolver, Strawberry reads the attribute itself.
            plain = convert is None and name == field.attribute
            resolver = None if plain else _part_resolver(field.attribute, convert)
            directives = self._size(field.kind)
        return self._annotation(field.kind), strawberry.field(
            resolver=cast("Any", resolver),
            name=field.name,
            description=field.description,
            deprecation_reason=field.deprecated,
            directives=directives,
        )

    def _size(self, kind: TypeNode) -> list[object]:
        """Return the directive for the length of a list of objects, if a type is one."""
        plain = kind.type if isinstance(kind, NonNullTypeNode) else kind
        if isinstance(plain, ListTypeNode):
            definition = self._definitions.get(type_name(plain))
            # The size of a page is said at its connection.
            if definition is not None and definition.record is not PageEdge:
                return [ListSize(assumed_size=ASSUMED_SIZE)]
        return []

    def _annotation(self, kind: TypeNode) -> PythonType:
        """Return the annotation of a type."""
        if isinstance(kind, NonNullTypeNode):
            return self._not_null(kind.type)
        return Optional[self._not_null(kind)]  # noqa: UP045 # made at run time

    def _not_null(self, kind: TypeNode) -> PythonType:
        """Return the annotation of a type that is not ``null``."""
        if isinstance(kind, ListTypeNode):
            return list.__class_getitem__(self._annotation(kind.type))
        name = type_name(kind)
        if name in _SCALARS:
            return _SCALARS[name]
        return self._enums[name] if name in self._enums else self._object(self._definitions[name])

    def _convert(self, kind: TypeNode) -> Convert | None:
        """Return how values of a type are converted; ``None`` if they are not."""
        if isinstance(kind, NonNullTypeNode):
            return self._convert(kind.type)
        if isinstance(kind, ListTypeNode):
            convert = self._convert(kind.type)
            return None if convert is None else _each(convert)
        name = type_name(kind)
        if name not in self._enums:
            return None
        read = next(one for one in self._schema.enums if one.name == name).name_for
        members = {one.value: one for one in self._enums[name]}
        return _unless_none(lambda word: members[read(word)])


def _sliced(assumed_size: int) -> ListSize:
    """Return the directive for the length of a list whose argument ``first`` decides it."""
    return ListSize(
        assumed_size=assumed_size,
        slicing_arguments=["first"],
        require_one_slicing_argument=False,
    )


def _with_fields(
    name: str, fields: Mapping[str, tuple[PythonType, Any]], bases: tuple[type, ...] = ()
) -> type:
    """Make a class with annotated attributes, as a class body would."""
    body = {one: value for one, (_, value) in fields.items()}
    body["__annotations__"] = {one: annotation for one, (annotation, _) in fields.items()}
    return types.new_class(name, bases, {}, lambda namespace: namespace.update(body))


def _enum_type(definition: EnumDefinition) -> type[Enum]:
    """Build the type of an enum."""
    # Numbered, since a public name may be one that an ``Enum`` cannot have, such as ``mro``.
    members = {
        f"VALUE_{number}": strawberry.enum_value(
            value.name,
            name=value.name,
            description=value.description,
            deprecation_reason=value.deprecated,
        )
        for number, value in enumerate(definition.values)
    }
    built = cast("type[Enum]", Enum(definition.name, members))  # a call makes a class
    return strawberry.enum(built, name=definition.name, description=definition.description)


def _unless_none(convert: Convert) -> Convert:
    """Return a conversion that keeps ``None``."""
    return lambda value: None if value is None else convert(value)


def _never_none(missing: SourceFailure, convert: Convert | None) -> Convert:
    """Return the conversion of a field that is never ``null``: without a value, it is an error."""

    def converted(value: object) -> object:
        if value is None:
            raise SourceError(missing)
        return value if convert is None else convert(value)

    return converted


def _each(convert: Convert) -> Convert:
    """Return the conversion of each item of a list."""
    return _unless_none(lambda items: [convert(item) for item in items])


def _part_resolver(attribute: str, convert: Convert | None) -> Callable[..., Any]:
    """Make the resolver of a field of an object."""

    def resolve(root: strawberry.Parent[object]) -> Any:  # noqa: ANN401 # the annotation says the type
        value = getattr(root, attribute)
        return value if convert is None else convert(value)

    return resolve


def _first_part_resolver(field: ObjectField, convert: Convert | None) -> Callable[..., Any]:
    """Make the resolver of a field of an object that shows the first items of a list."""

    def resolve(root: strawberry.Parent[object], first: First = strawberry.UNSET) -> Any:  # noqa: ANN401 # the annotation says the type
        read = field.reader({} if first is strawberry.UNSET else {"first": first})
        value = read(root)
        return value if convert is None else convert(value)

    return resolve


def _attribute_resolver(field: UserField, convert: Convert | None) -> Callable[..., Any]:
    """Make the resolver of a field that shows a value of a record."""
    source, reads, read = field.source, field.reads, field.reader({})

    def resolve(root: strawberry.Parent[ResolvedUser]) -> Any:  # noqa: ANN401 # the annotation says the type
        record = root.results.read(source, reads)
        value = None if record is None else read(record)
        return value if convert is None else convert(value)

    return resolve


def _first_resolver(field: UserField, convert: Convert | None) -> Callable[..., Any]:
    """Make the resolver of a field that shows the first items of a list of a record."""
    source, reads = field.source, field.reads

    def resolve(root: strawberry.Parent[ResolvedUser], first: First = strawberry.UNSET) -> Any:  # noqa: ANN401 # the annotation says the type
        read = field.reader({} if first is strawberry.UNSET else {"first": first})
        record = root.results.read(source, reads)
        value = None if record is None else read(record)
        return value if convert is None else convert(value)

    return resolve


def _page_resolver(field: UserField, pages: PageSpec[Any]) -> Callable[..., Any]:
    """Make the resolver of a list that is read page by page."""
    source, reads = field.source, field.reads

    async def resolve(
        root: strawberry.Parent[ResolvedUser],
        info: ResolverInfo,
        first: Annotated[
            int | None,
            strawberry.argument(description=f"How many items, 1 to {MAX_FIRST}."),
        ] = DEFAULT_FIRST,
        after: Annotated[
            str | None,
            strawberry.argument(description="Cursor to start behind; the first page when absent."),
        ] = strawberry.UNSET,
    ) -> Any:  # noqa: ANN401 # the annotation says the type
        size = DEFAULT_FIRST if first is None else first
        cursor = None if after is strawberry.UNSET else after
        request = page_request(UserId(root.id), pages.list, size, cursor)
        if root.results.read(source, reads) is None:
            return None  # no call for a user that the source does not know
        page = await info.context.loaders.load_page(pages, request)
        return resolved_page(pages.list, request, page)

    return resolve
