"""Guesses which property of a row each field of the record is, by names and types. Pure.

A property fits by its name (``names.FIELDS``), in the row or in one of its containers, if its type
can be read as what the field holds (``readings``).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.importing.guess import FieldGuess, Property, WordsGuess
from app.importing.kinds import Kind, item_of, kind_of
from app.importing.names import (
    FIELDS,
    FOCUS,
    FORMATS,
    OF_NEWEST,
    UNDERSTOOD,
    USERS,
    WORDS,
    singular,
    squashed,
)
from app.importing.places import Place, Spot, object_in, spots_of, usable, written
from app.importing.readings import PropertyReader, Reading
from app.importing.schemas import Schemas, Shape, type_text
from app.sources.base import SourceSpec


class MatchedFields(Struct, frozen=True):
    """The fields of a record, and the places that they are read from.

    Attributes:
        fields: The fields, without the key.
        places: The places that they read.
        order: If they are read from several rows: the expression for the time of a row.
    """

    fields: tuple[FieldGuess, ...]
    places: frozenset[Place]
    order: str | None = None

    @property
    def score(self) -> int:
        """How many fields have a property; more if it is one of a row that is the user's only."""
        own = sum(1 for place in self.places if len(place) == 1 and self.order is None)
        return own + 2 * sum(1 for one in self.fields if one.expression is not None)


def match_fields(spec: SourceSpec[Any], row: Shape, schemas: Schemas) -> MatchedFields:
    """Guess which property of a row each field of a record is.

    Args:
        spec: The source of the record.
        row: The row.
        schemas: Reads the schemas.

    Returns:
        All fields but the key, in the order of the record.
    """
    spots = spots_of(row, schemas)
    matcher = _Matcher(schemas)
    fields: list[FieldGuess] = []
    places: set[Place] = set()
    for name, info in _fields_but_key(spec):
        reading = matcher.reading(name, info, spots)
        pattern = matcher.pattern(name, info, spots)
        fields.append(_guess(name, info, pattern, reading))
        places.update(() if reading is None else reading.places)
    return MatchedFields(tuple(fields), frozenset(places))


def match_rows_of_list(
    spec: SourceSpec[Any], row: Shape, schemas: Schemas, nouns: Collection[str]
) -> MatchedFields | None:
    """Guess the fields of a record whose rows are the items of one of its lists.

    Args:
        spec: The source of the record.
        row: One of the rows.
        schemas: Reads the schemas.
        nouns: What the rows are called, squashed, in the singular.

    Returns:
        All fields but the key, to be read from the rows of a user, the newest first; ``None`` if
        the rows are not called like a list of the record, or lack something that its items require.
    """
    matcher, spots = _Matcher(schemas), spots_of(row, schemas)
    for name, info in _fields_but_key(spec):
        model = item_of(info) if _is_called(name, nouns) else None
        members = None if model is None else matcher.members(model, spots)
        time = None if model is None else _time_of(model)
        if model is None or members is None or time is None:
            continue
        places = frozenset(place for reading in members.values() for place in reading.places)
        items = Reading(f"[].{_object(model, members)}", row, (*members[time].places, *places))
        newest = matcher.reading(time, _fields(model)[time], [_in_first(spot) for spot in spots])
        found = {name: items} | {
            other: replace(newest, places=members[time].places, notes=(_FROM_NEWEST,))
            for other in OF_NEWEST
            if newest is not None
        }
        fields = [
            _guess(other, field, kind_of(field).pattern_of_rows(other), found.get(other))
            for other, field in _fields_but_key(spec)
        ]
        if usable(items.expression):
            return MatchedFields(tuple(fields), places, _order(members[time]))
    return None


_FROM_NEWEST = "taken for the time of the newest row"


def _is_called(name: str, nouns: Collection[str]) -> bool:
    """Return whether something is called like a list of a record, or like that of a user."""
    known = {singular(squashed(one)) for one in (name, *FIELDS.get(name, ()))}
    return not known.isdisjoint(
        {*nouns, *(noun.removeprefix(user) for noun in nouns for user in USERS)}
    )


def _time_of(model: type[BaseModel]) -> str | None:
    """Return the member of an item that is its time, and that it requires."""
    times = (
        name
        for name, info in _fields(model).items()
        if info.is_required() and kind_of(info) is Kind.TIME
    )
    return next(times, None)


def _in_first(spot: Spot) -> Spot:
    """Return an object of a row as one of the first of several rows."""
    return replace(spot, place=(0, *spot.place))


def _order(time: Reading) -> str:
    """Return the expression by which rows are sorted: a count as it is, or else the time."""
    is_count = not time.shape.may_be("string") and time.shape.may_be("integer", "number")
    return written(time.places[0]) if is_count else time.expression


def _object(model: type[BaseModel], members: Mapping[str, Reading]) -> str:
    """Write the expression for an object, with the names that its members have in JSON."""
    names = {name: info.alias or name for name, info in _fields(model).items()}
    texts = (f"{names[name]}: {reading.expression}" for name, reading in members.items())
    return f"{{{', '.join(texts)}}}"


def other_properties(row: Shape, schemas: Schemas, taken: frozenset[Place]) -> Iterator[Property]:
    """List the properties of a row that no field is read from.

    Args:
        row: The row.
        schemas: Reads the schemas.
        taken: The places that are read.

    Yields:
        The properties of the row, then those of its containers.
    """
    for spot in spots_of(row, schemas):
        for name, node in spot.shape.properties.items():
            place = (*spot.place, name)
            if place not in taken:
                yield _property(place, schemas.shape(node))


def _property(place: Place, shape: Shape) -> Property:
    """Describe a property."""
    return Property(written(place), type_text(shape), shape.description)


def _fields_but_key(spec: SourceSpec[Any]) -> Sequence[tuple[str, FieldInfo]]:
    """List the fields of a record without its key."""
    return [(name, info) for name, info in _fields(spec.record).items() if name != spec.key]


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model, by their names in Python."""
    return model.model_fields


def _guess(name: str, info: FieldInfo, pattern: str, reading: Reading | None) -> FieldGuess:
    """Make the guess of one field."""
    field = FieldGuess(
        name=name,
        meaning=info.description or "",
        expected=str(kind_of(info)),
        expression=None,
        pattern=pattern,
    )
    if reading is None:
        return field
    return replace(
        field,
        expression=reading.expression,
        found=_property(reading.places[0], reading.shape),
        words=_words(name, reading.shape),
        notes=reading.notes,
    )


def _words(name: str, shape: Shape) -> WordsGuess | None:
    """Find the record's words for those of a property that the gateway does not understand."""
    ours = WORDS.get(name, {})
    same = {squashed(one): word for word in ours for one in (word, *ours[word])}
    foreign = [word for word in shape.words if word.lower() not in UNDERSTOOD.get(name, ())]
    if not ours or not foreign:
        return None
    known = {
        word: same[squashed(word)]
        for word in foreign
        if word.isprintable() and squashed(word) in same
    }
    return WordsGuess(known, tuple(word for word in foreign if word not in known), tuple(ours))


class _Matcher:
    """Finds the readings of fields."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._reader = PropertyReader(schemas)

    def reading(self, name: str, info: FieldInfo, spots: Sequence[Spot]) -> Reading | None:
        """Return how a field is read, at the first object and by the first name that fits."""
        focus = FOCUS.get(name, frozenset())
        kind = kind_of(info)
        for spot in sorted(spots, key=lambda one: focus.isdisjoint(one.within)):
            for known in (name, *FIELDS.get(name, ())):
                reading = (
                    self._list(known, info, spot)
                    if kind is Kind.LIST
                    else self._reader.read(name, kind, known, spot)
                )
                if reading is not None and usable(reading.expression):
                    return reading
        return self._by_format(FORMATS.get(name), spots)

    def _by_format(self, wanted: str | None, spots: Sequence[Spot]) -> Reading | None:
        """Return how the first text of a format is read."""
        for spot in spots if wanted is not None else ():
            for name, node in spot.shape.properties.items():
                shape = self._schemas.shape(node)
                place = (*spot.place, name)
                if shape.format == wanted and shape.may_be("string") and usable(written(place)):
                    return Reading(written(place), shape, (place,))
        return None

    def pattern(self, name: str, info: FieldInfo, spots: Sequence[Spot]) -> str:
        """Return an example of an expression for a field."""
        kind = kind_of(info)
        if kind is Kind.MONEY:
            for spot in spots:
                for known in (name, *FIELDS.get(name, ())):
                    found = self._reader.without_currency(known, spot)
                    if found is not None:
                        return found
        return kind.pattern(name)

    def members(
        self, model: type[BaseModel], spots: Sequence[Spot]
    ) -> Mapping[str, Reading] | None:
        """Return how the members of an item are read; ``None`` if it lacks a required one."""
        found: dict[str, Reading] = {}
        for name, info in _fields(model).items():
            reading = self.reading(name, info, spots)
            if reading is not None:
                found[name] = reading
            elif info.is_required():
                return None
        return found

    def _list(self, known: str, info: FieldInfo, spot: Spot) -> Reading | None:
        """Read a list of objects, each with all that the model of an item requires."""
        model, name = item_of(info), spot.named().get(squashed(known))
        if model is None or name is None:
            return None
        node, place = spot.shape.properties[name], (*spot.place, name)
        inner = object_in(node, self._schemas)
        if inner is None or inner[0][-1:] != (0,):
            return None
        members = self.members(model, spots_of(inner[1], self._schemas))
        if members is None:
            return None
        text = f"{written((*place, *inner[0][:-1]))}[].{_object(model, members)}"
        return Reading(text, self._schemas.shape(node), (place,), ("expected newest first",))
