"""Ports for the demo's servers: the wanted one, or the next that is free.

The sockets themselves are handed on, not their numbers, so that nobody can take a port between
finding it and using it.
"""

import errno
import os
import socket
from ipaddress import ip_address

from app.demo.errors import DemoError

_TRIES = 100
_LAST_PORT = 65535


def listen(host: str, wanted: int) -> socket.socket:
    """A socket that listens already, so that the port is ours and early callers wait in line.

    Args:
        host: An address of this machine, or a name for one.
        wanted: The first port to try; 0 takes any free one.

    Raises:
        DemoError: No port is free, or the host is not this machine's.
    """
    return _first_free(host, wanted, listening=True)


def reserve(host: str, wanted: int) -> socket.socket:
    """A socket that holds its port and never listens, so that connections to it are refused.

    Args:
        host: An address of this machine, or a name for one.
        wanted: The first port to try; 0 takes any free one.

    Raises:
        DemoError: No port is free, or the host is not this machine's.
    """
    return _first_free(host, wanted, listening=False)


def base_url(bound: socket.socket) -> str:
    """Where a caller on this machine reaches a socket, without a slash at the end."""
    host, port = bound.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:  # listens on all addresses; one calls a single one
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004 - IPv4
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"  # noqa: PLR2004 - IPv4


def _first_free(host: str, wanted: int, *, listening: bool) -> socket.socket:
    """Try one port after the other."""
    last = min(wanted + _TRIES - 1, _LAST_PORT) if wanted else 0
    for port in range(wanted, last + 1):
        try:
            return _bind(host, port, listening=listening)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise DemoError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    raise DemoError(f"no port from {wanted} to {last} is free on {host}")


def _bind(host: str, port: int, *, listening: bool) -> socket.socket:
    """One bound socket, or an OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if listening and os.name == "posix":
            # Else a port would stay taken for a minute after the last demo. Not for a port that
            # is only reserved: another process could bind beside it and answer in its place.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        if listening:
            bound.listen()
    except OSError:
        bound.close()
        raise
    return bound
