"""The output of wrk, and the files of its requests."""

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import RequestFiles, read_answers
from benchmarks.users import Ids
from benchmarks.workloads import W1, Dialect, of_users

OUTPUT = """Running 1s test
JSON {"requests":10,"duration_us":2000000,"bytes":400,"p50_us":1500,"p90_us":1600,"p99_us":1700,\
"max_us":1800,"errors":1,"failed":2}
"""


def test_the_figures_of_wrk_are_read() -> None:
    answers = read_answers(OUTPUT, cpu_seconds=0.5)

    assert (answers.requests, answers.seconds, answers.size) == (10, 2.0, 40.0)
    assert (answers.p50_ms, answers.p90_ms, answers.p99_ms, answers.max_ms) == (1.5, 1.6, 1.7, 1.8)
    assert (answers.errors, answers.failed, answers.cpu_seconds) == (1, 2, 0.5)


def test_an_error_message_of_wrk_is_reported() -> None:
    with pytest.raises(BenchmarkError, match="unable to connect"):
        read_answers("unable to connect to 127.0.0.1:1 Connection refused\n", 0.0)


def test_a_request_file_has_one_request_per_line_and_is_written_once(tmp_path: Path) -> None:
    files = RequestFiles(tmp_path, Ids.RANDOM)

    file = files.of(W1, Dialect.REST)

    lines = file.path.read_text().splitlines()
    assert len(lines) == len(file.asked) == 2000
    assert all(line.startswith("/user/") for line in lines)
    file.path.unlink()
    assert files.of(W1, Dialect.REST) == file
    assert not file.path.exists()


def test_a_file_of_long_requests_has_fewer_requests(tmp_path: Path) -> None:
    file = RequestFiles(tmp_path, Ids.RANDOM).of(of_users(500), Dialect.REST)

    assert len(file.path.read_text().splitlines()) == 40
