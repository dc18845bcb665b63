"""The head of an answer and the beginning of its body, sent together.

uvicorn writes the one and then the other, and uvloop hands each to the kernel at once: two system
calls and two packets, where most answers need one. That is a tenth of what a small answer costs.
"""

import asyncio
from typing import Any

_ANSWERS = b"HTTP/1.1 "
_INTERIM = b"HTTP/1.1 1"
_END = b"\r\n\r\n"


class JoiningTransport:
    """A transport that keeps a head until something follows it.

    ASGI lets a server do so: an application that has not begun its body has answered nothing yet.
    All but what is here is the transport's own.

    Args:
        transport: What sends.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # whatever a transport has
        """Find what is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send some bytes; a head alone only when more comes.

        Args:
            data: The bytes.
        """
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_ANSWERS) and data.endswith(_END) and not data.startswith(_INTERIM):
            self._head = data
            return
        self._write(data)

    def flush(self) -> None:
        """Send a head that nothing follows, as that of an answer to ``HEAD``."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close the connection when all is sent."""
        self.flush()
        self._transport.close()
