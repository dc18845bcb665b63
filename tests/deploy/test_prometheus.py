"""A real Prometheus scrapes a gateway under load while a source breaks and a process dies.

The alerts are those of ``deploy/prometheus/alerts.yml`` with periods that are thirty times shorter.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.deploy.files import dashboard, filled_in
from tests.deploy.promtool import prometheus_program
from tests.deploy.stage import StagedPrometheus, gateway_over_demo, prometheus_of

LOOKS, PAUSE = 150, 0.2
"""How often we look at what Prometheus knows, and the seconds between two looks."""

EXPECTED = {
    ("GatewayPartialAnswers", "page", "billing"),
    ("GatewayPartialAnswers", "ticket", "billing"),
    ("GatewayCircuitOpen", "ticket", "billing"),
    ("GatewayWorkersDying", "ticket", ""),
}
"""The alerts that should fire: name, severity and source."""

OF_THE_MACHINE = {"GatewayWorkersDying", "GatewayEventLoopLag", "GatewayHanging"}
"""The alerts that a slow machine may cause. A process that starts slowly is taken to hang."""


async def left_of(look: Callable[[], Awaitable[set[str]]]) -> set[str]:
    """Look again and again until nothing is missing.

    Args:
        look: Returns what is missing.

    Returns:
        What is still missing in the end.
    """
    missing = await look()
    for _ in range(LOOKS):
        if not missing:
            break
        await asyncio.sleep(PAUSE)
        missing = await look()
    return missing


async def unrest_in(prometheus: StagedPrometheus) -> set[str]:
    """List the alerts that are there although nothing is broken."""
    if not await prometheus.has_data("gateway:slow_requests:burn_rate1h"):
        return {"there are no burn rates yet"}
    return {one.name for one in await prometheus.alerts()} - OF_THE_MACHINE


async def firing_in(prometheus: StagedPrometheus) -> set[tuple[str, str, str]]:
    """List the alerts that fire, without their texts."""
    return {
        (one.name, one.labels["severity"], one.labels.get("gateway_source", ""))
        for one in await prometheus.alerts()
        if one.state == "firing"
    }


async def empty_panels(prometheus: StagedPrometheus) -> set[str]:
    """List the panels with a query that returns nothing."""
    return {
        f"{panel.title}: {query.expr}"
        for panel in dashboard().charts
        for query in panel.targets
        if not await prometheus.has_data(filled_in(query.expr, "10s"))
    }


@pytest.mark.timeout(120)
async def test_alerts_fire_when_a_source_breaks_and_each_panel_has_data(tmp_path: Path) -> None:
    prometheus_program("prometheus")
    async with (
        gateway_over_demo(tmp_path) as gateway,
        prometheus_of(gateway, tmp_path) as prometheus,
        asyncio.TaskGroup() as tasks,
    ):
        load = tasks.create_task(gateway.ask())
        assert await left_of(lambda: unrest_in(prometheus)) == set()

        gateway.billing.is_broken = True
        os.kill(gateway.processes[0], signal.SIGKILL)
        fired = set[tuple[str, str, str]]()

        async def silent() -> set[str]:
            fired.update(await firing_in(prometheus))
            return {name for name, _, _ in EXPECTED - fired}

        assert await left_of(silent) == set()
        assert {source for _, _, source in fired} == {"billing", ""}
        assert await left_of(lambda: empty_panels(prometheus)) == set()
        load.cancel()
