"""The environment variables: which there are, what is set, and which one was meant.

Misspelt names: which one was meant.

Which variables there are, and the settings that they are of.

What the environment says: which of our variables are set, and what that means.

The variables are read here rather than by a library, so that each mistake can name its variable,
names that no setting has are mistakes too, and the order of the environment decides nothing.
"""

import difflib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr

from app.settings.field_schema import FieldSchema, Setting
from app.settings.nested import NOTHING, Keys, Table, as_list, as_table, laid_over, value_at


def nearest(name: str, names: Collection[str], *, least: float = 0.6) -> str | None:
    """Offer the known name that is nearest to an unknown one.

    Args:
        name: What was written.
        names: What is known.
        least: How near it has to be, from 0 to 1.

    Returns:
        A question, or ``None`` when none is near.
    """
    near = difflib.get_close_matches(name, names, n=1, cutoff=least)
    return f"did you mean {near[0]}?" if near else None


PREFIX = "GATEWAY_"
NESTING = "__"
LIST_OF_ALL = "`user-gateway settings` lists all there are."


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    Attributes:
        path: Where its value is in the settings.
        default: Its default as one would write it, or ``None`` when it has to be set.
        description: What it means.
        secret: Whether its value may never be shown.
        dependent: Whether it means nothing unless something else is set: its table is not there by
            default, or is of another kind.
    """

    path: tuple[str, ...]
    default: str | None
    description: str
    secret: bool
    dependent: bool = False

    @property
    def name(self) -> str:
        """Its full name, ``GATEWAY_…``."""
        return name_of(self.path)

    @property
    def required(self) -> bool:
        """Whether the gateway cannot start without it."""
        return self.default is None


CONFIG = Variable(
    path=("config",),
    default="",
    description="TOML file with any of these settings; a variable wins over it.",
    secret=False,
)
"""Names the configuration file. The one variable that is no setting itself."""


def name_of(keys: Keys) -> str:
    """Name the variable of a setting.

    Args:
        keys: Where it is in the settings.

    Returns:
        Its full name.
    """
    return PREFIX + NESTING.join(str(key) for key in keys).upper()


def settings_below(setting: Setting, keys: Keys = ()) -> Iterator[tuple[Keys, Setting]]:
    """List the settings that hold one value each: a list and a table of free names are one value.

    Args:
        setting: Where to begin.
        keys: Where that is.

    Yields:
        Each setting and where it is. One is required only if all around it is; defaults are those
        of the table around, where that has one.
    """
    return _below(setting, keys, ())


def variables_of(model: type[BaseModel]) -> Iterator[Variable]:
    """List the variables that hold one value each; a table of them can also be given as JSON.

    Args:
        model: The settings.

    Yields:
        The variables, in the order of the settings.
    """
    for keys, setting in settings_below(Setting(FieldSchema(tables=(model,)), required=True)):
        yield Variable(
            path=tuple(str(key) for key in keys),
            default=None if setting.required else _written(setting.default),
            description=setting.meaning,
            secret=setting.schema.secret,
            dependent=setting.dependent,
        )


def not_a_variable(name: str, model: type[BaseModel]) -> str:
    """Say that a variable is unknown, with the nearest name that is known.

    Args:
        name: The variable.
        model: The settings.

    Returns:
        A sentence.
    """
    names = [CONFIG.name, *(variable.name for variable in variables_of(model))]
    return f"{name} is not a setting: {nearest(name, names) or LIST_OF_ALL}"


def _below(
    setting: Setting, keys: Keys, around: tuple[type[BaseModel], ...]
) -> Iterator[tuple[Keys, Setting]]:
    """List settings, but not those of a model within itself: there is no end to them."""
    schema = setting.schema
    if not schema.tables or schema.plain or schema.secret:
        yield keys, setting
    if set(schema.tables) & set(around):
        return
    certain = setting.required or setting.default is not None
    for name in schema.names():
        one = schema.below(name)
        given = _given(setting.default, name)
        sure = certain and (len(schema.tables) == 1 or name == schema.tag)
        inner = replace(
            one,
            required=one.required and sure and given is NOTHING,
            default=one.default if given is NOTHING else given,
            dependent=setting.dependent or (given is NOTHING and not sure),
        )
        yield from _below(inner, (*keys, name), (*around, *schema.tables))


def _given(default: object, name: str) -> object:
    """Find what the default of a whole table has for one of its settings."""
    if isinstance(default, BaseModel) and name in type(default).model_fields:
        return getattr(default, name)
    return NOTHING


def _written(value: object) -> str:
    """Write a default as it would stand in the environment; empty when there is none."""
    if value is None or isinstance(value, SecretStr | BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)
    return str(getattr(value, "pattern", value))


@dataclass(frozen=True, slots=True)
class SetVariables:
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
class VariableValues:
    """What variables say of the settings.

    Attributes:
        values: The values, nested as the settings are.
        names: Which variable a value is from, by where it is.
        mistakes: What cannot be read.
    """

    values: Table = field(default_factory=Table)
    names: dict[Keys, str] = field(default_factory=dict[Keys, str])
    mistakes: list[str] = field(default_factory=list[str])


def read_environment(env_file: Path | None) -> SetVariables:
    """Read the environment, and a file for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines. It need not exist.

    Returns:
        What is set.
    """
    if env_file is None or not env_file.is_file():
        return SetVariables(dict(os.environ))
    try:
        lines = dotenv_values(env_file)
    except (OSError, UnicodeDecodeError):
        mistake = f"{env_file} cannot be read: expected NAME=value lines in UTF-8"
        return SetVariables(dict(os.environ), mistakes=(mistake,))
    have = {_as_read(name) for name in os.environ}
    added = {
        name: value
        for name, value in lines.items()
        if value is not None and _as_read(name) not in have
    }
    return SetVariables({**added, **os.environ}, env_file, frozenset(added))


def _as_read(name: str) -> str:
    """Write a name as it is read: ours in upper case, others as they are."""
    return name.upper() if name.upper().startswith(PREFIX) else name


def from_variables(
    environment: SetVariables, model: type[BaseModel], standing: Table
) -> VariableValues:
    """Find the settings of variables.

    Args:
        environment: What is set.
        model: The settings.
        standing: What a file says. Names of the operator's own are those of the file in either
            case; others are in lower case.

    Returns:
        What the variables say.
    """
    found = VariableValues()
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


def _place_of(
    name: str, model: type[BaseModel], standing: Table
) -> tuple[Keys, FieldSchema] | None:
    """Find where the value of a variable belongs."""
    schema, keys = FieldSchema(tables=(model,)), Keys()
    for part in name.removeprefix(PREFIX).lower().split(NESTING):
        key = part
        if part not in schema.names():
            if schema.entries is None or not part:
                return None
            table = as_table(value_at(standing, keys)) or {}
            key = next((one for one in table if one.lower() == part), part)
        schema, keys = schema.below(key).schema, (*keys, key)
    return keys, schema


def _read(found: VariableValues, name: str, text: str, keys: Keys, schema: FieldSchema) -> None:
    """Read a variable's value: JSON where it may be a table or a list and is one, else a text."""
    value = _from_json(text) if schema.holds else None
    table = (schema.tables or schema.entries) and as_table(value) is not None
    if table or (schema.items and as_list(value) is not None):
        _put(found, name, value, keys, schema)
    elif schema.holds and not (schema.plain or schema.secret):
        found.mistakes.append(_no_json(name, schema))  # without the text: it may hold secrets
    else:
        _put(found, name, text, keys, schema)


def _from_json(text: str) -> object:
    """Read JSON, if it is any."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _no_json(name: str, schema: FieldSchema) -> str:
    """Say what a variable of a table or a list should have."""
    if schema.tables:
        return (
            f"{name} got something else: expected a JSON object,"
            " or a variable for each setting in it"
        )
    right = "list" if schema.entries is None else "object"
    return f"{name} got something else: expected a JSON {right}"


def _put(found: VariableValues, name: str, value: object, keys: Keys, schema: FieldSchema) -> None:
    """Put a value at its place, and each value of a table at its own."""
    table = as_table(value) if schema.tables or schema.entries else None
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
    own = schema.names()
    for key, one in table.items():
        known = key.lower() if key.lower() in own else key
        _put(found, name, one, (*keys, known), schema.below(known).schema)
