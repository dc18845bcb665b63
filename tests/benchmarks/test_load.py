"""What wrk tells, and what it is told."""

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import RequestFiles, read_answers
from benchmarks.users import Ids
from benchmarks.workloads import W1, Dialect, of_users

SAID = """Running 1s test
JSON {"requests":10,"duration_us":2000000,"bytes":400,"p50_us":1500,"p90_us":1600,"p99_us":1700,\
"max_us":1800,"errors":1,"failed":2}
"""


def test_what_wrk_tells_is_read() -> None:
    answers = read_answers(SAID, cpu_seconds=0.5)

    assert (answers.requests, answers.seconds, answers.size) == (10, 2.0, 40.0)
    assert (answers.p50_ms, answers.p90_ms, answers.p99_ms, answers.max_ms) == (1.5, 1.6, 1.7, 1.8)
    assert (answers.errors, answers.failed, answers.cpu_seconds) == (1, 2, 0.5)


def test_what_else_it_says_is_passed_on() -> None:
    with pytest.raises(BenchmarkError, match="unable to connect"):
        read_answers("unable to connect to 127.0.0.1:1 Connection refused\n", 0.0)


def test_a_file_has_a_request_a_line_and_is_written_once(tmp_path: Path) -> None:
    files = RequestFiles(tmp_path, Ids.RANDOM)

    file = files.of(W1, Dialect.REST)

    lines = file.path.read_text().splitlines()
    assert len(lines) == len(file.asked) == 2000
    assert all(line.startswith("/user/") for line in lines)
    file.path.unlink()
    assert files.of(W1, Dialect.REST) == file
    assert not file.path.exists()


def test_long_requests_are_fewer(tmp_path: Path) -> None:
    file = RequestFiles(tmp_path, Ids.RANDOM).of(of_users(500), Dialect.REST)

    assert len(file.path.read_text().splitlines()) == 40
