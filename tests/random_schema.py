"""Random schemas of a file, rows for them with random damage, and what clients should see.

A schema is drawn together with the way in which each value stands in a row, so that a value that is
drawn is known in both forms: as the row has it, and as a client sees it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hypothesis import strategies as st

from app.schema.default import DEFAULT_SCHEMA
from app.settings.nested import as_list

Json: TypeAlias = Any

NAMES = (
    *("class", "from", "copy", "json", "model_dump", "mro", "None", "first", "key", "keys"),
    *(
        "camelCase",
        "snake_case",
        "Upper",
        "source",
        "results",
        "self",
        "field_x",
        "x",
        "foreignKeys",
        "user_id_",
    ),
)
"""Names of fields, of which Python and pydantic use many for themselves."""

SCALARS: Mapping[str, Sequence[Json]] = {
    "String": ["", "a", "Ünal", 'q"\\'],
    "Int": [0, -1, 2**31 - 1, -(2**31)],
    "Float": [0.5, -1.25, 3, 1e9],
    "Boolean": [True, False],
    "ID": ["a", "1", 7],
    "DateTime": ["2024-02-29T12:00:00Z", "2026-06-01T09:30:00.250Z"],
    "Date": ["2024-02-29", "1999-12-31"],
    "SafeInt": [0, 2**53 - 1, -(2**53 - 1)],
    "URL": ["https://a.example/x?y=1", "http://b.example"],
    "Money": [{"amount": 12, "currency": "EUR"}, {"amount": -(2**53 - 1), "currency": "JPY"}],
}
"""Values of each scalar, and of money, as rows have them."""

WRONG: Mapping[str, Sequence[Json]] = {
    "String": [7, [], {"a": "b"}],
    "Int": ["1", 2**31, 1.5, True, []],
    "Float": ["1", True, {}],
    "Boolean": ["true", 1, []],
    "ID": [1.5, True, {}],
    "DateTime": ["soon", "2024-02-29", 1709208000, "2024-02-29T12:00:00"],
    "Date": ["soon", "2024-02-30", 19782, "2024-02-29T12:00:00Z"],
    "SafeInt": [2**53, 0.5, "1"],
    "URL": ["ftp://a", "//a", 7],
    "Money": [{"amount": "1", "currency": "EUR"}, {"amount": 1}, 5, []],
}
"""Values that do not fit."""


@dataclass(frozen=True)
class RandomEnum:
    """An enum.

    Attributes:
        name: Its name.
        words: The value that clients see of each word of a row.
        unknown: The value for all other words, if there is one.
        table: Its settings.
    """

    name: str
    words: Mapping[str, str]
    unknown: str | None
    table: Mapping[str, Json]


@dataclass(frozen=True)
class RandomType:
    """A type.

    Attributes:
        name: Its name, if it is no list.
        item: The type of its items, if it is a list.
        required: Whether it is never null.
    """

    name: str = ""
    item: "RandomType | None" = None
    required: bool = False

    def __str__(self) -> str:
        plain = self.name if self.item is None else f"[{self.item}]"
        return f"{plain}!" if self.required else plain

    @property
    def innermost(self) -> str:
        """The name without lists."""
        return self.name if self.item is None else self.item.innermost


@dataclass(frozen=True)
class RandomField:
    """A field of a user or of an object.

    Attributes:
        name: Its name.
        type: Its type.
        path: Where its value stands in the row, or in the part of the row.
        value: Its expression; ``None`` if it is read by its name.
        source: Its source, or the endpoint of it; empty within objects.
        place: The endpoint whose row has it, by its name.
        may: Who may see it.
        sized: Whether it has the argument ``first``.
        pages: Whether it is a list that is read page by page.
        counts: Whether it is the number of a user's rows.
    """

    name: str
    type: RandomType
    path: Sequence[str]
    value: str | None
    source: str = ""
    place: str = ""
    may: str = ""
    sized: bool = False
    pages: bool = False
    counts: bool = False

    def put(self, row: dict[str, Json], value: Json) -> None:
        """Write a value into a row."""
        for step in self.path[:-1]:
            row = row.setdefault(step, {})
        row[self.path[-1]] = value


@dataclass(frozen=True)
class Drawn:
    """A value in both forms.

    Attributes:
        row: As a row has it.
        seen: As a client sees it, with all fields of objects.
        fits: Whether it fits its type.
    """

    row: Json
    seen: Json
    fits: bool = True


MISSING = object()
"""What a row has that does not have a value."""


def as_item(row: Json) -> Json:
    """Write a value as an item of a list, which cannot lack one."""
    return None if row is MISSING else row


@dataclass(frozen=True)
class RandomReading:
    """How a source or endpoint is asked, and its answer read.

    Attributes:
        grouped: Whether a user may have several rows.
        ordered: Whether these are sorted.
        selects: Whether requests name the members that rows have.
    """

    grouped: bool = False
    ordered: bool = False
    selects: bool = False

    def expression(self, name: str) -> str:
        """Write the expression of a member of the row that has the values."""
        return f"[0].{name}" if self.grouped else name

    def settings(self, path: str, key: str) -> dict[str, Json]:
        """Write the settings of the request and the answer."""
        request: dict[str, Json] = {"form": "repeat", "path": path, "parameter": "id"}
        if self.selects:
            request["select"] = {"parameter": "only"}
        answer: dict[str, Json] = {} if key == "id" else {"key": [key]}
        if self.grouped:
            answer["group"] = {"order": "seq"} if self.ordered else {}
        return {"request": request, **({"answer": answer} if answer else {})}


@dataclass(frozen=True)
class RandomLookup:
    """Root fields that find users by a mail address.

    Attributes:
        one: The root field with one user.
        several: The root field with several users.
        source: The source that is asked.
        may: Who may use it.
    """

    one: str
    several: str
    source: str
    may: str

    @property
    def place(self) -> str:
        """The endpoint that is asked."""
        return f"{self.source}.{self.one}"

    def table(self) -> Mapping[str, Json]:
        """Write the table of the file."""
        return {
            "source": self.source,
            "key": "mail",
            "request": {"form": "repeat", "path": "/find", "parameter": "mail"},
            "answer": {"key": ["mail"]},
            "value": "found.id",
            "description": "The one with this address.",
            "may": self.may,
        }


DEFAULT_SOURCES = ("profile", "billing", "activity")


@dataclass
class RandomSchema:
    """A schema.

    Attributes:
        extends: What it begins with.
        hidden: The default fields that it does not have.
        type: The name of a user.
        plural: The root field with several users; ``None`` for the usual one.
        lookup: Root fields that find users by another key, if there are any.
        enums: The enums by name.
        objects: The fields of each object.
        fields: The fields of a user.
        endpoints: The endpoints of each source that has some; the first says who exists.
        apart: Whether fields name the endpoint that they are read from.
        keys: The name of the key in rows of each source.
        readings: How each source and endpoint is read.
        origins: For sources whose keys are in rows of others, these others in order.
    """

    apart: bool = False
    extends: str = "none"
    hidden: Sequence[str] = ()
    type: str = "User"
    plural: str | None = None
    lookup: RandomLookup | None = None
    enums: dict[str, RandomEnum] = field(default_factory=dict[str, RandomEnum])
    objects: dict[str, Sequence[RandomField]] = field(
        default_factory=dict[str, "Sequence[RandomField]"]
    )
    fields: Sequence[RandomField] = ()
    endpoints: dict[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    readings: dict[str, RandomReading] = field(default_factory=dict[str, RandomReading])
    origins: dict[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])

    @property
    def default_sources(self) -> Sequence[str]:
        """The default sources of which a field is left."""
        if self.extends != "default":
            return []
        left = [one for one in DEFAULT_SCHEMA.fields if one.name not in self.hidden]
        return list(dict.fromkeys(one.source.name for one in left))

    @property
    def root(self) -> str:
        """The root field with one user."""
        return self.type[:1].lower() + self.type[1:]

    @property
    def root_of_several(self) -> str:
        """The root field with several users."""
        return self.plural or f"{self.root}s"

    def first_place(self, source: str) -> str:
        """Find the endpoint of a source whose rows have the keys of other sources."""
        first = next(iter(self.endpoints.get(source, ())), "")
        return f"{source}.{first}" if first else source

    def reading(self, place: str) -> RandomReading:
        """Tell how a source or an endpoint is read."""
        return self.readings.get(place, RandomReading())

    @property
    def places(self) -> Sequence[str]:
        """All endpoints and undivided sources."""
        return [
            f"{source}.{one}" if one else source
            for source in self.keys
            for one in self.endpoints.get(source, [""])
        ]

    def tables(self) -> Mapping[str, Json]:
        """Write the tables of a file, without the sources."""
        schema: dict[str, Json] = {"extends": self.extends, "type": self.type}
        if self.plural is not None:
            schema["plural"] = self.plural
        if self.lookup is not None:
            schema["lookups"] = {self.lookup.one: self.lookup.table()}
        return {
            "schema": schema,
            "user": {
                **{name: {"hidden": True} for name in self.hidden},
                **{one.name: self._field(one) for one in self.fields},
            },
            "types": {
                name: {
                    "description": "An object.",
                    "fields": {one.name: _table(one) for one in fields},
                }
                for name, fields in self.objects.items()
            },
            "enums": {name: one.table for name, one in self.enums.items()},
        }

    def sources(self) -> Mapping[str, Mapping[str, Json]]:
        """Write the settings of the sources, without their addresses."""
        made: dict[str, Mapping[str, Json]] = {}
        for source, key in self.keys.items():
            divided = {
                one: {
                    **self.reading(f"{source}.{one}").settings(f"/{one}", key),
                    **({} if self.apart else {"fields": self._expressions(f"{source}.{one}")}),
                }
                for one in self.endpoints.get(source, ())
            }
            whole = self.reading(source).settings("/rows", key)
            made[source] = {
                **({"endpoints": divided} if divided else whole),
                **self._key_from(source),
            }
        return made

    def _key_from(self, source: str) -> Mapping[str, Json]:
        """Write where the keys of a source are."""
        places = [
            {
                "source": origin,
                "expression": self.reading(self.first_place(origin)).expression(
                    link_of(source, number)
                ),
            }
            for number, origin in enumerate(self.origins.get(source, ()))
        ]
        if not places:
            return {}
        return {"key_from": places if len(places) > 1 else places[0]}

    def _expressions(self, place: str) -> Mapping[str, str]:
        """Write the expressions of the fields of an endpoint."""
        return {one.name: one.value or f'"{one.name}"' for one in self.fields if one.place == place}

    def _field(self, one: RandomField) -> Mapping[str, Json]:
        """Write the table of a field of a user."""
        source = one.place if self.apart else one.source
        table = {**_table(one), "source": source, "may": one.may}
        divided = one.source in self.endpoints and not self.apart
        if divided or one.pages:
            table.pop("value", None)
        if one.pages:
            table["connection"] = True
        return table


def link_of(source: str, number: int) -> str:
    """Name the member of a row that has the key of another source."""
    return f"link_{source}_{number}"


def _table(one: RandomField) -> dict[str, Json]:
    """Write the table of a field."""
    table: dict[str, Json] = {"type": str(one.type), "description": "A field."}
    if one.value is not None:
        table["value"] = one.value
    if one.sized:
        table["assumed_size"] = 3
    return table


class SchemaWriting:
    """Draws schemas.

    Args:
        draw: Draws from strategies.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._schema = RandomSchema()

    def schema(self, default: Sequence[str]) -> RandomSchema:
        """Draw a schema.

        Args:
            default: The fields of the default schema, of which some may be hidden.
        """
        made, draw = self._schema, self._draw
        for number in range(draw(st.integers(0, 2))):
            made.enums[f"Enum{number}"] = self._enum(f"Enum{number}")
        for number in range(draw(st.integers(0, 3))):
            made.objects[f"Object{number}"] = self._fields_of_object()
        if draw(st.booleans()):
            made.extends = "default"
            made.hidden = draw(st.lists(st.sampled_from(default), unique=True, max_size=4))
        made.type = draw(st.sampled_from(["User", "Employee", "TeamMember", "Person"]))
        made.plural = draw(st.sampled_from([None, None, "people"]))
        for number in range(draw(st.integers(1, 3))):
            self._source(f"s{number}")
        if draw(st.booleans()):
            made.lookup = self._lookup()
        made.apart = draw(st.booleans())
        made.fields = self._fields_of_user()
        read = {one.place for one in made.fields}
        for source, endpoints in [*made.endpoints.items()]:
            made.endpoints[source] = [one for one in endpoints if f"{source}.{one}" in read]
            if not made.endpoints[source]:
                del made.endpoints[source]
        return made

    def _source(self, name: str) -> None:
        """Draw a source."""
        draw, made = self._draw, self._schema
        made.keys[name] = draw(st.sampled_from(["id", "user_id"]))
        if draw(st.integers(0, 2)) == 0:
            made.endpoints[name] = ["one", "two"]
        for place in [name, *(f"{name}.{one}" for one in made.endpoints.get(name, ()))]:
            grouped = draw(st.integers(0, 2)) == 0
            ordered, selects = draw(st.booleans()), draw(st.integers(0, 2)) == 0
            made.readings[place] = RandomReading(grouped, ordered, selects)
        before = [*(one for one in made.keys if one != name), *made.default_sources]
        linked = draw(st.booleans())
        if before and linked:
            some = st.lists(st.sampled_from(before), unique=True, min_size=1, max_size=3)
            made.origins[name] = draw(some)

    def _lookup(self) -> RandomLookup:
        """Draw root fields that find users by another key."""
        draw, made = self._draw, self._schema
        sources = [*made.keys, *made.default_sources]
        one, several = draw(
            st.sampled_from(
                [
                    (f"{made.root}ByMail", f"{made.root_of_several}ByMails"),
                    ("findByMail", "findByMails"),
                ]
            )
        )
        may = draw(st.sampled_from(["public", "public", "a:read"]))
        return RandomLookup(one, several, draw(st.sampled_from(sources)), may)

    def _enum(self, name: str) -> RandomEnum:
        """Draw an enum."""
        values: dict[str, Mapping[str, Json]] = {
            "LOW": self._draw(st.sampled_from([{}, {"value": "l"}])),
            "HIGH": self._draw(st.sampled_from([{}, {"value": ["h", "urgent"]}])),
        }
        unknown = self._draw(st.sampled_from([None, "LOW"]))
        table: dict[str, Json] = {"description": "An enum.", "values": values}
        if unknown is not None:
            table["unknown"] = unknown
        words: dict[str, str] = {}
        for value, settings in values.items():
            given = settings.get("value", value)
            words |= dict.fromkeys([given] if isinstance(given, str) else given, value)
        return RandomEnum(name, words, unknown, table)

    def _type(self, *, depth: int = 0, required: bool | None = None) -> RandomType:
        """Draw a type."""
        must = self._draw(st.booleans()) if required is None else required
        if depth < 2 and self._draw(st.integers(0, 3)) == 0:
            return RandomType(item=self._type(depth=depth + 1), required=must)
        made = self._schema
        names = [*SCALARS, *made.enums, *made.enums, *made.objects, *made.objects, *made.objects]
        return RandomType(self._draw(st.sampled_from(names)), required=must)

    def _path(
        self, name: str, number: int, reading: RandomReading = RandomReading()
    ) -> tuple[Sequence[str], str | None]:
        """Draw where the value of a field stands, and the expression that reads it."""
        of = reading.expression
        way = self._draw(
            st.sampled_from(["name", "name", "name", "other", "odd", "path", "either"])
        )
        match way:
            case "other":
                return [f"m{number}"], of(f"m{number}")
            case "odd":
                return [f"m:{number}"], of(f'"m:{number}"')
            case "path":
                return [f"in{number}", "value"], of(f"in{number}.value")
            case "either":
                return [f"m{number}"], f"not_null({of(f'm{number}')}, {of('nothing')})"
            case _:
                return [name], of(name) if reading.grouped else None

    def _fields_of_object(self) -> Sequence[RandomField]:
        """Draw the fields of an object; every second one may be an item of a list."""
        names = self._draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
        fields: list[RandomField] = []
        for number, name in enumerate(names):
            kind = self._type()
            sized = kind.item is not None and self._draw(st.booleans())
            fields.append(RandomField(name, kind, *self._path(name, number), sized=sized))
        if self._draw(st.booleans()):
            key = RandomType("ID", required=True)
            fields.append(RandomField("id", key, *self._path("id", len(names))))
        return fields

    def _fields_of_user(self) -> Sequence[RandomField]:
        """Draw the fields of a user."""
        names = self._draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True))
        return [self._field_of_user(name, number) for number, name in enumerate(names)]

    def _field_of_user(self, name: str, number: int) -> RandomField:
        """Draw a field of a user."""
        draw, made = self._draw, self._schema
        own = draw(st.sampled_from([*made.keys]))
        source = draw(st.sampled_from([own, own, *made.default_sources]))
        may = draw(
            st.sampled_from(["public", "public", "self", "a:read", "self or a:read", "self or b"])
        )
        items = [
            one
            for one, fields in made.objects.items()
            if any(str(each.type) == "ID!" for each in fields)
        ]
        place = source
        if source in made.endpoints:
            place = f"{source}.{draw(st.sampled_from(made.endpoints[source]))}"
        has_lists = source == own and (made.apart or source not in made.endpoints)
        if has_lists and items and draw(st.booleans()):
            listed = RandomType(draw(st.sampled_from(items)))
            return RandomField(name, listed, [name], None, source, place, may, pages=True)
        reading = made.reading(place)
        if reading.grouped and draw(st.integers(0, 3)) == 0:
            count = "length([?seq != `null`])"
            return RandomField(name, RandomType("Int"), [], count, source, place, may, counts=True)
        kind = self._type(required=draw(st.integers(0, 9)) == 0)
        sized = kind.item is not None and draw(st.booleans())
        path, value = self._path(name, number, reading)
        return RandomField(name, kind, path, value, source, place, may, sized)


class ValueDrawing:
    """Draws values of types.

    Args:
        draw: Draws from strategies.
        schema: The schema.
    """

    def __init__(self, draw: st.DrawFn, schema: RandomSchema) -> None:
        self._draw = draw
        self._schema = schema

    def value(self, kind: RandomType) -> Drawn:
        """Draw a value that fits."""
        if not kind.required and self._draw(st.integers(0, 5)) == 0:
            return Drawn(self._draw(st.sampled_from([None, MISSING])), None)
        if kind.item is not None:
            items = [self.value(kind.item) for _ in range(self._draw(st.integers(0, 3)))]
            return Drawn(
                [as_item(one.row) for one in items],
                [one.seen for one in items],
            )
        if kind.name in self._schema.objects:
            fields = self._schema.objects[kind.name]
            return self.object(fields, [self.value(one.type) for one in fields])
        if kind.name in self._schema.enums:
            return self._word(self._schema.enums[kind.name])
        value = self._draw(st.sampled_from(SCALARS[kind.name]))
        return Drawn(value, str(value) if kind.name == "ID" else value)

    def object(self, fields: Sequence[RandomField], values: Sequence[Drawn]) -> Drawn:
        """Write an object of the values of its fields."""
        row: dict[str, Json] = {"more": "never read"}
        for one, drawn in zip(fields, values, strict=True):
            if drawn.row is not MISSING:
                one.put(row, drawn.row)
        seen = {one.name: drawn.seen for one, drawn in zip(fields, values, strict=True)}
        return Drawn(row, seen, all(one.fits for one in values))

    def damaged(self, kind: RandomType) -> Drawn:
        """Draw a value that does not fit."""
        if kind.required and self._draw(st.integers(0, 3)) == 0:
            return self._wrong([None, MISSING])
        if kind.item is not None:
            return self._damaged_list(kind.item)
        if kind.name in self._schema.objects:
            return self._damaged_object(self._schema.objects[kind.name])
        if kind.name not in self._schema.enums:
            return self._wrong(WRONG[kind.name])
        known = self._schema.enums[kind.name].unknown is not None
        return self._wrong([7, [], True] if known else [7, [], True, "another"])

    def _wrong(self, values: Sequence[Json]) -> Drawn:
        """Draw one of some values that do not fit."""
        return Drawn(self._draw(st.sampled_from(values)), None, fits=False)

    def _damaged_list(self, kind: RandomType) -> Drawn:
        """Draw a list that does not fit, or of which an item does not."""
        if self._draw(st.integers(0, 2)) == 0:
            return self._wrong([7, "x", {}, True])
        items = [self.value(kind) for _ in range(self._draw(st.integers(0, 2)))]
        items.insert(self._draw(st.integers(0, len(items))), self.damaged(kind))
        return Drawn([as_item(one.row) for one in items], None, fits=False)

    def _damaged_object(self, fields: Sequence[RandomField]) -> Drawn:
        """Draw an object that does not fit, or of which a field does not."""
        if self._draw(st.integers(0, 2)) == 0:
            return self._wrong([7, "x", [], True])
        wrong = self._draw(st.sampled_from(list(fields)))
        values = [
            self.damaged(one.type) if one is wrong else self.value(one.type) for one in fields
        ]
        return self.object(fields, values)

    def _word(self, enum: RandomEnum) -> Drawn:
        """Draw a word."""
        known = self._draw(st.sampled_from([*enum.words]))
        if enum.unknown is not None and self._draw(st.integers(0, 3)) == 0:
            return Drawn(self._draw(st.sampled_from(["another", ""])), enum.unknown)
        written = self._draw(st.sampled_from([known, known.upper(), known.lower()]))
        return Drawn(written, enum.words[known])


@dataclass(frozen=True)
class Selected:
    """A field in a selection.

    Attributes:
        alias: Its alias.
        field: The field; ``None`` for ``__typename``.
        first: Its argument ``first``, if it is given.
        inner: What is selected of its objects.
    """

    alias: str
    field: RandomField | None
    first: int | None = None
    inner: "Sequence[Selected]" = ()


class SelectionWriting:
    """Draws selections.

    Args:
        draw: Draws from strategies.
        schema: The schema.
    """

    def __init__(self, draw: st.DrawFn, schema: RandomSchema) -> None:
        self._draw = draw
        self._schema = schema
        self._count = 0

    def of(self, fields: Sequence[RandomField], *, most: int = 5) -> Sequence[Selected]:
        """Draw a selection of some fields, the same one perhaps several times."""
        number = self._draw(st.integers(1, most))
        return [self._one(fields) for _ in range(number)]

    def _one(self, fields: Sequence[RandomField]) -> Selected:
        """Draw a field."""
        self._count += 1
        alias = f"a{self._count}"
        if self._draw(st.integers(0, 9)) == 0:
            return Selected(alias, None)
        one = self._draw(st.sampled_from(list(fields)))
        first = None
        if one.sized or one.pages:
            first = self._draw(st.sampled_from([1, 1, 2, None] if one.pages else [0, 1, 2, None]))
        inner: Sequence[Selected] = ()
        kind = one.type.innermost
        if kind in self._schema.objects:
            inner = self.of(self._schema.objects[kind], most=3)
        elif kind == "Money":
            inner = [Selected("amount", MONEY[0]), Selected("currency", MONEY[1])]
        return Selected(alias, one, first, inner)


MONEY = (
    RandomField("amount", RandomType("SafeInt", required=True), ["amount"], None),
    RandomField("currency", RandomType("String", required=True), ["currency"], None),
)


def text_of(selection: Sequence[Selected]) -> str:
    """Write a selection."""
    return "{ " + " ".join(map(_written, selection)) + " }"


def _written(one: Selected) -> str:
    """Write a field of a selection."""
    if one.field is None:
        return f"{one.alias}: __typename"
    arguments = "" if one.first is None else f"(first: {one.first})"
    inner = text_of(one.inner) if one.inner else ""
    if one.field.pages:
        inner = f"{{ edges {{ node {inner} }} pageInfo {{ hasNextPage endCursor }} }}"
    return f"{one.alias}: {one.field.name}{arguments} {inner}"


def projected(value: Json, one: Selected) -> Json:
    """Tell what a client sees of a value by a selection."""
    if (items := as_list(value)) is not None and one.first is not None:
        value = items[: one.first]
    return inside(value, one)


def inside(value: Json, one: Selected) -> Json:
    """Tell what a client sees of a value, or of each item of a list."""
    if one.field is None or not one.inner or value is None:
        return value
    if (items := as_list(value)) is not None:
        return [inside(item, one) for item in items]
    names = {inner.alias: inner for inner in one.inner}
    kind = one.field.type.innermost
    return {
        alias: kind if inner.field is None else projected(value[inner.field.name], inner)
        for alias, inner in names.items()
    }
