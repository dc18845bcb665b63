"""One measurement: so many seconds of load on one peer."""

import time
from dataclasses import dataclass

from benchmarks.load import Load
from benchmarks.machine import work_so_far
from benchmarks.stage import Stage, Standing
from benchmarks.upstream import UpstreamCounts
from benchmarks.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was measured. Everything that is per request counts those under way at the end too.

    Attributes:
        peer: Who was measured.
        workload: What was asked.
        round: In which round, from 0.
        connections: How many requests were under way at a time.
        requests: How many answers came.
        requests_per_second: How many came in a second.
        cpu_ms: Milliseconds of CPU that all processes of the peer worked per request.
        p50_ms: Half of the answers took no longer than this.
        p90_ms: So did 90 of 100.
        p99_ms: So did 99 of 100.
        max_ms: So did all.
        peak_mb: Most memory meanwhile.
        calls: Calls to each source per request.
        size: Bytes of an answer with its headers.
        peer_cores: How many CPUs the peer kept busy.
        upstream_cores: How many the upstream did.
        load_cores: How many wrk did.
        other_cores: How many everything else on the machine did.
        stolen_cores: How many were taken by others who share the hardware.
    """

    peer: str
    workload: str
    round: int
    connections: int
    requests: int
    requests_per_second: float
    cpu_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    peak_mb: float
    calls: UpstreamCounts
    size: float
    peer_cores: float
    upstream_cores: float
    load_cores: float
    other_cores: float
    stolen_cores: float


def measure(
    stage: Stage,
    standing: Standing,
    workload: Workload,
    load: Load,
    *,
    warmup: int,
    round_number: int,
) -> Sample:
    """Put load on a peer and see what it uses.

    Args:
        stage: Has the upstream and the requests.
        standing: The peer.
        workload: What is asked.
        load: How much.
        warmup: Seconds of load before; 0 for none.
        round_number: Which round it is; each begins with another request.

    Raises:
        BenchmarkError: An answer is not what the upstream holds, or does not come.
    """
    process, upstream = standing.process, stage.upstream
    offset = round_number * 331
    if warmup:
        stage.press(standing, workload, Load(load.connections, warmup), offset)
        process.settle()
    process.forget_log()
    process.forget_peak()
    work, calls = work_so_far(), upstream.counts()
    own, theirs, start = process.cpu_seconds(), upstream.process.cpu_seconds(), time.monotonic()
    answers = stage.press(standing, workload, load, offset + 1000)
    process.settle()
    seconds = time.monotonic() - start
    own = process.cpu_seconds() - own
    theirs = upstream.process.cpu_seconds() - theirs
    done = work_so_far()
    # When wrk stops, each connection has a request under way, which it does not count; the peer
    # answers those too, and its work until it is idle again is counted.
    total = answers.requests + load.connections
    return Sample(
        peer=standing.peer.name,
        workload=workload.name,
        round=round_number,
        connections=load.connections,
        requests=answers.requests,
        requests_per_second=answers.requests / answers.seconds,
        cpu_ms=1000 * own / total,
        p50_ms=answers.p50_ms,
        p90_ms=answers.p90_ms,
        p99_ms=answers.p99_ms,
        max_ms=answers.max_ms,
        peak_mb=process.peak_mb(),
        calls=upstream.counts().since(calls, total),
        size=answers.size,
        peer_cores=own / seconds,
        upstream_cores=theirs / seconds,
        load_cores=answers.cpu_seconds / seconds,
        other_cores=max(0.0, done.busy - work.busy - own - theirs - answers.cpu_seconds) / seconds,
        stolen_cores=(done.stolen - work.stolen) / seconds,
    )
