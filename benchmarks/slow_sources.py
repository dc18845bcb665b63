"""Three sources that take a time each: ``python -m benchmarks.slow_sources PORT name=ms …``."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

Row = Mapping[str, object]


def _profile(user: str) -> Row:
    """Make a row of profile."""
    return {
        "id": user,
        "username": "user",
        "displayName": "User",
        "email": "user@example.com",
        "createdAt": "2024-02-29T12:00:00Z",
    }


def _billing(user: str) -> Row:
    """Make a row of billing."""
    balance = {"amount": 100, "currency": "EUR"}
    return {"userId": user, "plan": "pro", "status": "active", "balance": balance}


def _activity(user: str) -> Row:
    """Make a row of activity."""
    return {"userId": user, "loginCount": 7, "events": []}


_ROWS: Final[Mapping[str, tuple[str, Callable[[str], Row]]]] = {
    "profile": ("id", _profile),
    "billing": ("userId", _billing),
    "activity": ("userId", _activity),
}


async def serve(port: int, delays: Mapping[str, float]) -> None:
    """Answer until the process ends.

    Args:
        port: Where to listen on this machine.
        delays: Seconds that each source takes.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                writer.close()
                return
            target = urlsplit(head.split(b" ", 2)[1].decode())
            source = target.path.split("/")[1]
            parameter, row = _ROWS[source]
            users = parse_qs(target.query)[parameter]
            await asyncio.sleep(delays[source])
            body = json.dumps([row(user) for user in users]).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    await server.serve_forever()


def main(arguments: Sequence[str]) -> None:
    """Read the port and the delays in milliseconds, and serve."""
    port, *delays = arguments
    pairs = (one.split("=") for one in delays)
    asyncio.run(serve(int(port), {name: int(ms) / 1000 for name, ms in pairs}))


if __name__ == "__main__":
    main(sys.argv[1:])
