"""What the environment says: which of our variables are set, and what that means.

The variables are read here rather than by a library, so that each mistake can name its variable,
names that no setting has are mistakes too, and the order of the environment decides nothing.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel

from app.configuration.keys import Keys, Table, as_list, as_table, laid_over, value_at
from app.configuration.shape import Shape
from app.configuration.variables import CONFIG, NESTING, PREFIX, not_a_variable


@dataclass(frozen=True, slots=True)
class Environment:
    """What is set on the machine.

    Attributes:
        variables: All variables; names are as they were written.
        file: A file that has added some.
        added: The names of those.
        mistakes: What cannot be read.
    """

    variables: Mapping[str, str]
    file: Path | None = None
    added: frozenset[str] = frozenset()
    mistakes: tuple[str, ...] = ()

    def origin(self, name: str) -> str:
        """Say where one of our variables is set."""
        in_file = name in {added.upper() for added in self.added}
        return f"{name} in {self.file}" if in_file else name

    def ours(self) -> dict[str, str]:
        """List what is set of our variables, by name in upper case; an empty value is none."""
        return {
            name.upper(): value
            for name, value in self.variables.items()
            if name.upper().startswith(PREFIX) and value
        }


@dataclass(slots=True)
class FromVariables:
    """What variables say of the settings.

    Attributes:
        values: The values, nested as the settings are.
        names: Which variable a value is from, by where it is.
        mistakes: What cannot be read.
    """

    values: Table = field(default_factory=Table)
    names: dict[Keys, str] = field(default_factory=dict[Keys, str])
    mistakes: list[str] = field(default_factory=list[str])


def read_environment(env_file: Path | None) -> Environment:
    """Read the environment, and a file for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines. It need not exist.

    Returns:
        What is set.
    """
    if env_file is None or not env_file.is_file():
        return Environment(dict(os.environ))
    try:
        lines = dotenv_values(env_file)
    except (OSError, UnicodeDecodeError):
        mistake = f"{env_file} cannot be read: expected NAME=value lines in UTF-8"
        return Environment(dict(os.environ), mistakes=(mistake,))
    have = {_as_read(name) for name in os.environ}
    added = {
        name: value
        for name, value in lines.items()
        if value is not None and _as_read(name) not in have
    }
    return Environment({**added, **os.environ}, env_file, frozenset(added))


def _as_read(name: str) -> str:
    """Write a name as it is read: ours in upper case, others as they are."""
    return name.upper() if name.upper().startswith(PREFIX) else name


def from_variables(
    environment: Environment, model: type[BaseModel], standing: Table
) -> FromVariables:
    """Find the settings of variables.

    Args:
        environment: What is set.
        model: The settings.
        standing: What a file says. Names of the operator's own are those of the file in either
            case; others are in lower case.

    Returns:
        What the variables say.
    """
    found = FromVariables()
    ours = environment.ours()
    # The nearer to the root the earlier, so that a variable of its own wins over its group's JSON.
    for name in sorted(ours, key=lambda one: (one.count(NESTING), one)):
        if name == CONFIG.name:
            continue
        place = _place_of(name, model, laid_over(found.values, standing))
        if place is None:
            found.mistakes.append(not_a_variable(name, model))
        else:
            _read(found, name, ours[name], *place)
    return found


def _place_of(name: str, model: type[BaseModel], standing: Table) -> tuple[Keys, Shape] | None:
    """Find where the value of a variable belongs."""
    shape, keys = Shape(tables=(model,)), Keys()
    for part in name.removeprefix(PREFIX).lower().split(NESTING):
        key = part
        if part not in shape.names():
            if shape.entries is None or not part:
                return None
            table = as_table(value_at(standing, keys)) or {}
            key = next((one for one in table if one.lower() == part), part)
        shape, keys = shape.below(key).shape, (*keys, key)
    return keys, shape


def _read(found: FromVariables, name: str, text: str, keys: Keys, shape: Shape) -> None:
    """Read a variable's value: JSON where it may be a table or a list and is one, else a text."""
    value = _from_json(text) if shape.holds else None
    table = (shape.tables or shape.entries) and as_table(value) is not None
    if table or (shape.items and as_list(value) is not None):
        _put(found, name, value, keys, shape)
    elif shape.holds and not (shape.plain or shape.secret):
        found.mistakes.append(_no_json(name, shape))  # without the text: it may hold secrets
    else:
        _put(found, name, text, keys, shape)


def _from_json(text: str) -> object:
    """Read JSON, if it is any."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _no_json(name: str, shape: Shape) -> str:
    """Say what a variable of a table or a list should have."""
    if shape.tables:
        return (
            f"{name} got something else: expected a JSON object,"
            " or a variable for each setting in it"
        )
    right = "list" if shape.entries is None else "object"
    return f"{name} got something else: expected a JSON {right}"


def _put(found: FromVariables, name: str, value: object, keys: Keys, shape: Shape) -> None:
    """Put a value at its place, and each value of a table at its own."""
    table = as_table(value) if shape.tables or shape.entries else None
    *around, last = keys
    at = found.values
    for key in around:
        inner = as_table(at.setdefault(str(key), {}))
        if inner is None:  # what stands in its way is told as a mistake
            return
        at = inner
    if table is None:
        at[str(last)] = value
        found.names[keys] = name
        return
    at.setdefault(str(last), {})
    own = shape.names()
    for key, one in table.items():
        known = key.lower() if key.lower() in own else key
        _put(found, name, one, (*keys, known), shape.below(known).shape)
