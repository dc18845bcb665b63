"""Ports: the requested one or the next free one, and a reserved port that refuses."""

import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from app.demo.errors import DemoError
from app.demo.server import base_url, listen, reserve

HOST = "127.0.0.1"


def port_of(bound: socket.socket) -> int:
    """The port of a socket."""
    port = bound.getsockname()[1]
    assert isinstance(port, int)
    return port


@pytest.mark.parametrize("take", [listen, reserve])
def test_a_port_in_use_is_replaced_by_a_following_one(
    take: Callable[[str, int], socket.socket],
) -> None:
    with take(HOST, 0) as first, listen(HOST, port_of(first)) as second:
        assert 0 < port_of(second) - port_of(first) < 100


def test_a_listening_port_accepts_connections() -> None:
    with listen(HOST, 0) as bound, socket.create_connection((HOST, port_of(bound)), timeout=5):
        pass


def test_a_reserved_port_refuses_connections() -> None:
    with reserve(HOST, 0) as bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port_of(bound)), timeout=5)


def test_the_tried_ports_are_reported_if_none_is_free() -> None:
    with closing(socket.socket()) as taken:
        taken.bind((HOST, 65535))
        with pytest.raises(DemoError, match=r"no port from 65535 to 65535 is free on 127\.0\.0\.1"):
            listen(HOST, 65535)


def test_an_address_of_another_machine_is_reported() -> None:
    with pytest.raises(DemoError, match=r"cannot listen on 192\.0\.2\.1 port 8000: "):
        listen("192.0.2.1", 8000)


def test_a_base_url_has_the_port_of_its_socket() -> None:
    with listen(HOST, 0) as bound:
        assert base_url(bound) == f"http://127.0.0.1:{port_of(bound)}"


def test_a_socket_on_all_addresses_has_a_loopback_base_url() -> None:
    with listen("0.0.0.0", 0) as bound:  # noqa: S104 - as in a container
        assert base_url(bound) == f"http://127.0.0.1:{port_of(bound)}"


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_an_ipv6_address_is_in_brackets() -> None:
    try:
        bound = listen("::1", 0)
    except DemoError:
        pytest.skip("this machine has no IPv6")
    with bound:
        assert base_url(bound) == f"http://[::1]:{port_of(bound)}"
