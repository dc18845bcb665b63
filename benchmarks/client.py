"""Asking for single answers over HTTP, on this machine."""

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks.errors import BenchmarkError

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
HOST: Final = "127.0.0.1"
_PATIENCE: Final = 20.0


@dataclass(frozen=True, slots=True)
class RawReply:
    """An answer as it came.

    Attributes:
        status: Its HTTP status.
        body: Its bytes.
    """

    status: int
    body: bytes


def exchange(
    port: int,
    method: str,
    path: str,
    body: str | None = None,
    *,
    accept: str = "application/json",
) -> RawReply:
    """Ask once, over a connection of its own.

    Raises:
        OSError: There is no answer.
        http.client.HTTPException: The answer is no HTTP.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_PATIENCE)
    headers = {"Content-Type": "application/json", "Accept": accept}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    return RawReply(response.status, text)


def get_json(port: int, path: str) -> Json:
    """Get what has to be there.

    Raises:
        BenchmarkError: It is not.
    """
    reply = exchange(port, "GET", path)
    if reply.status != http.client.OK:
        raise BenchmarkError(f"port {port} answered {reply.status} to {path.partition('?')[0]}")
    found: Json = json.loads(reply.body)
    return found


def number(value: Json, name: str) -> float:
    """Read a number out of an object.

    Raises:
        BenchmarkError: There is none.
    """
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, int | float):
        raise BenchmarkError(f"{name} should be a number, and is {found!r}")
    return float(found)


def is_taken(port: int) -> bool:
    """Tell whether something listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0
