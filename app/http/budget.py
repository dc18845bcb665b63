"""How long a request may take, by the client's wish and the operator's bound."""

from app.errors import Code, RequestError, shown
from app.resilience.clock import Clock
from app.resilience.deadline import Deadline, read_duration
from app.shapes.resilience import DeadlineSettings

HEADER = "X-Request-Timeout"


def read_deadline(wish: str | None, settings: DeadlineSettings, clock: Clock) -> Deadline:
    """Find the deadline of a request that has just come in.

    Args:
        wish: The ``X-Request-Timeout`` header, if there is one.
        settings: The bound.
        clock: Tells the time.

    Returns:
        The deadline: as the client wishes, but never later than the bound.

    Raises:
        RequestError: The wish is no duration.
    """
    seconds = settings.budget
    if wish is not None:
        wanted = read_duration(wish)
        if wanted is None:
            raise RequestError(
                Code.BAD_REQUEST,
                f"{HEADER} is {shown(wish)}: expected a duration such as 800ms or 1.5s",
            )
        seconds = min(seconds, wanted)
    return Deadline(clock.monotonic() + seconds, clock)
