"""Each response under load is compared, by wrk's script where wrk is installed."""

import json
import shutil
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.answers import AnswerBook
from benchmarks.client import Json
from benchmarks.errors import BenchmarkError
from benchmarks.load import Answers, Load, press
from benchmarks.peer import Command, Kit, Peer
from benchmarks.truth import Truth
from benchmarks.workloads import Dialect, Workload, request

REQUESTED = (("a", "b"), ("b", "c"), ("a", "c"))
PAIRS = Workload(name="pairs", title="two users", users=2, sources=("profile",))
ROWS: dict[str, dict[str, Json]] = {one: {"username": f"user-{one}"} for one in "abc"}
TRUTH = Truth(rows={"profile": ROWS}, invoices=dict.fromkeys("abc", ()))


def body_of(users: Sequence[str]) -> bytes:
    """Write the correct response to a request about these users."""
    found = [{"id": one, **ROWS[one]} for one in users]
    return json.dumps({"data": {"users": found}}).encode()


def book_in(folder: Path) -> AnswerBook:
    """Make an answer book without known responses."""
    return AnswerBook(folder, PAIRS, Dialect.FLAT, REQUESTED, TRUTH)


def put_aside(book: AnswerBook, *bodies: bytes) -> None:
    """Store responses that are not known, as wrk does."""
    book.aside.write_bytes(b"".join(b"%d\n%b\n" % (len(one), one) for one in bodies))


def test_a_correct_response_is_stored_with_the_line_of_its_request(tmp_path: Path) -> None:
    book, body = book_in(tmp_path), body_of(("b", "c"))
    put_aside(book, body)

    assert book.learn() == []
    assert book.known.read_bytes() == b"2 %d\n%b\n" % (len(body), body)


def test_known_responses_stay_when_others_are_added(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    for users in REQUESTED:
        put_aside(book, body_of(users))
        book.learn()

    assert book.known.read_bytes().count(b'{"data"') == 3


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"data": {"users": [{"id": "a", "username": "x"}, {"id": "b"}]}}', "username is 'x'"),
        (b'{"data": null, "errors": [{"message": "too many requests"}]}', "errors"),
        (b'{"data": {"users": [{"id": "c"}, {"id": "c"}]}}', "id is 'c' rather than 'a'"),
        (b"busy", "no data at all"),
    ],
)
def test_a_wrong_response_is_reported_and_stays_unknown(
    tmp_path: Path, body: bytes, problem: str
) -> None:
    book = book_in(tmp_path)
    put_aside(book, body)

    [found] = book.learn()

    assert found.startswith(problem)
    assert book.known.read_bytes() == b""


@contextmanager
def serving(respond: Callable[[Sequence[str]], tuple[int, bytes]]) -> Generator[int]:
    """Serve responses to requests about users; the context gives the port."""

    class ResponseHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = respond(posted["variables"]["ids"])
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), ResponseHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put_load_on(port: int, folder: Path, times: int = 1) -> Answers:
    """Put a second of load on a port, some times, and return the last counts."""
    peer = Peer(
        name="peer", title="", kit=Kit.OURS, packages=(), command=lambda _: Command((), folder)
    )
    file = folder / "requests"
    lines = [request(PAIRS, Dialect.FLAT, users) for users in REQUESTED]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    book = book_in(folder)
    found = [
        press("wrk", peer, port, PAIRS, Load(2, 1), requests=file, book=book) for _ in range(times)
    ]
    return found[-1]


needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@needs_wrk
def test_correct_responses_pass_before_and_after_they_are_known(tmp_path: Path) -> None:
    with serving(lambda users: (200, body_of(users))) as port:
        found = put_load_on(port, tmp_path, times=2)

    assert found.requests > 0
    assert (found.failed, found.errors) == (0, 0)
    assert (tmp_path / "aside").read_bytes() == b""


@needs_wrk
def test_a_correct_response_to_another_request_is_wrong(tmp_path: Path) -> None:
    with (
        serving(lambda _: (200, body_of(REQUESTED[0]))) as port,
        pytest.raises(BenchmarkError, match="not what was asked"),
    ):
        put_load_on(port, tmp_path, times=2)


@needs_wrk
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b'{"errors": [{"message": "slow down"}]}', "errors"),
        (429, b'{"errors": [{"message": "slow down"}]}', "another status"),
        (503, body_of(REQUESTED[0]), "another status"),
        (200, b'{"data": {"users": []}}', "no data at all"),
    ],
)
def test_a_refused_request_is_reported_as_a_wrong_response(
    tmp_path: Path, status: int, body: bytes, reason: str
) -> None:
    with (
        serving(lambda _: (status, body)) as port,
        pytest.raises(BenchmarkError, match=f"answers are not right: {reason}"),
    ):
        put_load_on(port, tmp_path)
