"""Heads and bodies of answers, sent together: what the kernel is handed, write by write."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.joining import JoiningTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Kernel(asyncio.Transport):
    """Takes note of what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take some bytes."""
        assert not self.closed
        self.taken.append(bytes(data))

    def close(self) -> None:
        """Take no more."""
        self.closed = True

    def is_closing(self) -> bool:
        """Tell whether no more is taken."""
        return self.closed

    def get_write_buffer_size(self) -> int:
        """Tell of nothing that is left."""
        return 0


def sent(*writes: bytes, close: bool = False) -> list[bytes]:
    """Write through a joining transport, and see what the kernel is handed."""
    kernel = Kernel()
    joining = JoiningTransport(kernel)
    for data in writes:
        joining.write(data)
    if close:
        joining.close()
    else:
        joining.flush()
    assert joining.is_closing() is close
    assert joining.get_write_buffer_size() == 0
    return kernel.taken


@pytest.mark.parametrize(
    ("writes", "taken"),
    [
        pytest.param([HEAD, b"body"], [HEAD + b"body"], id="an answer"),
        pytest.param([HEAD, b"bo", b"dy"], [HEAD + b"bo", b"dy"], id="an answer in parts"),
        pytest.param([HEAD, b""], [HEAD], id="an empty answer"),
        pytest.param([HEAD], [HEAD], id="a head alone"),
        pytest.param([CONTINUE, HEAD, b"body"], [CONTINUE, HEAD + b"body"], id="go on"),
        pytest.param([HEAD + b"body"], [HEAD + b"body"], id="written as one"),
        pytest.param(
            [HEAD, b"body", HEAD, b"body"], [HEAD + b"body", HEAD + b"body"], id="two answers"
        ),
    ],
)
def test_a_head_goes_with_what_follows_it(writes: list[bytes], taken: list[bytes]) -> None:
    assert sent(*writes) == taken
    assert sent(*writes, close=True) == taken


@given(writes=st.lists(st.sampled_from([HEAD, CONTINUE, b"", b"HTTP/1.1 2", b"\r\n\r\n", b"x"])))
def test_whatever_is_written_goes_out_whole_and_in_order(writes: list[bytes]) -> None:
    assert b"".join(sent(*writes)) == b"".join(writes)
    assert b"".join(sent(*writes, close=True)) == b"".join(writes)
