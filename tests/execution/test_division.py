"""Records divided over endpoints, and fields that read several endpoints."""

from collections.abc import Sequence

import pytest

from app.errors import Code, SourceError, SourceFailure
from app.settings.source import SourceSettings
from app.sources.base import Record
from app.sources.endpoints import endpoints_of
from app.sources.records import BILLING, PROFILE
from app.sources.records_in_parts import EndpointPartition, partitions_of
from app.sources.results import Result, SourceResults
from tests.fakes import account_row, json_response
from tests.partial import ENDPOINTS

SETTINGS = {
    "profile": SourceSettings(base_url="http://profile"),
    "billing": SourceSettings.model_validate(
        {"base_url": "http://billing", "endpoints": ENDPOINTS}
    ),
}
FOUND = endpoints_of([PROFILE, BILLING], SETTINGS)
DIVISIONS = partitions_of(FOUND)
PLAN, BALANCE = "billing.subscription", "billing.balance"


def record_of(fields: str, **row: object) -> Record:
    """Make the record of a user from one endpoint."""
    [endpoint] = [one for one in FOUND["billing"] if one.spec.name == fields]
    record: type[Record] = endpoint.spec.record
    return record.model_validate_json(json_response(account_row(1, **row)).content)


def merge(sources: Sequence[str], *results: Result) -> SourceResults:
    """Merge the results of endpoints for one user."""
    return SourceResults(dict(zip(sources, results, strict=True)), DIVISIONS)


def failed(name: str, code: Code) -> SourceFailure:
    """Make a failure of an endpoint."""
    return SourceFailure(name, code, "it failed")


def test_only_sources_with_endpoints_are_divided() -> None:
    gives = dict.fromkeys(("plan", "renews_at", "status"), PLAN) | {"balance": BALANCE}

    assert {"billing": EndpointPartition(first=PLAN, gives=gives)} == DIVISIONS


def test_fields_need_each_endpoint_once_and_no_fields_need_the_first_one() -> None:
    division = DIVISIONS["billing"]

    assert division.endpoints_for({"plan", "status"}) == (PLAN,)
    assert division.endpoints_for({"balance"}) == (BALANCE,)
    assert division.endpoints_for({"balance", "plan"}) == (PLAN, BALANCE)
    assert division.endpoints_for(()) == (PLAN,)
    assert division.endpoints_for(None) == (PLAN, BALANCE)


def test_a_field_reads_the_records_of_its_endpoints_as_one_record() -> None:
    parts = merge((PLAN, BALANCE), record_of(PLAN), record_of(BALANCE))

    record = parts.read(BILLING, {"plan", "balance"})

    assert record is not None
    assert (record.plan, record.balance and record.balance.amount) == ("pro", 100)


def test_a_field_fails_with_the_failure_of_its_first_failed_endpoint() -> None:
    first, second = failed(PLAN, Code.SOURCE_TIMEOUT), failed(BALANCE, Code.SOURCE_REJECTED)

    for answers, error in (
        ((first, second), first),
        ((None, second), second),
        ((record_of(PLAN), second), second),
    ):
        with pytest.raises(SourceError) as caught:
            merge((PLAN, BALANCE), *answers).read(BILLING)
        assert caught.value.failure is error


def test_a_field_has_no_record_if_one_of_its_endpoints_does_not_know_the_user() -> None:
    parts = merge((PLAN, BALANCE), record_of(PLAN), None)

    assert parts.read(BILLING) is None
    assert parts.read(BILLING, {"plan"}) is not None


def test_reading_an_endpoint_that_is_not_in_the_plan_is_a_bug() -> None:
    with pytest.raises(KeyError):
        merge((PLAN,), record_of(PLAN)).read(BILLING)
