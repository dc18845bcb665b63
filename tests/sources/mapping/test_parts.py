"""Responses of batch APIs: each item is the result of one user, by its position or its key."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.errors import MalformedError, SourceFailure
from app.settings.response import AnswerSettings
from app.sources.base import DamagedRecord
from app.sources.records import BILLING
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, json_response, user_id
from tests.partial import settings_with
from tests.sources.mapping.test_rows import told
from tests.sources.mapping.test_shaped import read, row

Item = Mapping[str, Any]

POSITION: Item = {"match": "position"}
GRAPH: Item = {
    "rows": ["responses"],
    "parts": {"key": "id", "status": ["status"], "row": ["body"]},
}
BATCH: Item = {"match": "position", "parts": {"status": ["status"], "row": ["body"]}}
NAME: Mapping[str, str] = {"username": "name"}


def part(status: object, body: object = None, **more: object) -> Item:
    """Make an item with a status."""
    return {"status": status, "body": body, **more}


def results(body: object, keys: Sequence[str], answer: Item, fields: Mapping[str, str]) -> Any:  # noqa: ANN401 # records and failures of a test
    """Read a response of billing; return the results."""
    return read(body, keys, answer, fields=fields, spec=BILLING).answers


def named(body: object, keys: Sequence[str], answer: Item, **changes: Any) -> Any:  # noqa: ANN401 # rows of a test
    """Read a response whose rows have only names; return the names."""
    answers: Any = read(body, keys, answer, fields=NAME, **changes).answers
    return [
        one.code.value if isinstance(one, SourceFailure) else one and one.username
        for one in answers
    ]


def test_items_belong_to_users_in_the_order_of_the_request() -> None:
    rows = [{"name": "x"}, None, {"name": "y"}]

    assert named(rows, "abc", POSITION) == ["x", None, "y"]
    assert named({"users": rows}, "cab", {**POSITION, "rows": ["users"]}) == ["x", None, "y"]
    assert named([], "", POSITION) == []


@pytest.mark.parametrize("rows", [[], [{"name": "x"}], [{"name": "x"}] * 3])
def test_a_list_with_a_wrong_number_of_items_is_malformed(rows: list[Item]) -> None:
    with pytest.raises(MalformedError, match=f"{len(rows)} items in the order of 2 users: expecte"):
        named(rows, "ab", POSITION)


def test_an_item_that_is_not_a_row_fails_only_its_user() -> None:
    rows: list[object] = [{"name": "x"}, {"error": "x"}, "text", 7, [], False]

    failed = "SOURCE_MALFORMED"
    assert named(rows, "abcdef", POSITION) == ["x", failed, failed, failed, failed, failed]


def test_a_row_with_the_key_of_another_user_is_refused() -> None:
    rows = [row("a"), row("c"), row("b"), row(4), row("E")]

    assert told(read(rows, "abcde", POSITION)) == [
        "a",
        "SOURCE_MALFORMED",
        "SOURCE_MALFORMED",
        "d",
        "SOURCE_MALFORMED",
    ]
    assert told(read(rows[-1:], "e", {**POSITION, "fold_case": True})) == ["e"]
    assert told(read([row(7)], "8", POSITION)) == ["SOURCE_MALFORMED"]
    assert told(read([row(7)], "7", POSITION)) == ["7"]


def test_a_configured_key_is_required_in_each_row() -> None:
    rows = [{"name": "x", "n": "a"}, {"name": "y", "n": "a"}, {"name": "z"}, {"name": "u", "n": 4}]

    by_path = named(rows, "abc4", {**POSITION, "key": ["n"]})
    by_expression = read(rows, "abc4", POSITION, fields={**NAME, "id": "n"})

    assert by_path == ["x", "SOURCE_MALFORMED", "SOURCE_MALFORMED", "u"]
    assert [isinstance(one, SourceFailure) for one in by_expression.answers] == [
        False,
        True,
        True,
        False,
    ]
    assert by_expression.malformed == ["a row of another user", "a row without a key"]


def test_the_status_of_an_item_makes_it_a_row_an_absence_or_a_failure() -> None:
    items = [
        part(200, {"name": "x"}),
        part(404, {"error": "no such user"}),
        part("200", {"name": "y"}),
        *(part(status, {"name": "z"}) for status in (400, 401, 429, 500, 206, 302)),
        *(part(status, {"name": "z"}) for status in (None, True, "x", 7, 2.5, "²")),
        part(200),
    ]

    assert named(items, [str(n) for n in range(len(items))], BATCH) == [
        "x",
        None,
        "y",
        *["SOURCE_REJECTED"] * 2,
        "SOURCE_OVERLOADED",
        "SOURCE_UNAVAILABLE",
        *["SOURCE_MALFORMED"] * 2,
        *["SOURCE_MALFORMED"] * 6,
        "SOURCE_MALFORMED",
    ]


def test_statuses_of_items_have_their_configured_meaning() -> None:
    status = {"404": "retry", "410": "absent", "203": "rows", "403": "auth"}
    items = [part(one, {"name": "x"}) for one in (404, 410, 203, 403)]

    assert named(items, "abcd", {**BATCH, "status": status}) == [
        "SOURCE_UNAVAILABLE",
        None,
        "x",
        "SOURCE_REJECTED",
    ]


def test_failures_of_items_are_reported_without_their_content() -> None:
    rows = read([part(500, "secret"), part(200)], "ab", BATCH, fields=NAME)

    assert rows.malformed == ["an item with status 500", "an item without a row"]


def test_items_in_any_order_are_matched_by_a_key_expression() -> None:
    items = [
        part(200, {"name": "y"}, id="b"),
        part(404, id="c"),
        part(200, {"name": "x"}, id="a"),
        part(200, {"name": "z"}, id="other"),
        part(500, id=4),
    ]

    assert named({"responses": items}, "abc4e", GRAPH) == [
        "x",
        "y",
        None,
        "SOURCE_UNAVAILABLE",
        None,
    ]


def test_an_item_without_a_key_fails_all_users_without_an_item() -> None:
    items = [part(200, {"name": "x"}, id="a"), part(200, {"name": "y"}), part(404, id="c")]

    assert named({"responses": items}, "abc", GRAPH) == ["x", "SOURCE_MALFORMED", None]


def test_two_items_of_one_user_fail_that_user() -> None:
    items = [part(200, {"name": "x"}, id="a"), part(404, id="a"), part(200, {"name": "y"}, id="b")]

    assert named({"responses": items}, "ab", GRAPH) == ["SOURCE_MALFORMED", "y"]


ACCOUNT: Mapping[str, str] = {
    "plan": "[0].plan",
    "status": "[0].status",
    "balance": "money_minor([1].due, 'EUR')",
}


def test_several_items_of_a_user_are_read_as_a_list_in_order() -> None:
    answer = {"match": "position", "parts": {**BATCH["parts"], "per_user": 2}}
    items = [
        part(200, {"plan": "pro", "status": "active"}),
        part(200, {"due": 5}),
        part(404),
        part(404),
        part(200, {"plan": "free", "status": "active"}),
        part(404),
        part(200, {"plan": "free", "status": "active"}),
        part(500),
    ]

    both, nobody, one, failed = results(items, "abcd", answer, ACCOUNT)

    assert (both.plan, both.balance.amount) == ("pro", 5)
    assert nobody is None
    assert (one.plan, one.balance) == ("free", None)
    assert isinstance(failed, SourceFailure)
    with pytest.raises(MalformedError, match="8 items in the order of 3 users: expected 6"):
        results(items, "abc", answer, ACCOUNT)


NAMED: Item = {
    "parts": {
        "key": "before(id, ':')",
        "name": "after(id, ':')",
        "per_user": 2,
        "status": ["status"],
        "row": ["body"],
    }
}


def test_several_named_items_of_a_user_are_read_as_an_object() -> None:
    items = [
        part(200, {"due": 7}, id="b:balance"),
        part(200, {"plan": "pro"}, id="a:account"),
        part(404, id="a:balance"),
        part(200, {"plan": "free"}, id="b:account"),
        part(200, {"plan": "free"}, id="c:account"),
        part(200, {"plan": "free"}, id="d:account"),
        part(200, {"plan": "free"}, id="d:account"),
    ]
    fields = {"plan": "account.plan", "balance": "money_minor(balance.due, 'EUR')"}

    a, b, c, d = results(items, "abcd", NAMED, fields)

    assert (a.plan, a.balance) == ("pro", None)
    assert (b.plan, b.balance.amount) == ("free", 7)
    assert (c.detail, d.detail) == (
        "1 items of one user: expected 2",
        "parts.name: expected another text in each item of a user",
    )


def test_a_damaged_field_of_an_item_fails_only_that_field() -> None:
    items = [{"plan": 7, "status": "active"}, {"plan": "pro", "status": "active"}]
    fields = {"plan": "plan", "status": "status"}

    damaged, whole = results(items, "ab", POSITION, fields)

    assert isinstance(damaged, DamagedRecord)
    assert list(damaged.failures) == ["plan"]
    assert whole.plan == "pro"


def test_absent_items_and_defaults_work_as_in_other_responses() -> None:
    items = [{"name": "x"}, {"name": "y", "deleted": True}, None]
    answer = {**POSITION, "absent": "deleted", "without_row": "defaults"}

    assert named(items, "abc", answer, defaults={"username": "nobody"}) == [
        "x",
        "nobody",
        "nobody",
    ]


def test_a_list_by_position_is_complete_despite_a_link_header() -> None:
    headers = {"link": '</next>; rel="next"'}

    rows = read([{"name": "x"}, None], "ab", POSITION, fields=NAME, headers=headers)

    assert rows.next is None
    assert rows.answers[1] is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"match": "position", "many": False}, "expected a list beside match = "),
        ({"match": "position", "by_key": True}, "expected a list beside match = "),
        ({"match": "position", "group": {}}, "expected no group beside match = "),
        ({"match": "position", "more": {"limit": 3}}, "expected no more beside match = "),
        ({"match": "position", "parts": {"key": "id"}}, "expected no parts.key beside match = "),
        ({"parts": {"row": ["body"]}}, 'expected parts.key, or match = "position"'),
        ({"parts": {"key": "id", "name": "n"}}, "expected per_user beside name"),
        ({"parts": {"key": "id"}, "group": {}}, "expected no group beside parts"),
    ],
)
def test_contradictory_settings_are_refused(answer: Item, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        AnswerSettings.model_validate(answer)


OUTCOME = st.sampled_from(["x", "y", None, 404, 500, 429, "malformed"])
RESULTS: Mapping[object, str | None] = {
    404: None,
    500: "SOURCE_UNAVAILABLE",
    429: "SOURCE_OVERLOADED",
    "malformed": "SOURCE_MALFORMED",
}


def item_of(outcome: object) -> Item:
    """Make the item for an outcome."""
    if isinstance(outcome, int):
        return part(outcome)
    if outcome is None:
        return part(404, {"name": "never read"})
    return part(200, {} if outcome == "malformed" else {"name": outcome})


@given(outcomes=st.lists(OUTCOME, max_size=8), data=st.data())
def test_each_user_has_the_outcome_of_its_own_item(
    outcomes: list[object], data: st.DataObject
) -> None:
    keys = [str(number) for number in range(len(outcomes))]
    expected = [RESULTS.get(one, one) for one in outcomes]
    items = [item_of(one) for one in outcomes]
    shuffled = data.draw(
        st.permutations([{**item, "id": key} for item, key in zip(items, keys, strict=True)])
    )

    assert named(items, keys, BATCH) == expected
    assert named({"responses": shuffled}, keys, GRAPH) == expected


async def test_a_batch_api_is_called_once_and_each_user_has_its_own_result(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    users = [user_id(number) for number in range(4)]
    bodies: list[Any] = []

    def answer(request: Any) -> Any:  # noqa: ANN401 # of httpx
        bodies.append(json.loads(request.content))
        return json_response(
            {
                "results": [
                    {"statusCode": 200, "result": {"Plan": "pro"}},
                    {"statusCode": 404, "result": [{"message": "not found"}]},
                    {"statusCode": 200, "result": {"Plan": ["odd"]}},
                    {"statusCode": 503, "result": None},
                ]
            }
        )

    services.others["billing"] = answer
    billing = {
        "request": {
            "form": "body",
            "path": "/batch",
            "template": '{"batchRequests": [{"method": "GET", "url": "/accounts/{key}"}]}',
        },
        "answer": {
            "rows": ["results"],
            "match": "position",
            "parts": {"status": ["statusCode"], "row": ["result"]},
        },
        "fields": {"plan": "Plan"},
    }
    ids = json.dumps(users)

    async with open_gateway(settings_with({"billing": billing})) as gateway:
        reply = await gateway.query(f"{{ users(ids: {ids}) {{ plan }} }}")

    urls = [{"method": "GET", "url": f"/accounts/{user}"} for user in users]
    assert bodies == [{"batchRequests": urls}]
    assert reply.data["users"] == [{"plan": "pro"}, None, {"plan": None}, {"plan": None}]
    assert reply.codes == {
        "users.2.plan": "SOURCE_MALFORMED",
        "users.3.plan": "SOURCE_UNAVAILABLE",
    }


async def test_two_items_for_each_user_are_merged_into_one_row(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    users = [user_id(number) for number in range(2)]
    accounts: dict[str, Any] = {users[0]: {"plan": "pro"}, users[1]: {"plan": "free"}}

    def answer(request: Any) -> Any:  # noqa: ANN401 # of httpx
        asked: list[Any] = json.loads(request.content)["requests"]
        found = {f"/a/{user}": accounts[user] for user in users} | {f"/b/{users[1]}": {"due": 12}}
        responses = [
            part(200 if one["url"] in found else 404, found.get(one["url"]), id=one["id"])
            for one in reversed(asked)
        ]
        return json_response({"responses": responses})

    services.others["billing"] = answer
    template = {
        "requests": [
            {"id": "{key}:account", "method": "GET", "url": "/a/{key}"},
            {"id": "{key}:balance", "method": "GET", "url": "/b/{key}"},
        ]
    }
    billing = {
        "request": {"form": "body", "path": "/$batch", "template": json.dumps(template)},
        "answer": {"rows": ["responses"], **NAMED},
        "fields": {"plan": "account.plan", "balance": "money_minor(balance.due, 'EUR')"},
    }

    async with open_gateway(settings_with({"billing": billing})) as gateway:
        reply = await gateway.query(
            f"{{ users(ids: {json.dumps(users)}) {{ plan balance {{ amount }} }} }}"
        )

    assert not reply.errors
    assert reply.data["users"] == [
        {"plan": "pro", "balance": None},
        {"plan": "free", "balance": {"amount": 12}},
    ]
