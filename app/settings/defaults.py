"""The defaults of all sources: they are laid under the settings of each source.

``[source_defaults]`` has the settings that several sources share. The result is the same as if they
were written into each source that does not have them itself. Pure.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from app.settings.field_schema import FieldSchema
from app.settings.nested import Keys, Table, as_table, value_at

SOURCES = "sources"
DEFAULTS = "source_defaults"
"""The table with the defaults of all sources. It is beside ``sources``, not within: a source may
have any name there."""

WITHOUT = "without_source_defaults"
"""The setting of a source that lists the settings for which the defaults do not count."""

OF_ONE_SOURCE = frozenset(
    {"fields", "words", "defaults", "key_from", "lookups", "endpoints", "lists", WITHOUT}
)
"""The settings of a source that say something about this source alone, and have no default."""

OF_CALLS = ("request", "answer")
"""The settings that each endpoint of a source has instead of the source, and each lookup too."""


class SettledValues(Struct, frozen=True):
    """Values in which each source has the defaults of all sources.

    Attributes:
        values: The values, without the table of defaults.
        inherited: The place of the default for each place that has its value from there. All places
            below such a place are inherited, too.
        unused: What is wrong with defaults that count nowhere, by place.
    """

    values: Table
    inherited: Mapping[Keys, Keys] = {}
    unused: Mapping[Keys, str] = {}

    def written(self, keys: Keys) -> Keys:
        """Return where a value is written.

        Args:
            keys: Its place in ``values``.

        Returns:
            The place of the default that it is from; else the same place.
        """
        for depth in range(len(keys), 0, -1):
            if (origin := self.inherited.get(keys[:depth])) is not None:
                return (*origin, *keys[depth:])
        return keys


def with_defaults(values: Table, schema: FieldSchema) -> SettledValues:
    """Lay the defaults of all sources under the settings of each.

    A table of settings is merged, setting by setting; a list is one value. A table that says of
    which kind it is counts only where the source does not choose another kind. A table that does
    not say it adds to the tables of sources that do, where their kind has the setting.

    Args:
        values: All values, as they are written.
        schema: The settings that are allowed in them.

    Returns:
        The values with the defaults in each source.
    """
    if DEFAULTS not in values or DEFAULTS not in schema.names():
        return SettledValues(values)
    rest = {key: value for key, value in values.items() if key != DEFAULTS}
    defaults, sources = as_table(values[DEFAULTS]), as_table(values.get(SOURCES, {}))
    if defaults is None:
        return SettledValues(rest, unused={(DEFAULTS,): "is no table: expected a table."})
    if sources is None:
        return SettledValues(rest)
    laying = _Laying()
    unused: dict[Keys, str] = {
        (DEFAULTS, name): f"belongs to one source: expected it in [{SOURCES}.<name>]."
        for name in defaults.keys() & OF_ONE_SOURCE
    }
    common = {name: value for name, value in defaults.items() if name not in OF_ONE_SOURCE}
    of_sources = schema.below(SOURCES).schema
    settled = dict(sources)
    # A source may have its only setting that is required from there.
    others = _read_sources(values, of_sources) if "base_url" in common else ()
    for name in dict.fromkeys((*others, *sources)):
        own = as_table(sources.get(name, {}))
        if own is not None:
            place: Keys = (SOURCES, name)
            settled[name] = laying.source(own, common, of_sources.below(name).schema, place)
    unused |= _unused(common, schema.below(DEFAULTS).schema, laying.used)
    return SettledValues({**rest, SOURCES: settled}, laying.inherited, unused)


def _read_sources(values: Table, of_sources: FieldSchema) -> Iterator[str]:
    """Yield the names of the sources that the default schema reads: others need a table."""
    if value_at(values, ("schema", "extends")) != "none":
        yield from of_sources.usual


def _unused(common: Table, schema: FieldSchema, used: set[str]) -> Iterator[tuple[Keys, str]]:
    """Find the defaults that add to tables of a kind, of which no source has one."""
    for name, value in common.items():
        table, tag = as_table(value), schema.below(name).schema.tag
        if table is not None and tag is not None and tag not in table and name not in used:
            kinds = ", ".join(map(repr, schema.below(name).schema.kinds()))
            what = f"is missing: expected one of {kinds}, as no source says it for itself."
            yield (DEFAULTS, name, tag), what


class _Laying:
    """Lays defaults under the settings of sources.

    Attributes:
        inherited: The place of the default for each place that has its value from there.
        used: The names of the defaults that counted for some source.
    """

    def __init__(self) -> None:
        self.inherited: dict[Keys, Keys] = {}
        self.used: set[str] = set()

    def source(self, own: Table, common: Table, schema: FieldSchema, keys: Keys) -> Table:
        """Lay the defaults under one source, and under its endpoints and lookups.

        Args:
            own: The settings of the source.
            common: The defaults.
            schema: The settings of a source.
            keys: The place of the source.

        Returns:
            The settings of the source with the defaults.
        """
        without = own.get(WITHOUT)
        if isinstance(without, list):
            common = {name: value for name, value in common.items() if name not in without}
        theirs = {name: common[name] for name in OF_CALLS if name in common}
        laid = dict(own)
        for group in ("endpoints", "lookups"):
            if calls := as_table(own.get(group)):
                of_group, place = schema.below(group).schema, (*keys, group)
                laid[group] = self._calls(calls, theirs, of_group, place)
        if as_table(own.get("endpoints")):
            common = {
                name: one for name, one in common.items() if name not in theirs or name in own
            }
        return self._table(laid, common, schema, keys, (DEFAULTS,))

    def _calls(self, calls: Table, theirs: Table, schema: FieldSchema, keys: Keys) -> Table:
        """Lay the defaults under each endpoint, or under each lookup, of a source."""
        return {
            name: value
            if (table := as_table(value)) is None
            else self._table(table, theirs, schema.below(name).schema, (*keys, name), (DEFAULTS,))
            for name, value in calls.items()
        }

    def _table(
        self, above: Table, below: Table, schema: FieldSchema, keys: Keys, place: Keys
    ) -> Table:
        """Lay the defaults at ``place`` under the table at ``keys``."""
        laid = dict(above)
        for key, default in below.items():
            here, there = (*keys, key), (*place, key)
            inner, lower = schema.below(key).schema, as_table(default)
            if key in above:
                upper = as_table(above[key])
                if upper is not None and lower is not None and not inner.differ(upper, lower):
                    kind = inner.of({**lower, **upper})
                    fitting = {
                        name: value
                        for name, value in lower.items()
                        if name in kind.names() or name not in inner.names()
                    }
                    laid[key] = self._table(upper, fitting, kind, here, there)
                    self.used.add(str(there[1]))
            elif lower is None or inner.tag is None or inner.tag in lower:
                laid[key] = default
                self.inherited[here] = there
                self.used.add(str(there[1]))
        return laid
