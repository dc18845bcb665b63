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
    def admit(self, count: int = 1) -> Generator[None]:
        """Let operations run within the context: all of them or none.

        Args:
            count: How many.

        Yields:
            Nothing; the operations count until the end of the context.

        Raises:
            RequestError: As many run as may.
        """
        if self.running + count > self._limit:
            raise RequestError(
                Code.GATEWAY_OVERLOADED,
                f"the gateway is busy: come back in {COME_BACK} s",
                status=503,
                retry_after=COME_BACK,
            )
        self.running += count
        try:
            yield
        finally:
            self.running -= count
