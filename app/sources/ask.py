"""One request to a service, ready to be sent."""

from collections.abc import Sequence

from app.readonly import readonly
from app.sources.base import UserId


@readonly(frozen=True, slots=True)
class Ask:
    """One request to a service, ready to be sent. It only reads, so that it can be made again.

    Attributes:
        keys: The users it is about.
        path: Where it goes, below the base URL, without any of them: for the log.
        target: Path and query below the base URL, percent-encoded.
        method: The HTTP method.
        headers: Those that the service wants beside the usual ones; they win over them.
        body: The body, if it has one.
    """

    keys: Sequence[UserId]
    path: str
    target: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
