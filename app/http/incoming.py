"""A request as it came in, its head read once."""

from collections.abc import Mapping, Sequence
from typing import Literal

from starlette.types import Receive, Scope

from app.readonly import readonly

When = Literal["never", "asked", "always"]
"""When something is told beside an answer."""


@readonly(frozen=True, slots=True)
class Incoming:
    """A request.

    Attributes:
        scope: All of its head, as ASGI has it.
        receive: Where its body comes from, and word of its client's going away.
        method: Its method.
        headers: Its headers by their names, in lower case, as ``by_name`` has them.
    """

    scope: Scope
    receive: Receive
    method: str
    headers: Mapping[bytes, bytes]

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "Incoming":
        """Read the head of a request.

        Args:
            scope: The head.
            receive: The request's ASGI channel.

        Returns:
            The request.
        """
        return cls(scope, receive, scope["method"], by_name(scope["headers"]))

    def text(self, name: bytes) -> str | None:
        """Find a header.

        Args:
            name: Its name, in lower case.

        Returns:
            Its value, or ``None`` where there is none.
        """
        return text_of(self.headers, name)

    def wants(self, header: bytes) -> bool:
        """Tell whether it asks for something by a header.

        Args:
            header: The header's name, in lower case.
        """
        return self.headers.get(header) == b"1"

    def is_told(self, when: When, header: bytes) -> bool:
        """Tell whether its client is told something.

        Args:
            when: Always, never, or where a header asks for it.
            header: The header's name, in lower case.
        """
        return when == "always" or (when == "asked" and self.wants(header))


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Find headers by their names.

    A header may come in several lines: they are one list (RFC 9110, section 5.3). So a header that
    is not a list, such as ``traceparent``, is invalid when it comes twice with different values;
    no line of it is preferred, since what stands in front of the gateway may prefer another.

    Args:
        headers: The headers of a request, as ASGI has them.

    Returns:
        The value of each; of several lines with one name all that differ, with commas between them.
    """
    found = dict(reversed(headers))
    if len(found) != len(headers):
        return _joined(headers)
    return found


def _joined(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Join the lines of each header."""
    lines: dict[bytes, dict[bytes, None]] = {}
    for name, value in headers:
        lines.setdefault(name, {})[value.strip()] = None
    return {name: b", ".join(values) for name, values in lines.items()}


def text_of(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Find the value of a header as text.

    Args:
        headers: The headers by their names.
        name: Its name.

    Returns:
        The value, or ``None`` where there is none.
    """
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
