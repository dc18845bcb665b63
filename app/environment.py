"""Settings from the environment, and every mistake in them told at once.

A mistake names its variable, what it got and what would be right, so that one start shows all
there is to mend. Variables of ours that we do not know are mistakes too: most are misspelt.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from app.errors import ConfigurationError
from app.settings import Settings

PREFIX = "GATEWAY_"
NESTING = "__"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    Attributes:
        name: Its full name, ``GATEWAY_…``.
        default: Its default as one would write it, or ``None`` when it has to be set.
        description: What it means.
        secret: Whether its value may never be shown.
    """

    name: str
    default: str | None
    description: str
    secret: bool

    @property
    def required(self) -> bool:
        """Whether the gateway cannot start without it."""
        return self.default is None


class _FromEnvironment(Settings, BaseSettings):
    """The same settings, filled from the environment and the ``.env`` file."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTING, extra="ignore", env_ignore_empty=True
    )


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings from the environment, and from a file for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines. It need not exist.

    Returns:
        The settings.

    Raises:
        ConfigurationError: They cannot be used; with one sentence a mistake.
    """
    mistakes = list(_unknown(_ours(env_file)))
    try:
        loaded = _FromEnvironment(_env_file=env_file)  # pyright: ignore[reportCallIssue] # made by the plugin of mypy alone
    except ValidationError as error:
        mistakes += [
            mistake
            for details in error.errors(include_url=False)
            for mistake in _mistakes(details, _ours(env_file))
        ]
    except SettingsError as error:
        mistakes.append(f"{error}: expected JSON, or a variable for each value in it.")
    else:
        if not mistakes:
            return Settings.model_construct(**dict(loaded))
    raise ConfigurationError(tuple(mistakes))


def variables() -> Iterator[Variable]:
    """List every variable, in the order of the settings.

    Yields:
        The variables that hold one value; a group can also be given as JSON.
    """
    return _leaves(Settings, PREFIX)


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[Variable]:
    """List the variables of a group of settings.

    Args:
        model: The group.
        prefix: What the names of its variables start with.

    Yields:
        Its variables, those of its groups included.
    """
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        if (group := _group(field)) is not None:
            yield from _leaves(group, variable + NESTING)
        else:
            yield Variable(
                name=variable,
                default=None if field.is_required() else _written(field.default),
                description=field.description or "",
                secret=_has_secret(field.annotation),
            )


def _group(field: FieldInfo) -> type[BaseModel] | None:
    """Tell whether a field holds settings of its own.

    Args:
        field: A field of the settings.

    Returns:
        The model of the group, or ``None`` for a single value.
    """
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _has_secret(annotation: object) -> bool:
    """Tell whether a type holds a secret.

    Args:
        annotation: The type, however deep its unions and annotations go.

    Returns:
        Whether ``SecretStr`` is in it.
    """
    return annotation is SecretStr or any(_has_secret(one) for one in get_args(annotation))


def _written(value: object) -> str:
    """Write a default as it would stand in the environment.

    Args:
        value: The default.

    Returns:
        Its text; empty when there is none.
    """
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "pattern", value))


def _ours(env_file: Path | None) -> Mapping[str, str]:
    """Collect what is set of our variables.

    Args:
        env_file: The file behind the environment.

    Returns:
        Values by variable in upper case; the environment wins over the file.
    """
    from_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    found = {**from_file, **os.environ}
    return {
        name.upper(): value or ""
        for name, value in found.items()
        if name.upper().startswith(PREFIX)
    }


def _unknown(ours: Mapping[str, str]) -> Iterator[str]:
    """Name the variables that no setting has, and that no group of settings could.

    Args:
        ours: What is set.

    Yields:
        One mistake for each.
    """
    fields = {PREFIX + field.upper() for field in Settings.model_fields}
    for name in sorted(ours):
        if name.split(NESTING)[0] not in fields:
            yield _not_a_setting(name)


def _mistakes(details: ErrorDetails, ours: Mapping[str, str]) -> Iterator[str]:
    """Say what is wrong with a value, and what would be right.

    Args:
        details: What pydantic found.
        ours: What is set.

    Yields:
        A sentence a variable; several when a whole group is missing or unknown.
    """
    name = PREFIX + NESTING.join(str(part) for part in details["loc"]).upper()
    below = name + NESTING
    if details["type"] == "missing":
        for variable in variables():
            if (variable.name == name or variable.name.startswith(below)) and variable.required:
                example = f"For instance {variable.name}=https://users.internal/api"
                yield f"{variable.name} is missing: {variable.description} {example}"
    elif details["type"] == "extra_forbidden":
        for unknown in [one for one in sorted(ours) if one.startswith(below)] or [name]:
            yield _not_a_setting(unknown)
    else:
        found = next((one for one in variables() if one.name == name), None)
        message = f"{name} got {_shown(found, ours.get(name, 'JSON'))}: {_lowered(details)}."
        yield f"{message} {found.description}" if found is not None else message


def _not_a_setting(name: str) -> str:
    """Say that a variable is unknown.

    Args:
        name: The variable.

    Returns:
        A sentence with the nearest known name.
    """
    near = difflib.get_close_matches(name, [variable.name for variable in variables()], n=1)
    hint = f"did you mean {near[0]}?" if near else "`user-gateway settings` lists all there are."
    return f"{name} is not a setting: {hint}"


def _shown(variable: Variable | None, value: str) -> str:
    """Quote a value for a message.

    Args:
        variable: The variable that has it.
        value: What it is set to.

    Returns:
        The value in quotes, without what may be secret in it.
    """
    if variable is not None and variable.secret:
        return "a secret value"
    return repr(re.sub(r"//[^/@]*@", "//…@", value))


def _lowered(details: ErrorDetails) -> str:
    """Turn a message of pydantic into a part of a sentence.

    Args:
        details: What pydantic found.

    Returns:
        The message, without what pydantic puts before one of ours.
    """
    context: Mapping[str, Any] = details.get("ctx", {})
    message = str(context.get("error", details["msg"]))
    return message[:1].lower() + message[1:]
