"""The meaning of the status of a response."""

import pytest

from app.errors import Code
from app.settings.response import AnswerSettings
from app.sources.failures import failure_of_answer, failure_of_status, meaning_of

TABLE = AnswerSettings.model_validate(
    {"status": {"204": "absent", "207": "rows", "404": "absent", "403": "auth", "409": "retry"}}
)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(200, "rows"), (206, "partial"), (204, "absent"), (207, "rows"), (404, "absent")],
)
def test_a_status_that_the_table_accepts_is_no_failure(status: int, meaning: str) -> None:
    assert meaning_of(status, TABLE) == meaning
    assert failure_of_answer("profile", status, TABLE, None) is None


def test_a_status_configured_as_auth_is_a_rejection() -> None:
    failure = failure_of_answer("profile", 403, TABLE, None)

    assert failure is not None
    assert (failure.code, failure.retryable, failure.divisible) == (
        Code.SOURCE_REJECTED,
        False,
        False,
    )


def test_a_status_configured_as_retry_is_a_retryable_failure() -> None:
    failure = failure_of_answer("profile", 409, TABLE, 1.5)

    assert failure is not None
    assert (failure.code, failure.retryable) == (Code.SOURCE_UNAVAILABLE, True)
    assert failure.retry_after == 1.5


@pytest.mark.parametrize("settings", [None, TABLE])
@pytest.mark.parametrize("status", [201, 302, 400, 401, 429, 500, 503])
def test_a_status_outside_the_table_has_its_default_meaning(
    status: int, settings: AnswerSettings | None
) -> None:
    everywhere = failure_of_status("profile", status, None)

    assert everywhere is not None
    assert failure_of_answer("profile", status, settings, None) == everywhere


@pytest.mark.parametrize("status", [204, 206, 404])
def test_only_200_is_a_success_in_the_default_contract(status: int) -> None:
    assert failure_of_answer("profile", 200, None, None) is None
    assert failure_of_answer("profile", status, None, None) is not None


def test_206_can_be_configured_as_a_complete_response() -> None:
    settings = AnswerSettings.model_validate({"status": {"206": "rows"}})

    assert meaning_of(206, settings) == "rows"
