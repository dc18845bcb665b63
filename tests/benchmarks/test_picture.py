"""The picture of a run."""

import re
from xml.etree import ElementTree as ET

from benchmarks.picture import picture
from benchmarks.run import Run
from benchmarks.table import NOTHING
from tests.benchmarks.figures import REFERENCE, run, sample


def drawn(found: Run) -> tuple[list[str], list[float]]:
    """Return the texts in the picture of a run, and the lengths of its bars."""
    root = ET.fromstring(picture(found).svg())  # noqa: S314 # our own
    texts = [one.text or "" for one in root.iterfind(".//{*}text")]
    lengths = [
        float(one.attrib["width"])
        for one in root.iterfind(".//{*}rect")
        if one.attrib["class"] in ("bar", "ours")
    ]
    return texts, lengths


def test_the_length_of_a_bar_is_proportional_to_the_cost() -> None:
    _, lengths = drawn(run(sample(cpu_ms=0.5), sample(REFERENCE, cpu_ms=0.25)))

    assert lengths[0] == 2 * lengths[1]


def test_a_bar_much_longer_than_the_reference_is_cut_and_marked() -> None:
    texts, lengths = drawn(run(sample(cpu_ms=50.0), sample(REFERENCE, cpu_ms=0.25)))

    assert lengths[0] == 4 * lengths[1]
    assert "» 50.0" in texts


def test_a_run_without_the_reference_has_a_bar_but_no_ratio() -> None:
    texts, lengths = drawn(run(sample(cpu_ms=2.0)))

    assert len(lengths) == 1
    assert NOTHING in texts


def test_the_picture_has_dark_colours_all_peers_and_no_links() -> None:
    svg = picture(run(sample(), sample(REFERENCE))).svg()

    assert "prefers-color-scheme: dark" in svg
    assert "Starlette &amp; aiohttp by hand" in svg
    assert not re.search(r"(href|src)=", svg)
