"""What became of one request at each source, for those who want to see it."""

from dataclasses import dataclass, field

from app.errors import Code


@dataclass(slots=True)
class SourceTrace:
    """What one request had of one source.

    Attributes:
        calls: Calls that were wanted: one for each batch and page.
        attempts: Calls that were made for them, repetitions included.
        keys: Users that were asked for.
        started: When the first began, by the clock's ``monotonic``.
        ended: When the last ended.
        code: The last failure, if there was one.
        circuit: State of the circuit breaker after the last call.
        pace: How fast the source was asked after it, by the source's own word.
        stale: Age in seconds of the oldest answer that was used past its time, if one was.
    """

    calls: int = 0
    attempts: int = 0
    keys: int = 0
    started: float | None = None
    ended: float = 0.0
    code: Code | None = None
    circuit: str | None = None
    pace: str | None = None
    stale: float | None = None

    @property
    def seconds(self) -> float:
        """How long the request had to do with the source."""
        return 0.0 if self.started is None else self.ended - self.started

    @property
    def status(self) -> str:
        """In a word, what the request got: ``stale``, ``failed`` or ``ok``."""
        if self.stale is not None:
            return "stale"
        return "failed" if self.code is not None else "ok"


@dataclass(slots=True)
class Trace:
    """What became of one request at each source. Filled while the request runs.

    Attributes:
        sources: By name of the source, in the order in which they were first asked.
    """

    sources: dict[str, SourceTrace] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with none."""
        self.sources = {}

    def of(self, name: str) -> SourceTrace:
        """Find or begin what is known of a source."""
        known = self.sources.get(name)
        if known is None:
            known = self.sources[name] = SourceTrace()
        return known
