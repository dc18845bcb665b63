"""What an answer tells of its sources, in ``extensions`` and ``Server-Timing``. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.resilience.pace import Tempo
from app.sources.trace import SourceTrace, Trace


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What ``extensions.sources`` tells of one source. Its names are public."""

    status: str
    code: str | None = None
    calls: int | None = None
    keys: int | None = None
    attempts: int | None = None
    ms: float | None = None
    circuit: str | None = None
    pace: str | None = None
    ageMs: int | None = None  # noqa: N815 # the public name

    def told(self) -> Mapping[str, object]:
        """Give what there is to tell."""
        pairs = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in pairs if value is not None}


def extensions_of(trace: Trace, *, tell_all: bool) -> Mapping[str, object] | None:
    """Say what there is to say of the sources.

    Args:
        trace: What became of the request at each.
        tell_all: Whether to tell everything; stale answers are told in any case, since a client
            should know when what it shows is old.

    Returns:
        The answer's ``extensions``, or ``None`` when there is nothing to say.
    """
    told = {
        name: _report(source, tell_all=tell_all).told()
        for name, source in trace.sources.items()
        if tell_all or source.stale is not None
    }
    return {"sources": told} if told else None


def timings_of(trace: Trace) -> Mapping[str, float]:
    """Say how long each source took.

    Args:
        trace: What became of the request at each.

    Returns:
        Seconds, by name of the source.
    """
    return {name: source.seconds for name, source in trace.sources.items()}


def _report(source: SourceTrace, *, tell_all: bool) -> SourceReport:
    """Make the report of one source."""
    age = None if source.stale is None else int(source.stale * 1000)
    if not tell_all:
        return SourceReport(status=source.status, ageMs=age)
    return SourceReport(
        status=source.status,
        code=None if source.code is None else source.code.value,
        calls=source.calls,
        keys=source.keys,
        attempts=source.attempts,
        ms=round(source.seconds * 1000, 2),
        circuit=source.circuit,
        pace=None if source.pace == Tempo.FREE else source.pace,
        ageMs=age,
    )
