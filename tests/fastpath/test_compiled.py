"""Compiled equals interpreted: the same data, key order, errors and upstream calls."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.auth.callers import everybody
from app.settings.fastpath import FastpathSettings
from app.settings.models import Settings
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
"""How many operations the property is tried with; many more before a release."""

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
    """A request and a world.

    Attributes:
        query: The document.
        variables: Values of its variables, right or wrong.
        behaviours: What each source does instead of answering.
        known: Whom each source knows.
        required: The sources without which there is no user.
        parents: Which source has whose keys.
        keys: What is in the place of keys in a row, by its source and user, and by the source that
            they are for.
        caller: Headers that say who asks; none where everyone sees everything.
        grouped: Whether the client wants errors grouped.
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
        if self._draw(st.integers(0, 4)) == 0:  # the same once more: the two are merged
            fields.append(head + self._directive() + " " + self._selected(users))
        return " ".join(fields)

    def _selected(self, users: str) -> str:
        """Write what is selected of the users of a field, which may be nodes."""
        selection = self._selection(depth=0)
        if not users.startswith("node"):
            return selection
        own = self._draw(st.sampled_from(["", "id ", "... on Node { me: id __typename } "]))
        return f"{{ {own}... on User{self._directive()} {selection} }}"

    def _users(self) -> str:
        """Write a field that gives users, with its arguments."""
        kinds = ["user", "users", "users", "variable", "wrong", "me", "node", "nodes"]
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
        root = "nodes" if kind == "nodes" else "users"
        return f"{root}(ids: [" + ", ".join(f'"{one}"' for one in ids) + "])"

    def _selection(self, depth: int) -> str:
        """Write what is selected of users."""
        parts = [self._part(depth) for _ in range(self._draw(st.integers(1, 5)))]
        return "{ " + " ".join(parts) + " }"

    def _part(self, depth: int) -> str:  # noqa: PLR0911 # one for each kind of part
        """Write one part of a selection."""
        kinds = ["leaf", "leaf", "leaf", "object", "first"]
        if depth < 3:
            kinds += ["inline", "typed", "spread"]
        if self._draw(st.integers(0, 30)) == 0:
            return "invoices(first: 2) { edges { node { id } } }"
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

    def _directive(self) -> str:
        """Write a condition, or none."""
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


CALLERS = st.tuples(
    st.sampled_from([None, "client-7", *IDS, *IDS]),
    st.frozensets(st.sampled_from(["profile:read", "billing:read", "activity:read"])),
).map(lambda caller: headers_of(caller[0], *sorted(caller[1])))


@st.composite
def cases(
    draw: st.DrawFn, writer: Callable[[st.DrawFn], Writing] = Writing, *, bugs: bool = True
) -> CompiledCase:
    """Make requests and worlds; without bugs of ours if it is not said otherwise."""
    writing = writer(draw)
    query = writing.operation()
    right: dict[str, object] = {
        "yes": True,
        "no": False,
        "n": draw(st.sampled_from([-3, 0, 1, None])),
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
    )


def arrange(services: FakeServices, case: CompiledCase) -> None:
    """Make the fakes be the case's world."""
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
    # One user's row at billing never fits.
    fifth = own_key("billing", 5, case.parents)
    if fifth in services.billing.rows:
        services.billing.rows[fifth] = {**services.billing.rows[fifth], "plan": 7}
    services.billing.invoices = {
        own_key("billing", n, case.parents): [invoice(n)] for n in case.known["billing"]
    }


async def answered(
    gateway: GatewayClient, services: FakeServices, case: CompiledCase
) -> tuple[bytes, list[Any], Any, int]:
    """Send the request; give the data as text, the errors in their order, the calls."""
    arrange(services, case)
    request: dict[str, object] = {"query": case.query, "variables": case.variables}
    if case.grouped:
        request["extensions"] = {"errors": "grouped"}
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
    if has_fallbacks(case.parents):  # resolvers of one field do not wait for keys of another's
        calls = {
            name: {
                (one.url.path, pair) for one in made.requests for pair in parameters_of(one, case)
            }
            for name, made in services.by_name.items()
        }
    return data, errors, calls, response.status_code


def parameters_of(request: httpx.Request, case: CompiledCase) -> Sequence[tuple[str, str]]:
    """List what a request asks for.

    Whoever asks in bulk does not know yet which users have no key, and so asks for their fields,
    too. Then only the keys are compared.
    """
    not_compared = {"fields", "only"} if case.parents else set[str]()
    return sorted(pair for pair in request.url.params.multi_items() if pair[0] not in not_compared)


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
async def test_compiled_and_interpreted_are_the_same_to_clients_and_sources(
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
async def test_they_are_the_same_where_records_come_in_parts(
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


async def check_both_ways(
    open_gateway: OpenGateway, services: FakeServices, case: CompiledCase, wanted: Settings
) -> None:
    """Run a case compiled and interpreted, and compare."""
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
    assert compiled == interpreted


@pytest.mark.parametrize(
    ("query", "compiled"),
    [
        ('{ user(id: "%s") { username } }', True),
        ('{ user(id: "%s") { username events(first: 1) { id } } }', True),
        ('{ user(id: "%s") { invoices { edges { cursor } } } }', False),
        ('{ user(id: "%s") { id } __schema { queryType { name } } }', False),
        ("{ _service { sdl } }", False),
    ],
)
async def test_the_log_says_whether_an_operation_was_compiled(
    open_gateway: OpenGateway,
    services: FakeServices,
    query: str,
    compiled: bool,  # noqa: FBT001 # a column of the table
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        reply = await gateway.query(query.replace("%s", user_id(1)))

        assert not reply.errors
        assert [one["compiled"] for one in gateway.events("graphql.operation")] == [compiled]


async def test_one_document_serves_all_values_of_its_variables(
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
