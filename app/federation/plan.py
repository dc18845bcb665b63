"""Which sources a selection needs. Pure: a plan is data that can be printed and tested."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """The sources to ask about the users of one selection.

    Attributes:
        sources: Their names, each once, in the order of the schema. Never empty.
        existence_only: Whether no selected field reads a source, so that the one source is asked
            for nothing but whether the user exists.
        for_keys: Other sources that are asked only since they have the keys of these, or of one
            another. What they say of a user is no answer: neither that there is none, nor a record.
    """

    sources: tuple[str, ...]
    existence_only: bool
    for_keys: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """All sources that are asked, for whatever reason."""
        return self.sources + self.for_keys


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from what the fields of a type read.

    Attributes:
        reads: The source that each field reads, by the field's public name. A field that is not
            in it (``id``, ``__typename``) reads none.
        existence: The source that says whether a user exists, when no other is needed.
        key_from: The source that has another's keys, by the name of that other; without rings.
    """

    reads: Mapping[str, str]
    existence: str
    key_from: Mapping[str, str] = field(default_factory=dict[str, str])

    def plan(self, fields: Iterable[str]) -> Plan:
        """Find the sources that a selection needs.

        Args:
            fields: Public names of the fields selected.

        Returns:
            The plan: the sources that the fields read, or else the one that knows who exists.
        """
        selected = set(fields)
        needed = {source: None for field, source in self.reads.items() if field in selected}
        sources = tuple(needed) or (self.existence,)
        return Plan(sources, existence_only=not needed, for_keys=self._for_keys(sources))

    def _for_keys(self, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Find the sources that have the keys of others, however far up, and are not among them."""
        found: dict[str, None] = {}
        for source in sources if self.key_from else ():
            parent = self.key_from.get(source)
            while parent is not None:
                found[parent] = None
                parent = self.key_from.get(parent)
        return tuple(name for name in found if name not in sources)
