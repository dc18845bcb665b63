"""Tables for the terminal and for Markdown."""

import pytest

from benchmarks.measure import Sample
from benchmarks.run import Omission
from benchmarks.table import NOTHING, Table, details, figure, notes, overview, standing
from benchmarks.workloads import W1, W3, W3_DOWN
from tests.benchmarks.figures import OURS, REFERENCE, run, sample


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0.00"), (0.0712, "0.07"), (1.256, "1.26"), (12.34, "12.3"), (417.4, "417")],
)
def test_a_figure_is_written_with_its_significant_digits(value: float, written: str) -> None:
    assert figure(value) == written


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    table = Table(("peer", "ms"), (("a", "1.00"), ("longer", "12.3")))

    assert table.text().splitlines() == ["peer      ms", "a       1.00", "longer  12.3"]


def test_figures_in_markdown_are_aligned_to_the_right() -> None:
    table = Table(("peer", "ms"), (("a", "1.00"),))

    assert table.markdown().splitlines() == ["| peer | ms |", "| --- | ---: |", "| a | 1.00 |"]


def test_the_table_of_a_workload_has_every_figure_of_every_peer() -> None:
    found = details(run(sample(cpu_ms=0.5), sample(REFERENCE, cpu_ms=0.25)), W1)

    ours = dict(zip(found.header, found.rows[0], strict=True))
    assert [row[0] for row in found.rows] == [OURS, REFERENCE]
    assert (ours["CPU ms"], ours["ratio"]) == ("0.50", "2.00")
    assert ours["calls p/b/a"] == "0.10/0.20/0.30"
    assert (ours["req/s"], ours["p50 ms"], ours["p99 ms"]) == ("2000", "16.0", "25.0")
    assert ours["peak MB"] == "80"


def test_an_outage_workload_is_compared_with_the_workload_without_outage() -> None:
    found = details(
        run(sample(workload="W3", cpu_ms=2.0), sample(workload="W3-down", cpu_ms=3.0)), W3_DOWN
    )

    assert (
        dict(zip(found.header, found.rows[0], strict=True))["\N{MULTIPLICATION SIGN} W3"] == "1.50"
    )


def test_the_overview_has_a_column_per_workload_and_a_dash_if_missing() -> None:
    found = overview(
        run(sample(cpu_ms=0.5), sample(workload="W3"), sample(REFERENCE, cpu_ms=0.5)), (W1, W3)
    )

    assert [name.partition(":")[0] for name in found.header[1:]] == ["W1", "W3"]
    assert found.rows == (
        ("**user-gateway**", "0.50 (1.00)", "1.00"),
        ("Starlette & aiohttp by hand", "0.50 (1.00)", NOTHING),
    )


def test_notes_list_omitted_peers_and_disturbances() -> None:
    found = notes(
        run(sample(other_cores=1.5), omissions=(Omission("hive", None, "there is no Node.js"),))
    )

    assert found[0] == "hive: not measured, since there is no Node.js"
    assert found[1].startswith("other programs kept the machine busy")


def bars_of(*samples: Sample) -> dict[str, str]:
    """Return the only row of the table of bars."""
    found = standing(run(*samples))
    [row] = found.rows
    return dict(zip(found.header, row, strict=True))


@pytest.mark.parametrize(
    ("cpu_ms", "reached"),
    [(0.8, "goal"), (0.81, "first bar"), (1.2, "first bar"), (1.21, "**missed**")],
)
def test_the_table_of_bars_has_the_bar_that_was_reached(cpu_ms: float, reached: str) -> None:
    row = bars_of(sample(workload="W6", cpu_ms=cpu_ms), sample(REFERENCE, "W6", cpu_ms=1.0))

    assert (row["first bar"], row["goal"], row["reached"]) == ("1.2", "0.8", reached)
    assert row["ratio"] == f"{cpu_ms:.2f}"


def test_a_bar_relative_to_the_base_workload_can_be_missed() -> None:
    found = standing(
        run(
            sample(workload="W3", cpu_ms=1.0),
            sample(workload="W3-down", cpu_ms=1.1),
            sample(REFERENCE, "W3-down", cpu_ms=2.0),
        )
    )

    down = dict(zip(found.header, found.rows[1], strict=True))
    assert down["ratio"] == "0.55"
    assert down["over its own W3"] == "1.10 (at most 1)"
    assert down["reached"] == "**missed**"


def test_a_workload_without_bar_or_reference_has_no_verdict() -> None:
    assert bars_of(sample(workload="W10"))["reached"] == NOTHING
    assert bars_of(sample(workload="W6"))["reached"] == NOTHING
