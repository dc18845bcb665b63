"""Requests about users of a random schema, and the services that answer for its sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from hypothesis import strategies as st

from tests.fakes import (
    Behaviour,
    account_row,
    activity_row,
    failing,
    json_response,
    profile_row,
    raising,
    saying,
    user_id,
)
from tests.random_schema import (
    MISSING,
    Drawn,
    Json,
    RandomField,
    RandomSchema,
    RandomType,
    Selected,
    SelectionWriting,
    ValueDrawing,
    as_item,
    link_of,
)

USERS = (1, 2, 3)
IDS = {number: user_id(number) for number in USERS}

SHOWN = [
    RandomField(
        "username", RandomType("String"), ["username"], None, "profile", "profile", "public"
    ),
    RandomField(
        "lastSeenAt",
        RandomType("DateTime"),
        ["lastSeenAt"],
        None,
        "activity",
        "activity",
        "self or activity:read",
    ),
]
"""Default fields that are selected, where they are not hidden."""

ROWS = {"profile": profile_row, "billing": account_row, "activity": activity_row}
KEYS = {"profile": "id", "billing": "userId", "activity": "userId"}

FAILURES: Mapping[str, Behaviour] = {
    "SOURCE_UNAVAILABLE": failing(503),
    "SOURCE_REJECTED": failing(403),
    "SOURCE_MALFORMED": saying(b"[{"),
    "SOURCE_TIMEOUT": raising(httpx.ReadTimeout("slow")),
}

PAGE = 2
"""The most items that a service sends at once."""

MAILS = ("1@a.example", "2@a.example", "3@a.example")
NOISE = ["noise"]
"""What the rows of a group have that are not read."""


@dataclass(frozen=True)
class Found:
    """What is known of one user: at a source, or of its key.

    Attributes:
        row: Whose row it is, by number; ``None`` if there is none.
        code: The code of the failure, if there is one.
    """

    row: int | None = None
    code: str | None = None


@dataclass(frozen=True)
class Link:
    """What a row has of the key of another source.

    Attributes:
        value: The value in the row.
        found: Whose row the key leads to.
    """

    value: Json
    found: Found = Found()


@dataclass(frozen=True)
class LookedUp:
    """What a service has at a mail address.

    Attributes:
        rows: Its rows, without the address.
        found: Which user it is.
    """

    rows: Sequence[Json]
    found: Found = Found()


@dataclass(frozen=True)
class RandomRequest:
    """A request, and what the sources have of its users.

    Attributes:
        root: The root field: one user, several, the caller, or users by their mail addresses.
        on_error: What an error does to the answer.
        asked: The users, by number.
        mails: The mail addresses, where users are found by these.
        selection: What is selected of each.
        caller: The number of the caller, if it is a user; else ``None``.
        scopes: The caller's scopes.
        known: Whom each endpoint knows.
        failing: The code of each endpoint that fails.
        values: The value of each field of each row.
        items: The items of each list of each row.
        counts: How many rows each user has in a group.
        links: The keys of other sources, by the source, the number of the place, and the row.
        found: What is at each mail address.
    """

    root: str
    on_error: str
    asked: Sequence[int]
    mails: Sequence[str]
    selection: Sequence[Selected]
    caller: int | None
    scopes: frozenset[str]
    known: Mapping[str, frozenset[int]]
    failing: Mapping[str, str]
    values: Mapping[tuple[str, int], Drawn]
    items: Mapping[tuple[str, int], Sequence[Drawn]]
    counts: Mapping[int, int]
    links: Mapping[tuple[str, int, int], Link]
    found: Mapping[str, LookedUp]

    def may_see(self, one: RandomField, user: int) -> bool:
        """Tell whether the caller may see a field of a user."""
        words = set(one.may.split(" or "))
        own = "self" in words and self.caller == user
        return "public" in words or own or bool(words & self.scopes)

    def value(self, one: RandomField, row: int) -> Drawn:
        """Tell what a field is by a row."""
        if one.counts:
            return Drawn(None, self.counts[row])
        return self.values[one.name, row]


def key_text(schema: RandomSchema, source: str, row: int) -> str:
    """Write the key of a row."""
    return f"70{row}" if source in schema.origins else IDS[row]


@dataclass(frozen=True)
class KeyFinding:
    """Finds whose row a source has of a user, by the keys in the rows of other sources.

    Attributes:
        schema: The schema.
        request: What the sources have.
    """

    schema: RandomSchema
    request: RandomRequest

    def at(self, place: str, user: int) -> Found:
        """Find the row of a user at a source or an endpoint."""
        key = self._key(place.partition(".")[0], user)
        if key.row is None:
            return key
        if (code := self.request.failing.get(place)) is not None:
            return Found(code=code)
        return key if key.row in self.request.known[place] else Found()

    def _key(self, source: str, user: int) -> Found:
        """Find the row that the key of a user leads to: the first key counts."""
        origins = self.schema.origins.get(source, ())
        for number, origin in enumerate(origins):
            found = self.at(self.schema.first_place(origin), user)
            if found.row is not None:
                found = self.request.links[source, number, found.row].found
            if found != Found():
                return found
        return Found() if origins else Found(user)


@dataclass(frozen=True)
class RequestDrawing:
    """Draws requests.

    Attributes:
        draw: Draws from strategies.
        schema: The schema.
    """

    draw: st.DrawFn
    schema: RandomSchema

    def request(self) -> RandomRequest:
        """Draw a request."""
        draw, schema = self.draw, self.schema
        default = [
            one for one in SHOWN if schema.extends == "default" and one.name not in schema.hidden
        ]
        values, items = self._values(default)
        roots = ["one", "several", "several", "me"]
        lookups = [] if schema.lookup is None else ["found", "several found", "several found"]
        root = draw(st.sampled_from([*roots, *lookups]))
        caller = draw(st.sampled_from([None, *USERS]))
        most = 1 if root == "one" else 4
        asked = draw(st.lists(st.sampled_from(USERS), min_size=1, max_size=most))
        most = 1 if root == "found" else 4
        places = [*schema.places, *schema.default_sources]
        if schema.lookup is not None:
            places.append(schema.lookup.place)
        return RandomRequest(
            root=root,
            on_error=draw(st.sampled_from(["NULL", "NULL", "PROPAGATE", "HALT"])),
            asked=asked if root != "me" else [caller or 1],
            mails=draw(st.lists(st.sampled_from(MAILS), min_size=1, max_size=most)),
            selection=SelectionWriting(draw, schema).of([*schema.fields, *default]),
            caller=caller,
            scopes=draw(st.frozensets(st.sampled_from(["a:read", "b"]))),
            known={
                one: draw(st.sampled_from([frozenset(USERS), frozenset([1])])) for one in places
            },
            failing={
                one: draw(st.sampled_from([*FAILURES]))
                for one in places
                if draw(st.integers(0, 7)) == 0
            },
            values=values,
            items=items,
            counts={row: draw(st.integers(1, 3)) for row in USERS},
            links=self._links(),
            found={mail: self._looked_up() for mail in MAILS},
        )

    def _values(
        self, default: Sequence[RandomField]
    ) -> tuple[Mapping[tuple[str, int], Drawn], Mapping[tuple[str, int], Sequence[Drawn]]]:
        """Draw the values of fields, and the items of lists."""
        draw, drawing = self.draw, ValueDrawing(self.draw, self.schema)
        values: dict[tuple[str, int], Drawn] = {}
        items: dict[tuple[str, int], Sequence[Drawn]] = {}
        for one in default:
            for row in USERS:
                value = ROWS[one.source](row)[one.name]
                values[one.name, row] = Drawn(value, value)
        for one in self.schema.fields:
            for row in USERS:
                damage = draw(st.integers(0, 5)) == 0
                if one.pages:
                    kind = RandomType(one.type.name, required=True)
                    good = [drawing.value(kind) for _ in range(draw(st.integers(0, 5)))]
                    items[one.name, row] = [drawing.damaged(kind), *good] if damage else good
                elif not one.counts:
                    values[one.name, row] = (drawing.damaged if damage else drawing.value)(one.type)
        return values, items

    def _links(self) -> Mapping[tuple[str, int, int], Link]:
        """Draw the keys of other sources in rows; users may share a key."""
        return {
            (source, number, row): self._link(source)
            for source, origins in self.schema.origins.items()
            for number in range(len(origins))
            for row in USERS
        }

    def _link(self, source: str) -> Link:
        """Draw what a row has of the key of another source."""
        way = self.draw(st.integers(0, 9))
        if way == 0:
            wrong = self.draw(st.sampled_from([True, 1.5, ["701"], {"id": "701"}]))
            return Link(wrong, Found(code="SOURCE_MALFORMED"))
        if way < 4:
            return Link(self.draw(st.sampled_from([None, MISSING, ""])))
        row = self.draw(st.sampled_from(USERS))
        text = key_text(self.schema, source, row)
        return Link(self.draw(st.sampled_from([text, int(text)])), Found(row))

    def _looked_up(self) -> LookedUp:
        """Draw what a service has at a mail address."""
        way = self.draw(st.integers(0, 9))
        if way == 0:
            values: Sequence[Json] = [True, {}, "no id", 7]
            wrong = self.draw(st.sampled_from(values))
            return LookedUp([{"found": {"id": wrong}}], Found(code="SOURCE_MALFORMED"))
        if way == 1:
            two = [{"found": {"id": IDS[row]}} for row in USERS[:2]]
            return LookedUp(two, Found(code="SOURCE_MALFORMED"))
        if way < 4:
            return LookedUp(self.draw(st.sampled_from([[], [{}], [{"found": {"id": None}}]])))
        row = self.draw(st.sampled_from(USERS))
        return LookedUp([{"found": {"id": IDS[row]}}], Found(row))


@dataclass
class RandomServices:
    """Answers for the sources of a schema.

    Attributes:
        schema: The schema.
        request: What the sources have.
        calls: The calls so far: the host, the path and the parameters of each.
    """

    schema: RandomSchema
    request: RandomRequest
    calls: list[tuple[str, str, Sequence[tuple[str, str]]]] = field(
        default_factory=list[tuple[str, str, "Sequence[tuple[str, str]]"]]
    )

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        host, path, parameters = request.url.host, request.url.path, request.url.params
        self.calls.append((host, path, sorted(parameters.multi_items())))
        name = path.removeprefix("/")
        lookup = self.schema.lookup
        if path == "/find" and lookup is not None:
            place = lookup.place
        else:
            place = f"{host}.{name}" if name in self.schema.endpoints.get(host, ()) else host
        if (code := self.request.failing.get(place)) is not None:
            return FAILURES[code](request)
        if path == "/find":
            return json_response(
                [
                    {"mail": mail, **row}
                    for mail in parameters.get_list("mail")
                    for row in self.request.found[mail].rows
                ]
            )
        if "limit" in parameters:
            return self._page(host, name, parameters)
        asked = parameters.get_list(KEYS.get(host, "id"))
        users = [one for one in USERS if key_text(self.schema, host, one) in asked]
        rows = self._rows(host, place, [one for one in users if one in self.request.known[place]])
        if "only" in parameters:
            names = parameters["only"].split(",")
            rows = [{name: row[name] for name in names if name in row} for row in rows]
        return json_response(rows)

    def _page(self, host: str, name: str, parameters: httpx.QueryParams) -> httpx.Response:
        """Answer with a page of a list."""
        row = next(one for one in USERS if key_text(self.schema, host, one) == parameters["userId"])
        items = self.request.items[name, row]
        first = int(parameters.get("cursor", "0"))
        end = first + min(int(parameters["limit"]), PAGE)
        page: dict[str, Json] = {"items": [as_item(one.row) for one in items[first:end]]}
        if end < len(items):
            page["nextCursor"] = str(end)
        return json_response(page)

    def _rows(self, host: str, place: str, users: Sequence[int]) -> list[dict[str, Json]]:
        """Write the rows of users; those of a group are not beside each other."""
        rows = [self._row(host, place, one) for one in users]
        reading = self.schema.reading(place)
        if not reading.grouped:
            return rows
        key = self.schema.keys[host]
        for number, row in enumerate(rows):
            row["seq"] = number
        for one, row in zip(users, [*rows], strict=True):
            more = range(1, self.request.counts[one])
            rows += [{key: row[key], "seq": 10 * at, **self._noise(place)} for at in more]
        return rows[::-1] if reading.ordered else rows

    def _noise(self, place: str) -> Mapping[str, Json]:
        """Write what is not read of further rows."""
        row: dict[str, Json] = {}
        for one in self.schema.fields:
            if one.place == place and not one.pages and not one.counts:
                one.put(row, NOISE)
        return row

    def _row(self, host: str, place: str, user: int) -> dict[str, Json]:
        """Write the row of a user."""
        row: dict[str, Json] = {}
        if host in ROWS:
            row |= ROWS[host](user)
        else:
            row[self.schema.keys[host]] = key_text(self.schema, host, user)
        for one in self.schema.fields:
            if one.place == place and not one.pages and not one.counts:
                value = self.request.values[one.name, user].row
                if value is not MISSING:
                    one.put(row, value)
        if place == self.schema.first_place(host):
            for source, origins in self.schema.origins.items():
                for number, origin in enumerate(origins):
                    link = self.request.links[source, number, user].value
                    if origin == host and link is not MISSING:
                        row[link_of(source, number)] = link
        return row
