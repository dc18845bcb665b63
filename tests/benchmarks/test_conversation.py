"""The responses of peers with different dialects are read."""

import pytest

from benchmarks.client import Json
from benchmarks.conversation import PeerReply, User, users_in
from benchmarks.workloads import W1, W3, W6, W7, Dialect

USER: User = {"id": "1", "plan": "pro", "billingStatus": "active", "loginCount": 3}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.REST, [USER, None]),
        (Dialect.FLAT, {"data": {"users": [{**USER, "billingStatus": "ACTIVE"}, None]}}),
        (
            Dialect.NESTED,
            {
                "data": {
                    "users": [
                        {
                            "id": "1",
                            "account": {"plan": "pro", "billingStatus": "active"},
                            "activity": {"loginCount": 3},
                        },
                        None,
                    ]
                }
            },
        ),
    ],
)
def test_users_are_the_same_in_all_dialects(dialect: Dialect, body: Json) -> None:
    assert users_in(PeerReply(200, body), W3, dialect) == [USER, None]


def test_times_are_in_one_form_also_in_nested_values() -> None:
    event: Json = {"occurredAt": "2026-01-01T00:00:00+00:00"}

    assert users_in(PeerReply(200, {"events": [event]}), W1, Dialect.REST) == [
        {"events": [{"occurredAt": "2026-01-01T00:00:00Z"}]}
    ]


def test_entities_are_read_as_users() -> None:
    assert users_in(PeerReply(200, {"data": {"_entities": [USER]}}), W6, Dialect.FLAT) == [USER]


def test_a_page_of_invoices_in_rest_equals_a_connection() -> None:
    row: Json = {"id": "i", "issuedAt": "2026-01-01T00:00:00Z"}
    page: Json = {"items": [row], "nextCursor": "2"}
    node: Json = {"id": "i", "issuedAt": "2026-01-01T00:00:00+00:00"}
    connection: Json = {"edges": [{"node": node}], "pageInfo": {"hasNextPage": True}}

    by_rest = users_in(PeerReply(200, [{"id": "1", "invoices": page}]), W7, Dialect.REST)
    by_graphql = users_in(
        PeerReply(200, {"data": {"users": [{"id": "1", "invoices": connection}]}}), W7, Dialect.FLAT
    )

    assert by_rest == by_graphql == [{"id": "1", "invoices": {"items": [row], "more": True}}]


@pytest.mark.parametrize("body", [None, "Bad Gateway", [], {"data": None}, {"data": {"users": 1}}])
def test_a_response_of_another_form_has_no_users(body: Json) -> None:
    assert users_in(PeerReply(200, body), W3, Dialect.FLAT) == []
