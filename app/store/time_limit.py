"""A time limit that counts the store's time, and not the lag of the gateway's own event loop.

The loop of a busy process comes late to everything: to the timer that ends a wait, and to a reply
that has been in the socket for a while. A plain timer cannot tell the two apart, so a gateway on a
full core would find its store slow, and go on without it.

So the time passes in steps. A step begins when the loop has come to the end of the step before. One
that ends late counts only for its own length, because meanwhile the loop could not read. After the
last step the loop has some more turns: it reads what has arrived, and whoever waits for it goes on.

A store that does not answer costs its time limit, and the lag of the loop in ``STEPS + TURNS``
turns. On a loop that is not late, that is the time limit.
"""

from asyncio import get_running_loop
from collections.abc import Callable

from app.resilience.clock import Clock

STEPS = 4
"""The parts of a time limit. A reply costs the loop about as many turns: it begins the command,
reads, and wakes the task that waits."""

TURNS = 3
"""The turns of the loop after the last step: uvloop runs what is ready before it reads, then it
reads, and then the task that waits for the reply runs."""


class TimeLimit:
    """A time limit that passes from now on. It needs a running event loop.

    Args:
        seconds: The limit.
        clock: The clock.
        expire: Called at the end, unless it is cancelled before.
    """

    __slots__ = ("_cancel_timer", "_clock", "_expire", "_left", "_step")

    def __init__(self, seconds: float, clock: Clock, expire: Callable[[], object]) -> None:
        self._step = seconds / STEPS
        self._left = STEPS + TURNS
        self._clock = clock
        self._expire = expire
        self._cancel_timer = clock.call_later(self._step, self._pass)

    def cancel(self) -> None:
        """End it before its time."""
        self._left = 0
        self._cancel_timer()

    def _pass(self) -> None:
        """Begin the next step or turn, or come to the end."""
        if not self._left:  # cancelled
            return
        self._left -= 1
        if self._left > TURNS:
            self._cancel_timer = self._clock.call_later(self._step, self._pass)
        elif self._left:
            get_running_loop().call_soon(self._pass)
        else:
            self._expire()
