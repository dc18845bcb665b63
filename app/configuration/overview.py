"""The settings in effect and where each is from, for a person. No secret is in it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel, SecretStr

from app.configuration.addresses import is_address, without_secrets
from app.configuration.keys import Keys, as_table, dotted
from app.configuration.reading import AnySettings, Reading
from app.configuration.shape import Shape

DEFAULT = "default"
HEADS = ("Setting", "Value", "From")
WIDEST = 60
"""Most characters of a column; what is longer sticks out."""


@dataclass(frozen=True, slots=True)
class Row:
    """A setting in effect.

    Attributes:
        name: Its name in a file.
        value: Its value as TOML writes it; empty where there is none.
        origin: Where it is from: a line of the file, a variable, or ``default``.
    """

    name: str
    value: str
    origin: str


def rows(reading: Reading[AnySettings]) -> Iterator[Row]:
    """List all settings in effect.

    Args:
        reading: The settings, as they were read.

    Yields:
        A row for each single value, in the order of the settings.
    """
    for keys, value, secret in _values(
        reading.settings, (), Shape(tables=(type(reading.settings),))
    ):
        yield Row(dotted(keys), _written(value, secret=secret), _origin(reading, keys))


def overview(reading: Reading[AnySettings], *, everything: bool) -> str:
    """Write the settings in effect as a table.

    Args:
        reading: The settings, as they were read.
        everything: Whether to show what has its default, too.

    Returns:
        Lines for a person.
    """
    every = list(rows(reading))
    told = [row for row in every if everything or row.origin != DEFAULT]
    lines = [HEADS, *((row.name, row.value, row.origin) for row in told)]
    widths = [min(WIDEST, max(len(line[column]) for line in lines)) for column in (0, 1)]
    table = [
        f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for name, value, origin in lines
    ]
    if left := len(every) - len(told):
        table += ["", f"{left} more have their defaults; --all shows them too."]
    return "\n".join(table)


def _values(value: object, keys: Keys, shape: Shape) -> Iterator[tuple[Keys, object, bool]]:
    """List the single values of settings, and whether each is secret."""
    if isinstance(value, BaseModel):
        for name, inner in value:
            below = Shape(tables=(type(value),)).below(name).shape
            yield from _values(inner, (*keys, name), below)
    elif table := as_table(value):
        for name, inner in table.items():
            yield from _values(inner, (*keys, name), shape.below(name).shape)
    elif shape.items is not None and shape.items.tables and isinstance(value, Iterable):
        for number, inner in enumerate(cast("Iterable[object]", value)):
            yield from _values(inner, (*keys, number), shape.items)
    else:
        yield keys, value, shape.secret


def _written(value: object, *, secret: bool) -> str:
    """Write a value as TOML does."""
    if value is None:
        return ""
    if secret or isinstance(value, SecretStr):
        return "(secret)"
    plain: object = getattr(value, "pattern", value)
    if isinstance(value, str) and is_address(value):
        plain = without_secrets(value)
    return json.dumps(plain, ensure_ascii=False, default=str)


def _origin(reading: Reading[AnySettings], keys: Keys) -> str:
    """Say where a setting is from."""
    origins = reading.origins
    if (variable := origins.variable(keys)) is not None:
        return reading.environment.origin(variable)
    file = origins.in_the_file(keys)
    if file is None:
        return DEFAULT
    reference = origins.reference(keys)
    return file.line(keys) + ("" if reference is None else f", {reference}")
