"""Which sources a selection needs. Pure: a plan is data that can be printed and tested."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from app.sources.base import FieldSet


@dataclass(frozen=True, slots=True)
class Plan:
    """The sources to ask about the users of one selection.

    Attributes:
        sources: Their names, each once, in the order of the schema; of a source with several
            endpoints those of the endpoints that are needed. Never empty.
        existence_only: Whether no selected field reads a source, so that the one source is asked
            for nothing but whether the user exists.
        for_keys: Other sources that are asked only since they have the keys of these, or of one
            another. What they say of a user is no answer: neither that there is none, nor a record.
        fields: The fields of the record that are wanted, by name of the source, of those that can
            be asked for some alone.
    """

    sources: tuple[str, ...]
    existence_only: bool
    for_keys: tuple[str, ...] = ()
    fields: Mapping[str, FieldSet] = field(default_factory=dict[str, FieldSet], hash=False)

    @property
    def needed(self) -> tuple[str, ...]:
        """All sources that are asked, for whatever reason."""
        return self.sources + self.for_keys


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from what the fields of a type read.

    Attributes:
        reads: The sources that each field reads, by the field's public name; more than one only
            where they are endpoints of one source. A field that is not in it (``id``,
            ``__typename``) reads none.
        existence: The source that says whether a user exists, when no other is needed.
        key_from: The source that has another's keys, by the name of that other; without rings.
        narrow: What each field reads of the record, by its public name, by name of the source, of
            those that can be asked for some fields alone.
    """

    reads: Mapping[str, tuple[str, ...]]
    existence: str
    key_from: Mapping[str, str] = field(default_factory=dict[str, str])
    narrow: Mapping[str, Mapping[str, FieldSet]] = field(
        default_factory=dict[str, Mapping[str, FieldSet]]
    )

    def plan(self, fields: Iterable[str]) -> Plan:
        """Find the sources that a selection needs.

        Args:
            fields: Public names of the fields selected.

        Returns:
            The plan: the sources that the fields read, or else the one that knows who exists.
        """
        selected = set(fields)
        needed = {
            source: None
            for field, sources in self.reads.items()
            if field in selected
            for source in sources
        }
        sources = tuple(needed) or (self.existence,)
        for_keys = self._for_keys(sources)
        return Plan(sources, not needed, for_keys, self._fields(sources + for_keys, selected))

    def _for_keys(self, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Find the sources that have the keys of others, however far up, and are not among them."""
        found: dict[str, None] = {}
        for source in sources if self.key_from else ():
            parent = self.key_from.get(source)
            while parent is not None:
                found[parent] = None
                parent = self.key_from.get(parent)
        return tuple(name for name in found if name not in sources)

    def _fields(
        self, sources: tuple[str, ...], selected: Collection[str]
    ) -> Mapping[str, FieldSet]:
        """Find what the selected fields read of the sources that can be asked for it alone."""
        return {
            source: frozenset[str]().union(
                *(some for one, some in reads.items() if one in selected)
            )
            for source in (sources if self.narrow else ())
            if (reads := self.narrow.get(source)) is not None
        }
