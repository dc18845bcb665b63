"""Explanations of operations: they match what a run does, and call no source."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from app.auth.policies import EVERYBODY
from app.execution import explanation as models
from app.execution.document_store import InlineDocuments
from app.execution.documents import Documents
from app.execution.explain import Explainer, ExplainResult
from app.execution.explanation import Explanation, FieldExplanation, SourceExplanation
from app.execution.request import GraphQLRequest, OnError
from app.execution.schema import build_schema
from app.fastpath.compiled import Compiler
from app.settings.fastpath import FastpathSettings
from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from app.settings.source import SourceSettings
from tests.conftest import OpenGateway
from tests.fakes import (
    FakeService,
    FakeServices,
    invoice,
    json_response,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.fakes.http_server import HttpRequest
from tests.fastpath.test_compiled import CompiledCase as Operation
from tests.fastpath.test_compiled import cases
from tests.key_from import BY_MAIL, LOOKUP, Parents, has_fallbacks, linked, linked_row, own_key
from tests.partial import (
    DividedBilling,
    SelectingActivity,
    SelectingProfile,
    divided,
    in_parts,
)
from tests.properties import examples
from tests.sources.readers import CASES as FORMS
from tests.sources.readers import EncoderCase

CASES = examples(50, "EXPLAINED_CASES")
"""The number of operations that the property is tested with."""

SCHEMA = build_schema()


def settings_with(*, sources: Mapping[str, object] | None = None, **changes: object) -> Settings:
    """Make settings, with the same changes to each source."""
    made = settings_for_fakes(**{"introspection": True, **changes})
    changed = {name: one.model_copy(update=sources or {}) for name, one in made.sources.items()}
    return made.model_copy(update={"sources": {**made.sources, **changed}})


def ask(
    query: str,
    variables: Mapping[str, Any] | None = None,
    *,
    by: Settings | None = None,
    on_error: OnError | None = None,
) -> ExplainResult:
    """Explain a query."""
    values = None if variables is None else dict(variables)
    request = GraphQLRequest(query=query, variables=values, on_error=on_error)
    return explainer(by).explain(request, EVERYBODY, request_id="request-1")


def explainer(by: Settings | None = None) -> Explainer:
    """Make an explainer of operations."""
    by = by or settings_with()
    documents = Documents.from_settings(SCHEMA.core, by, size=10)
    compiler = Compiler(SCHEMA) if by.fastpath.uses("compiled") else None
    return Explainer(
        schema=SCHEMA, documents=documents, store=InlineDocuments(), settings=by, compiler=compiler
    )


def explained(
    query: str, variables: Mapping[str, Any] | None = None, *, by: Settings | None = None
) -> Explanation:
    """Explain a query that has no errors."""
    result = ask(query, variables, by=by)
    assert not result.errors
    assert result.explanation is not None
    return result.explanation


def only_field(query: str, variables: Mapping[str, Any] | None = None) -> FieldExplanation:
    """Explain the only field of a query."""
    [field] = explained(query, variables).fields
    return field


def only_source(
    query: str, variables: Mapping[str, Any] | None = None, *, by: Settings | None = None
) -> SourceExplanation:
    """Explain the calls of the only source of a query."""
    [source] = explained(query, variables, by=by).sources
    return source


def reads(field: FieldExplanation) -> Mapping[str, Sequence[str]]:
    """List the fields that read each source."""
    return {one.source: one.fields for one in field.sources}


def quoted(*numbers: int) -> str:
    """Write ids as a list in a document."""
    return "[" + ", ".join(f'"{user_id(number)}"' for number in numbers) + "]"


def batches_of(source: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield the users of each call that an explanation has for a source."""
    start = 0
    for size in source["batches"]:
        yield source["keys"][start : start + size]
        start += size
    assert start == len(source["keys"])


def error_of_ids(ran: Mapping[str, Any]) -> object:
    """Find the error of a run about missing ids, if there is one."""
    return next((one for one in ran["errors"] if "'$ids'" in one["message"]), None)


def test_an_explanation_names_the_record_fields_that_are_read() -> None:
    query = f'{{ user(id: "{user_id(1)}") {{ balance {{ amount }} billingStatus plan }} }}'

    assert only_source(query).record_fields == ("balance", "plan", "status")
    assert only_source(f'{{ user(id: "{user_id(1)}") {{ id }} }}').record_fields == ()


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    case=cases(),
    compiling=st.booleans(),
    limits=st.fixed_dictionaries(
        {"max_keys": st.integers(1, 6), "max_url_bytes": st.sampled_from([7_500, 256, 100])}
    ),
)
async def test_an_explanation_has_the_calls_of_a_run(
    open_gateway: OpenGateway,
    services: FakeServices,
    case: Operation,
    compiling: bool,  # noqa: FBT001 # drawn
    limits: Mapping[str, int],
) -> None:
    services.know(1, 2, 3, 4, 5)
    services.billing.invoices = {user_id(n): [invoice(n)] for n in range(1, 6)}
    for service in services.by_name.values():
        service.requests.clear()
        service.batches.clear()
    wanted = settings_with(
        sources=limits, explain=True, fastpath=FastpathSettings(compiled=compiling)
    )
    request = {"query": case.query, "variables": case.variables}

    async with open_gateway(wanted) as gateway:
        response = await gateway.client.post(
            "/graphql", json=request, headers={"X-Gateway-Explain": "1"}
        )
        assert services.calls == {"profile": 0, "billing": 0, "activity": 0}
        result = orjson.loads(response.content)
        ran = orjson.loads((await gateway.client.post("/graphql", json=request)).content)
        logged = gateway.events("graphql.operation")[-1]

    if "data" not in ran:
        event("refused")
        # The only difference: an explanation needs no value for a variable that only has ids.
        left_out = None if "ids" in case.variables else error_of_ids(ran)
        if "data" in result:
            assert result["extensions"]["explain"]["missingVariables"] == ["ids"]
            assert ran["errors"] == [left_out]
        else:
            assert result["errors"] == [one for one in ran["errors"] if one != left_out]
        return
    explanation = result["extensions"]["explain"]
    event(f"compiled: {explanation['compiled']}")
    asked = {name: one.batches for name, one in services.by_name.items() if one.batches}
    assert {one["name"]: list(batches_of(one)) for one in explanation["sources"]} == asked
    assert {one["name"]: one["calls"] for one in explanation["sources"]} == {
        name: len(batches) for name, batches in asked.items()
    }
    pages = [one for one in services.billing.requests if one.url.path == "/invoices"]
    told_pages = [page["calls"] for one in explanation["sources"] for page in one["pages"]]
    assert sum(told_pages) == len(pages)
    assert explanation["calls"] == sum(services.calls.values())
    assert [one["key"] for one in explanation["fields"]] == list(ran["data"])
    assert explanation["compiled"] is logged["compiled"]
    assert result["data"] is None
    # Only a run has errors below a user's field; an explanation has those of whole root fields.
    of_fields = [error for error in ran.get("errors", []) if len(error["path"]) == 1]
    assert result.get("errors", []) == of_fields


def test_each_source_has_the_fields_that_read_it_in_the_schema_s_order() -> None:
    field = only_field(
        "query($id: ID!, $no: Boolean = false) { user(id: $id) { loginCount ...F id"
        " email @include(if: $no) __typename } }"
        " fragment F on User { seen: lastSeenAt username ... { username name: username } }"
    )

    assert reads(field) == {"profile": ("username",), "activity": ("loginCount", "lastSeenAt")}
    assert list(reads(field)) == ["profile", "activity"]
    assert field.sourceless == ("id", "__typename")
    assert not field.existence_only


def test_a_selection_of_the_id_alone_only_checks_whether_the_user_exists() -> None:
    field = only_field("query($id: ID!) { me: user(id: $id) { id } }")

    assert (field.key, field.field) == ("me", "user")
    assert field.existence_only
    assert reads(field) == {"profile": ()}


def test_all_ids_and_the_distinct_ids_are_counted() -> None:
    query = f"{{ users(ids: {quoted(1, 2, 1)}) {{ plan }} }}"

    field = only_field(query)
    source = only_source(query)

    assert (field.ids, field.distinct_ids) == (3, 2)
    assert source.keys == (user_id(1), user_id(2))
    assert (source.batches, source.calls, source.more_at_run_time) == ((2,), 1, False)


def test_the_root_fields_of_an_operation_share_their_calls() -> None:
    result = explained(
        f"{{ a: users(ids: {quoted(1, 2)}) {{ plan }}"
        f' b: user(id: "{user_id(3)}") {{ plan username }} c: users(ids: {quoted(2)}) {{ plan }} }}'
    )

    assert {one.name: one.keys for one in result.sources} == {
        "profile": (user_id(3),),
        "billing": (user_id(1), user_id(2), user_id(3)),
    }
    assert result.calls == 2


@pytest.mark.parametrize(
    ("changes", "batches"),
    [
        ({"max_keys": 7}, (7,)),
        ({"max_keys": 3}, (3, 3, 1)),
        ({"max_url_bytes": 256}, (5, 2)),
        ({"max_url_bytes": 256, "base_url": "http://profile" + "/x" * 60}, (2, 2, 2, 1)),
    ],
)
def test_users_beyond_the_limits_of_one_call_are_split_into_several_calls(
    changes: Mapping[str, object], batches: tuple[int, ...]
) -> None:
    query = f"{{ users(ids: {quoted(*range(7))}) {{ username }} }}"

    source = only_source(query, by=settings_with(sources=changes))

    assert source.batches == batches
    assert source.calls == len(batches)
    assert (source.path, source.parameter) == ("/users", "id")


class FormedProfile(FakeService):
    """Profile, with requests in the form of the test case."""

    def __init__(self, case: EncoderCase) -> None:
        super().__init__("/users")
        self._case = case

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer with a row for each requested user."""
        target = request.url.raw_path.decode()
        keys = self._case.read(HttpRequest(f"{request.method} {target}", request.content))
        self.batches.append(keys)
        return json_response([profile_row(1, id=key) for key in keys])


@pytest.mark.parametrize("case", FORMS.values(), ids=list(FORMS))
async def test_explained_calls_match_a_run_in_each_request_form(
    open_gateway: OpenGateway, services: FakeServices, case: EncoderCase
) -> None:
    services.profile = FormedProfile(case)
    source = SourceSettings.model_validate(
        {"base_url": "http://profile", "max_keys": 3, "request": case.settings}
    )
    wanted = settings_with(sources=dict(source), explain=True, user_id_pattern=re.compile(".*"))
    query = "query($ids: [ID!]!) { users(ids: $ids) { username } }"
    ids = ["1", "2", "..", "a'b\"\\/", "3", "4", "5"]
    request = {"query": query, "variables": {"ids": ids}}

    async with open_gateway(wanted) as gateway:
        response = await gateway.client.post(
            "/graphql", json=request, headers={"X-Gateway-Explain": "1"}
        )
        ran = orjson.loads((await gateway.client.post("/graphql", json=request)).content)

    [result] = orjson.loads(response.content)["extensions"]["explain"]["sources"]
    assert sorted(map(list, batches_of(result))) == sorted(services.profile.batches)
    assert result["calls"] == services.calls["profile"]
    errors: list[dict[str, Any]] = ran.get("errors", [])
    codes = {ids[int(one["path"][1])]: one["extensions"]["code"] for one in errors}
    assert codes == dict.fromkeys(result["notWritten"], "SOURCE_REJECTED")
    assert set(result["notWritten"]) == {key for key in ids if case.refuses(key)}
    [one, *_] = services.profile.requests
    assert result["method"] == one.method
    fixed: set[str] = set((case.settings or {}).get("parameters", ()))
    assert {result["parameter"]} - {None} == set(one.url.params) - fixed
    assert result["form"] == (case.settings or {"form": "repeat"})["form"]


def test_ids_may_be_missing_in_an_explanation() -> None:
    query = "query($ids: [ID!]!) { users(ids: $ids) { plan } }"

    field = only_field(query)
    source = only_source(query)
    result = explained(query)

    assert (field.ids, field.distinct_ids, field.missing_variables) == (None, None, ("ids",))
    assert (source.keys, source.more_at_run_time) == ((), True)
    assert (source.batches, source.calls, result.calls) == (None, None, None)
    assert only_source(query, {"ids": [user_id(1)]}).keys == (user_id(1),)


def test_a_single_user_with_a_missing_id_is_one_call() -> None:
    result = explained("query($id: ID!) { user(id: $id) { plan username } }", {})

    assert [one.batches for one in result.sources] == [(1,), (1,)]
    assert result.calls == 2
    assert result.fields[0].missing_variables == ("id",)


def test_known_users_are_listed_beside_those_of_a_missing_variable() -> None:
    source = only_source(
        f"query($id: ID!) {{ users(ids: {quoted(1)}) {{ plan }} user(id: $id) {{ plan }} }}"
    )

    assert (source.keys, source.more_at_run_time, source.calls) == ((user_id(1),), True, None)


def test_one_id_of_a_list_may_be_missing() -> None:
    field = only_field(
        f'query($a: ID!, $b: ID!) {{ users(ids: ["{user_id(1)}", $a, $b]) {{ plan }} }}',
        {"a": user_id(2)},
    )

    assert field.missing_variables == ("b",)
    assert field.ids is None


INVOICES = "edges { cursor }"


@pytest.mark.parametrize(
    ("selection", "calls"),
    [
        (f"invoices {{ {INVOICES} }}", 3),
        (f"a: invoices {{ {INVOICES} }} b: invoices(first: 20) {{ {INVOICES} }}", 3),
        (f"a: invoices {{ {INVOICES} }} b: invoices(first: null) {{ {INVOICES} }}", 3),
        (f"a: invoices(first: 1) {{ {INVOICES} }} b: invoices(first: 2) {{ {INVOICES} }}", 6),
        (f"invoices(first: 0) {{ {INVOICES} }}", 0),
        (f'invoices(after: "nonsense") {{ {INVOICES} }}', 0),
    ],
)
def test_a_paged_list_costs_one_call_for_each_user_and_page(selection: str, calls: int) -> None:
    query = f"{{ users(ids: {quoted(1, 2, 3, 3)}) {{ {selection} }} }}"

    source = only_source(query)
    result = explained(query)

    [pages] = source.pages
    assert (pages.path, pages.parameter, pages.at_a_time) == ("/invoices", "userId", 10)
    assert (source.calls, pages.calls, result.calls) == (1, calls, 1 + calls)


def test_pages_of_users_with_missing_ids_have_no_count() -> None:
    query = (
        f"query($id: ID!) {{ a: users(ids: {quoted(1)}) {{ invoices {{ {INVOICES} }} }}"
        f" b: user(id: $id) {{ invoices {{ {INVOICES} }} }}"
        f" c: users(ids: {quoted(1)}) {{ invoices {{ {INVOICES} }} }} }}"
    )

    [pages] = only_source(query).pages

    assert pages.calls is None


def test_invalid_ids_are_reported_as_errors_and_the_rest_is_explained() -> None:
    query = f'{{ a: users(ids: ["x"]) {{ plan }} b: user(id: "{user_id(1)}") {{ plan }} }}'

    result = ask(query)

    assert result.explanation is not None
    wrong, right = result.explanation.fields
    [message] = wrong.wrong
    assert message.startswith('"x" is not a user id')
    assert (wrong.ids, right.ids, right.wrong) == (None, 1, ())
    assert [source.keys for source in result.explanation.sources] == [(user_id(1),)]
    [error] = result.errors
    assert error.get("path") == ["a"]
    assert error.get("extensions") == {"code": "BAD_USER_INPUT"}


def test_an_error_of_merged_fields_has_the_locations_of_all_of_them() -> None:
    [error] = ask('{ user(id: "x") { id } user(id: "x") { plan } }').errors

    assert [one["column"] for one in error.get("locations", [])] == [3, 24]


def test_too_many_ids_are_an_error_without_calls() -> None:
    query = f"{{ users(ids: {quoted(1, 2, 3)}) {{ plan }} }}"

    result = ask(query, by=settings_with(max_ids=2))

    assert [error.get("message") for error in result.errors] == ["users takes at most 2 ids, got 3"]
    assert result.explanation is not None
    assert result.explanation.sources == ()
    assert result.explanation.calls == 0


REPRESENTATIONS = (
    "query($all: [_Any!]!) { _entities(representations: $all) { ... on User { id plan } } }"
)


def test_an_invalid_representation_is_an_error_and_the_others_are_explained() -> None:
    users = [{"__typename": "User", "id": user_id(number)} for number in (1, 2, 1)]

    result = ask(REPRESENTATIONS, {"all": [*users, {"__typename": "Nobody"}]})

    assert result.explanation is not None
    [field] = result.explanation.fields
    [source] = result.explanation.sources
    assert (field.ids, field.distinct_ids, len(field.wrong)) == (4, 2, 1)
    assert reads(field) == {"billing": ("plan",)}
    assert source.keys == (user_id(1), user_id(2))
    assert [error.get("path") for error in result.errors] == [["_entities", 3]]


def test_representations_may_be_missing_in_an_explanation() -> None:
    result = explained(REPRESENTATIONS)

    [field] = result.fields
    assert result.missing_variables == field.missing_variables == ("all",)
    assert reads(field) == {"billing": ("plan",)}
    assert (field.ids, result.calls, result.cost) == (None, None, None)


def test_representations_have_a_limit_of_their_own() -> None:
    users = [{"__typename": "User", "id": user_id(number)} for number in range(3)]

    result = ask(
        REPRESENTATIONS, {"all": users}, by=settings_with(max_ids=1, max_representations=2)
    )

    assert [error.get("message") for error in result.errors] == [
        "_entities takes at most 2 representations, got 3"
    ]
    assert result.explanation is not None
    assert result.explanation.calls == 0


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ users(ids: []) { plan } }", {}),
        ("query($ids: [ID!]!) { users(ids: $ids) { plan } }", {"ids": []}),
        (REPRESENTATIONS, {"all": []}),
    ],
)
def test_an_empty_list_of_ids_causes_no_calls(query: str, variables: dict[str, Any]) -> None:
    result = ask(query, variables)

    assert not result.errors
    assert result.explanation is not None
    [field] = result.explanation.fields
    assert (field.ids, field.wrong, result.explanation.cost) == (0, (), 0)
    assert (result.explanation.sources, result.explanation.calls) == ((), 0)


def test_an_explanation_has_the_number_of_calls_at_a_time() -> None:
    users = [{"__typename": "User", "id": user_id(number)} for number in range(1_000)]

    by = settings_with(sources={"max_keys": 10, "max_calls": 8})
    result = ask(REPRESENTATIONS, {"all": users}, by=by)

    assert result.explanation is not None
    [source] = result.explanation.sources
    assert (source.batches, source.at_a_time) == ((10,) * 100, 8)


def test_fields_about_the_schema_call_no_source() -> None:
    result = explained("{ __typename __schema { queryType { name } } _service { sdl } }")

    assert [one.field for one in result.fields] == ["__typename", "__schema", "_service"]
    assert all(one.sources == () and one.ids is None for one in result.fields)
    assert (result.sources, result.calls) == ((), 0)


def test_a_source_with_a_cache_is_marked_as_cached() -> None:
    query = "query($id: ID!) { user(id: $id) { plan } }"

    cached = only_source(query, by=settings_with(sources={"cache": CacheSettings(enabled=True)}))

    assert cached.cached
    assert not only_source(query).cached


KEYED = {"billing": "profile"}


def test_a_source_is_called_after_the_source_that_has_its_keys() -> None:
    by = linked(settings_with(sources={"max_keys": 2}), KEYED)
    query = f"{{ users(ids: {quoted(1, 2, 3, 1)}) {{ plan loginCount }} }}"

    result = explained(query, by=by)

    [field] = result.fields
    assert reads(field) == {"billing": ("plan",), "activity": ("loginCount",), "profile": ()}
    assert {one.source: (one.keys_of, one.for_keys_only) for one in field.sources} == {
        "billing": ((), False),
        "activity": ((), False),
        "profile": (("billing",), True),
    }
    assert not field.existence_only
    users = tuple(user_id(number) for number in (1, 2, 3))
    assert {one.name: (one.key_from, one.keys) for one in result.sources} == {
        "profile": ((), users),
        "billing": (("profile",), ()),
        "activity": ((), users),
    }
    assert {one.name: one.batches for one in result.sources} == dict.fromkeys(
        ("profile", "billing", "activity"), (2, 1)
    )
    assert result.calls == 6


def test_a_source_with_fields_and_keys_is_not_marked_as_called_for_keys_only() -> None:
    result = explained(ONE.replace("plan", "plan email"), by=linked(settings_with(), KEYED))

    [field] = result.fields
    assert reads(field) == {"profile": ("email",), "billing": ("plan",)}
    [profile, _] = field.sources
    assert (profile.keys_of, profile.for_keys_only) == (("billing",), False)
    assert result.calls == 2


def test_a_fallback_is_explained_with_the_largest_number_of_users() -> None:
    query = f"{{ users(ids: {quoted(1, 2, 3)}) {{ plan }} }}"

    result = explained(query, by=linked(settings_with(sources={"max_keys": 2}), BY_MAIL))

    [field] = result.fields
    assert {one.source: (one.keys_of, one.fallback) for one in field.sources} == {
        "billing": ((), False),
        "profile": (("billing", LOOKUP), False),
        LOOKUP: (("billing",), True),
    }
    assert {one.name: (one.key_from, one.fallback, one.batches) for one in result.sources} == {
        "profile": ((), False, (2, 1)),
        "billing": (("profile", LOOKUP), False, (2, 1)),
        LOOKUP: (("profile",), True, (2, 1)),
    }
    assert result.calls == 6


def test_a_source_that_is_called_in_several_steps_has_a_call_for_each_step() -> None:
    parents: Parents = {"billing": ("profile", "activity")}
    a, b, c = (f'user(id: "{user_id(n)}")' for n in (1, 2, 3))

    result = explained(
        f"{{ a: {a} {{ plan }} b: {b} {{ loginCount }} c: {c} {{ plan loginCount }} }}",
        by=linked(settings_with(), parents),
    )

    assert {one.name: (one.fallback, one.batches) for one in result.sources} == {
        "profile": (False, (2,)),
        "billing": (False, (1, 1)),
        "activity": (True, (2, 1)),
    }


def test_keys_of_users_with_missing_ids_are_explained() -> None:
    by = linked(settings_with(), KEYED)

    one = explained("query($id: ID!) { user(id: $id) { plan } }", by=by)
    many = explained("query($ids: [ID!]!) { users(ids: $ids) { plan } }", by=by)

    assert {source.name: source.batches for source in one.sources} == {
        "profile": (1,),
        "billing": (1,),
    }
    assert {source.name: source.batches for source in many.sources} == {
        "profile": None,
        "billing": None,
    }


@settings(
    max_examples=CASES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=cases(), max_keys=st.integers(1, 6), own=st.booleans())
async def test_a_run_with_keys_of_other_sources_makes_no_more_calls_than_explained(
    open_gateway: OpenGateway,
    services: FakeServices,
    case: Operation,
    max_keys: int,
    own: bool,  # noqa: FBT001 # drawn: whether each user has a key of its own
) -> None:
    parents = case.parents
    for name, service in services.by_endpoint.items():
        service.rows = {
            own_key(name, n, parents): linked_row(
                name, n, parents, None if own else case.keys.get((name, n))
            )
            for n in range(1, 6)
        }
        service.requests.clear()
        service.batches.clear()
    services.billing.invoices = {own_key("billing", n, parents): [invoice(n)] for n in range(1, 6)}
    wanted = linked(settings_with(sources={"max_keys": max_keys}), parents)
    result = ask(case.query, case.variables, by=wanted)

    async with open_gateway(wanted) as gateway:
        reply = await gateway.query(case.query, **case.variables)

    if "data" not in reply.body or result.explanation is None:
        return
    explained_batches = {one.name: one.batches for one in result.explanation.sources}
    asked = {name: one.batches for name, one in services.by_endpoint.items() if one.batches}
    if own and not has_fallbacks(parents):
        assert {name: tuple(map(len, one)) for name, one in asked.items()} == explained_batches
        assert result.explanation.calls == sum(services.calls.values())
    else:
        for name, batches in asked.items():
            most = explained_batches[name]
            assert most is not None
            assert len(batches) <= len(most)
            assert sum(map(len, batches)) <= sum(most)


ONE = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'


@pytest.mark.parametrize(
    ("query", "compiling", "on_error", "reason"),
    [
        (ONE, True, None, None),
        (ONE, True, "NULL", None),
        (ONE, False, None, "compiling is switched off"),
        (ONE, True, "PROPAGATE", None),
        (ONE, True, "HALT", None),
        (f"{ONE[:-1]} __typename }}", True, "HALT", "onError is HALT, for several root fields"),
        ("{ __schema { queryType { name } } }", True, None, "the field __schema"),
    ],
)
def test_an_explanation_has_the_reason_why_an_operation_is_interpreted(
    query: str,
    compiling: bool,  # noqa: FBT001 # a column of the table
    on_error: OnError | None,
    reason: str | None,
) -> None:
    result = ask(
        query, by=settings_with(fastpath=FastpathSettings(compiled=compiling)), on_error=on_error
    ).explanation

    assert result is not None
    assert result.interpreted_because == reason
    assert result.compiled is (reason is None)


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{ user(", None, "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", None, "OPERATION_RESOLUTION_FAILURE"),
        ("", None, "BAD_REQUEST"),
        (
            "query($id: ID!, $yes: Boolean!) { user(id: $id) { plan @include(if: $yes) } }",
            {"id": user_id(1)},
            "BAD_USER_INPUT",
        ),
        ("query($id: ID!) { user(id: $id) { plan } }", {"id": ["x"]}, "BAD_USER_INPUT"),
        ("query($id: ID!) { user(id: $id) { plan } }", {"id": None}, "BAD_USER_INPUT"),
    ],
)
async def test_an_invalid_request_has_the_same_errors_as_in_a_run(
    open_gateway: OpenGateway, query: str, variables: Mapping[str, Any] | None, code: str
) -> None:
    result = ask(query, variables)
    async with open_gateway(settings_for_fakes()) as gateway:
        response = await gateway.client.post(
            "/graphql", json={"query": query, "variables": variables}
        )

    assert result.explanation is None
    assert {error.get("extensions", {})["code"] for error in result.errors} == {code}
    assert result.errors == orjson.loads(response.content)["errors"]


def test_a_persisted_query_gets_the_error_that_clients_expect() -> None:
    request = GraphQLRequest(extensions={"persistedQuery": {}})

    result = explainer().explain(request, EVERYBODY, request_id="request-1")

    assert result.status == 200
    assert [error.get("message") for error in result.errors] == ["PersistedQueryNotSupported"]
    assert not result.answer().executed


def test_an_explanation_is_returned_without_data_and_can_be_parsed() -> None:
    result = ask("query Page($id: ID!) { user(id: $id) { plan } }")

    answer = result.answer()

    assert (answer.executed, answer.data, answer.status) == (True, None, 200)
    assert answer.extensions is not None
    assert list(answer.extensions) == ["explain"]
    json = orjson.dumps(answer.extensions["explain"])
    assert orjson.loads(json)["operation"] == "Page"
    assert "interpretedBecause" in orjson.loads(json)
    assert Explanation.model_validate_json(json) == result.explanation


def test_each_field_of_an_explanation_has_a_description() -> None:
    shapes = [
        one
        for one in vars(models).values()
        if isinstance(one, type)
        and issubclass(one, BaseModel)
        and one.__module__ == models.__name__
    ]

    assert shapes
    for shape in shapes:
        for name, info in shape.model_fields.items():
            assert info.description, f"{shape.__name__}.{name}"


def test_each_endpoint_of_a_source_is_explained_separately() -> None:
    settings = divided()
    query = f"{{ users(ids: {quoted(1, 2)}) {{ plan invoices {{ edges {{ cursor }} }} }} }}"

    result = explained(query, by=settings)
    existence = explained(f"{{ users(ids: {quoted(1)}) {{ balance {{ amount }} }} }}", by=settings)

    assert reads(result.fields[0]) == {"billing.subscription": ("plan", "invoices")}
    [source] = result.sources
    assert (source.name, source.path, source.calls) == ("billing.subscription", "/subscriptions", 1)
    assert [page.path for page in source.pages] == ["/invoices"]
    assert [(one.name, one.path) for one in existence.sources] == [("billing.balance", "/balances")]


@settings(
    max_examples=max(1, CASES // 4),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=cases(), compiling=st.booleans())
async def test_an_explanation_of_endpoints_and_selected_fields_matches_a_run(
    open_gateway: OpenGateway,
    services: FakeServices,
    case: Operation,
    compiling: bool,  # noqa: FBT001 # drawn
) -> None:
    profile, activity, billing = SelectingProfile(""), SelectingActivity(""), DividedBilling("")
    services.profile, services.activity, services.billing = profile, activity, billing
    services.know(1, 2, 3, 4, 5)
    billing.invoices = {user_id(n): [invoice(n)] for n in range(1, 6)}
    request = {"query": case.query, "variables": case.variables}

    async with open_gateway(
        in_parts(explain=True, fastpath=FastpathSettings(compiled=compiling))
    ) as gateway:
        response = await gateway.client.post(
            "/graphql", json=request, headers={"X-Gateway-Explain": "1"}
        )
        assert services.calls == {"profile": 0, "billing": 0, "activity": 0}
        ran = orjson.loads((await gateway.client.post("/graphql", json=request)).content)

    if "data" not in ran:
        return
    explained = orjson.loads(response.content)["extensions"]["explain"]["sources"]
    assert {one["name"]: list(batches_of(one)) for one in explained} == {
        name: batches
        for name, batches in (
            ("profile", profile.batches),
            ("billing.subscription", billing.asked.get("/subscriptions")),
            ("billing.balance", billing.asked.get("/balances")),
            ("activity", activity.batches),
        )
        if batches
    }
    assert [one["selects"] for one in explained if one["selects"] is not None] == [
        *profile.asked,
        *activity.asked,
    ]
