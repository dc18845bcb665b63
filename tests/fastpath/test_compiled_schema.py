"""Compiled equals interpreted for random schemas of a file, and both show what rows have.

A schema has objects in lists in objects, enums with and without ``unknown``, all scalars, hidden
default fields, several sources with endpoints, names and expressions, policies, and lists page by
page. Rows are damaged at random, and sources fail at random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.settings.fastpath import FastpathSettings
from app.settings.field_schema import settings_in
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.models import Settings
from app.settings.nested import as_list, as_table
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    account_row,
    activity_row,
    calm_source,
    failing,
    json_response,
    profile_row,
    raising,
    saying,
    settings_for_fakes,
    user_id,
)
from tests.properties import examples
from tests.random_schema import (
    MISSING,
    Drawn,
    Json,
    RandomField,
    RandomSchema,
    RandomType,
    SchemaWriting,
    Selected,
    SelectionWriting,
    ValueDrawing,
    as_item,
    projected,
    text_of,
)

CASES = examples(60, "COMPILED_CASES")
"""How many schemas the property is tried with; many more before a release."""

REQUESTS = 3
"""How many requests each schema gets."""

USERS = (1, 2, 3)
IDS = {number: user_id(number) for number in USERS}
DEFAULT = {
    **dict.fromkeys(("username", "displayName", "email", "avatarUrl", "locale"), "profile"),
    **dict.fromkeys(("createdAt", "plan", "billingStatus", "renewsAt"), "billing"),
    **dict.fromkeys(("lastSeenAt", "loginCount", "balance", "events"), "activity"),
}
"""The default fields, which may be hidden; their own tests are elsewhere."""

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
PATHS = {"profile": "/users", "billing": "/accounts", "activity": "/summaries"}
KEYS = {"profile": "id", "billing": "userId", "activity": "userId"}

FAILURES: Mapping[str, Behaviour] = {
    "SOURCE_UNAVAILABLE": failing(503),
    "SOURCE_REJECTED": failing(403),
    "SOURCE_MALFORMED": saying(b"[{"),
    "SOURCE_TIMEOUT": raising(httpx.ReadTimeout("slow")),
}


@dataclass(frozen=True)
class RandomRequest:
    """A request, and what the sources have of its users.

    Attributes:
        root: The root field: one user, several, or the caller.
        on_error: What an error does to the answer.
        asked: The users, by number.
        selection: What is selected of each.
        caller: The number of the caller, if it is a user; else ``None``.
        scopes: The caller's scopes.
        known: Whom each endpoint knows.
        failing: The code of each endpoint that fails.
        values: The value of each field of each user.
        items: The items of each list of each user.
    """

    root: str
    on_error: str
    asked: Sequence[int]
    selection: Sequence[Selected]
    caller: int | None
    scopes: frozenset[str]
    known: Mapping[str, frozenset[int]]
    failing: Mapping[str, str]
    values: Mapping[tuple[str, int], Drawn]
    items: Mapping[tuple[str, int], Sequence[Drawn]]

    def may_see(self, one: RandomField, user: int) -> bool:
        """Tell whether the caller may see a field of a user."""
        words = set(one.may.split(" or "))
        own = "self" in words and self.caller == user
        return "public" in words or own or bool(words & self.scopes)

    def value(self, one: RandomField, user: int) -> Drawn:
        """Tell what a field of a user is."""
        if not one.pages:
            return self.values[one.name, user]
        items = self.items[one.name, user]
        return Drawn(None, [each.seen for each in items], all(each.fits for each in items))


@dataclass(frozen=True)
class SchemaCase:
    """A schema, and requests."""

    schema: RandomSchema
    requests: Sequence[RandomRequest]


@st.composite
def schema_cases(draw: st.DrawFn) -> SchemaCase:
    """Make schemas and requests."""
    schema = SchemaWriting(draw).schema([*DEFAULT])
    return SchemaCase(schema, [_request(draw, schema) for _ in range(REQUESTS)])


def _request(draw: st.DrawFn, schema: RandomSchema) -> RandomRequest:
    """Make a request."""
    drawing = ValueDrawing(draw, schema)
    places = [*schema.places, *PATHS] if schema.extends == "default" else [*schema.places]
    default = [
        one for one in SHOWN if schema.extends == "default" and one.name not in schema.hidden
    ]
    values: dict[tuple[str, int], Drawn] = {}
    for one in default:
        for user in USERS:
            value = ROWS[one.source](user)[one.name]
            values[one.name, user] = Drawn(value, value)
    items: dict[tuple[str, int], Sequence[Drawn]] = {}
    for one in schema.fields:
        for user in USERS:
            damage = draw(st.integers(0, 5)) == 0
            if not one.pages:
                values[one.name, user] = (drawing.damaged if damage else drawing.value)(one.type)
                continue
            kind = RandomType(one.type.name, required=True)
            rows = [drawing.value(kind) for _ in range(draw(st.integers(0, 2)))]
            items[one.name, user] = [*rows, drawing.damaged(kind)] if damage else rows
    root = draw(st.sampled_from(["one", "several", "several", "me"]))
    caller = draw(st.sampled_from([None, *USERS]))
    asked = draw(st.lists(st.sampled_from(USERS), min_size=1, max_size=1 if root == "one" else 4))
    return RandomRequest(
        root=root,
        on_error=draw(st.sampled_from(["NULL", "NULL", "PROPAGATE", "HALT"])),
        asked=asked if root != "me" else [caller or 1],
        selection=SelectionWriting(draw, schema).of([*schema.fields, *default]),
        caller=caller,
        scopes=draw(st.frozensets(st.sampled_from(["a:read", "b"]))),
        known={one: draw(st.sampled_from([frozenset(USERS), frozenset([1])])) for one in places},
        failing={
            one: draw(st.sampled_from([*FAILURES]))
            for one in places
            if draw(st.integers(0, 7)) == 0
        },
        values=values,
        items=items,
    )


def settings_of(schema: RandomSchema) -> Settings:
    """Write the settings of a schema."""
    base = settings_for_fakes(limits=LimitsSettings(cost=0, rate=RateSettings(enabled=False)))
    own = {
        name: calm_source(base_url=f"http://{name}", **one)
        for name, one in schema.sources().items()
    }
    if schema.extends == "default":
        own = {**base.sources, **own}
    given = {**settings_in(base), **schema.tables(), "sources": own}
    return Settings.model_validate({**given, "user_id_pattern": base.user_id_pattern})


class RandomServices:
    """Answers for the sources of a schema.

    Args:
        schema: The schema.
        request: What the sources have.
    """

    def __init__(self, schema: RandomSchema, request: RandomRequest) -> None:
        self._schema = schema
        self._request = request
        self.calls: list[tuple[str, str, Sequence[tuple[str, str]]]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        host, path, parameters = request.url.host, request.url.path, request.url.params
        self.calls.append((host, path, sorted(parameters.multi_items())))
        name = path.removeprefix("/")
        place = f"{host}.{name}" if name in self._schema.endpoints.get(host, ()) else host
        if (code := self._request.failing.get(place)) is not None:
            return FAILURES[code](request)
        if "limit" in parameters:
            user = next(one for one, key in IDS.items() if key == parameters["userId"])
            items = self._request.items[name, user]
            return json_response({"items": [as_item(one.row) for one in items]})
        asked = parameters.get_list(KEYS.get(host, "id"))
        users = [one for one in self._request.known[place] if IDS[one] in asked]
        return json_response([self._row(host, place, one) for one in users])

    def _row(self, host: str, place: str, user: int) -> Mapping[str, Json]:
        """Write the row of a user."""
        row: dict[str, Json] = {}
        if host in ROWS:
            row |= ROWS[host](user)
        else:
            row[self._schema.keys[host]] = IDS[user]
        for one in self._schema.fields:
            if one.place == place and not one.pages:
                value = self._request.values[one.name, user].row
                if value is not MISSING:
                    one.put(row, value)
        return row


async def answered(
    gateway: GatewayClient, services: FakeServices, schema: RandomSchema, request: RandomRequest
) -> tuple[bytes, Any, Any, int]:
    """Send a request; give the data as text, the errors in their order, and the calls."""
    sources = RandomServices(schema, request)
    services.others = dict.fromkeys([*schema.keys, *PATHS], sources.answer)
    caller = None if request.caller is None else IDS[request.caller]
    response = await gateway.client.post(
        "/graphql",
        json={"query": query_of(schema, request), "onError": request.on_error},
        headers={
            "X-Request-ID": "same",
            "Accept": "application/graphql-response+json",
            **headers_of(caller, *sorted(request.scopes)),
        },
    )
    body = orjson.loads(response.content)
    data = orjson.dumps(body.get("data", "none"))
    return data, body.get("errors", []), sorted(sources.calls), response.status_code


def query_of(schema: RandomSchema, request: RandomRequest) -> str:
    """Write the query of a request."""
    one = schema.type.lower()
    ids = ", ".join(f'"{IDS[user]}"' for user in request.asked)
    head = {"one": f"{one}(id: {ids})", "several": f"{one}s(ids: [{ids}])", "me": "me"}
    return f"{{ r: {head[request.root]} {text_of(request.selection)} }}"


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=schema_cases())
async def test_compiled_interpreted_and_rows_say_the_same(
    open_gateway: OpenGateway, services: FakeServices, case: SchemaCase
) -> None:
    wanted = settings_of(case.schema)
    both: list[list[tuple[bytes, Any, Any, int]]] = []
    for compiled in (True, False):
        fastpath = FastpathSettings(compiled=compiled)
        async with open_gateway(
            wanted.model_copy(update={"fastpath": fastpath}), by_headers
        ) as gateway:
            both.append(
                [await answered(gateway, services, case.schema, one) for one in case.requests]
            )
            for one in gateway.events("graphql.operation"):
                event(f"compiled: {one['compiled']}")

    for request, compiled_one, interpreted in zip(case.requests, *both, strict=True):
        assert compiled_one == interpreted
        data, errors, _, status = compiled_one
        assert status == 200
        check(case.schema, request, orjson.loads(data), errors)


def check(schema: RandomSchema, request: RandomRequest, data: Json, errors: Sequence[Json]) -> None:
    """Check that a client sees what the rows have, and each damage as an error at its place."""
    if request.root == "me" and request.caller is None:
        return  # who has no user gets another error
    if request.on_error == "HALT" and errors:
        assert data is None
        return
    codes = {tuple(one["path"]): one["extensions"]["code"] for one in errors}
    users = data["r"] if request.root == "several" else [data["r"]]
    for index, (user, node) in enumerate(zip(request.asked, users, strict=True)):
        path = ("r", index) if request.root == "several" else ("r",)
        own = {one: code for one, code in codes.items() if one[: len(path)] == path}
        wanted = expected(schema, request, user)
        if request.on_error == "PROPAGATE" and any(
            one.field is not None and one.field.type.required and wanted[one.alias].code
            for one in request.selection
        ):
            assert node is None
        elif node is None:
            assert _is_nobody(request, user)
        else:
            assert own == {(*path, name): one.code for name, one in wanted.items() if one.code}
            assert list(node) == list(wanted)
            assert with_times(node) == {name: with_times(one.value) for name, one in wanted.items()}


@dataclass(frozen=True)
class Expected:
    """What a client should see of a field.

    Attributes:
        value: Its value.
        code: The code of the error at it, if there is one.
    """

    value: Json = None
    code: str | None = None


def expected(schema: RandomSchema, request: RandomRequest, user: int) -> Mapping[str, Expected]:
    """Tell what a client should see of each field of a user that a source knows."""
    return {
        one.alias: Expected(schema.type)
        if one.field is None
        else _expected(request, user, one, one.field)
        for one in request.selection
    }


def _expected(request: RandomRequest, user: int, selected: Selected, one: RandomField) -> Expected:
    """Tell what a client should see of a field of a user."""
    if not request.may_see(one, user):
        return Expected(code="FORBIDDEN")
    if one.place in request.failing:
        return Expected(code=request.failing[one.place])
    drawn = request.value(one, user) if user in request.known[one.place] else Drawn(None, None)
    if not drawn.fits or (drawn.seen is None and one.type.required):
        return Expected(code="SOURCE_MALFORMED")
    value = projected(drawn.seen, selected)
    if value is not None and selected.first is not None:
        value = value[: selected.first]
    if value is not None and one.pages:
        value = {"edges": [{"node": each} for each in value]}
    return Expected(value)


def _is_nobody(request: RandomRequest, user: int) -> bool:
    """Tell whether no source that is asked has said that a user exists."""
    places = {
        one.field.place
        for one in request.selection
        if one.field is not None and request.may_see(one.field, user)
    }
    return not any(user in request.known[one] and one not in request.failing for one in places)


def with_times(value: Json) -> Json:
    """Read the times in JSON."""
    if (items := as_list(value)) is not None:
        return [with_times(one) for one in items]
    if (members := as_table(value)) is not None:
        return {name: with_times(one) for name, one in members.items()}
    if isinstance(value, str) and "T" in value[10:11]:
        return datetime.fromisoformat(value)
    return value
