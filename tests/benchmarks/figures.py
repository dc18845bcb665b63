"""Made-up runs and samples."""

from benchmarks.machine import Machine
from benchmarks.measure import Sample
from benchmarks.run import Omission, Part, Run
from benchmarks.upstream import UpstreamCounts

OURS, REFERENCE = "user-gateway", "rest-aiohttp"
MACHINE = Machine(cpus=2, cpu="A CPU", memory_gb=8, kernel="6.1", python="3.11.7", node="v24.19.0")


def sample(
    peer: str = OURS,
    workload: str = "W1",
    round_number: int = 0,
    cpu_ms: float = 1.0,
    *,
    other_cores: float = 0.0,
) -> Sample:
    """Make up a sample."""
    return Sample(
        peer=peer,
        workload=workload,
        round=round_number,
        connections=32,
        requests=1000,
        requests_per_second=1000 / cpu_ms,
        cpu_ms=cpu_ms,
        p50_ms=32 * cpu_ms,
        p90_ms=40 * cpu_ms,
        p99_ms=50 * cpu_ms,
        max_ms=99 * cpu_ms,
        peak_mb=80.0,
        calls=UpstreamCounts(profile=0.1, billing=0.2, activity=0.3),
        size=400.0,
        peer_cores=1.0,
        upstream_cores=0.1,
        load_cores=0.1,
        other_cores=other_cores,
        stolen_cores=0.0,
    )


def run(*samples: Sample, omissions: tuple[Omission, ...] = ()) -> Run:
    """Make up a run of our gateway and the reference."""
    return Run(
        date="2026-01-31",
        commit="abc1234",
        machine=MACHINE,
        connections=32,
        seconds=3,
        rounds=len({one.round for one in samples}),
        pinned=False,
        reference=REFERENCE,
        parts=(
            Part(OURS, "user-gateway", ()),
            Part(REFERENCE, "Starlette & aiohttp by hand", ("starlette 1.10.0",)),
        ),
        omissions=omissions,
        samples=samples,
    )
