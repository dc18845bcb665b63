"""What a chaos run counts, and how it tells."""

import signal
from dataclasses import dataclass, field

STOPPED = (0, -signal.SIGTERM)
"""With what the gateway may end: uvicorn hands the signal on once it has stopped in good order."""

SHOWN = 5
"""How many of the things that went wrong are shown."""


@dataclass
class Tally:
    """What has been counted.

    Attributes:
        requests: Answers that came, and those that did not.
        wrong: What was wrong, in words.
        unanswered: Why answers did not come, in words.
        needed: How many calls the questions take where nothing fails and nothing is saved.
        could: Values that sources could give that were well all the time.
        got: How many of them came.
        lost: Some of those that did not, in words.
        partial: Answers in which something could not be had.
        worst: Seconds that the slowest answer took.
        lag: Seconds by which this process itself was late at worst.
        upstream: How many calls the gateway made.
        storms: How often a source broke.
        memory: The most memory that the gateway had, in MB.
        tracebacks: How often the gateway had something to say that it should not have had.
        exit_code: With what the gateway ended.
    """

    requests: int = 0
    wrong: list[str] = field(default_factory=list[str])
    unanswered: list[str] = field(default_factory=list[str])
    needed: int = 0
    could: int = 0
    got: int = 0
    lost: list[str] = field(default_factory=list[str])
    partial: int = 0
    worst: float = 0.0
    lag: float = 0.0
    upstream: int = 0
    storms: int = 0
    memory: float = 0.0
    tracebacks: int = 0
    exit_code: int | None = None

    @property
    def is_good(self) -> bool:
        """Whether everything is as it must be."""
        broken = self.wrong or self.unanswered or self.tracebacks
        return not broken and self.got == self.could > 0 and self.exit_code in STOPPED


def table(tally: Tally, budget: float) -> str:
    """Write what was counted for a person.

    Args:
        tally: What was counted.
        budget: Seconds that the gateway had for an answer.

    Returns:
        A table, and some of what went wrong.
    """
    share = 100 * tally.got / tally.could if tally.could else 0.0
    rows = [
        ("requests", f"{tally.requests:,}", ""),
        ("  with something missing", f"{tally.partial:,}", ""),
        ("times that a source broke", f"{tally.storms:,}", ""),
        ("wrong answers", f"{len(tally.wrong):,}", "0"),
        ("unanswered", f"{len(tally.unanswered):,}", "0"),
        ("fields of sources that were well", f"{tally.could:,}", ""),
        ("  share of them that came", f"{share:.4f} %", "100 %"),
        ("worst time", f"{tally.worst * 1000:,.0f} ms", f"deadline {budget * 1000:,.0f} ms"),
        ("  lag of this test itself", f"{tally.lag * 1000:,.0f} ms", ""),
        ("peak memory of the gateway", f"{tally.memory:,.0f} MB", ""),
        ("upstream calls needed", f"{tally.needed:,}", ""),
        ("  calls made for each", f"{tally.upstream / max(1, tally.needed):.3f}", ""),
        ("tracebacks in the gateway's log", f"{tally.tracebacks:,}", "0"),
        ("exit code of the gateway", f"{tally.exit_code}", " or ".join(map(str, STOPPED))),
    ]
    lines = [f"{name:<34}{value:>12}   {must}".rstrip() for name, value, must in rows]
    for title, found in (
        ("wrong", tally.wrong),
        ("unanswered", tally.unanswered),
        ("lost", tally.lost),
    ):
        lines += [f"{title}: {one}" for one in found[:SHOWN]]
    return "\n".join(lines)
