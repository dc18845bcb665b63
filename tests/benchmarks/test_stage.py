"""The gateway on the benchmark stage: sources in nginx, load by wrk, for a few seconds."""

import os
from collections.abc import Generator
from typing import Final

import pytest

from benchmarks.check import check
from benchmarks.conversation import ask
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load
from benchmarks.ours import ours
from benchmarks.stage import Stage, StageOptions, Standing, open_stage
from benchmarks.tools import find_tools
from benchmarks.users import Ids, user_id
from benchmarks.workloads import USUAL, W11, UpstreamDoor

PORT_BASE: Final = 10_000 + 200 * (os.getpid() % 100)
"""Ports that two test processes do not share, below those that the system gives to clients."""


@pytest.fixture
def stage() -> Generator[Stage]:
    """Start the upstream."""
    try:
        tools = find_tools()
    except BenchmarkError as error:
        pytest.skip(str(error).partition("\n")[0])
    with open_stage(tools, StageOptions(port_base=PORT_BASE)) as found:
        yield found


@pytest.mark.timeout(300)
def test_our_responses_to_each_usual_workload_equal_the_upstream_data(stage: Stage) -> None:
    standing: dict[UpstreamDoor, Standing] = {}
    for workload in USUAL:
        one = standing.get(workload.door)
        if one is None:
            one = standing[workload.door] = stage.put_up(ours(), workload.door)

        verdict = check(one, workload, stage.truth, Ids.RANDOM, questions=4)
        answers = stage.press(one, workload, Load(connections=2, seconds=1), offset=0)

        assert not verdict.wrong
        assert answers.requests > 0


@pytest.mark.timeout(120)
def test_cached_users_need_no_upstream_call(stage: Stage) -> None:
    one = stage.put_up(ours(), W11.door)
    users = [user_id(number) for number in range(1, 51)]

    ask(one.peer, one.port, W11, users)
    calls = stage.upstream.counts()
    again = ask(one.peer, one.port, W11, users)

    assert again.status == 200
    assert calls.total > 0
    assert stage.upstream.counts() == calls
