"""Explanations as text for people."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.execution.explanation import error_line, explanation_text
from app.settings.fastpath import FastpathSettings
from app.settings.request import (
    BodyRequest,
    EachRequest,
    FilterRequest,
    ListRequest,
    RequestSettings,
)
from app.settings.resilience import CacheSettings
from tests.execution.test_explain import ask, explained, quoted, settings_with
from tests.fakes import user_id
from tests.key_from import BY_MAIL, LOOKUP, linked
from tests.partial import in_parts

PAGE = """
query Page($ids: [ID!]!) {
  me: user(id: "%s") { id }
  users(ids: $ids) { id displayName plan balance { amount } invoices { edges { cursor } } }
}
"""


def lines_of(
    query: str,
    variables: Mapping[str, Any] | None = None,
    *,
    sources: Mapping[str, object] | None = None,
) -> list[str]:
    """Explain a query as text, with the same changes to each source's settings."""
    return explanation_text(
        explained(query, variables, by=settings_with(sources=sources or {}))
    ).splitlines()


def test_the_text_has_a_tree_of_fields_and_a_table_of_calls() -> None:
    ids = [user_id(number) for number in range(10, 60)]

    lines = lines_of(PAGE.replace("%s", user_id(1)), {"ids": ids}, sources={"max_keys": 20})

    profile = "51 users in 3 calls (20 + 20 + 11), up to 20 in a call"
    billing = "50 users in 3 calls (20 + 20 + 10), up to 20 in a call"
    pages = "after that, at most 50 calls, 1 for each user's page, 10 at a time"
    assert lines[0].startswith("Operation Page is ")
    assert lines[1:] == [
        "",
        "me: user, 1 id",
        "├─ profile    only whether the user exists",
        "└─ no source  id",
        "",
        "users, 50 ids",
        "├─ profile    displayName",
        "├─ billing    plan, balance, invoices",
        "└─ no source  id",
        "",
        "Calls: 56 at most, all sources at the same time.",
        f"  profile  GET /users?id=…                  {profile}",
        f"  billing  GET /accounts?userId=…           {billing}",
        f"           GET /invoices?userId=…&limit=20  {pages}",
        "",
        "Cost: 1,351, of 5,000 at most.",
        "Nothing was called for this.",
    ]


def test_the_text_has_the_order_of_the_calls() -> None:
    query = f"{{ users(ids: {quoted(1, 2)}) {{ id plan loginCount }} }}"
    wanted = settings_with(fastpath=FastpathSettings(compiled=False))

    one = explanation_text(explained(query, by=linked(wanted, {"billing": "profile"})))
    chain = {"billing": "profile", "activity": "billing"}
    two = explanation_text(explained(query, by=linked(wanted, chain)))

    assert one.splitlines()[1:-1] == [
        "",
        "users, 2 ids",
        "├─ billing    plan",
        "├─ activity   loginCount",
        "├─ profile    only the keys of billing",
        "└─ no source  id",
        "",
        "Calls: 3 at most, billing after profile, all others at the same time.",
        "  profile   GET /users?id=…          2 users in 1 call",
        "  billing   GET /accounts?userId=…   at most 2 users in 1 call",
        "  activity  GET /summaries?userId=…  2 users in 1 call",
        "",
        "Cost: 2, of 5,000 at most.",
    ]
    assert "├─ billing    plan, and the keys of activity" in two
    assert "Calls: 3 at most, billing after profile; activity after billing." in two


def test_the_text_marks_a_source_that_is_called_only_if_needed() -> None:
    query = f"{{ users(ids: {quoted(1, 2)}) {{ plan }} }}"

    text = explanation_text(explained(query, by=linked(settings_with(), BY_MAIL)))

    found = "at most 2 users in 1 call, fewer where keys are found before"
    order = f"billing after profile and {LOOKUP}; {LOOKUP} after profile"
    assert text.splitlines()[1:-1] == [
        "",
        "users, 2 ids",
        "├─ billing          plan",
        f"├─ profile          only the keys of billing and {LOOKUP}",
        f"└─ {LOOKUP}  only the keys of billing, where they are still missing",
        "",
        f"Calls: 3 at most, {order}.",
        "  profile          GET /users?id=…         2 users in 1 call",
        "  billing          GET /accounts?userId=…  at most 2 users in 1 call",
        f"  {LOOKUP}  GET /lookup?mail=…      {found}",
        "",
        "Cost: 2, of 5,000 at most.",
    ]


def test_the_text_names_the_variables_of_users_known_at_run_time() -> None:
    lines = lines_of(PAGE.replace("%s", user_id(1)))

    assert "users, ids known at run time, from $ids" in lines
    assert (
        "Calls: as many as the users known at run time need, all sources at the same time." in lines
    )
    calls = [line for line in lines if "GET" in line]
    assert calls[0].endswith("1 user and those known at run time, up to 100 in a call")
    assert calls[1].endswith("…          users known at run time, up to 100 in a call")
    assert calls[2].endswith("limit=…  after that, 1 call for each user's page, 10 at a time")


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("query($id: ID!) { user(id: $id) { plan } }", "user, 1 id known at run time, from $id"),
        (
            "query($a: ID!, $b: ID!) { users(ids: [$a, $b]) { plan } }",
            "users, ids known at run time, from $a, $b",
        ),
        (f"{{ users(ids: {quoted(1, 2, 1)}) {{ plan }} }}", "users, 3 ids of 2 users"),
        (f"{{ users(ids: {quoted(1, 1)}) {{ plan }} }}", "users, 2 ids of 1 user"),
        ("{ __typename }", "__typename, without any source"),
        ("{ __typename }", "Calls: none."),
        (
            "{ __typename }",
            "The operation is compiled: its answer is written straight from the sources' records.",
        ),
        (f'{{ user(id: "{user_id(1)}") {{ plan }} }}', "Calls: 1."),
        (
            f'{{ user(id: "{user_id(1)}") {{ plan }} }}',
            "  billing  GET /accounts?userId=…  1 user in 1 call",
        ),
    ],
)
def test_a_line_of_the_text_has_plain_words(query: str, line: str) -> None:
    assert line in lines_of(query)


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({"max_url_bytes": 256}, "7 users in 2 calls (5 + 2), in URLs of up to 256 bytes"),
        ({"max_keys": 1}, "7 users in 7 calls, up to 1 in a call"),
    ],
)
def test_the_text_has_the_reason_why_users_are_split_into_calls(
    changes: Mapping[str, object], ending: str
) -> None:
    lines = lines_of(f"{{ users(ids: {quoted(*range(7))}) {{ username }} }}", sources=changes)

    [call] = [line for line in lines if "GET" in line]
    assert call.endswith(f"…  {ending}")


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        (
            ListRequest(form="list", path="/people", parameter="ids"),
            "GET /people?ids=…  3 users in 1 call",
        ),
        (
            BodyRequest(
                form="body", path="/read", template='{"ids": "{keys}"}', max_body_bytes=256
            ),
            "POST /read  7 users in 2 calls (6 + 1), in bodies of up to 256 bytes",
        ),
        (
            EachRequest(form="each", path="/users/{key}", max_concurrent_calls=2),
            "GET /users/{key}  3 users in 3 calls (1 + 1 + 1), up to 1 in a call, 2 at a time",
        ),
        (
            FilterRequest(form="filter", path="/users", parameter="q", each="number eq {key}"),
            "GET /users?q=…  3 users in 1 call",
        ),
        (
            BodyRequest(
                form="body", method="QUERY", path="/read", template='["{key}"]', numbers=True
            ),
            "QUERY /read  0 users in 0 calls, 3 whose id cannot be written there",
        ),
    ],
)
def test_a_call_is_shown_in_the_request_form_of_its_source(
    request_: RequestSettings, call: str
) -> None:
    many = range(7 if "7 users" in call else 3)
    lines = lines_of(
        f"{{ users(ids: {quoted(*many)}) {{ username }} }}", sources={"request": request_}
    )

    assert f"  profile  {call}" in lines


def test_a_cached_source_may_have_fewer_calls() -> None:
    lines = lines_of(
        f"{{ users(ids: {quoted(1, 2)}) {{ plan }} }}",
        sources={"cache": CacheSettings(enabled=True)},
    )

    [call] = [line for line in lines if "GET" in line]
    assert call.endswith("2 users in 1 call, fewer where the cache has answers")


def test_invalid_ids_are_counted_in_the_tree_and_have_error_lines() -> None:
    representations = [{"__typename": "User", "id": user_id(1)}, {"__typename": "Nobody"}]

    result = ask(
        'query($all: [_Any!]!) { user(id: "x") { plan }'
        " _entities(representations: $all) { ... on User { plan } } }",
        {"all": representations},
    )

    assert result.explanation is not None
    lines = explanation_text(result.explanation).splitlines()
    assert "user, no users: see its errors" in lines
    assert "_entities, 2 ids, 1 of them wrong" in lines
    first, second = map(error_line, result.errors)
    assert first.startswith('BAD_USER_INPUT: "x" is not a user id: expected a UUID')
    assert first.endswith("(line 1, column 25)")
    assert second.startswith("BAD_USER_INPUT: a representation has to be an object")


def test_the_line_of_an_error_without_a_location_has_no_location() -> None:
    [error] = ask("query A { __typename } query B { __typename }").errors

    assert error_line(error) == (
        "OPERATION_RESOLUTION_FAILURE: operationName is needed: the document has A, B"
    )


def test_the_text_names_the_fields_that_are_requested_from_a_source() -> None:
    query = f"{{ users(ids: {quoted(1, 2)}) {{ username plan balance {{ amount }} }} }}"
    at_run_time = "query($ids: [ID!]!) { users(ids: $ids) { email } }"

    at_once = explanation_text(explained(query, by=in_parts())).splitlines()
    later = explanation_text(explained(at_run_time, by=in_parts())).splitlines()

    assert at_once[2:] == [
        "users, 2 ids",
        "├─ profile               username",
        "├─ billing.subscription  plan",
        "└─ billing.balance       balance",
        "",
        "Calls: 3, all sources at the same time.",
        (
            "  profile               GET /people?ids=…            2 users in 1 call,"
            " only id, login of each"
        ),
        "  billing.subscription  GET /subscriptions?userId=…  2 users in 1 call",
        "  billing.balance       GET /balances?userId=…       2 users in 1 call",
        "",
        "Cost: 4, of 5,000 at most.",
        "Nothing was called for this.",
    ]
    assert later[6].endswith("up to 100 in a call, only id, mail of each")
