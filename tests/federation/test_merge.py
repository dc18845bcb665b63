"""What the asked sources said of one user, put together."""

import json

import pytest

from app.errors import Code, SourceError, SourceFailedError
from app.federation.merge import Parts, merge
from app.sources.activity import ACTIVITY
from app.sources.base import Record
from app.sources.billing import BILLING, AccountRecord
from app.sources.profile import PROFILE, ProfileRecord
from tests.fakes import account_row, profile_row

PROFILE_RECORD = ProfileRecord.model_validate_json(json.dumps(profile_row(1)))
ACCOUNT = AccountRecord.model_validate_json(json.dumps(account_row(1)))
DOWN = SourceError("billing", Code.SOURCE_UNAVAILABLE, "secret detail")


def test_each_answer_is_kept_under_the_name_of_its_source() -> None:
    parts = merge(("profile", "billing", "activity"), PROFILE_RECORD, DOWN, None)

    assert parts.answers == {"profile": PROFILE_RECORD, "billing": DOWN, "activity": None}


def test_a_source_too_many_or_an_answer_too_few_is_a_bug() -> None:
    with pytest.raises(ValueError, match="shorter"):
        merge(("profile", "billing"), PROFILE_RECORD)


def test_what_a_source_said_is_read_by_its_spec() -> None:
    parts = merge(("profile", "billing", "activity"), PROFILE_RECORD, ACCOUNT, None)

    assert parts.read(PROFILE) is PROFILE_RECORD
    assert parts.read(BILLING) is ACCOUNT
    assert parts.read(ACTIVITY) is None


def test_a_failure_becomes_an_exception_only_where_it_is_read() -> None:
    parts = merge(("profile", "billing"), PROFILE_RECORD, DOWN)

    assert parts.read(PROFILE) is PROFILE_RECORD
    with pytest.raises(SourceFailedError) as caught:
        parts.read(BILLING)
    assert caught.value.code is Code.SOURCE_UNAVAILABLE
    assert caught.value.error is DOWN
    assert caught.value.message == "The billing source is unavailable."


def test_reading_a_source_that_was_not_asked_is_a_bug_and_not_an_absent_user() -> None:
    with pytest.raises(KeyError):
        merge(("profile",), PROFILE_RECORD).read(BILLING)


@pytest.mark.parametrize(
    ("answers", "unknown"),
    [
        ((None,), True),
        ((None, None), True),
        ((None, DOWN), False),
        ((DOWN, DOWN), False),
        ((None, ACCOUNT), False),
        ((PROFILE_RECORD, DOWN), False),
    ],
)
def test_a_user_is_unknown_when_every_asked_source_says_so_and_none_has_failed(
    answers: tuple[Record | SourceError | None, ...], *, unknown: bool
) -> None:
    sources = ("profile", "billing")[: len(answers)]

    assert merge(sources, *answers).unknown is unknown


def test_parts_are_values() -> None:
    assert merge(("billing",), ACCOUNT) == Parts({"billing": ACCOUNT})
