"""All fast paths are equal to the reference for random schemas, and both return the rows' values.

A schema has objects in lists in objects, enums with and without ``unknown``, all scalars, hidden
default fields, several sources with endpoints, names and expressions, policies, paged lists,
groups of rows, requests for selected members, keys in the rows of other sources, and users that
are found by another key. Random rows are damaged, and random sources fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import httpx
import orjson
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from app.settings.fastpath import FastpathSettings
from app.settings.field_schema import settings_in
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.models import Settings
from app.settings.nested import as_list, as_table
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, settings_for_fakes
from tests.properties import examples
from tests.random_rows import (
    IDS,
    USERS,
    Found,
    KeyFinding,
    Link,
    RandomRequest,
    RandomServices,
    RequestDrawing,
)
from tests.random_schema import (
    DEFAULT_SOURCES,
    Drawn,
    Json,
    RandomField,
    RandomSchema,
    RandomType,
    SchemaWriting,
    Selected,
    inside,
    projected,
    text_of,
)

CASES = examples(60, "COMPILED_CASES")
"""The number of schemas that the property is tested with; many more before a release."""

REQUESTS = 3
"""The number of requests for each schema."""

FIRST = 20
"""The number of items of a page without ``first``."""

DEFAULT = {
    **dict.fromkeys(("username", "displayName", "email", "avatarUrl", "locale"), "profile"),
    **dict.fromkeys(("createdAt", "plan", "billingStatus", "renewsAt"), "billing"),
    **dict.fromkeys(("lastSeenAt", "loginCount", "balance", "events"), "activity"),
}
"""The default fields, which may be hidden; other files test them."""


@dataclass(frozen=True)
class SchemaCase:
    """A schema and requests."""

    schema: RandomSchema
    requests: Sequence[RandomRequest]


KEY = RandomField("id", RandomType("ID", required=True), ["id"], None)
TEXT = RandomField("x", RandomType("String"), ["x"], None, "s0", "s0.two", "public")
LISTED = RandomField(
    "key", RandomType("Object0"), ["key"], None, "s1", "s1.one", "public", pages=True
)
APART = SchemaCase(
    RandomSchema(
        apart=True,
        objects={"Object0": [KEY]},
        fields=[TEXT, LISTED],
        endpoints={"s0": ["two"], "s1": ["one"]},
        keys={"s0": "id", "s1": "id"},
        origins={"s1": ["s0"]},
    ),
    [
        RandomRequest(
            root="several",
            on_error="NULL",
            asked=[1, 2],
            mails=[],
            selection=[Selected("a1", LISTED, 1, [Selected("a2", KEY)]), Selected("a3", TEXT)],
            caller=None,
            scopes=frozenset(),
            known={"s0.two": frozenset(USERS), "s1.one": frozenset(USERS)},
            failing={},
            values={("x", row): Drawn("a", "a") for row in USERS},
            items={
                ("key", row): [Drawn({"id": one}, {"id": one}) for one in (f"{row}a", f"{row}b")]
                for row in USERS
            },
            counts={},
            links={
                ("s1", 0, 1): Link("703", Found(3)),
                ("s1", 0, 2): Link(None),
                ("s1", 0, 3): Link(None),
            },
            found={},
        )
    ],
)
"""Sources whose endpoints are all read separately; one has the keys of the other in its rows.

A gateway with this schema did not start, and requested lists by users' ids instead of the keys.
"""


@st.composite
def schema_cases(draw: st.DrawFn) -> SchemaCase:
    """Make schemas and requests."""
    schema = SchemaWriting(draw).schema([*DEFAULT])
    return SchemaCase(schema, [RequestDrawing(draw, schema).request() for _ in range(REQUESTS)])


def settings_of(schema: RandomSchema) -> Settings:
    """Write the settings of a schema."""
    base = settings_for_fakes(limits=LimitsSettings(cost=0, rate=RateSettings(enabled=False)))
    own = {
        name: calm_source(base_url=f"http://{name}", **one)
        for name, one in schema.sources().items()
    }
    own = {**{name: base.sources[name] for name in schema.default_sources}, **own}
    given = {**settings_in(base), **schema.tables(), "sources": own}
    return Settings.model_validate({**given, "user_id_pattern": base.user_id_pattern})


@dataclass(frozen=True)
class Answered:
    """The response to a client.

    Attributes:
        data: The data as text.
        errors: The errors, in their order.
        calls: The calls to sources.
        status: The HTTP status.
        next_page: The data of the page after the first list in the answer that has one.
    """

    data: bytes
    errors: Sequence[Json]
    calls: Sequence[object]
    status: int
    next_page: Json = None


async def answered(
    gateway: GatewayClient, services: FakeServices, schema: RandomSchema, request: RandomRequest
) -> Answered:
    """Send a request, and another one for a next page."""
    sources = RandomServices(schema, request)
    services.others = dict.fromkeys([*schema.keys, *DEFAULT_SOURCES], sources.answer)
    caller = None if request.caller is None else IDS[request.caller]

    async def ask(query: str) -> httpx.Response:
        return await gateway.client.post(
            "/graphql",
            json={"query": query, "onError": request.on_error},
            headers={
                "X-Request-ID": "same",
                "Accept": "application/graphql-response+json",
                **headers_of(caller, *sorted(request.scopes)),
            },
        )

    response = await ask(query_of(schema, request))
    body = orjson.loads(response.content)
    data = body.get("data", "none")
    following = None
    if (next_page := next_page_in(request, data)) is not None:
        following = (await ask(next_page.query(schema))).json()["data"]
    return Answered(
        orjson.dumps(data),
        body.get("errors", []),
        sorted(sources.calls),
        response.status_code,
        following,
    )


def query_of(schema: RandomSchema, request: RandomRequest) -> str:
    """Write the query of a request."""
    one, several, lookup = schema.root, schema.root_of_several, schema.lookup
    ids = ", ".join(f'"{IDS[user]}"' for user in request.asked)
    mails = ", ".join(f'"{mail}"' for mail in request.mails)
    head = {"one": f"{one}(id: {ids})", "several": f"{several}(ids: [{ids}])", "me": "me"}
    if lookup is not None:
        head["found"] = f"{lookup.one}(mail: {mails})"
        head["several found"] = f"{lookup.several}(mails: [{mails}])"
    return f"{{ r: {head[request.root]} {text_of(request.selection)} }}"


@dataclass(frozen=True)
class NextPage:
    """A list in an answer that has a next page.

    Attributes:
        selected: The selection of it.
        field: Its field.
        user: The number of the user.
        cursor: The cursor of its last item.
    """

    selected: Selected
    field: RandomField
    user: int
    cursor: str

    def query(self, schema: RandomSchema) -> str:
        """Write the query of the next page."""
        arguments = f'first: 2, after: "{self.cursor}"'
        nodes = f"edges {{ node {text_of(self.selected.inner)} }}"
        user = f'{schema.root}(id: "{IDS[self.user]}")'
        return f"{{ r: {user} {{ list: {self.field.name}({arguments}) {{ {nodes} }} }} }}"


def next_page_in(request: RandomRequest, data: Json) -> NextPage | None:
    """Find the first list of an answer that has a next page."""
    if request.root not in {"one", "several"} or data is None:
        return None
    users = data["r"] if request.root == "several" else [data["r"]]
    for user, node in zip(request.asked, users, strict=True):
        for one in request.selection:
            if one.field is not None and one.field.pages and node and node[one.alias]:
                info = node[one.alias]["pageInfo"]
                if info["hasNextPage"]:
                    return NextPage(one, one.field, user, info["endCursor"])
    return None


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=schema_cases())
@example(case=APART)
async def test_fast_paths_and_the_reference_return_the_values_of_the_rows(
    open_gateway: OpenGateway, services: FakeServices, case: SchemaCase
) -> None:
    count_features(case)
    wanted = settings_of(case.schema)
    both: list[list[Answered]] = []
    for fast in (True, False):
        fastpath = FastpathSettings(enabled=fast)
        async with open_gateway(
            wanted.model_copy(update={"fastpath": fastpath}), by_headers
        ) as gateway:
            both.append(
                [await answered(gateway, services, case.schema, one) for one in case.requests]
            )
            for one in gateway.events("graphql.operation"):
                event(f"compiled: {one['compiled']}")

    for request, short, reference in zip(case.requests, *both, strict=True):
        assert without_timing(request, short) == without_timing(request, reference)
        assert short.status == 200
        data = orjson.loads(short.data)
        check(case.schema, request, data, short.errors)
        check_next_page(case.schema, request, data, short.next_page)


def without_timing(request: RandomRequest, answer: Answered) -> Answered:
    """Remove the parts of an answer that depend on timing: lists wait for calls of their own.

    With ``HALT``, one error ends the operation. A list may fail before or after another field.
    With ``PROPAGATE``, a field may fail and make the user ``null`` before a list is fetched, while
    it is fetched, or after it has failed.
    """
    lists = {one.alias for one in request.selection if one.field is not None and one.field.pages}
    if request.on_error == "HALT" and answer.errors and lists:
        return replace(answer, errors=[], calls=[])
    if request.on_error == "PROPAGATE" and answer.errors and lists:
        errors = [one for one in answer.errors if lists.isdisjoint(map(str, one["path"]))]
        return replace(answer, errors=errors, calls=[])
    return answer


def count_features(case: SchemaCase) -> None:
    """Count the cases with each feature (``--hypothesis-show-statistics``)."""
    schema = case.schema
    readings = [schema.reading(one.place) for one in schema.fields]
    shares = {
        "endpoints": bool(schema.endpoints),
        "key_from": bool(schema.origins),
        "key_from of several": any(len(one) > 1 for one in schema.origins.values()),
        "groups": any(one.grouped for one in readings),
        "select": any(one.selects for one in readings),
        "lookups": any("found" in one.root for one in case.requests),
        "lists page by page": any(one.pages for one in schema.fields),
        "another type": schema.type != "User",
        "first in an object": any(
            inner.first is not None
            for request in case.requests
            for one in request.selection
            for inner in one.inner
        ),
    }
    for name, there in shares.items():
        if there:
            event(name)


def check(schema: RandomSchema, request: RandomRequest, data: Json, errors: Sequence[Json]) -> None:
    """Check that a client gets the values of the rows, and an error for each damaged value."""
    if request.root == "me" and request.caller is None:
        return  # a caller without a user gets another error
    if request.on_error == "HALT" and errors:
        assert data is None
        return
    codes = {tuple(one["path"]): one["extensions"]["code"] for one in errors}
    several = request.root.startswith("several")
    whose = users_of(schema, request)
    if request.root == "several found" and whose[0].code == "FORBIDDEN":
        assert codes == {("r",): "FORBIDDEN"}  # no user is looked up
        assert data == (None if request.on_error == "PROPAGATE" else {"r": None})
        return
    users = data["r"] if several else [data["r"]]
    for index, (user, node) in enumerate(zip(whose, users, strict=True)):
        path = ("r", index) if several else ("r",)
        own = {one: code for one, code in codes.items() if one[: len(path)] == path}
        if user.row is None:
            assert node is None
            assert own == ({} if user.code is None else {path: user.code})
        else:
            check_user(schema, request, Seen(user.row, node, path, own))


def users_of(schema: RandomSchema, request: RandomRequest) -> Sequence[Found]:
    """List the users of a request."""
    lookup = schema.lookup
    if lookup is None or "found" not in request.root:
        return [Found(user) for user in request.asked]
    if lookup.may not in {"public", *request.scopes}:
        return [Found(code="FORBIDDEN") for _ in request.mails]
    failure = request.failing.get(lookup.place)
    return [
        request.found[mail].found if failure is None else Found(code=failure)
        for mail in request.mails
    ]


@dataclass(frozen=True)
class Seen:
    """A user in an answer.

    Attributes:
        user: The number of the user.
        node: The user's object in the answer.
        path: Its path.
        codes: The codes of the errors below it, by their paths.
    """

    user: int
    node: Json
    path: tuple[str | int, ...]
    codes: Mapping[tuple[str | int, ...], str]


def check_user(schema: RandomSchema, request: RandomRequest, seen: Seen) -> None:
    """Check one user in the answer."""
    finding = KeyFinding(schema, request)
    places = {
        one.field.place: finding.at(one.field.place, seen.user)
        for one in request.selection
        if one.field is not None and request.may_see(one.field, seen.user)
    }
    wanted = {
        one.alias: Expected(schema.type)
        if one.field is None
        else _expected(request, seen.user, one, one.field, places)
        for one in request.selection
    }
    if places and all(one == Found() for one in places.values()):
        assert seen.node is None  # no called source knows the user
        assert not seen.codes
    elif request.on_error == "PROPAGATE" and any(
        one.field is not None and one.field.type.required and wanted[one.alias].code
        for one in request.selection
    ):
        assert seen.node is None
    elif places or seen.node is not None:
        assert seen.codes == {
            (*seen.path, name): one.code for name, one in wanted.items() if one.code
        }
        assert list(seen.node) == list(wanted)
        assert with_times(without_cursors(seen.node)) == {
            name: with_times(one.value) for name, one in wanted.items()
        }


@dataclass(frozen=True)
class Expected:
    """The expected value of a field.

    Attributes:
        value: Its value.
        code: The code of the error at it, if there is one.
    """

    value: Json = None
    code: str | None = None


def _expected(
    request: RandomRequest,
    user: int,
    selected: Selected,
    one: RandomField,
    places: Mapping[str, Found],
) -> Expected:
    """Return the expected value of a field of a user."""
    if not request.may_see(one, user):
        return Expected(code="FORBIDDEN")
    found = places[one.place]
    if found.code is not None:
        return Expected(code=found.code)
    if found.row is None:
        return Expected(code="SOURCE_MALFORMED" if one.type.required else None)
    if one.pages:
        return _expected_page(request, found.row, selected, one)
    drawn = request.value(one, found.row)
    if not drawn.fits or (drawn.seen is None and one.type.required):
        return Expected(code="SOURCE_MALFORMED")
    return Expected(projected(drawn.seen, selected))


def _expected_page(
    request: RandomRequest, row: int, selected: Selected, one: RandomField
) -> Expected:
    """Return the expected page of a list."""
    items = request.items[one.name, row]
    shown = items[: selected.first or FIRST]
    if not all(each.fits for each in shown):
        return Expected(code="SOURCE_MALFORMED")
    edges = [{"node": inside(each.seen, selected)} for each in shown]
    return Expected({"edges": edges, "pageInfo": {"hasNextPage": len(shown) < len(items)}})


def check_next_page(
    schema: RandomSchema, request: RandomRequest, data: Json, next_page: Json
) -> None:
    """Check that a next page starts after the end of the previous one."""
    found = next_page_in(request, data)
    if found is None:
        return
    event("a next page")
    row = KeyFinding(schema, request).at(found.field.place, found.user).row
    assert row is not None
    items = request.items[found.field.name, row]
    after = found.selected.first or FIRST
    nodes = [{"node": inside(each.seen, found.selected)} for each in items[after : after + 2]]
    assert with_times(next_page) == with_times({"r": {"list": {"edges": nodes}}})


def without_cursors(node: Mapping[str, Json]) -> Mapping[str, Json]:
    """Remove the cursors of pages, which are opaque."""
    changed = dict(node)
    for name, value in node.items():
        page = as_table(value)
        if page is not None and (info := as_table(page.get("pageInfo"))) is not None:
            assert (info["endCursor"] is None) is (not page["edges"])
            changed[name] = {**page, "pageInfo": {"hasNextPage": info["hasNextPage"]}}
    return changed


def with_times(value: Json) -> Json:
    """Parse the times in JSON."""
    if (items := as_list(value)) is not None:
        return [with_times(one) for one in items]
    if (members := as_table(value)) is not None:
        return {name: with_times(one) for name, one in members.items()}
    if isinstance(value, str) and "T" in value[10:11]:
        return datetime.fromisoformat(value)
    return value
