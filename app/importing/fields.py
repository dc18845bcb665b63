"""Guesses which property of a row each field of the record is, by names and types. Pure.

A property fits by its name (``names.FIELDS``), in the row or in one of its containers, if its type
can be read as what the field holds (``readings``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.importing.guess import FieldGuess, Property, WordsGuess
from app.importing.kinds import Kind, item_of, kind_of
from app.importing.names import FIELDS, FOCUS, FORMATS, UNDERSTOOD, WORDS, squashed
from app.importing.places import Place, Spot, object_in, spots_of, usable, written
from app.importing.readings import PropertyReader, Reading
from app.importing.schemas import Schemas, Shape, type_text
from app.sources.base import SourceSpec


@dataclass(frozen=True, slots=True)
class MatchedFields:
    """The fields of a record, and the places that they are read from.

    Attributes:
        fields: The fields, without the key.
        places: The places that they read.
    """

    fields: tuple[FieldGuess, ...]
    places: frozenset[Place]

    @property
    def score(self) -> int:
        """How many fields have a property; more if it is one of the row itself."""
        own = sum(1 for place in self.places if len(place) == 1)
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
    for name, info in _fields(spec.record).items():
        if name != spec.key:
            reading = matcher.reading(name, info, spots)
            pattern = matcher.pattern(name, info, spots)
            fields.append(_guess(name, info, pattern, reading))
            places.update(() if reading is None else reading.places)
    return MatchedFields(tuple(fields), frozenset(places))


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

    def _list(self, known: str, info: FieldInfo, spot: Spot) -> Reading | None:
        """Read a list of objects, each with all that the model of an item requires."""
        model, name = item_of(info), spot.named().get(squashed(known))
        if model is None or name is None:
            return None
        node, place = spot.shape.properties[name], (*spot.place, name)
        inner = object_in(node, self._schemas)
        if inner is None or inner[0][-1:] != (0,):
            return None
        spots = spots_of(inner[1], self._schemas)
        members: list[str] = []
        for member, field in _fields(model).items():
            reading = self.reading(member, field, spots)
            if reading is not None:
                members.append(f"{field.alias or member}: {reading.expression}")
            elif field.is_required():
                return None
        text = f"{written((*place, *inner[0][:-1]))}[].{{{', '.join(members)}}}"
        return Reading(text, self._schemas.shape(node), (place,), ("expected newest first",))
