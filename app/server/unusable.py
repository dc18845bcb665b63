"""Says in the log why the gateway does not start."""

from collections.abc import Iterator, Sequence

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
    for some in portions(mistakes):
        log.error("gateway.unusable", reason=reason, mistakes=some, **more)


def portions(mistakes: Sequence[str]) -> Iterator[Sequence[str]]:
    """Share mistakes out over events, so that no line is cut. Pure.

    Args:
        mistakes: A sentence for each mistake.

    Yields:
        The mistakes of each event.
    """
    now: list[str] = []
    for one in mistakes:
        if now and sum(map(len, now)) + len(one) >= MAX_MISTAKES:
            yield now
            now = []
        now.append(one)
    if now:
        yield now
