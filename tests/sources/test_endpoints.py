"""How a record is divided over the endpoints of its service, and mistakes in these settings."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings.source import SourceSettings
from app.sources.base import SourceSpec
from app.sources.endpoints import endpoints_of
from app.sources.mapping.row_mapper import MappingError
from app.sources.records import ACTIVITY, BILLING, PROFILE, AccountRecord
from tests.partial import BALANCE, ENDPOINTS, SUBSCRIPTION


def settings(**changes: object) -> SourceSettings:
    """Make settings of a source."""
    return SourceSettings.model_validate({"base_url": "http://billing", **changes})


def mistakes(spec: SourceSpec[Any] = BILLING, **changes: object) -> Mapping[str, str]:
    """Return the mistakes in settings, by their places."""
    with pytest.raises(MappingError) as caught:
        endpoints_of([spec], {spec.service: settings(**changes)})
    return {".".join(one.keys): one.what for one in caught.value.mistakes}


def test_a_source_without_endpoints_is_one_endpoint() -> None:
    plain = settings()

    [one] = endpoints_of([BILLING], {"billing": plain})["billing"]

    assert one.spec is BILLING
    assert one.settings is plain
    assert one.gives == {"plan", "status", "balance", "renews_at"}


def test_an_endpoint_has_its_own_request_and_fields_and_its_service_settings() -> None:
    found = endpoints_of([BILLING], {"billing": settings(endpoints=ENDPOINTS, timeout=0.7)})

    first, second = found["billing"]
    assert (first.spec.name, second.spec.name) == ("billing.subscription", "billing.balance")
    assert first.gives == {"plan", "status", "renews_at"}
    assert second.gives == {"balance"}
    assert {one.spec.service for one in found["billing"]} == {"billing"}
    assert {one.settings.timeout for one in found["billing"]} == {0.7}
    assert second.settings.request is not None
    assert second.settings.request.path == "/balances"
    assert second.settings.fields == {"balance": "balance"}


def test_an_endpoint_may_have_an_expression_for_the_key() -> None:
    balance = {**BALANCE, "fields": {**BALANCE["fields"], "user_id": "customer.id"}}

    found = endpoints_of(
        [BILLING], {"billing": settings(endpoints={**ENDPOINTS, "balance": balance})}
    )

    assert found["billing"][1].gives == {"balance"}


def test_optional_fields_of_no_endpoint_belong_to_the_first_endpoint() -> None:
    bare = {**SUBSCRIPTION, "fields": {"plan": "plan", "status": "status"}}

    found = endpoints_of(
        [BILLING], {"billing": settings(endpoints={"balance": BALANCE, "subscription": bare})}
    )

    assert [one.gives for one in found["billing"]] == [
        {"balance", "renews_at"},
        {"plan", "status"},
    ]


def test_a_field_of_two_endpoints_is_a_mistake_but_a_field_of_none_is_not() -> None:
    twice = {**BALANCE, "fields": {"plan": "plan"}}

    assert mistakes(endpoints={"subscription": SUBSCRIPTION, "other": twice}) == {
        "endpoints.other.fields.plan": "is given by subscription too: expected one endpoint for"
        " each field.",
    }
    found = endpoints_of([BILLING], {"billing": settings(endpoints={"subscription": SUBSCRIPTION})})
    assert "balance" in found["billing"][0].gives


def test_an_unknown_field_is_a_mistake_that_suggests_the_nearest_name() -> None:
    wrong = {**BALANCE, "fields": {"balance": "a", "renews": "b"}}

    assert mistakes(endpoints={"subscription": SUBSCRIPTION, "balance": wrong}) == {
        "endpoints.balance.fields.renews": "is no field of billing: did you mean renewsAt?"
    }


def test_an_answer_or_fields_beside_endpoints_are_a_mistake() -> None:
    assert mistakes(endpoints=ENDPOINTS, answer={}, fields={"plan": "a"}) == {
        "answer": "stands beside endpoints: expected it in each of them.",
        "fields": "stands beside endpoints: expected it in each of them.",
    }


def test_a_mistake_in_one_endpoint_is_reported_at_its_place() -> None:
    twice = {
        **BALANCE,
        "answer": {"key": ["id"]},
        "fields": {**BALANCE["fields"], "userId": "customer"},
    }

    assert mistakes(endpoints={**ENDPOINTS, "balance": twice}) == {
        "endpoints.balance.answer.key": "is given twice: expected answer.key or fields.user_id,"
        " not both."
    }


@pytest.mark.parametrize("name", ["", "Balance", "a.b", "9"])
def test_an_invalid_name_of_an_endpoint_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="expected small letters"):
        settings(endpoints={name: BALANCE})


def test_an_endpoint_without_fields_is_a_mistake() -> None:
    without = {name: one for name, one in BALANCE.items() if name != "fields"}

    with pytest.raises(ValidationError, match="at least 1 item"):
        settings(endpoints={"balance": {**BALANCE, "fields": {}}})
    assert mistakes(endpoints={"balance": without}) == {
        "endpoints.balance.fields": "gives no field: expected an expression for at least one."
    }


LATEST = SourceSpec(
    name="billing.latest", record=AccountRecord, path="/latest", parameter="id", key="user_id"
)


def test_an_endpoint_with_its_own_spec_does_not_use_the_request_of_its_service() -> None:
    own = {"form": "repeat", "path": "/own", "parameter": "id"}
    found = endpoints_of(
        [PROFILE, BILLING, LATEST, ACTIVITY],
        {
            "profile": settings(),
            "billing": settings(request=own, answer={}, timeout=0.7),
            "activity": settings(),
        },
    )

    [main], [latest] = found["billing"], found["billing.latest"]
    assert main.settings.request is not None
    assert latest.spec is LATEST
    assert (latest.settings.request, latest.settings.answer) == (None, None)
    assert latest.settings.timeout == 0.7


def test_the_settings_may_describe_an_endpoint_with_its_own_spec() -> None:
    fields = {**SUBSCRIPTION["fields"], **BALANCE["fields"]}
    own = {**SUBSCRIPTION, "fields": fields}
    found = endpoints_of([BILLING, LATEST], {"billing": settings(endpoints={"latest": own})})

    [main], [latest] = found["billing"], found["billing.latest"]
    assert main.spec is BILLING
    assert main.settings.request is None
    assert latest.settings.request is not None
    assert latest.settings.request.path == "/subscriptions"


def test_a_mistake_in_a_source_without_endpoints_is_reported() -> None:
    request = {**SUBSCRIPTION["request"], "select": {"parameter": "f", "names": {"plam": ["p"]}}}

    assert mistakes(fields={"plan": "a", "statu": "b"}) == {
        "fields.statu": "is no field of billing: did you mean status?"
    }
    assert mistakes(request=request) == {
        "request.select.names.plam": "is no field of billing: did you mean plan?"
    }
