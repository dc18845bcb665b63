"""Load, by wrk: a closed loop of so many connections, each with one request at a time."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.answers import AnswerBook
from benchmarks.client import HOST, number
from benchmarks.errors import BenchmarkError
from benchmarks.peer import Peer
from benchmarks.places import HERE
from benchmarks.users import Ids
from benchmarks.workloads import Dialect, Workload, request, some_ids

_SCRIPT: Final = HERE / "wrk" / "requests.lua"
_MOST_REQUESTS: Final = 2000
_MOST_USERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Load:
    """How much load.

    Attributes:
        connections: How many requests are under way at a time.
        seconds: For how long.
    """

    connections: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back. Times are from the request to the whole answer.

    Attributes:
        requests: How many answers came.
        seconds: In which time.
        size: Bytes of an answer with its headers, on average.
        p50_ms: Half of them took no longer than this.
        p90_ms: So did 90 of 100.
        p99_ms: So did 99 of 100.
        max_ms: So did all.
        errors: How many did not come; of a soak, also those with another status than 200.
        failed: How many were not right; of a soak, those that said that something failed.
        cpu_seconds: What wrk itself worked for it.
    """

    requests: int
    seconds: float
    size: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    failed: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A file of requests.

    Attributes:
        path: The file; a request is a line.
        asked: The users of each.
    """

    path: Path
    asked: tuple[tuple[str, ...], ...]


class RequestFiles:
    """Files of requests, each written once: the same users for all peers."""

    def __init__(self, folder: Path, ids: Ids) -> None:
        self._folder = folder
        self._ids = ids
        self._files: dict[tuple[Workload, Dialect], RequestFile] = {}

    def of(self, workload: Workload, dialect: Dialect) -> RequestFile:
        """Tell in which file the requests of a workload are."""
        found = self._files.get((workload, dialect))
        if found is None:
            found = self._files[workload, dialect] = self._write(workload, dialect)
        return found

    def _write(self, workload: Workload, dialect: Dialect) -> RequestFile:
        """Write the file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{workload.name}-{dialect}-{self._ids}.txt"
        chance = Random(42)
        count = min(_MOST_REQUESTS, _MOST_USERS // workload.users)
        asked = tuple(tuple(some_ids(workload, chance, self._ids)) for _ in range(count))
        lines = (request(workload, dialect, users) + "\n" for users in asked)
        file.write_text("".join(lines), encoding="ascii")
        return RequestFile(file, asked)


def press(
    wrk: str,
    peer: Peer,
    port: int,
    workload: Workload,
    load: Load,
    *,
    requests: Path,
    book: AnswerBook,
    offset: int = 0,
    cpu: int | None = None,
) -> Answers:
    """Send requests to a peer, as fast as it answers, and compare each answer.

    Args:
        wrk: Path of wrk.
        peer: Who is asked.
        port: Where it listens.
        workload: What is asked.
        load: How much.
        requests: The file of its requests.
        book: What it may answer. Learns what else is right.
        offset: With which request to begin.
        cpu: The one CPU that wrk may use, if not all.

    Raises:
        BenchmarkError: wrk does not work, or an answer is not right.
    """
    kind = "rest" if peer.dialect is Dialect.REST else "graphql"
    told = (str(requests), kind, workload.media_type, str(offset), str(book.known), str(book.aside))
    answers = run_wrk(wrk, _SCRIPT, f"http://{HOST}:{port}{peer.path}", load, told, cpu=cpu)
    complaints = book.learn()
    if not answers.requests:
        raise BenchmarkError(f"no answer came within {load.seconds} s")
    wrong = answers.failed + answers.errors + len(complaints)
    if wrong:
        reason = complaints[0] if complaints else "another status, no answer, or not what was asked"
        raise BenchmarkError(f"{wrong} of {answers.requests} answers are not right: {reason}")
    return answers


def run_wrk(
    wrk: str,
    script: Path,
    url: str,
    load: Load,
    arguments: tuple[str, ...],
    *,
    cpu: int | None = None,
) -> Answers:
    """Run wrk with one of our scripts.

    Args:
        wrk: Path of wrk.
        script: The script. When done, it writes a line ``JSON`` with an object.
        url: Whom to ask.
        load: How much.
        arguments: What the script is told.
        cpu: The one CPU that wrk may use, if not all.

    Raises:
        BenchmarkError: wrk does not work.
    """
    amount = ("-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "10s")
    pinned = () if cpu is None else ("taskset", "-c", str(cpu))
    popen = subprocess.Popen(
        [*pinned, wrk, *amount, "-s", str(script), url, "--", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with popen:
        output = popen.stdout.read() if popen.stdout else b""
        _, status, usage = os.wait4(popen.pid, 0)  # rather than wait: it tells what wrk used
        popen.returncode = os.waitstatus_to_exitcode(status)
    return read_answers(output.decode("utf-8", "replace"), usage.ru_utime + usage.ru_stime)


def read_answers(output: str, cpu_seconds: float) -> Answers:
    """Read what one of our scripts has written.

    Raises:
        BenchmarkError: It is not there.
    """
    found = re.search(r"^JSON (.*)$", output, flags=re.MULTILINE)
    if found is None:
        raise BenchmarkError(f"wrk said: {output.strip()[-500:]}")
    told = json.loads(found[1])
    requests = int(number(told, "requests"))
    return Answers(
        requests=requests,
        seconds=number(told, "duration_us") / 1e6,
        size=number(told, "bytes") / max(1, requests),
        p50_ms=number(told, "p50_us") / 1e3,
        p90_ms=number(told, "p90_us") / 1e3,
        p99_ms=number(told, "p99_us") / 1e3,
        max_ms=number(told, "max_us") / 1e3,
        errors=int(number(told, "errors")),
        failed=int(number(told, "failed")),
        cpu_seconds=cpu_seconds,
    )
