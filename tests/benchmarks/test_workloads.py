"""The requests of the workloads, in the dialects of the peers."""

import json
from random import Random

import pytest
from graphql import build_schema, parse, validate

from app.execution.schema import build_schema as build_our_schema
from benchmarks.places import PEERS
from benchmarks.users import USERS, user_id
from benchmarks.workloads import (
    EVERYDAY,
    W1,
    W3,
    W3_DOWN,
    W4,
    W6,
    W7,
    W8,
    W12,
    WORKLOADS,
    Dialect,
    Workload,
    document,
    of_users,
    request,
    some_ids,
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one.name)
def test_every_workload_is_valid_in_our_schema(workload: Workload) -> None:
    schema = build_schema(build_our_schema().as_str(), assume_valid_sdl=True)

    assert not validate(schema, parse(document(workload, Dialect.FLAT)))


@pytest.mark.parametrize("workload", EVERYDAY, ids=lambda one: one.name)
def test_every_everyday_workload_is_valid_in_the_schema_of_tailcall(workload: Workload) -> None:
    text = (PEERS / "tailcall" / "nested.graphql").read_text()
    types = text[text.index("type Query") :].replace("@PORT@", "1")
    schema = build_schema(types, assume_valid_sdl=True)

    assert not validate(schema, parse(document(workload, Dialect.NESTED)))


def test_a_graphql_request_has_its_ids_in_variables() -> None:
    assert json.loads(request(W1, Dialect.FLAT, ["a"]))["variables"] == {"id": "a"}
    assert json.loads(request(W4, Dialect.FLAT, ["a", "b"]))["variables"] == {"ids": ["a", "b"]}


def test_a_request_of_a_router_has_representations_of_users() -> None:
    assert json.loads(request(W6, Dialect.FLAT, ["a"]))["variables"] == {
        "of": [{"__typename": "User", "id": "a"}]
    }
    assert request(W6, Dialect.REST, ["a"]) == "/users?id=a"


def test_a_request_has_on_error_when_its_workload_sets_it() -> None:
    assert json.loads(request(W8, Dialect.FLAT, ["a"]))["onError"] == "PROPAGATE"
    assert "onError" not in json.loads(request(W3, Dialect.FLAT, ["a"]))


def test_five_of_the_fifty_users_of_a_page_are_unknown() -> None:
    known = {user_id(number) for number in range(1, USERS + 1)}

    asked = some_ids(W12, Random(1))  # noqa: S311 # has to repeat

    assert len({*asked}) == 50
    assert len({*asked} - known) == 5


def test_a_rest_request_names_its_sources_unless_it_needs_all() -> None:
    assert request(W1, Dialect.REST, ["a"]) == "/user/a?s=profile"
    assert request(W3, Dialect.REST, ["a", "b"]) == "/users?id=a&id=b"
    assert request(W4, Dialect.REST, ["a", "b"]) == "/users?id=a&id=b&s=profile"
    assert request(W7, Dialect.REST, ["a"]) == "/users?id=a&s=profile&invoices=3"


def test_ids_of_a_request_are_distinct_and_repeat_with_the_same_seed() -> None:
    first, second = (
        some_ids(of_users(500), Random(1))  # noqa: S311 # has to repeat
        for _ in range(2)
    )

    assert len({*first}) == 500
    assert first == second


def test_only_the_outage_workload_has_a_source_that_is_down() -> None:
    assert {one.name: {*one.lost} for one in WORKLOADS if one.lost} == {W3_DOWN.name: {"billing"}}
