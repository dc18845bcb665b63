"""The merged results of several sources for one user."""

import json
from collections.abc import Sequence

import pytest

from app.errors import Code, SourceError, SourceFailure
from app.sources.records import ACTIVITY, BILLING, PROFILE, AccountRecord, ProfileRecord
from app.sources.results import Result, SourceResults
from tests.fakes import account_row, profile_row

PROFILE_RECORD = ProfileRecord.model_validate_json(json.dumps(profile_row(1)))
ACCOUNT = AccountRecord.model_validate_json(json.dumps(account_row(1)))
DOWN = SourceFailure("billing", Code.SOURCE_UNAVAILABLE, "secret detail")


def merge(sources: Sequence[str], *results: Result) -> SourceResults:
    """Merge the results of sources for one user."""
    return SourceResults(dict(zip(sources, results, strict=True)))


def test_the_result_of_a_source_is_read_by_its_spec() -> None:
    parts = merge(("profile", "billing", "activity"), PROFILE_RECORD, ACCOUNT, None)

    assert parts.read(PROFILE) is PROFILE_RECORD
    assert parts.read(BILLING) is ACCOUNT
    assert parts.read(ACTIVITY) is None


def test_a_failure_becomes_an_exception_only_where_it_is_read() -> None:
    parts = merge(("profile", "billing"), PROFILE_RECORD, DOWN)

    assert parts.read(PROFILE) is PROFILE_RECORD
    with pytest.raises(SourceError) as caught:
        parts.read(BILLING)
    assert caught.value.code is Code.SOURCE_UNAVAILABLE
    assert caught.value.failure is DOWN
    assert caught.value.message == "The billing source is unavailable."


def test_reading_a_source_that_was_not_called_is_a_bug() -> None:
    with pytest.raises(KeyError):
        merge(("profile",), PROFILE_RECORD).read(BILLING)
