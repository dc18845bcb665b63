"""Results in files."""

import json
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.run import Omission, Run
from benchmarks.store import load, save
from tests.benchmarks.figures import run, sample

RUN = run(sample(cpu_ms=0.25), sample(workload="W3"), omissions=(Omission("hive", None, "why"),))


def test_a_saved_run_is_loaded_unchanged(tmp_path: Path) -> None:
    save(tmp_path / "new" / "run.json", RUN)

    assert load(tmp_path / "new" / "run.json", Run) == RUN


def test_figures_are_rounded_when_they_are_saved(tmp_path: Path) -> None:
    save(tmp_path / "run.json", run(sample(cpu_ms=0.123456789)))

    assert '"cpu_ms": 0.123457' in (tmp_path / "run.json").read_text()


@pytest.mark.parametrize(
    ("field", "value"),
    [("date", 1), ("samples", {}), ("machine", []), ("rounds", "3"), ("machine", None)],
)
def test_a_file_with_a_field_of_the_wrong_type_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    path = tmp_path / "run.json"
    save(path, RUN)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))

    with pytest.raises(BenchmarkError, match="cannot be read"):
        load(path, Run)


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_file_without_a_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(BenchmarkError, match="cannot be read"):
        load(tmp_path / "run.json", Run)


def test_only_dataclasses_are_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no instance of a dataclass"):
        save(tmp_path / "run.json", [1])
