"""What the fields of ``User`` read of the sources, and so what a selection needs. Pure."""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct, field

from app.auth.policies import Policy
from app.execution.plan import SourceNeeds
from app.sources.base import FieldSet


class LookupRoot(Struct, frozen=True):
    """A root field that finds users by another key than their ids.

    Attributes:
        source: The source that is asked by the keys.
        argument: The argument with the key, or with the keys of a list.
        is_list: Whether it returns several users.
        attribute: The field of the source's record that has the id of the user.
        may: Who may use it.
    """

    source: str
    argument: str
    is_list: bool
    attribute: str
    may: Policy


class SourceReads(Struct, frozen=True):
    """Which sources the fields of ``User`` read.

    Attributes:
        reads: The sources that each field reads, by the field's public name. More than one source
            only if they are endpoints of one source. Fields that are missing (``id``,
            ``__typename``) read none.
        existence: The source that says whether a user exists, if no other source is needed.
        key_from: For a source, the sources whose records have its keys, in order; without cycles.
        narrow: By source, the record fields that each field reads, by the field's public name. Has
            the sources that can be asked for a part of the record fields.
        lookups: The root fields that find users by other keys than their ids, by name.
    """

    reads: Mapping[str, tuple[str, ...]]
    existence: str
    key_from: Mapping[str, tuple[str, ...]] = {}
    narrow: Mapping[str, Mapping[str, FieldSet]] = field(
        default_factory=dict[str, Mapping[str, FieldSet]]
    )
    lookups: Mapping[str, LookupRoot] = {}

    def needs(self, fields: Iterable[str]) -> SourceNeeds:
        """Find the sources that a selection needs.

        Args:
            fields: Public names of the selected fields.

        Returns:
            The sources that the fields read; if they read none, the source for existence.
        """
        selected = set(fields)
        needed = {
            source: None
            for field, sources in self.reads.items()
            if field in selected
            for source in sources
        }
        sources = tuple(needed) or (self.existence,)
        every, for_keys = self._for_keys(sources), self._for_keys(sources, first=True)
        return SourceNeeds(
            sources,
            existence_only=not needed,
            for_keys=for_keys,
            fallbacks=tuple(name for name in every if name not in for_keys),
            fields=self._fields(sources + every, selected),
        )

    def _for_keys(self, sources: tuple[str, ...], *, first: bool = False) -> tuple[str, ...]:
        """List the other sources that lead to the keys of these, or the first of each only."""
        found, left = dict[str, None](), [*sources] if self.key_from else []
        while left:
            parents = self.key_from.get(left.pop(0), ())
            new = [one for one in parents[: 1 if first else None] if one not in found]
            found |= dict.fromkeys(new)
            left += new
        return tuple(name for name in found if name not in sources)

    def _fields(
        self, sources: tuple[str, ...], selected: Collection[str]
    ) -> Mapping[str, FieldSet]:
        """Find the record fields that are needed, for sources that can be asked for a part."""
        return {
            source: frozenset[str]().union(
                *(fields for name, fields in reads.items() if name in selected)
            )
            for source in (sources if self.narrow else ())
            if (reads := self.narrow.get(source)) is not None
        }
