"""What is asked for, and in whose words."""

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
def test_our_schema_takes_every_workload(workload: Workload) -> None:
    schema = build_schema(build_our_schema().as_str(), assume_valid_sdl=True)

    assert not validate(schema, parse(document(workload, Dialect.FLAT)))


@pytest.mark.parametrize("workload", EVERYDAY, ids=lambda one: one.name)
def test_the_nested_schema_of_tailcall_takes_every_workload(workload: Workload) -> None:
    text = (PEERS / "tailcall" / "nested.graphql").read_text()
    types = text[text.index("type Query") :].replace("@PORT@", "1")
    schema = build_schema(types, assume_valid_sdl=True)

    assert not validate(schema, parse(document(workload, Dialect.NESTED)))


def test_a_request_in_graphql_has_the_ids_as_variables() -> None:
    assert json.loads(request(W1, Dialect.FLAT, ["a"]))["variables"] == {"id": "a"}
    assert json.loads(request(W4, Dialect.FLAT, ["a", "b"]))["variables"] == {"ids": ["a", "b"]}


def test_a_router_names_users_by_representations() -> None:
    assert json.loads(request(W6, Dialect.FLAT, ["a"]))["variables"] == {
        "of": [{"__typename": "User", "id": "a"}]
    }
    assert request(W6, Dialect.REST, ["a"]) == "/users?id=a"


def test_a_request_says_what_an_error_does_where_the_workload_does() -> None:
    assert json.loads(request(W8, Dialect.FLAT, ["a"]))["onError"] == "PROPAGATE"
    assert "onError" not in json.loads(request(W3, Dialect.FLAT, ["a"]))


def test_some_users_of_a_page_are_unknown() -> None:
    known = {user_id(number) for number in range(1, USERS + 1)}

    asked = some_ids(W12, Random(1))  # noqa: S311 # has to repeat

    assert len({*asked}) == 50
    assert len({*asked} - known) == 5


def test_a_request_in_rest_names_the_sources_unless_it_wants_all() -> None:
    assert request(W1, Dialect.REST, ["a"]) == "/user/a?s=profile"
    assert request(W3, Dialect.REST, ["a", "b"]) == "/users?id=a&id=b"
    assert request(W4, Dialect.REST, ["a", "b"]) == "/users?id=a&id=b&s=profile"
    assert request(W7, Dialect.REST, ["a"]) == "/users?id=a&s=profile&invoices=3"


def test_a_request_asks_for_each_user_once_and_the_same_chance_gives_the_same_users() -> None:
    first, second = (
        some_ids(of_users(500), Random(1))  # noqa: S311 # has to repeat
        for _ in range(2)
    )

    assert len({*first}) == 500
    assert first == second


def test_only_an_outage_loses_a_source() -> None:
    assert {one.name: {*one.lost} for one in WORKLOADS if one.lost} == {W3_DOWN.name: {"billing"}}
