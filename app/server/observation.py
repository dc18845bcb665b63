"""What metrics read of the endpoint and the process whenever a snapshot is taken."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from app.observability import metric_list
from app.observability.metrics import Metrics, Observation
from app.observability.telemetry import Telemetry
from app.server.rate_limit import Admission
from app.settings.fastpath import FastpathSettings

_STATM = Path("/proc/self/statm")


@asynccontextmanager
async def observed_server(
    telemetry: Telemetry, admission: Admission, fastpath: FastpathSettings
) -> AsyncGenerator[None]:
    """Let metrics read how many operations run, and which fast paths are in use.

    Args:
        telemetry: Has the metrics.
        admission: Counts the operations.
        fastpath: The fast paths.

    Yields:
        Nothing. Metrics read it meanwhile.
    """
    names = FastpathSettings.model_fields.keys() - {"enabled"}
    uses = [(name, fastpath.uses(name)) for name in sorted(names)]
    with telemetry.metrics.registry.observing() as metrics:
        metrics.observe(metric_list.GRAPHQL_ACTIVE, lambda: [((), admission.running)])
        metrics.observe(metric_list.FASTPATHS, lambda: [((name,), float(on)) for name, on in uses])
        yield


def observe_process(metrics: Metrics) -> None:
    """Let metrics read the CPU time and the memory of the process.

    Args:
        metrics: The metrics.
    """
    metrics.observe(metric_list.CPU_TIME, _cpu_time)
    metrics.observe(metric_list.MEMORY_USAGE, _memory)
    metrics.observe(metric_list.WORKERS, lambda: [((), 1)])


def _cpu_time() -> Sequence[Observation]:
    """Return the CPU seconds of the process."""
    times = os.times()
    return [(("user",), times.user), (("system",), times.system)]


def _memory() -> Sequence[Observation]:
    """Return the resident bytes of the process; nothing where the system does not say."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return []
    return [((), float(pages * os.sysconf("SC_PAGE_SIZE")))]
