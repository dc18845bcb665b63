"""What counts as a right answer."""

import pytest

from benchmarks.check import CheckVerdict
from benchmarks.client import Json
from benchmarks.conversation import PeerReply, User
from benchmarks.judge import judge
from benchmarks.workloads import W1, W3, W3_DOWN, W12, Dialect, Workload

RIGHT: User = {"id": "1", "plan": "pro", "renewsAt": "2026-01-01T00:00:00Z"}
DOWN: User = {"id": "1", "plan": None, "renewsAt": None}


def judged(
    data: Json,
    expected: User = RIGHT,
    *,
    workload: Workload = W1,
    status: int = 200,
    errors: bool = False,
) -> str | None:
    """Judge an answer in GraphQL."""
    body: dict[str, Json] = {"data": data}
    if errors:
        body["errors"] = [{"message": "no"}]
    return judge(PeerReply(status, body), workload, Dialect.FLAT, [expected])


def test_the_upstreams_own_data_is_right() -> None:
    assert judged({"user": RIGHT}) is None


def test_the_same_time_in_another_form_is_right() -> None:
    assert judged({"user": {**RIGHT, "renewsAt": "2026-01-01T00:00:00+00:00"}}) is None


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"user": {**RIGHT, "plan": "free"}}, "plan is 'free' rather than 'pro'"),
        ({"user": {"id": "1", "plan": "pro"}}, "renewsAt is None"),
        ({"user": None}, "null rather than user 1"),
        (None, "null rather than user 1"),
    ],
)
def test_other_data_is_wrong(data: Json, complaint: str) -> None:
    found = judged(data)

    assert found is not None
    assert found.startswith(complaint)


def test_errors_are_wrong_where_all_is_well() -> None:
    assert judged({"user": RIGHT}, errors=True) == "errors"


def test_another_status_is_wrong() -> None:
    assert judged({"user": RIGHT}, status=500) == "status 500"


def test_a_source_that_is_down_costs_its_own_fields_and_is_said() -> None:
    users: Json = {"users": [DOWN]}

    assert judged(users, DOWN, workload=W3_DOWN, errors=True) is None
    assert judged(users, DOWN, workload=W3_DOWN) == "no errors where a source is down"


def test_no_data_at_all_is_wrong_even_if_a_source_is_down() -> None:
    assert judged(None, DOWN, workload=W3_DOWN, errors=True) == "no data at all"


def test_a_user_too_few_is_wrong() -> None:
    reply = PeerReply(200, {"data": {"users": [RIGHT]}})

    assert judge(reply, W3, Dialect.FLAT, [RIGHT, RIGHT]) == "1 users rather than 2"


def test_a_user_that_no_source_knows_has_to_be_null() -> None:
    right = PeerReply(200, {"data": {"users": [RIGHT, None]}})
    wrong = PeerReply(200, {"data": {"users": [RIGHT, {"id": "2"}]}})

    assert judge(right, W12, Dialect.FLAT, [RIGHT, None]) is None
    assert judge(wrong, W12, Dialect.FLAT, [RIGHT, None]) == "user 2 rather than null"


def test_a_verdict_says_how_many_were_wrong() -> None:
    assert str(CheckVerdict(60, ())) == "60 answers, all right"
    assert str(CheckVerdict(60, ("status 500", "x"))) == (
        "2 of 60 answers are wrong, such as: status 500"
    )
