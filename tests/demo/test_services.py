"""The responses of each service: the contract of the sources."""

from datetime import datetime

import httpx
import pytest

from app.demo.people import user_id
from app.demo.services import DemoServices
from tests.demo.support import client_of

WITHOUT_ACCOUNT = user_id(17)
WITHOUT_ACTIVITY = user_id(23)


@pytest.mark.parametrize("name", ["profile", "billing", "activity"])
async def test_each_service_is_healthy(services: DemoServices, name: str) -> None:
    async with client_of(getattr(services, name)) as client:
        response = await client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_profile_returns_rows_of_the_contract(profile: httpx.AsyncClient) -> None:
    query = "&".join(f"id={user_id(n)}" for n in range(1, 101))
    rows = (await profile.get(f"/users?{query}")).json()
    fields = {"id", "username", "displayName", "email", "avatarUrl", "locale", "createdAt"}
    assert all(set(row) == fields for row in rows)
    assert any(row["avatarUrl"] is None for row in rows)
    assert any(row["locale"] is None for row in rows)
    assert all(datetime.fromisoformat(row["createdAt"]).tzinfo for row in rows)


async def test_billing_returns_rows_of_the_contract(billing: httpx.AsyncClient) -> None:
    query = "&".join(f"userId={user_id(n)}" for n in range(1, 101))
    rows = (await billing.get(f"/accounts?{query}")).json()
    always = {"userId", "plan", "status", "balance"}
    assert {frozenset(row) for row in rows} == {frozenset(always), frozenset({*always, "renewsAt"})}
    assert all(set(row["balance"]) == {"amount", "currency"} for row in rows)
    assert all(type(row["balance"]["amount"]) is int for row in rows)
    assert all(datetime.fromisoformat(row["renewsAt"]).tzinfo for row in rows if "renewsAt" in row)


async def test_activity_returns_rows_of_the_contract(activity: httpx.AsyncClient) -> None:
    query = "&".join(f"userId={user_id(n)}" for n in range(1, 101))
    rows = (await activity.get(f"/summaries?{query}")).json()
    assert all(set(row) == {"userId", "lastSeenAt", "loginCount", "events"} for row in rows)
    assert any(row["lastSeenAt"] is None for row in rows)
    events = [event for row in rows for event in row["events"]]
    assert all(set(event) == {"id", "type", "occurredAt"} for event in events)
    assert all(datetime.fromisoformat(event["occurredAt"]).tzinfo for event in events)


async def test_a_user_without_an_account_is_unknown_to_billing_only(
    profile: httpx.AsyncClient, billing: httpx.AsyncClient, activity: httpx.AsyncClient
) -> None:
    assert (await billing.get(f"/accounts?userId={WITHOUT_ACCOUNT}")).json() == []
    assert (await billing.get(f"/accounts/{WITHOUT_ACCOUNT}")).status_code == 404
    assert (await profile.get(f"/users/{WITHOUT_ACCOUNT}")).status_code == 200
    assert (await activity.get(f"/summaries/{WITHOUT_ACCOUNT}")).status_code == 200


async def test_a_user_without_activity_is_unknown_to_activity_only(
    profile: httpx.AsyncClient, billing: httpx.AsyncClient, activity: httpx.AsyncClient
) -> None:
    assert (await activity.get(f"/summaries?userId={WITHOUT_ACTIVITY}")).json() == []
    assert (await activity.get(f"/summaries/{WITHOUT_ACTIVITY}")).status_code == 404
    assert (await profile.get(f"/users/{WITHOUT_ACTIVITY}")).status_code == 200
    assert (await billing.get(f"/accounts/{WITHOUT_ACTIVITY}")).status_code == 200
