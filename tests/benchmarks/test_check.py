"""Responses that count as correct."""

import pytest

from benchmarks.check import CheckVerdict
from benchmarks.client import Json
from benchmarks.conversation import PeerReply, User
from benchmarks.judge import judge
from benchmarks.workloads import W1, W3, W3_DOWN, W12, Dialect, Workload

CORRECT: User = {"id": "1", "plan": "pro", "renewsAt": "2026-01-01T00:00:00Z"}
DOWN: User = {"id": "1", "plan": None, "renewsAt": None}


def judged(
    data: Json,
    expected: User = CORRECT,
    *,
    workload: Workload = W1,
    status: int = 200,
    errors: bool = False,
) -> str | None:
    """Judge a GraphQL response."""
    body: dict[str, Json] = {"data": data}
    if errors:
        body["errors"] = [{"message": "no"}]
    return judge(PeerReply(status, body), workload, Dialect.FLAT, [expected])


def test_the_data_of_the_upstream_is_correct() -> None:
    assert judged({"user": CORRECT}) is None


def test_the_same_time_in_another_form_is_correct() -> None:
    assert judged({"user": {**CORRECT, "renewsAt": "2026-01-01T00:00:00+00:00"}}) is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"user": {**CORRECT, "plan": "free"}}, "plan is 'free' rather than 'pro'"),
        ({"user": {"id": "1", "plan": "pro"}}, "renewsAt is None"),
        ({"user": None}, "null rather than user 1"),
        (None, "null rather than user 1"),
    ],
)
def test_other_data_is_wrong(data: Json, problem: str) -> None:
    found = judged(data)

    assert found is not None
    assert found.startswith(problem)


def test_errors_are_wrong_when_no_source_is_down() -> None:
    assert judged({"user": CORRECT}, errors=True) == "errors"


def test_a_status_other_than_200_is_wrong() -> None:
    assert judged({"user": CORRECT}, status=500) == "status 500"


def test_a_source_that_is_down_needs_errors_and_null_fields() -> None:
    users: Json = {"users": [DOWN]}

    assert judged(users, DOWN, workload=W3_DOWN, errors=True) is None
    assert judged(users, DOWN, workload=W3_DOWN) == "no errors where a source is down"


def test_missing_data_is_wrong_even_when_a_source_is_down() -> None:
    assert judged(None, DOWN, workload=W3_DOWN, errors=True) == "no data at all"


def test_a_response_with_too_few_users_is_wrong() -> None:
    reply = PeerReply(200, {"data": {"users": [CORRECT]}})

    assert judge(reply, W3, Dialect.FLAT, [CORRECT, CORRECT]) == "1 users rather than 2"


def test_an_unknown_user_has_to_be_null() -> None:
    correct = PeerReply(200, {"data": {"users": [CORRECT, None]}})
    wrong = PeerReply(200, {"data": {"users": [CORRECT, {"id": "2"}]}})

    assert judge(correct, W12, Dialect.FLAT, [CORRECT, None]) is None
    assert judge(wrong, W12, Dialect.FLAT, [CORRECT, None]) == "user 2 rather than null"


def test_a_verdict_has_the_number_of_wrong_responses() -> None:
    assert str(CheckVerdict(60, ())) == "60 answers, all right"
    assert str(CheckVerdict(60, ("status 500", "x"))) == (
        "2 of 60 answers are wrong, such as: status 500"
    )
