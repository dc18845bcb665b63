"""The report of sources in a response, and the page that documents it."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from app.execution.source_report import CallReport, RequestReport, SourceReport, StepReport
from app.resilience.steps import StepKind
from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from tests.conftest import APP, GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, settings_for_fakes, user_id

PAGE = APP.parent / "docs" / "operations" / "request-report.md"
TRACED = {"X-Gateway-Trace": "1"}
PLANS = "query ($ids: [ID!]!) { users(ids: $ids) { plan } }"


def traced(**billing: object) -> Settings:
    """Make settings that allow the report, with changed settings of billing."""
    settings = settings_for_fakes(trace="asked")
    sources = {**settings.sources, "billing": calm_source(base_url="http://billing", **billing)}
    return settings.model_copy(update={"sources": sources})


async def report_of(gateway: GatewayClient, *numbers: int) -> Mapping[str, Any]:
    """Query plans, and return the report of billing."""
    reply = await gateway.query_as(TRACED, PLANS, ids=[user_id(number) for number in numbers])
    assert not reply.errors
    report: Mapping[str, Any] = reply.body["extensions"]["sources"]["billing"]
    return report


async def test_keys_from_the_cache_are_counted_and_cause_no_call(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    cache = CacheSettings(enabled=True, ttl=60)
    async with open_gateway(traced(cache=cache)) as gateway:
        first = await report_of(gateway, 1)
        mixed = await report_of(gateway, 1, 2)
        cached = await report_of(gateway, 1, 2)

    assert "cached" not in first
    assert (mixed["keys"], mixed["cached"], mixed["calls"]) == (2, 1, 1)
    assert [call["keys"] for call in mixed["timeline"]] == [1]
    assert (cached["keys"], cached["cached"], cached["calls"]) == (2, 2, 0)
    assert cached["timeline"] == []
    assert "startMs" not in cached


async def test_coalesced_keys_are_counted_with_the_call_of_the_other_request(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    asked, go = asyncio.Event(), asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        asked.set()
        await go.wait()

    services.before = wait
    async with open_gateway(traced()) as gateway, asyncio.TaskGroup() as group:
        first = group.create_task(report_of(gateway, 1, 2))
        await asked.wait()
        second = group.create_task(report_of(gateway, 1))
        for _ in range(20):
            await asyncio.sleep(0)
        go.set()

    assert services.calls["billing"] == 1
    assert (first.result()["calls"], "coalesced" in first.result()) == (1, False)
    assert (second.result()["calls"], second.result()["coalesced"]) == (0, 1)
    for one in (first, second):
        [call] = one.result()["timeline"]
        assert call["keys"] == 2
        assert [step["kind"] for step in call["steps"]] == ["attempt"]


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("`request`", RequestReport),
        ("`sources`, by name", SourceReport),
        ("`timeline`, for each call", CallReport),
        ("`steps`", StepReport),
    ],
)
def test_the_page_documents_each_member_of_the_report(title: str, model: type[Any]) -> None:
    section = PAGE.read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]

    names = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)

    assert names == [info.alias for info in model.model_fields.values()]


def test_the_page_documents_each_kind_of_step() -> None:
    row = re.search(r"^\| `kind` \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)

    assert row is not None
    assert re.findall(r"`(\w+)`:", row[1]) == [kind.value for kind in StepKind]
