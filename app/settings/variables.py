"""The environment variables: their names, those that are set, and the settings that they give.

The gateway reads them itself, without a library. So each mistake can name its variable, an unknown
name is reported, too, and the order of the environment has no effect.
"""

import difflib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values
from msgspec import Struct, field
from msgspec.structs import replace
from pydantic import BaseModel, SecretStr

from app.settings.field_schema import FieldSchema, Setting, example_of, settings_in
from app.settings.nested import NOTHING, Keys, Table, as_list, as_table, laid_over, value_at


def nearest(name: str, names: Collection[str], *, least: float = 0.6) -> str | None:
    """Suggest the known name that is most similar to an unknown one.

    Args:
        name: The unknown name.
        names: The known names.
        least: The least similarity, from 0 to 1.

    Returns:
        A question; ``None`` if no name is similar.
    """
    near = difflib.get_close_matches(name, names, n=1, cutoff=least)
    return f"did you mean {near[0]}?" if near else None


ENV_FILE = Path(".env")
"""The file for names that the environment lacks, in the working directory."""

PREFIX = "GATEWAY_"
"""Begins the name of every variable."""

NESTING = "__"
"""Separates the name of a table from the names in it."""

LISTS_ALL = "`user-gateway settings` lists all settings."


class Variable(Struct, frozen=True):
    """One environment variable.

    Attributes:
        path: The place of its value in the settings.
        default: Its default as text; ``None`` if it must be set.
        description: Its meaning.
        secret: Whether its value must never be shown.
        dependent: Whether it has an effect only with another setting: its table is absent by
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
    description="TOML file with any of these settings. A variable replaces a value of the file.",
    secret=False,
)
"""The variable with the path of the configuration file."""

INSTALLED_DEFAULTS = Variable(
    path=("defaults",),
    default="",
    description="TOML file with defaults of an installation, such as those of the container image."
    " Variables and the configuration file replace its values.",
    secret=False,
)
"""The variable with the path of a file below the configuration file."""

FILES = (CONFIG, INSTALLED_DEFAULTS)
"""The variables that are not settings."""


def name_of(keys: Keys) -> str:
    """Return the variable of a setting.

    Args:
        keys: The place of the setting.

    Returns:
        The full name, ``GATEWAY_…``.
    """
    return PREFIX + NESTING.join(str(key) for key in keys).upper()


def settings_below(setting: Setting, keys: Keys = ()) -> Iterator[tuple[Keys, Setting]]:
    """List the settings with one value each; a list, or a table of free names, is one value.

    Args:
        setting: The setting to begin with.
        keys: Its place.

    Yields:
        Each setting with its place. A setting is required only if all tables around it are. The
        default of a table takes precedence over those of its settings.
    """
    return _below(setting, keys, ())


def variables_of(model: type[BaseModel]) -> Iterator[Variable]:
    """List the variables with one value each; a table can also be one variable with JSON.

    Args:
        model: The model of the settings.

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
    """Make the message for an unknown variable, with the most similar known name.

    Args:
        name: The variable.
        model: The model of the settings.

    Returns:
        A sentence.
    """
    names = [*(one.name for one in FILES), *(one.name for one in variables_of(model))]
    return f"{name} is not a setting: {nearest(name, names) or LISTS_ALL}"


def _below(
    setting: Setting, keys: Keys, around: tuple[type[BaseModel], ...]
) -> Iterator[tuple[Keys, Setting]]:
    """List settings; stop at a model within itself, because it would never end."""
    schema = setting.schema
    if not schema.names() or schema.plain or schema.secret:
        yield keys, setting
    if set(schema.tables) & set(around):
        return
    certain = setting.required or setting.default is not None
    for name in schema.names():
        one = schema.below(name)
        given = _given(setting.default, name)
        sure = certain and (len(schema.tables) <= 1 or name == schema.tag)
        if name == schema.tag:
            # A table of a union has to have its tag: the default that a kind has is not applied.
            one = replace(one, required=True, default=None)
        inner = replace(
            one,
            required=one.required and sure and given is NOTHING,
            default=one.default if given is NOTHING else given,
            dependent=setting.dependent or (given is NOTHING and not sure),
        )
        yield from _below(inner, (*keys, name), (*around, *schema.tables))


def _given(default: object, name: str) -> object:
    """Return the value that the default of a whole table has for one of its settings."""
    return settings_in(default).get(name, NOTHING) if isinstance(default, BaseModel) else NOTHING


def _written(value: object) -> str:
    """Write a default as in the environment; empty if there is none."""
    if value is None or isinstance(value, SecretStr | BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)
    return str(getattr(value, "pattern", value))


class SetVariables(Struct, frozen=True):
    """The variables that are set.

    Attributes:
        variables: All variables; names are as they were written.
        file: The file that added some; ``None`` without one.
        added: The names that the file added.
        mistakes: One sentence if the file cannot be read.
    """

    variables: Mapping[str, str]
    file: Path | None = None
    added: frozenset[str] = frozenset()
    mistakes: tuple[str, ...] = ()

    def origin(self, name: str) -> str:
        """Return where one of the gateway's variables is set.

        Args:
            name: The name in upper case.

        Returns:
            The name; with the file, if that added it.
        """
        in_file = name in {added.upper() for added in self.added}
        return f"{name} in {self.file}" if in_file else name

    def ours(self) -> dict[str, str]:
        """Return the gateway's variables that are set.

        Returns:
            Values by name in upper case; an empty value counts as not set.
        """
        return {
            name.upper(): value
            for name, value in self.variables.items()
            if name.upper().startswith(PREFIX) and value
        }

    def has_settings(self) -> bool:
        """Return whether there are settings, in variables or in a file that one of them names.

        Returns:
            Whether a variable of the gateway is set, besides that of an installation's defaults.
        """
        return not self.ours().keys() <= {INSTALLED_DEFAULTS.name}


class VariableValues(Struct, frozen=True):
    """The settings that variables give.

    Attributes:
        values: The values, nested as the settings are.
        names: The variable of each value, by the place of the value.
        mistakes: A sentence for each variable that cannot be read.
    """

    values: Table = field(default_factory=Table)
    names: dict[Keys, str] = {}
    mistakes: list[str] = []


def read_environment(env_file: Path | None) -> SetVariables:
    """Read the environment, and a file for names that it lacks.

    Args:
        env_file: A file of ``NAME=value`` lines; ``None`` for none. It need not exist.

    Returns:
        The variables that are set.
    """
    if env_file is None or not env_file.is_file():
        return SetVariables(dict(os.environ))
    try:
        lines = dotenv_values(env_file)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        mistake = f"{env_file} cannot be read: {why}; expected NAME=value lines in UTF-8"
        return SetVariables(dict(os.environ), mistakes=(mistake,))
    have = {_as_read(name) for name in os.environ}
    added = {
        name: value
        for name, value in lines.items()
        if value is not None and _as_read(name) not in have
    }
    return SetVariables({**added, **os.environ}, env_file, frozenset(added))


def _as_read(name: str) -> str:
    """Return a name as it is compared: ours in upper case, others unchanged."""
    return name.upper() if name.upper().startswith(PREFIX) else name


def from_variables(
    environment: SetVariables, model: type[BaseModel], standing: Table
) -> VariableValues:
    """Convert variables to settings.

    Args:
        environment: The variables that are set.
        model: The model of the settings.
        standing: The values of the file. A free name matches the file's in either case; a new one
            is in lower case.

    Returns:
        The settings that the variables give.
    """
    found = VariableValues()
    ours = environment.ours()
    # In order of depth, so that the variable of a setting replaces a value in its group's JSON.
    for name in sorted(ours, key=lambda one: (one.count(NESTING), one)):
        if name in {one.name for one in FILES}:
            continue
        place = _place_of(name, model, laid_over(found.values, standing))
        if place is None:
            found.mistakes.append(not_a_variable(name, model))
        else:
            _read(found, name, ours[name], *place)
    return found


def _place_of(name: str, model: type[BaseModel], standing: Table) -> tuple[Keys, Setting] | None:
    """Return the place and the setting of a variable's value; ``None`` for an unknown name."""
    setting, keys = Setting(FieldSchema(tables=(model,))), Keys()
    for part in name.removeprefix(PREFIX).lower().split(NESTING):
        schema, key = setting.schema, part
        if part not in schema.names():
            if schema.entries is None or not part:
                return None
            table = as_table(value_at(standing, keys)) or {}
            key = next((one for one in table if one.lower() == part), part)
        setting, keys = schema.below(key), (*keys, key)
    return keys, setting


def _read(found: VariableValues, name: str, text: str, keys: Keys, setting: Setting) -> None:
    """Read a value: JSON if a table or list may be there and it is one, else text or texts."""
    schema = setting.schema
    value = _from_json(text) if schema.holds else None
    if as_list(value) is None and _takes_commas(schema) and (not schema.plain or "," in text):
        value = _parts(text, schema)
    table = (schema.tables or schema.entries) and as_table(value) is not None
    if table or (schema.items and as_list(value) is not None):
        _put(found, name, value, keys, schema)
    elif schema.holds and not (schema.plain or schema.secret):
        found.mistakes.append(_no_json(name, setting))  # without the text: it may hold secrets
    else:
        _put(found, name, text, keys, schema)


def _from_json(text: str) -> object:
    """Parse JSON; ``None`` if it is not valid."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


_BRACKETS = ("[", "{")
_NUMBER = re.compile("-?(0|[1-9][0-9]{0,8})")


def _takes_commas(schema: FieldSchema) -> bool:
    """Return whether a list of single values is allowed, or one of them, and nothing else."""
    items = schema.items
    if items is None or items not in _SINGLE_VALUES:
        return False
    return replace(schema, plain=False, united=False) == FieldSchema(items=items)


_SINGLE_VALUES = (FieldSchema(plain=True), FieldSchema(plain=True, united=True))
"""Items of one type, and items of several, which are names and numbers in a path."""


def _parts(text: str, schema: FieldSchema) -> list[str | int] | None:
    """Split a text at its commas; ``None`` if it seems to be meant as JSON, or has no text."""
    if text.lstrip().startswith(_BRACKETS):
        return None
    value = _from_json(text)
    parts = [value] if isinstance(value, str) else text.split(",")
    numbered = schema.items is not None and schema.items.united
    found = [part.strip() for part in parts if part.strip()]
    return [int(one) if numbered and _NUMBER.fullmatch(one) else one for one in found] or None


def _no_json(name: str, setting: Setting) -> str:
    """Make the message for a variable that should have JSON."""
    schema = setting.schema
    right = "list" if schema.entries is None and not schema.tables else "object"
    example = json.dumps(example_of(setting), ensure_ascii=False)
    what = f"{name} is not a JSON {right}: expected one such as {example}"
    if schema.tables:
        return f"{what}, or a variable for each setting in it"
    if _takes_commas(schema):
        return f"{what}, or its items with commas between them"
    return what


def _put(found: VariableValues, name: str, value: object, keys: Keys, schema: FieldSchema) -> None:
    """Put a value at its place, and each value of a table at its own."""
    table = as_table(value) if schema.tables or schema.entries else None
    *around, last = keys
    at = found.values
    for key in around:
        inner = as_table(at.setdefault(str(key), {}))
        if inner is None:  # the value in its place is reported as a mistake
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
