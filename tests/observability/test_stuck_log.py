"""A full, closed or unread log does not break or delay responses. The tests run real processes."""

import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.demo_data import demo_data
from tests.examples.serving import WAIT, clean_environment, free_port

ROOT = Path(__file__).parents[2]
SETTINGS = {
    **{
        f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
        for name in ("PROFILE", "BILLING", "ACTIVITY")
    },
    "GATEWAY_AUTH__MODE": "none",
    "GATEWAY_LOG__LEVEL": "debug",
    "GATEWAY_LIMITS__RATE__ENABLED": "false",
    "PYTHONPATH": str(ROOT),
}
"""Sources that are down: each response is partial, and each failure is a line of the log."""

USER = "00000000-0000-4000-8000-000000000001"
NAME = "N" + 2_500 * "n"
"""A long operation name, for long lines."""

REQUESTS = 100
"""Requests for 250 KB of log: an unread pipe holds 64 KiB, an unread socket 208 KiB."""

AT_MOST = 3.0
"""Seconds for one response, also on a busy machine. An unread log could block it for ever."""


def body_of(name: str = NAME) -> bytes:
    """Write the body of a request."""
    return orjson.dumps({"query": f'query {name} {{ user(id: "{USER}") {{ displayName plan }} }}'})


@dataclass
class Served:
    """A gateway in its own process.

    Attributes:
        process: The process.
        client: A client of the gateway.
    """

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def query(self, body: bytes = body_of()) -> httpx.Response:
        """Request a user, and check that the response comes in time."""
        started = time.monotonic()
        headers = {"Content-Type": "application/json"}
        response = self.client.post("/graphql", content=body, headers=headers)
        assert time.monotonic() - started < AT_MOST
        return response

    def query_all(self, times: int = REQUESTS) -> None:
        """Request a user many times, and check each response."""
        for _ in range(times):
            response = self.query()
            assert response.status_code == 200
            codes = [error["extensions"]["code"] for error in response.json()["errors"]]
            assert all(code.startswith("SOURCE_") for code in codes)

    def stop(self) -> int:
        """Stop the process, and wait until it has ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)


@contextmanager
def served(
    *command: str,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    closed: str = "",
) -> Generator[Served]:
    """Run the gateway until the end of the context.

    Args:
        command: The command and its options, without the port.
        stdout: The descriptor of its standard output.
        stderr: The descriptor of its log.
        closed: The streams that are closed at its start, in the notation of the shell.
    """
    port = free_port()
    data = ("--data", str(demo_data())) if command[0] == "demo" else ()
    process = subprocess.Popen(  # noqa: S603 # our own program
        [
            *("sh", "-c", f'exec "$@" {closed}', "sh"),
            *(sys.executable, "-m", "app", *command, *data, "--port", str(port)),
        ],
        cwd=ROOT,
        env=clean_environment(SETTINGS),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=5, trust_env=False
        ) as client:
            end = time.monotonic() + WAIT
            while True:
                assert process.poll() is None
                assert time.monotonic() < end
                try:
                    assert client.get("/healthz").status_code == 200
                except httpx.TransportError:
                    time.sleep(0.02)  # the start cannot be read from the log, which is broken here
                else:
                    break
            yield Served(process, client)
    finally:
        process.kill()
        process.wait()


def events(text: bytes) -> Sequence[dict[str, Any]]:
    """Read a log of JSON lines, and check that each line is complete."""
    assert text.endswith(b"\n")
    return [orjson.loads(line) for line in text.splitlines()]


def read_some(end: int, until: Callable[[bytes], bool]) -> bytes:
    """Read a pipe until a condition is true."""
    text = b""
    while not until(text):
        text += os.read(end, 65_536)
    return text


def read_all(end: int) -> bytes:
    """Read a pipe until all its writers are closed."""
    return b"".join(iter(lambda: os.read(end, 65_536), b""))


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    """Give a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):  # the test may have closed it
            os.close(end)


SERVE = ("serve",)
DEMO = ("demo", "--fail", "billing=503")


@pytest.mark.parametrize(
    ("command", "streams"),
    [(SERVE, ("stderr",)), (DEMO, ("stdout", "stderr"))],
)
def test_a_full_disk_does_not_break_responses(
    command: Sequence[str], streams: Sequence[str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        given = {name: full.fileno() for name in streams}
        with served(*command, **given) as gateway:  # type: ignore[arg-type] # only streams
            gateway.query_all()
            gateway.stop()


@pytest.mark.parametrize("command", [SERVE, DEMO])
def test_an_unread_pipe_does_not_break_responses(
    command: Sequence[str], pipe: tuple[int, int]
) -> None:
    with served(*command, stderr=pipe[1]) as gateway:
        gateway.query_all()
        started = time.monotonic()
        gateway.stop()
        assert time.monotonic() - started < 5


def test_a_full_stdout_does_not_stop_the_demo(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4_096)
    os.set_blocking(writer, True)

    with served(*DEMO, stdout=writer) as gateway:
        gateway.query_all(10)
        text = read_some(reader, lambda text: b"Ctrl-C ends everything" in text)
        gateway.stop()

    assert text.count(b"GraphiQL   http") == 1


def test_a_pipe_without_a_reader_does_not_break_responses(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with served("serve", stderr=writer) as gateway:
        os.close(reader)
        gateway.query_all()
        gateway.stop()


@pytest.mark.parametrize(("command", "closed"), [(DEMO, "2>&-"), (SERVE, "<&- >&- 2>&-")])
def test_streams_closed_at_the_start_do_not_break_responses(
    command: Sequence[str], closed: str
) -> None:
    with served(*command, closed=closed) as gateway:
        gateway.query_all(20)
        # Otherwise the first file or connection would get the number of stderr, and its lines.
        descriptors = Path(f"/proc/{gateway.process.pid}/fd")
        for number in ("0", "1", "2"):
            assert (descriptors / number).readlink() == Path(os.devnull)
        gateway.stop()


def test_a_paused_terminal_does_not_break_responses() -> None:
    ours, theirs = pty.openpty()
    try:
        with served("serve", stderr=theirs) as gateway:
            termios.tcflow(theirs, termios.TCOOFF)  # as Ctrl-S does
            gateway.query_all()
            termios.tcflow(theirs, termios.TCOON)
    finally:
        os.close(ours)
        os.close(theirs)


def test_an_unread_socket_does_not_break_responses() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, served("serve", stderr=theirs.fileno()) as gateway:
        gateway.query_all()


def test_dropped_lines_are_logged_when_the_log_is_read_again(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    # Long names make long lines, so that few requests fill the queue of the writer.
    long = [body_of(f"N{number}{'n' * 6_000}") for number in range(300)]
    with served("serve", stderr=writer) as gateway:
        for body in long:
            gateway.query(body)

        text = read_some(reader, lambda text: b'"log.dropped"' in text and text[-1:] == b"\n")
        with ThreadPoolExecutor(1) as thread:
            # Meanwhile: lines that wait at the end, and that nobody reads, are given up.
            rest = thread.submit(read_all, reader)
            gateway.stop()
            os.close(writer)
        text += rest.result()

    found = events(text)
    [gap] = [one for one in found if one["event"] == "log.dropped"]
    assert gap["level"] == "warning"
    assert gap["reason"] == "lines came faster than the log could write them"
    assert gap["seconds"] > 0
    operations = [one for one in found if one["event"] == "graphql.operation"]
    assert gap["lines"] == gap.get("info", 0) + gap.get("debug", 0) + gap.get("warning", 0)
    assert len(operations) < len(long)
    # Every line of an operation is written or counted; lines of other events are dropped too.
    assert len(operations) + gap["lines"] >= len(long)


def test_a_disk_gets_all_lines_when_it_is_no_longer_full(
    tmp_path: Path,
) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log, served("serve", stderr=log.fileno()) as gateway:
        # A limit of the size of files acts like a disk that is full for a while.
        pid, limit = gateway.process.pid, resource.RLIMIT_FSIZE
        before = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (20_000, before[1]))
        gateway.query_all()
        assert file.stat().st_size <= 20_000
        resource.prlimit(pid, limit, before)
        gateway.stop()

    found = events(file.read_bytes())
    names = [one["event"] for one in found]
    assert names.count("graphql.operation") == REQUESTS
    assert names.count("gateway.stopped") == 1
    assert found[-1]["message"] == f"Finished server process [{gateway.process.pid}]"


def test_lines_of_several_workers_are_whole_and_complete(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    text = b""
    with served("serve", "--workers", "2", stderr=writer) as gateway:
        for number in range(REQUESTS):
            body = body_of(f"N{number}{'n' * 7_000}")
            # A new connection for each request, so that both workers get requests.
            with httpx.Client(base_url=gateway.client.base_url, trust_env=False) as client:
                Served(gateway.process, client).query(body)
            if number % 4 == 0:  # the pipe is full nearly all the time
                text += os.read(reader, 3_000)
        # Lines of the other worker may come after the line of the last request.
        while not all(f"N{number}n".encode() in text for number in range(REQUESTS)):
            text += os.read(reader, 65_536)
        while text.count(b"gateway.opened") < 2:  # one worker may have served all requests
            text += os.read(reader, 65_536)
        gateway.stop()
        os.close(writer)
        text += read_all(reader)

    found = events(text)
    assert [one["event"] for one in found].count("gateway.stopped") == 2
    assert len([one for one in found if "Finished" in one.get("message", "")]) == 2
    assert all(len(line) < 4_096 for line in text.splitlines())
    operations = [one for one in found if one["event"] == "graphql.operation"]
    assert len(operations) == REQUESTS
    assert all("characters cut" in one["name"] for one in operations)
