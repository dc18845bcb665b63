"""The block of benchmark results in a README."""

from pathlib import Path

import pytest

from benchmarks.catalog import catalog
from benchmarks.errors import BenchmarkError
from benchmarks.kits import versions
from benchmarks.places import HERE
from benchmarks.readme import long_form, short_form, update, with_block
from benchmarks.tools import Tools
from tests.benchmarks.figures import REFERENCE, run, sample

RUN = run(sample(cpu_ms=0.5), sample(REFERENCE, cpu_ms=0.25))
NO_NODE = Tools(nginx="nginx", wrk="wrk", node=None)


def test_only_the_text_between_the_markers_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")

    update(readme, short_form(RUN))

    text = readme.read_text()
    assert text.startswith("before\n<!-- benchmarks -->\n![")
    assert text.endswith("\n<!-- /benchmarks -->\nafter\n")
    assert "old" not in text


def test_a_second_update_changes_nothing() -> None:
    once = with_block("<!-- benchmarks --><!-- /benchmarks -->", short_form(RUN))

    assert with_block(once, short_form(RUN)) == once


@pytest.mark.parametrize("times", [0, 2])
def test_a_readme_without_exactly_one_block_is_refused(times: int) -> None:
    with pytest.raises(BenchmarkError, match="one place"):
        with_block("<!-- benchmarks -->\n<!-- /benchmarks -->\n" * times, "new")


def test_the_short_form_has_the_conditions_of_the_run() -> None:
    text = short_form(RUN)

    assert "1 interleaved rounds of 3 s, 32 connections" in text
    assert "Python 3.11.7, Node.js 24.19.0" in text


def test_the_long_form_has_the_range_of_each_ratio_and_no_empty_row() -> None:
    found = long_form(
        run(
            *(sample(cpu_ms=cost, round_number=n) for n, cost in enumerate((0.5, 0.6))),
            *(sample(REFERENCE, cpu_ms=0.25, round_number=n) for n in range(2)),
            sample(workload="W6", cpu_ms=0.5),
        )
    )

    assert "| **user-gateway** | 2.20 (2.00…2.40) |" in found
    assert "| **user-gateway** | 0.55 (2.20) |" in found
    assert found.count("Starlette & aiohttp by hand") == 2


def test_the_readme_of_the_benchmarks_names_the_locked_versions() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")

    for peer in catalog(NO_NODE):
        locked = versions(peer.kit)
        for package in peer.packages:
            assert f"{package} {locked[package]}" in text
        assert f"`{peer.name.removesuffix('-tuned')}`" in text
