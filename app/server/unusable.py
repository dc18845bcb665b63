"""Says in the log why the gateway does not start."""

from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

MAX_MISTAKES = 2_000
"""The most characters of mistakes in one event: a character of JSON can take several bytes."""

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
    rest = [*mistakes]
    while rest:
        now = [rest.pop(0)]
        while rest and sum(map(len, now)) + len(rest[0]) < MAX_MISTAKES:
            now.append(rest.pop(0))
        log.error("gateway.unusable", reason=reason, mistakes=now, **more)
