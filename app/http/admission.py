"""How many operations run at the same time: over that, a client is told to come back.

An operation that waits in line costs memory and its client's patience; one that is refused at once
costs neither (Google SRE Book, chapter 22, "Addressing Cascading Failures").
"""

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

    def begin(self, count: int = 1) -> None:
        """Let operations run until they are said to have ended: all of them or none.

        Two calls in place of a context: that would be a generator and four calls for each request.

        Args:
            count: How many.

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

    def end(self, count: int = 1) -> None:
        """Let others take the place of operations.

        Args:
            count: How many of those that were let run.
        """
        self.running -= count
