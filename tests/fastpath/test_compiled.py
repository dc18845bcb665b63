"""Compiled and interpreted operations have the same data, key order, errors and upstream calls."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.auth.callers import everybody
from app.schema.connection import encode_cursor
from app.settings.fastpath import FastpathSettings
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from app.sources.base import Position, UserId
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    failing,
    invoice,
    raising,
    saying,
    settings_for_fakes,
    user_id,
)
from tests.key_from import (
    LOOKUP,
    PARENTS,
    Parents,
    has_fallbacks,
    keys_of,
    linked,
    linked_row,
    origins,
    own_key,
)
from tests.partial import DividedBilling, SelectingActivity, SelectingProfile, in_parts
from tests.properties import examples

CASES = examples(60, "COMPILED_CASES")
"""The number of operations that the property is tested with; many more before a release."""

LEAVES = [
    *("id", "__typename", "username", "email", "locale", "createdAt"),
    *("plan", "renewsAt", "billingStatus", "lastSeenAt", "loginCount"),
]
OBJECTS = {
    "balance": ["amount", "currency", "__typename", "coin: currency"],
    "events": ["id", "type", "occurredAt", "__typename", "at: occurredAt"],
}
IDS = [user_id(number) for number in range(1, 6)]
BOOLEANS = ["yes", "no", "defaultYes", "defaultNo"]


@dataclass
class Draft:
    """An operation that is being written.

    Attributes:
        variables: Declarations of the variables that are used.
        fragments: Texts of the fragments that are used.
    """

    variables: dict[str, str] = field(default_factory=dict[str, str])
    fragments: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class CompiledCase:
    """A request, and the state of the sources.

    Attributes:
        query: The document.
        variables: Values of its variables, valid or invalid.
        behaviours: The behaviour of each source instead of an answer.
        known: The users that each source knows.
        required: The required sources.
        parents: The sources that have the keys of another source.
        keys: The keys in a row, by its source and user, and by the source that
            they are for.
        caller: Headers with the caller; none if all callers see all fields.
        grouped: Whether the client wants errors grouped.
        on_error: The client's ``onError``; ``None`` if it is not set.
    """

    query: str
    variables: Mapping[str, object]
    behaviours: Mapping[str, Behaviour | None]
    known: Mapping[str, frozenset[int]]
    required: frozenset[str]
    parents: Parents
    keys: Mapping[tuple[str, int], Mapping[str, object]]
    caller: Mapping[str, str] | None
    grouped: bool = False
    on_error: str | None = None


class Writing:
    """Writes random operations."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.draft = Draft()

    def operation(self) -> str:
        """Write an operation with its fragments."""
        fields = [self._root(number) for number in range(self._draw(st.integers(1, 3)))]
        if self._draw(st.integers(0, 5)) == 0:
            fields.append("__typename" + self._directive())
        body = " ".join(fields)
        declared = ", ".join(self.draft.variables.values())
        head = f"query Q({declared})" if declared else "query Q"
        return " ".join([f"{head} {{ {body} }}", *self.draft.fragments.values()])

    def _root(self, number: int) -> str:
        """Write a field of the operation."""
        users = self._users()
        head = f"r{number}: {users}"
        fields = [head + self._directive() + " " + self._selected(users)]
        if self._draw(st.integers(0, 4)) == 0:  # the same field twice: the two are merged
            fields.append(head + self._directive() + " " + self._selected(users))
        return " ".join(fields)

    def _selected(self, users: str) -> str:
        """Write the selection of a field of users or nodes."""
        selection = self._selection(depth=0)
        if not users.startswith(("node", "_entities")):
            return selection
        of_nodes = ["id ", "... on Node { me: id __typename } "]
        of_any = ["", "__typename "]
        own = self._draw(st.sampled_from([*of_any, *(of_nodes if users[0] == "n" else ())]))
        return f"{{ {own}... on User{self._directive()} {selection} }}"

    def _users(self) -> str:
        """Write a field that returns users, with its arguments."""
        kinds = ["user", "users", "users", "variable", "wrong", "me", "node", "nodes", "entities"]
        kind = self._draw(st.sampled_from(kinds))
        if kind == "me":
            return "me"
        if kind in {"user", "node"}:
            return f'{kind}(id: "{self._draw(st.sampled_from(IDS))}")'
        if kind == "variable":
            self.draft.variables["ids"] = "$ids: [ID!]!"
            return "users(ids: $ids)"
        if kind == "wrong":
            return 'user(id: "wrong")'
        ids = self._draw(st.lists(st.sampled_from(IDS), max_size=5))
        if kind == "entities":
            entities = [f'{{ __typename: "User", id: "{one}" }}' for one in ids]
            return f"_entities(representations: [{', '.join(entities)}])"
        root = "nodes" if kind == "nodes" else "users"
        return f"{root}(ids: [" + ", ".join(f'"{one}"' for one in ids) + "])"

    def _selection(self, depth: int) -> str:
        """Write a selection of users."""
        parts = [self._part(depth) for _ in range(self._draw(st.integers(1, 5)))]
        return "{ " + " ".join(parts) + " }"

    def _part(self, depth: int) -> str:  # noqa: PLR0911 # one for each kind of part
        """Write one part of a selection."""
        kinds = ["leaf", "leaf", "leaf", "object", "first"]
        if depth < 3:
            kinds += ["inline", "typed", "spread"]
        if self._draw(st.integers(0, 8)) == 0:
            return self._pages()
        kind = self._draw(st.sampled_from(kinds))
        directive = self._directive()
        if kind == "leaf":
            name = self._draw(st.sampled_from(LEAVES))
            alias = f"a_{name.strip('_')}: " if self._draw(st.integers(0, 3)) == 0 else ""
            return f"{alias}{name}{directive}"
        if kind == "object":
            name = self._draw(st.sampled_from(sorted(OBJECTS)))
            inner = self._draw(st.lists(st.sampled_from(OBJECTS[name]), min_size=1, max_size=3))
            return f"{name}{directive} {{ {' '.join(inner)} }}"
        if kind == "first":
            first = self._draw(st.sampled_from(["-1", "0", "2", "null", "$n"]))
            if first == "$n":
                self.draft.variables["n"] = "$n: Int"
            alias = "first_" + re.sub(r"\W", "_", first)
            return f"{alias}: events(first: {first}){directive} {{ id }}"
        if kind == "inline":
            return f"...{directive} {self._selection(depth + 1)}"
        if kind == "typed":
            return f"... on User{directive} {self._selection(depth + 1)}"
        name = f"F{depth}"
        if name not in self.draft.fragments:
            text = f"fragment {name} on User {self._selection(depth + 1)}"
            self.draft.fragments.setdefault(name, text)
        return f"...{name}{directive}"

    def _pages(self) -> str:
        """Write a paged list, with an alias made of its arguments."""
        first = self._draw(
            st.sampled_from(["", "first: 2", "first: 0", "first: null", "first: $n"])
        )
        after = self._draw(st.sampled_from(["", "", 'after: "wrong"', "after: $after"]))
        if "$n" in first:
            self.draft.variables["n"] = "$n: Int"
        if "$after" in after:
            self.draft.variables["after"] = "$after: String"
        arguments = " ".join(one for one in (first, after) if one)
        alias = re.sub(r"\W", "_", f"pages {arguments}")
        selected = self._draw(
            st.sampled_from(
                [
                    "edges { node { id total { amount } } }",
                    "edges { cursor node { at: issuedAt __typename } }",
                    "__typename pageInfo { hasNextPage hasPreviousPage endCursor startCursor }",
                    "edges { __typename } pageInfo { __typename }",
                ]
            )
        )
        call = f"invoices({arguments})" if arguments else "invoices"
        return f"{alias}: {call}{self._directive()} {{ {selected} }}"

    def _directive(self) -> str:
        """Write a condition or nothing."""
        if self._draw(st.integers(0, 3)):
            return ""
        name = self._draw(st.sampled_from(["include", "skip"]))
        value = self._draw(st.sampled_from(["true", "false", *BOOLEANS]))
        if value in BOOLEANS:
            default = {"defaultYes": " = true", "defaultNo": " = false"}.get(value, "")
            self.draft.variables[value] = f"${value}: Boolean!{default}"
            value = f"${value}"
        return f" @{name}(if: {value})"


NOTHING: Mapping[str, object] = {}
WRONG: list[Mapping[str, object]] = [{"yes": 7}, {"ids": [None]}, {"n": "x"}]

BEHAVIOURS: list[Behaviour | None] = [
    None,
    None,
    None,
    failing(503),
    failing(403),
    failing(429),
    saying(b"{}"),
    raising(TimeoutError()),
    raising(ZeroDivisionError("a bug")),
]


PLACE = Position(None, "inv-1")
"""A position in the list of the first user, after its only item."""

Answer: TypeAlias = tuple[bytes, list[Any], Any, int]
"""The data as text, the errors in their order, the calls to the services, and the status."""

CALLERS = st.tuples(
    st.sampled_from([None, "client-7", *IDS, *IDS]),
    st.frozensets(st.sampled_from(["profile:read", "billing:read", "activity:read"])),
).map(lambda caller: headers_of(caller[0], *sorted(caller[1])))


@st.composite
def cases(
    draw: st.DrawFn, writer: Callable[[st.DrawFn], Writing] = Writing, *, bugs: bool = True
) -> CompiledCase:
    """Make requests and states of the sources; sources raise bugs unless ``bugs`` is false."""
    writing = writer(draw)
    query = writing.operation()
    right: dict[str, object] = {
        "yes": True,
        "no": False,
        "n": draw(st.sampled_from([-3, 0, 1, None])),
        "after": draw(
            st.sampled_from([None, "", "x", encode_cursor(UserId(IDS[0]), "invoices", PLACE)])
        ),
        "ids": draw(st.lists(st.sampled_from([*IDS, "wrong"]), max_size=4)),
    }
    wrong = draw(st.sampled_from([NOTHING] * 12 + WRONG))
    variables = {name: value for name, value in {**right, **wrong}.items() if name in query}
    if draw(st.integers(0, 15)) == 0:
        variables.clear()
    sources = ("profile", "billing", "activity", LOOKUP)
    parents = draw(st.sampled_from(PARENTS))
    return CompiledCase(
        query=query,
        variables=variables,
        behaviours={
            name: draw(st.sampled_from(BEHAVIOURS if bugs else BEHAVIOURS[:-1])) for name in sources
        },
        known={name: draw(st.frozensets(st.integers(1, 5))) for name in sources},
        required=draw(st.sampled_from([frozenset[str](), frozenset(["billing"])])),
        parents=parents,
        keys={
            (name, number): draw(keys_of(number, parents))
            for name in sources
            if any(name in origins(parents, other) for other in parents)
            for number in range(1, 6)
        },
        caller=draw(st.none() | CALLERS),
        grouped=draw(st.booleans()),
        on_error=draw(st.sampled_from([None, None, "NULL", "PROPAGATE", "PROPAGATE", "HALT"])),
    )


def arrange(services: FakeServices, case: CompiledCase) -> None:
    """Set the fakes to the state in the case."""
    for name, service in services.by_endpoint.items():
        service.rows = {
            own_key(name, n, case.parents): linked_row(
                name, n, case.parents, case.keys.get((name, n))
            )
            for n in case.known[name]
        }
        service.behaviour = case.behaviours[name]
        service.requests.clear()
        service.batches.clear()
    # The row of user 5 at billing is always malformed.
    fifth = own_key("billing", 5, case.parents)
    if fifth in services.billing.rows:
        services.billing.rows[fifth] = {**services.billing.rows[fifth], "plan": 7}
    services.billing.invoices = {
        own_key("billing", n, case.parents): [invoice(n)] for n in case.known["billing"]
    }


async def answered(gateway: GatewayClient, services: FakeServices, case: CompiledCase) -> Answer:
    """Send the request; return the data as text, the errors in their order and the calls."""
    arrange(services, case)
    request: dict[str, object] = {"query": case.query, "variables": case.variables}
    if case.grouped:
        request["extensions"] = {"errors": "grouped"}
    if case.on_error is not None:
        request["onError"] = case.on_error
    response = await gateway.client.post(
        "/graphql",
        json=request,
        headers={
            "X-Request-ID": "same",
            "Accept": "application/graphql-response+json",
            **(case.caller or {}),
        },
    )
    body = orjson.loads(response.content)
    data = orjson.dumps(body.get("data", "none"))
    errors = body.get("errors", [])
    calls: dict[str, object] = {
        name: sorted((one.url.path, parameters_of(one, case)) for one in made.requests)
        for name, made in services.by_name.items()
    }
    if has_fallbacks(case.parents):  # resolvers of one field do not wait for keys of another field
        calls = {
            name: {
                (one.url.path, pair) for one in made.requests for pair in parameters_of(one, case)
            }
            for name, made in services.by_name.items()
        }
    return data, errors, calls, response.status_code


def parameters_of(request: httpx.Request, case: CompiledCase) -> Sequence[tuple[str, str]]:
    """List the parameters of a request.

    A bulk fetch does not know yet which users have no key, and therefore requests their fields,
    too. In that case, only the keys are compared.
    """
    not_compared = {"fields", "only"} if case.parents else set[str]()
    return sorted(pair for pair in request.url.params.multi_items() if pair[0] not in not_compared)


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
async def test_compiled_and_interpreted_operations_are_equal_for_clients_and_sources(
    open_gateway: OpenGateway, services: FakeServices, case: CompiledCase
) -> None:
    await check_both_ways(open_gateway, services, case, settings_for_fakes())


@settings(
    max_examples=max(1, CASES // 2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    case=cases(),
    balances=st.sampled_from(BEHAVIOURS),
    unknown=st.frozensets(st.sampled_from(IDS), max_size=3),
)
async def test_compiled_and_interpreted_operations_are_equal_for_partial_records(
    open_gateway: OpenGateway,
    services: FakeServices,
    case: CompiledCase,
    balances: Behaviour | None,
    unknown: frozenset[str],
) -> None:
    billing = services.billing = DividedBilling("", unknown={"/balances": unknown})
    if balances is not None:
        billing.failing["/balances"] = balances
    services.profile, services.activity = SelectingProfile(""), SelectingActivity("")

    await check_both_ways(open_gateway, services, case, in_parts())


def without_errors(answer: Answer) -> Answer:
    """Check that an answer has errors, and return it without its calls and errors."""
    data, errors, _, status = answer
    assert errors
    return data, [], None, status


async def check_both_ways(
    open_gateway: OpenGateway, services: FakeServices, case: CompiledCase, wanted: Settings
) -> None:
    """Run a case compiled and interpreted, and compare the answers."""
    contracts = {
        name: one.model_copy(update={"contract": "required"}) if name in case.required else one
        for name, one in wanted.sources.items()
    }
    wanted = wanted.model_copy(update={"sources": {**wanted.sources, **contracts}})
    wanted = linked(wanted, case.parents)
    authenticate = everybody if case.caller is None else by_headers
    async with open_gateway(wanted, authenticate) as gateway:
        compiled = await answered(gateway, services, case)
        logged = gateway.events("graphql.operation")
    async with open_gateway(
        wanted.model_copy(update={"fastpath": FastpathSettings(compiled=False)}), authenticate
    ) as gateway:
        interpreted = await answered(gateway, services, case)

    event(f"compiled: {logged[-1]['compiled']}, keys of others: {bool(case.parents)}")
    several = "r1:" in case.query or "invoices" in case.query
    if case.on_error in {"HALT", "PROPAGATE"} and several and compiled[0] == b"null":
        # One error ends the operation. If several fields wait for calls of their own, the timing
        # decides which error is first.
        compiled, interpreted = map(without_errors, (compiled, interpreted))
    assert compiled == interpreted


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('{ user(id: "%s") { username } }', None),
        ('{ user(id: "%s") { username events(first: 1) { id } } }', None),
        ('query($n: Int) { user(id: "%s") { events(first: $n) { id } } }', None),
        ('{ user(id: "%s") { invoices { edges { cursor } } } }', None),
        ('{ user(id: "%s") { id } __schema { queryType { name } } }', "introspection"),
        ("{ _service { sdl } }", "introspection"),
    ],
)
async def test_the_log_has_the_reason_why_an_operation_is_not_compiled(
    open_gateway: OpenGateway, services: FakeServices, query: str, reason: str | None
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        reply = await gateway.query(query.replace("%s", user_id(1)))

        assert not reply.errors
        [line] = gateway.events("graphql.operation")
        assert (line["compiled"], line.get("executor")) == (reason is None, reason)


def with_secret(base: Settings) -> Settings:
    """Add a non-null field of users that the callers here may not see."""
    secret = {"type": "String!", "source": "profile", "description": "A secret.", "may": "s:read"}
    return Settings.model_validate({**settings_in(base), "user": {"secret": secret}})


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("root", "on_error", "pages"),
    [
        ("r: users(ids: $ids)", "NULL", 2),
        ("r: users(ids: $ids)", "PROPAGATE", 0),
        ("r: users(ids: $ids)", "HALT", 0),
        ('r: user(id: "u-1")', "PROPAGATE", 0),
    ],
)
async def test_no_page_is_fetched_for_a_user_that_an_error_makes_null(
    open_gateway: OpenGateway,
    services: FakeServices,
    root: str,
    on_error: str,
    pages: int,
    *,
    compiled: bool,
) -> None:
    services.know(1, 2)
    ids = [user_id(1), user_id(2)]
    wanted = with_secret(settings_for_fakes(fastpath=FastpathSettings(compiled=compiled)))
    head = "query($ids: [ID!]!)" if "$ids" in root else "query"
    selection = "{ secret invoices(first: 1) { edges { cursor } } }"
    query = f"{head} {{ {root.replace('u-1', ids[0])} {selection} }}"

    async with open_gateway(wanted, by_headers) as gateway:
        request = {"query": query, "variables": {"ids": ids}, "onError": on_error}
        response = await gateway.client.post(
            "/graphql", json=request, headers=headers_of(None, "billing:read")
        )

    assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert sum(one.url.path == "/invoices" for one in services.billing.requests) == pages


@pytest.mark.parametrize("compiled", [True, False])
async def test_lists_of_a_user_that_an_error_makes_null_have_no_errors(
    open_gateway: OpenGateway, services: FakeServices, *, compiled: bool
) -> None:
    services.know(1)
    services.billing.behaviour = failing(500)
    wanted = with_secret(settings_for_fakes(fastpath=FastpathSettings(compiled=compiled)))
    fields = "plan a: invoices { edges { cursor } } secret b: invoices { edges { cursor } }"
    request = {
        "query": f'{{ user(id: "{user_id(1)}") {{ {fields} }} }}',
        "onError": "PROPAGATE",
    }

    async with open_gateway(wanted, by_headers) as gateway:
        response = await gateway.client.post(
            "/graphql", json=request, headers=headers_of(None, "billing:read")
        )

    body = response.json()
    assert body["data"] == {"user": None}
    assert [error["path"] for error in body["errors"]] == [["user", "plan"], ["user", "secret"]]


async def test_a_compiled_document_is_right_for_all_values_of_its_variables(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2)
    query = (
        "query($id: ID!, $paid: Boolean!, $n: Int) { user(id: $id)"
        " { username plan @include(if: $paid) events(first: $n) { id } } }"
    )

    for _ in range(2):
        with_plan = await gateway.query(query, id=user_id(1), paid=True, n=1)
        without = await gateway.query(query, id=user_id(2), paid=False, n=2)
        wrong = await gateway.query(query, id=user_id(2), paid=False, n=-1)

        assert with_plan.data["user"] == {
            "username": "user1",
            "plan": "pro",
            "events": [{"id": "e3"}],
        }
        assert without.data["user"] == {
            "username": "user2",
            "events": [{"id": "e3"}, {"id": "e2"}],
        }
        assert wrong.codes == {"user.events": "BAD_USER_INPUT"}
