"""How long sources may take in a run, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceTimes:
    """The times of each source. They are short, so that a minute shows much.

    Attributes:
        timeout: Seconds that a source has for a call. Also the window of its breaker.
        max_open: Most seconds that a circuit stays open.
    """

    timeout: float
    max_open: float

    @property
    def settled(self) -> float:
        """Seconds after which a source that has healed can be read, and has to be.

        The last call from before may take its whole time to fail, and count for a whole window;
        then the circuit may open for its longest; and then the probes have to be made.
        """
        return 2 * self.timeout + self.max_open + 0.6

    @property
    def settings(self) -> Mapping[str, object]:
        """The settings of each source, by the ends of their variables."""
        return {
            "TIMEOUT": self.timeout,
            "PAGE_TIMEOUT": self.timeout,
            "MAX_ANSWER_BYTES": 262_144,
            "RETRY__MAX_RETRIES": 1,
            "RETRY__MAX_DELAY": 0.2,
            "BREAKER__WINDOW": self.timeout,
            "BREAKER__MIN_CALLS": 5,
            "BREAKER__OPEN_FOR": self.max_open / 2,
            "BREAKER__MAX_OPEN": self.max_open,
        }
