"""Which sources a selection needs. Pure: a plan is data that can be printed and tested."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The sources to ask about the users of one selection.

    Attributes:
        sources: Their names, each once, in the order of the schema. Never empty.
        existence_only: Whether no selected field reads a source, so that the one source is asked
            for nothing but whether the user exists.
    """

    sources: tuple[str, ...]
    existence_only: bool


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from what the fields of a type read.

    Attributes:
        reads: The source that each field reads, by the field's public name. A field that is not
            in it (``id``, ``__typename``) reads none.
        existence: The source that says whether a user exists, when no other is needed.
    """

    reads: Mapping[str, str]
    existence: str

    def plan(self, fields: Iterable[str]) -> Plan:
        """Find the sources that a selection needs.

        Args:
            fields: Public names of the fields selected.

        Returns:
            The plan: the sources that the fields read, or else the one that knows who exists.
        """
        selected = set(fields)
        needed = {source: None for field, source in self.reads.items() if field in selected}
        return Plan(tuple(needed) or (self.existence,), existence_only=not needed)
