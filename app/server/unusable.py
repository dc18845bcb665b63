"""Says in the log why the gateway does not start."""

import json
from collections.abc import Iterator, Sequence

from structlog.typing import FilteringBoundLogger

from app.observability.bounds import MAX_MISTAKES, plain

MOST_OF_WORKER = 2_000
"""The most bytes of mistakes in one event of a worker, whose lines to a pipe are short: they must
not be mixed with those of other workers."""

MOST_OF_SUPERVISOR = MAX_MISTAKES - 1_000
"""The most bytes of mistakes in one event of the supervisor, which logs the mistakes of a reload.
The other values of the event need some, too."""

UNUSABLE = "The settings cannot be used"
"""Why the gateway does not start, if its settings have mistakes."""

STARTUP_FAILURE = 3
"""The exit code of a process that could not start. A supervisor does not start it again."""


def log_unusable(
    log: FilteringBoundLogger,
    reason: str,
    mistakes: Sequence[str],
    *,
    cause: BaseException | None = None,
) -> None:
    """Log why the gateway does not start.

    Args:
        log: The log.
        reason: What is wrong.
        mistakes: A sentence for each mistake. If they are too long for one line, there are several
            events, so that none is cut.
        cause: The exception of an operator's module that is behind it; ``None`` if there is none.
    """
    more = {} if cause is None else {"exc_info": cause}
    for some in portions(mistakes):
        log.error("gateway.unusable", reason=reason, mistakes=some, **more)


def portions(mistakes: Sequence[str], most: int = MOST_OF_WORKER) -> Iterator[Sequence[str]]:
    """Share mistakes out over events, so that no line is cut. Pure.

    Args:
        mistakes: A sentence for each mistake.
        most: The most bytes of the mistakes of an event.

    Yields:
        The mistakes of each event.
    """
    now: list[str] = []
    size = 0
    for one in mistakes:
        length = len(plain(json.dumps(one, ensure_ascii=False)).encode("utf-8", "replace")) + 1
        if now and size + length > most:
            yield now
            now, size = [], 0
        now.append(one)
        size += length
    if now:
        yield now
