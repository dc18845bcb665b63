"""A short run of the cluster, and what counts as a failure of a longer one."""

import shutil
from pathlib import Path

import pytest

from tests.cluster.journal import ClusterTally, Episode, Journal, cluster_table
from tests.cluster.machines import nginx_configuration
from tests.cluster.run import ClusterWish, run_cluster
from tests.stores import needs_store

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="there is no nginx on the PATH: it is in Debian's nginx"
)


@needs_store
@needs_nginx
async def test_three_gateways_with_one_store_give_no_wrong_and_no_stale_answer(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    wish = ClusterWish(seconds=4, seed=5, readers=4, folder=tmp_path)

    tally = await run_cluster(wish, Journal(said.append))

    found = "\n".join((*said, cluster_table(tally)))
    bad = (tally.wrong, tally.stale, tally.unanswered, tally.tracebacks)
    assert not any(bad), found
    assert tally.requests > 0, found
    assert tally.checked > 0, found
    assert tally.invalidations > 0, found


def test_nginx_knows_all_gateways_and_no_other_name(tmp_path: Path) -> None:
    text = nginx_configuration(["198.18.0.1", "198.18.0.2"], 8080, tmp_path)

    assert text.count("server 198.18.0.") == 2
    assert "gateway-1" not in text
    assert f"client_body_temp_path {tmp_path}/body;" in text


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        ({}, True),
        ({"requests": 0}, False),
        ({"invalidations": 0}, False),
        ({"wrong": ["a"]}, False),
        ({"lost": ["a"]}, False),
        ({"unanswered": ["a"]}, False),
        ({"stale": ["a"]}, False),
        ({"bad_ends": ["a"]}, False),
        ({"tracebacks": ["a"]}, False),
        ({"excused": 1}, True),
        ({"episodes": [Episode(104, 100, was_limited=True, with_store=True)]}, True),
        ({"episodes": [Episode(106, 100, was_limited=True, with_store=True)]}, False),
        ({"episodes": [Episode(94, 100, was_limited=True, with_store=True)]}, False),
        ({"episodes": [Episode(94, 100, was_limited=False, with_store=True)]}, True),
        ({"episodes": [Episode(300, 100, was_limited=True, with_store=False)]}, True),
    ],
)
def test_a_run_is_good_only_if_all_that_it_checks_is(
    changed: dict[str, object],
    good: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    counted = {"requests": 1, "checked": 1, "invalidations": 1, **changed}

    tally = ClusterTally()
    for name, value in counted.items():
        setattr(tally, name, value)

    assert tally.is_good is good
