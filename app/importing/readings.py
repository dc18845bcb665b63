"""How a property of a row is read as what a field of a record holds, by its type. Pure.

An expression converts the value: a date-time is read by ``iso_time``, a count by ``unix_seconds``
or ``unix_millis``, an amount by ``money_minor`` or ``money_decimal``, beside its currency.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from app.importing.document import Node
from app.importing.kinds import Kind
from app.importing.names import FIELDS, WITHIN, WITHIN_ANY, squashed
from app.importing.places import Place, Spot, object_in, written
from app.importing.schemas import Schemas, Shape

JOIN = " + "
"""Between the names of two properties whose texts together are a field."""

_MILLIS_FROM = 100_000_000_000
"""A count of seconds that is as large is of the year 5138."""

_MINOR, _DECIMAL = "money_minor", "money_decimal"
_PRIMARY = frozenset({"primary", "isprimary"})


class Reading(Struct, frozen=True):
    """How a value is read.

    Attributes:
        expression: The expression.
        shape: The shape of the property that it reads.
        places: The places that it reads, the property first.
        notes: What an operator has to check.
    """

    expression: str
    shape: Shape
    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()


class PropertyReader:
    """Reads properties.

    Args:
        schemas: Reads the schemas.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def read(self, field: str, kind: Kind, known: str, spot: Spot) -> Reading | None:
        """Return how a property of an object is read.

        Args:
            field: The field of the record.
            kind: What the field holds; not a list.
            known: The name of the property, or two names with ``JOIN`` between them.
            spot: The object.

        Returns:
            The reading; ``None`` if the object has no such property, or one of another type.
        """
        if JOIN in known:
            return self._joined(known, spot) if kind is Kind.TEXT else None
        name = spot.named().get(squashed(known))
        if name is None:
            return None
        place, node = (*spot.place, name), spot.shape.properties[name]
        if kind is Kind.TEXT:
            return self._text(field, place, node)
        if kind is Kind.MONEY:
            return self._money(place, node, spot)
        read = {Kind.NUMBER: self._number, Kind.TIME: self._time}.get(kind)
        return None if read is None else read(place, node)

    def _joined(self, known: str, spot: Spot) -> Reading | None:
        """Read a text of several properties, with spaces between those that are there."""
        named = spot.named()
        parts = [squashed(part) for part in known.split(JOIN)]
        names = [named[part] for part in parts if part in named]
        shapes = [self._schemas.shape(spot.shape.properties[name]) for name in names]
        if len(names) < len(parts) or not all(shape.may_be("string") for shape in shapes):
            return None
        places = [(*spot.place, name) for name in names]
        texts = ", ".join(map(written, places))
        return Reading(f"join(' ', [{texts}][?@])", shapes[0], tuple(places))

    def _text(self, field: str, place: Place, node: Node) -> Reading | None:
        """Read a text: from text or a number, the first of a list, or the text in an object."""
        shape, text = self._schemas.shape(node), written(place)
        if shape.may_be("string"):
            return Reading(text, shape, (place,))
        if shape.may_be("integer", "number"):  # to_string(null) would be the text "null"
            return Reading(f"{text} && to_string({text})", shape, (place,))
        if shape.item is not None and self._schemas.shape(shape.item).may_be("string"):
            return Reading(written((*place, 0)), shape, (place,))
        inner = object_in(node, self._schemas)
        if inner is None:
            return None
        within = Spot((*place, *inner[0]), inner[1])
        return self._first_text(
            within, (*WITHIN.get(field, ()), *WITHIN_ANY), nullable=shape.nullable
        )

    def _first_text(self, spot: Spot, names: Sequence[str], *, nullable: bool) -> Reading | None:
        """Read the first text of an object that is there, by names up to one that is not null."""
        found: list[Reading] = []
        for known in names:
            reading = self._text_within(known, spot)
            if reading is not None:
                found.append(reading)
                if not reading.shape.nullable:
                    break
        if not found:
            return None
        first, last = found[0], found[-1]
        shape = replace(first.shape, nullable=nullable or last.shape.nullable)
        places = dict.fromkeys(place for one in found for place in one.places)
        text = " || ".join(one.expression for one in found)
        return Reading(text, shape, (*places, *_around(first.places[0])))

    def _text_within(self, known: str, spot: Spot) -> Reading | None:
        """Read the text in an object by one name; in a list of objects, of the primary one."""
        if JOIN in known:
            return self._joined(known, spot)
        named = spot.named()
        name = named.get(squashed(known))
        shape = None if name is None else self._schemas.shape(spot.shape.properties[name])
        if name is None or shape is None or not shape.may_be("string"):
            return None
        place = (*spot.place, name)
        text = written(place)
        primary = next((named[one] for one in named if one in _PRIMARY), None)
        if primary is not None and spot.place[-1] == 0:
            some = written(spot.place[:-1])
            text = f"({some}[?{written((primary,))}].{written((name,))})[0] || {text}"
        return Reading(text, shape, (place,))

    def _number(self, place: Place, node: Node) -> Reading | None:
        """Read a whole number."""
        shape, text = self._schemas.shape(node), written(place)
        if shape.may_be("integer"):
            return Reading(text, shape, (place,))
        if shape.may_be("number", "string"):
            return Reading(f"number({text})", shape, (place,))
        return None

    def _time(self, place: Place, node: Node) -> Reading | None:
        """Read a time, from text or a count."""
        shape, text = self._schemas.shape(node), written(place)
        if shape.may_be("string"):
            if shape.format == "date":
                return Reading(f"iso_time_utc({text})", shape, (place,))
            notes = () if shape.format == "date-time" else ("taken for a time of ISO 8601",)
            return Reading(f"iso_time({text})", shape, (place,), notes)
        if shape.may_be("integer", "number"):
            millis = _in_millis(shape, str(place[-1]))
            unit, function = (
                ("milliseconds", "unix_millis") if millis else ("seconds", "unix_seconds")
            )
            notes = () if "unix" in shape.format else (f"taken for {unit} since 1970",)
            return Reading(f"{function}({text})", shape, (place,), notes)
        return None

    def _money(self, place: Place, node: Node, spot: Spot) -> Reading | None:
        """Read an amount of money: from an object, or from a number beside its currency."""
        shape = self._schemas.shape(node)
        if shape.properties and not shape.may_be("string", "integer", "number"):
            within = Spot(place, shape)
            amount = _name_of("amount", within)
        else:
            within, amount = spot, str(place[-1])
        currency = _name_of("currency", within)
        if amount is None or currency is None:
            return None
        value = self._schemas.shape(within.shape.properties[amount])
        code = self._schemas.shape(within.shape.properties[currency])
        if not value.may_be("integer", "number", "string") or not code.may_be("string"):
            return None
        minor = value.may_be("integer")
        function, unit = (_MINOR, "minor") if minor else (_DECIMAL, "main")
        places = ((*within.place, amount), (*within.place, currency))
        text = f"{function}({written(places[0])}, {written(places[1])})"
        return Reading(text, value, (*places, place), (f"taken for {unit} units",))

    def without_currency(self, known: str, spot: Spot) -> str | None:
        """Write the expression for an amount of money whose currency the row does not have.

        Args:
            known: The name of the property.
            spot: The object.

        Returns:
            The expression with an example of a currency; ``None`` if there is no such number.
        """
        name = spot.named().get(squashed(known))
        shape = None if name is None else self._schemas.shape(spot.shape.properties[name])
        if name is None or shape is None or not shape.may_be("integer", "number", "string"):
            return None
        function = _MINOR if shape.may_be("integer") else _DECIMAL
        return f"{function}({written((*spot.place, name))}, 'EUR')"


def _around(place: Place) -> Iterator[Place]:
    """List the places around a place."""
    for length in range(len(place) - 1, 0, -1):
        yield place[:length]


def _name_of(field: str, spot: Spot) -> str | None:
    """Find a property of an object by the names of a field."""
    named = spot.named()
    known = (named.get(squashed(name)) for name in (field, *FIELDS.get(field, ())))
    return next((name for name in known if name is not None), None)


def _in_millis(shape: Shape, name: str) -> bool:
    """Return whether a count of time is in milliseconds, by what the document says of it."""
    return (
        "milli" in f"{shape.format} {shape.description}".lower()
        or squashed(name).endswith(("ms", "millis", "milliseconds"))
        or any(type(one) is int and one >= _MILLIS_FROM for one in shape.examples)
    )
