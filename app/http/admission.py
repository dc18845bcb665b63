"""How many operations run at the same time: over that, a client is told to come back.

An operation that waits in line costs memory and its client's patience; one that is refused at once
costs neither (Google SRE Book, chapter 22, "Addressing Cascading Failures").
"""

from collections.abc import Generator
from contextlib import contextmanager

from app.errors import Code, RequestError

COME_BACK = 1
"""Seconds after which a refused client may come back."""


class Admission:
    """Counts the operations that run.

    Attributes:
        running: How many do now.
    """

    def __init__(self, limit: int) -> None:
        self.running = 0
        self._limit = limit

    @contextmanager
    def admit(self) -> Generator[None]:
        """Let one operation run within the context.

        Yields:
            Nothing; the operation counts until the end of the context.

        Raises:
            RequestError: As many run as may.
        """
        if self.running >= self._limit:
            raise RequestError(
                Code.GATEWAY_OVERLOADED,
                f"the gateway is busy: come back in {COME_BACK} s",
                status=503,
                retry_after=COME_BACK,
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
