"""How long caches outside the gateway may store an answer. Pure.

    source       its own ``Cache-Control`` and ``Expires``, for each of its responses
    field        the setting ``cache_control.fields``
    the rest     ``cache_control.max_age``

The least of them counts. An answer that depends on who asks, or that has an error, is not stored
at all: a cache finds it by its address.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import reduce

from msgspec import Struct

from app.auth.policies import Caller
from app.execution.plan import Plan, PlannedField, PlannedRoot
from app.execution.request import AnswerFreshness, GraphQLResponse
from app.settings.models import Settings
from app.settings.server import CacheControlSettings
from app.sources.cache.lifetime import SILENT, FreshnessBound
from app.sources.trace import SourceTrace, Trace


class FreshnessRules(Struct, frozen=True):
    """Decides how long answers may be stored.

    Attributes:
        settings: What the operator allows.
        forwarding: The sources that get headers of the caller.
    """

    settings: CacheControlSettings
    forwarding: Collection[str]

    @classmethod
    def of(cls, settings: Settings) -> "FreshnessRules | None":
        """Read the rules.

        Args:
            settings: All settings.

        Returns:
            The rules; ``None`` if no answer may be stored.
        """
        if settings.cache_control.scope == "never":
            return None
        forwarding = {name for name, one in settings.sources.items() if one.auth.forwards}
        return cls(settings.cache_control, frozenset(forwarding))

    def freshness_of(
        self, answer: GraphQLResponse, plan: Plan, trace: Trace, caller: Caller, now: datetime
    ) -> AnswerFreshness | None:
        """Decide how long an answer may be stored.

        Args:
            answer: The answer.
            plan: The plan of its operation.
            trace: What became of the request at each source.
            caller: The caller.
            now: The time of day.

        Returns:
            The seconds, and by which caches; ``None`` if it may not be stored.
        """
        if not answer.executed or answer.errors or not trace.sources:
            return None
        if any(map(_depends_on_caller, plan.roots.values())):
            return None
        if any(name.partition(".")[0] in self.forwarding for name in trace.sources):
            return None
        bounds = {name: _bound_of(one) for name, one in trace.sources.items()}
        seconds = min(self._seconds(_fields_of(plan), bounds, now))
        if seconds < 1:
            return None
        is_anyone = caller.trusted or (caller.subject is None and not caller.scopes)
        is_public = is_anyone and not any(one.private for one in bounds.values())
        return AnswerFreshness(int(seconds), is_public and self.settings.scope == "public")

    def _seconds(
        self, fields: Iterable[PlannedField], bounds: Mapping[str, FreshnessBound], now: datetime
    ) -> Iterator[float]:
        """Yield each bound, in seconds."""
        said = self.settings.fields
        readers: dict[str, list[str]] = {}
        for field in fields:
            if field.name in said:
                yield said[field.name]
            for source in field.sources:
                readers.setdefault(source, []).append(field.name)
        for name, bound in bounds.items():
            if bound.until is not None:
                yield (bound.until - now).total_seconds()
            reading = readers.get(name, ())
            is_said = bool(reading) and all(one in said for one in reading)
            if bound.silent and not is_said:
                yield self.settings.max_age


def _bound_of(source: SourceTrace) -> FreshnessBound:
    """Return what the responses of a source allow together."""
    bounds = [one.bound() for one in dict.fromkeys(source.seen)]
    return reduce(FreshnessBound.joined, bounds) if bounds else SILENT


def _depends_on_caller(root: PlannedRoot) -> bool:
    """Return whether a root field gives something else to another caller."""
    if root.selection.others is None:
        return root.selection.name != "__typename"
    return root.selection.name == "me" or any(group.is_own for group in root.groups)


def _fields_of(plan: Plan) -> Iterator[PlannedField]:
    """Yield the fields of all users of a plan."""
    for root in plan.roots.values():
        for group in root.groups:
            yield from group.selection.fields
