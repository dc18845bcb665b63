"""How the record of one source is divided over endpoints that are asked apart. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.sources.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Division:
    """How the record of one source is divided over its endpoints.

    Attributes:
        first: Name of the endpoint that tells whether a user exists, if nothing else is read.
        gives: Name of the endpoint that gives each field of the record.
    """

    first: str
    gives: Mapping[str, str]

    def of(self, fields: Collection[str] | None) -> tuple[str, ...]:
        """Find the endpoints that give some fields.

        Args:
            fields: Names of fields of the record; ``None`` for all of them.

        Returns:
            Names of the endpoints, each once; at least one.
        """
        names = {name: None for one, name in self.gives.items() if fields is None or one in fields}
        return tuple(names) or (self.first,)


Divisions: TypeAlias = Mapping[str, Division]
"""By name of the source, of those that have several endpoints."""


def divisions_of(endpoints: Mapping[str, Sequence[Endpoint[Any]]]) -> Divisions:
    """Find how sources are divided.

    Args:
        endpoints: What is asked for each source, by its name.

    Returns:
        The divisions of those that have endpoints of other names.
    """
    return {
        name: Division(
            first=several[0].spec.name,
            gives={field: one.spec.name for one in several for field in sorted(one.gives)},
        )
        for name, several in endpoints.items()
        if [one.spec.name for one in several] != [name]
    }
