"""The public schema as data: the fields of a user, and the objects, enums and lists inside. Pure.

``default.py`` defines the default schema with it. ``types.py`` builds Strawberry's types from any
definition. The planner, the compiled renderer, ``explain`` and the checks of settings read the
definitions, never the types.

Types are texts in GraphQL's notation: ``String``, ``[Event!]``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from operator import attrgetter
from typing import Any

from graphql import ListTypeNode, NamedTypeNode, NonNullTypeNode, TypeNode, parse_type

from app.auth.policies import PUBLIC, Policy
from app.errors import BadUserInputError, Code, ExtensionError, SourceFailure
from app.settings.public_schema import USER_NAMES, DraftSettings, UserNames
from app.sources.base import FieldSet, PageSpec, Record, SourceSpec
from app.sources.own.contract import OwnSource

DEFAULT_FIRST = 20
"""The number of items of a page if the client does not give ``first``."""


@dataclass(frozen=True, slots=True)
class EnumValue:
    """One value of an enum.

    Attributes:
        name: The public name.
        description: The description in the schema, if there is one.
        words: The words of the source that have this meaning, in any case.
        deprecated: Why clients should not use the value any more; ``None`` if they may.
    """

    name: str
    description: str | None
    words: tuple[str, ...]
    deprecated: str | None = None

    @property
    def word(self) -> str:
        """A word of the value for messages: its name, if that is a word."""
        return self.name if self.name.lower() in map(str.lower, self.words) else self.words[0]


@dataclass(frozen=True, slots=True)
class EnumDefinition:
    """An enum, and the words of a source that stand for its values.

    Attributes:
        name: The public name.
        description: The description in the schema.
        values: The values, in the order of the schema.
        unknown: Name of the value for all other words; ``None`` if the record refuses them.
    """

    name: str
    description: str
    values: tuple[EnumValue, ...]
    unknown: str | None = None
    _by_word: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the words."""
        by_word = {word.lower(): value.name for value in self.values for word in value.words}
        object.__setattr__(self, "_by_word", by_word)

    def wrong_word(self, word: str) -> str | None:
        """Return what is wrong with a word in settings, which must not have new words.

        Args:
            word: The word.

        Returns:
            What was found, and what is expected; ``None`` if the word has a value.
        """
        if word.lower() in self._by_word:
            return None
        known = {value.name: value.word for value in self.values}
        near = get_close_matches(word.lower(), self._by_word, n=1)
        if near:
            return f"got {word!r}: did you mean {known[self._by_word[near[0]]]}?"
        return f"got {word!r}: expected one of {', '.join(known.values())}."

    @property
    def words(self) -> Collection[str]:
        """The words that have a value, in small letters."""
        return self._by_word.keys()

    def name_for(self, word: str) -> str:
        """Find the value for a word.

        Args:
            word: A word of the source, in any case.

        Returns:
            The name of the value.

        Raises:
            KeyError: The word has no value: a bug, because the record refuses such words.
        """
        # Other spellings are not cached: their number and length have no limit.
        known = self._by_word.get(word) or self._by_word.get(word.lower(), self.unknown)
        if known is None:
            raise KeyError(f"a word of {self.name} without a value")
        return known


@dataclass(frozen=True, slots=True)
class ObjectField:
    """One field of an object inside a user's fields.

    Attributes:
        name: The public name.
        type: The type.
        description: The description in the schema.
        attribute: The attribute of the part of the record that it shows.
        deprecated: Why clients should not use the field any more; ``None`` if they may.
        assumed_size: For a list, the number of items that the cost assumes. Then the field has the
            argument ``first``. ``None`` without that argument.
        kind: The type, parsed.
    """

    name: str
    type: str
    description: str
    attribute: str
    deprecated: str | None = None
    assumed_size: int | None = None
    kind: TypeNode = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse the type."""
        object.__setattr__(self, "kind", parse_type(self.type))

    def reader(self, arguments: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Make the function that reads the field from a part of a record.

        Args:
            arguments: The field's arguments: ``first``, if it has one and the client gives it.

        Returns:
            A function from the part to the field's value, which may be ``None``.

        Raises:
            BadUserInputError: ``first`` is negative.
        """
        return _first_of(attrgetter(self.attribute), arguments)


@dataclass(frozen=True, slots=True)
class ObjectDefinition:
    """An object inside a user's fields. It shows a part of a record, or of a page.

    Attributes:
        name: The public name.
        description: The description in the schema.
        fields: The fields, in the order of the schema.
        record: The type of the part.
        by_name: The fields by public name.
    """

    name: str
    description: str
    fields: tuple[ObjectField, ...]
    record: type[Any]
    by_name: Mapping[str, ObjectField] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields, and refuse one that shows nothing.

        Raises:
            TypeError: The part has no such attribute.
        """
        object.__setattr__(self, "by_name", {one.name: one for one in self.fields})
        for one in self.fields:
            _check_attribute(self.record, one.attribute)


def connection_name(item: str) -> str:
    """Return the name of the connection of a type of items.

    Args:
        item: The type of the items.

    Returns:
        The name.
    """
    return f"{item}Connection"


@dataclass(frozen=True, slots=True)
class Computation:
    """A value that a function computes of some fields of a record.

    Attributes:
        inputs: The fields of the record that the function gets, in the order of its parameters.
        function: The function. It may return anything, or raise.
        checked: Returns the value as the schema needs it. Raises ``ValueError`` if it does not fit
            the type of the field.
        module: The module that has the function.
    """

    inputs: tuple[str, ...]
    function: Callable[..., object]
    checked: Callable[[object], object]
    module: str

    def of(self, field: str) -> Callable[[object], object]:
        """Return the computation as a function of a record.

        Args:
            field: The public name of the field, for messages.

        Returns:
            The function. It raises ``ExtensionError`` if the computation fails.
        """
        inputs, function, checked = self.inputs, self.function, self.checked

        def compute(record: object) -> object:
            values = [getattr(record, name) for name in inputs]
            try:
                return checked(function(*values))
            except BaseException as error:  # nothing was awaited: all of it is of the module
                raise ExtensionError(self.module, field) from error

        return compute


@dataclass(frozen=True, slots=True)
class UserField:
    """A field of a user. It shows an attribute of a source's record, or a list of the source.

    A function may compute its value of the record.

    Attributes:
        name: The public name.
        type: The type; of a list that is read page by page, the type of its items.
        source: The source.
        description: The description in the schema.
        may: The policy of the field.
        attribute: The attribute of the record that it shows: a field or a property. Empty for a
            value that is computed, and for a list that is read page by page.
        reads: The fields of the record that it reads, without the key.
        assumed_size: For a list in the record, the number of items that the cost assumes. Then the
            field has the argument ``first``. ``None`` without that argument.
        pages: The list of the source, if the field is one that is read page by page.
        weight: The cost of the field, if its type does not say it: the weight of ``@cost``.
        deprecated: Why clients should not use the field any more; ``None`` if they may.
        computation: How the value is computed of the record; ``None`` if an attribute is shown.
        kind: The type, parsed.
        shown: The same as the schema has it: of a list that is read page by page, its connection.
    """

    name: str
    type: str
    source: SourceSpec[Any]
    description: str
    may: Policy
    attribute: str = ""
    reads: FieldSet = frozenset()
    assumed_size: int | None = None
    pages: PageSpec[Any] | None = None
    weight: int | None = None
    deprecated: str | None = None
    computation: Computation | None = None
    kind: TypeNode = field(init=False, repr=False, compare=False)
    shown: TypeNode = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse the type."""
        kind = parse_type(self.type)
        shown = kind if self.pages is None else parse_type(connection_name(self.type))
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "shown", shown)

    @property
    def missing(self) -> SourceFailure | None:
        """The failure if there is no value; ``None`` if the field may be ``null``."""
        if not isinstance(self.kind, NonNullTypeNode):
            return None
        return SourceFailure(self.source.name, Code.SOURCE_MALFORMED, f"{self.name} is missing")

    def full_description(self, names: UserNames) -> str:
        """Write the description, with who may see the field: explorers do not show directives.

        Args:
            names: What the schema calls users.

        Returns:
            The description in the schema.
        """
        if self.may.public:
            return self.description
        return f"{self.description} Only for {names.in_text(self.may.audience)}."

    def reader(self, arguments: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Make the function that reads the field from a record.

        Args:
            arguments: The field's arguments: ``first``, if it has one and the client gives it.

        Returns:
            A function from the record to the field's value, which may be ``None``. It raises
            ``ExtensionError`` if the value is computed, and that fails.

        Raises:
            BadUserInputError: ``first`` is negative.
        """
        computed = self.computation
        read: Callable[[Any], Any] = (
            attrgetter(self.attribute) if computed is None else computed.of(self.name)
        )
        return _first_of(read, arguments)


def _first_of(read: Callable[[Any], Any], arguments: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return a function that reads the first items of a list, as the argument ``first`` says."""
    first: int | None = arguments.get("first")
    if first is None:
        return read
    if first < 0:
        raise BadUserInputError(f"first takes 0 or more, got {first}")

    def read_first(record: object) -> object:
        items = read(record)
        return None if items is None else items[:first]

    return read_first


def shows(
    name: str,
    kind: str,
    source: SourceSpec[Any],
    description: str,
    *,
    may: Policy,
    attribute: str | None = None,
    reads: Iterable[str] | None = None,
    assumed_size: int | None = None,
    deprecated: str | None = None,
) -> UserField:
    """Define a field of a user that shows one attribute of a source's record.

    The field is ``null`` if the source does not know the user, and an error with the source's code
    if the source has failed.

    Args:
        name: The public name.
        kind: The type, in GraphQL's notation.
        source: The source.
        description: The description in the schema.
        may: The policy of the field.
        attribute: The attribute: a field or a property of the record. By default it is the one
            whose name in JSON is the field's name.
        reads: The fields of the record that a property reads; ``None`` for all of them. Ignored if
            the attribute is itself a field.
        assumed_size: For a list that is to have the argument ``first``, the number of items that
            the cost assumes without it.
        deprecated: Why clients should not use the field any more.

    Returns:
        The definition.

    Raises:
        TypeError: The record has no such attribute, or no such fields.
    """
    record: type[Record] = source.record
    attribute = attribute or _attribute_for(record, name)
    _check_attribute(record, attribute)
    if attribute in record.model_fields:
        reads = (attribute,)
    known = frozenset(record.model_fields)
    needed = known if reads is None else frozenset(reads)
    if unknown := sorted(needed - known):
        raise TypeError(f"{record.__name__} has no field {unknown[0]}")
    return UserField(
        name,
        kind,
        source,
        description,
        may,
        attribute=attribute,
        reads=needed - {source.key},  # the key is always in the row
        assumed_size=assumed_size,
        deprecated=deprecated,
    )


def lists(
    name: str,
    item: str,
    source: SourceSpec[Any],
    pages: PageSpec[Any],
    description: str,
    *,
    may: Policy,
    weight: int = 5,
    deprecated: str | None = None,
) -> UserField:
    """Define a field of a user that is a list of a source, read page by page.

    It is a connection (GraphQL Cursor Connections specification).

    Args:
        name: The public name.
        item: The type of an item, without list and non-null.
        source: The source.
        pages: The list of the source.
        description: The description in the schema.
        may: The policy of the field.
        weight: The cost of the field: it makes calls of its own for each user.
        deprecated: Why clients should not use the field any more.

    Returns:
        The definition.
    """
    return UserField(
        name, item, source, description, may, pages=pages, weight=weight, deprecated=deprecated
    )


NO_DRAFTS = DraftSettings()
"""The specification as it is published."""


@dataclass(frozen=True, slots=True)
class LookupDefinition:
    """Two root fields that find users by another unique key than their ids.

    Attributes:
        name: The root field with one user.
        several: The root field with several users.
        key: The argument of ``name``.
        keys: The argument of ``several``.
        type: The type of a key: ``String`` or ``ID``.
        source: The source that is asked by the keys.
        attribute: The field of its record that has the user's id.
        description: The description of ``name`` in the schema.
        may: Who may use it.
    """

    name: str
    several: str
    key: str
    keys: str
    type: str
    source: SourceSpec[Any]
    attribute: str
    description: str
    may: Policy


@dataclass(frozen=True, slots=True)
class OutdatedName:
    """A name of the API for extensions that a later major version lacks, and that is used.

    Attributes:
        module: The module that uses it.
        name: The name.
        instead: What to write instead.
    """

    module: str
    name: str
    instead: str


@dataclass(frozen=True, slots=True)
class SchemaDefinition:
    """The whole public schema.

    Attributes:
        names: What the schema calls users.
        description: The description of a user's type.
        fields: The fields of a user besides ``id``, in the order of the schema.
        objects: The objects inside them.
        enums: The enums inside them.
        existence: The source that says whether a user exists, if no field reads a source.
        others: The sources that no field reads. They may have keys of other sources.
        lookups: The root fields that find users by other keys than their ids.
        outdated: Names of the API for extensions that an extension should not use any more.
        own: The sources that an extension brings, by name.
        drafts: Which drafts of the GraphQL specification the schema follows.
        by_name: The fields of a user by public name.
    """

    description: str
    fields: tuple[UserField, ...]
    objects: tuple[ObjectDefinition, ...]
    enums: tuple[EnumDefinition, ...]
    existence: SourceSpec[Any]
    names: UserNames = USER_NAMES
    others: tuple[SourceSpec[Any], ...] = ()
    lookups: tuple[LookupDefinition, ...] = ()
    outdated: tuple[OutdatedName, ...] = ()
    own: Mapping[str, OwnSource] = field(default_factory=dict[str, OwnSource])
    drafts: DraftSettings = NO_DRAFTS
    by_name: Mapping[str, UserField] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields, and refuse types that nobody defines.

        Raises:
            TypeError: A field has an unknown type, or a name that another field has.
        """
        object.__setattr__(self, "by_name", {one.name: one for one in self.fields})
        if len(self.by_name) < len(self.fields):
            raise TypeError("two fields of a user have the same name")
        known = {*SCALARS, *(one.name for one in self.objects), *(one.name for one in self.enums)}
        for place, kind in self._types():
            if (name := type_name(kind)) not in known:
                raise TypeError(f"{place} has the unknown type {name}")

    @property
    def sources(self) -> Mapping[str, SourceSpec[Any]]:
        """The sources by name, in the order of the fields that read them."""
        read = {one.source.name: one.source for one in self.fields}
        found = (one.source for one in self.lookups)
        rest = {one.name: one for one in (self.existence, *self.others, *found)}
        return {**read, **{name: one for name, one in rest.items() if name not in read}}

    @property
    def lists(self) -> Mapping[str, Mapping[str, PageSpec[Any]]]:
        """The lists that are read page by page, by the name of the source and by their own."""
        found: dict[str, dict[str, PageSpec[Any]]] = {}
        for one in self.fields:
            if one.pages is not None:
                found.setdefault(one.pages.name, {})[one.pages.list] = one.pages
        return found

    @property
    def policies(self) -> Mapping[str, Policy]:
        """The policy of each field of a user, by public name."""
        return {"__typename": PUBLIC, "id": PUBLIC} | {one.name: one.may for one in self.fields}

    def _types(self) -> Iterator[tuple[str, TypeNode]]:
        """Yield each type with the place where it is used."""
        for one in self.fields:
            yield one.name, one.kind
        for kind in self.objects:
            for inner in kind.fields:
                yield f"{kind.name}.{inner.name}", inner.kind


SCALARS = (
    "String",
    "Int",
    "Float",
    "Boolean",
    "ID",
    "DateTime",
    "Date",
    "SafeInt",
    "URL",
)
"""The scalars of the schema. A record has their values as JSON has them; times are times."""


def key_of_items(item: ObjectDefinition) -> str | None:
    """Return the attribute by which the items of a list are distinguished.

    Args:
        item: The object that an item is.

    Returns:
        The attribute of its first field of type ``ID!``; ``None`` if there is none.
    """
    return next((one.attribute for one in item.fields if one.type == "ID!"), None)


def type_name(kind: TypeNode) -> str:
    """Return the name of a type without list and non-null.

    Args:
        kind: The type.

    Returns:
        The name.
    """
    while isinstance(kind, ListTypeNode | NonNullTypeNode):
        kind = kind.type
    assert isinstance(kind, NamedTypeNode)  # noqa: S101 # for the type checkers: there is no other
    return kind.name.value


def _attribute_for(record: type[Record], name: str) -> str:
    """Return the field of a record that has a name in JSON; the name itself if there is none."""
    return next((one for one, info in record.model_fields.items() if info.alias == name), name)


def _check_attribute(record: type[Any], attribute: str) -> None:
    """Raise ``TypeError`` if a record has no such field or property."""
    if attribute not in getattr(record, "model_fields", ()) and not hasattr(record, attribute):
        raise TypeError(f"{record.__name__} has no attribute {attribute}")
