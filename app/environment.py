"""Settings from the environment, and every mistake in them told at once.

A mistake names its variable, what it got and what would be right, so that one start shows all
there is to mend. Variables of ours that no setting has are mistakes too: most are misspelt.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.errors import ConfigurationError, shown
from app.settings import Settings

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
    """

    path: tuple[str, ...]
    default: str | None
    description: str
    secret: bool

    @property
    def name(self) -> str:
        """Its full name, ``GATEWAY_…``."""
        return name_of(self.path)

    @property
    def required(self) -> bool:
        """Whether the gateway cannot start without it."""
        return self.default is None


@dataclass(slots=True)
class Found:
    """What is set, as far as it can be read.

    Attributes:
        values: The values, nested as the settings are.
        mistakes: What cannot be read.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    mistakes: list[str] = field(default_factory=list[str])


class _Layers(Settings, BaseSettings):  # type: ignore[misc] # two kinds of the same configuration
    """The same settings, put together by pydantic-settings from layers.

    So far there is one layer: what was found. The library's own reading of the environment is not
    among them: it cannot say which variable is no JSON, passes over names below a setting that has
    none, and lets the order of the environment decide between a group and its parts.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 # the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Name the layers, the strongest first."""
        return (init_settings,)


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings from the environment, and from a file for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines. It need not exist.

    Returns:
        The settings.

    Raises:
        ConfigurationError: They cannot be used; with one sentence a mistake.
    """
    found = _find(env_file)
    try:
        settings = _Layers(**found.values)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            found.mistakes += _mistakes(details)
    else:
        if not found.mistakes:
            return Settings.model_construct(**dict(settings))
    raise ConfigurationError(tuple(found.mistakes))


def variables() -> Iterator[Variable]:
    """List every variable, in the order of the settings.

    Yields:
        The variables that hold one value; a group of them can also be given as JSON.
    """
    return _leaves(Settings, ())


def name_of(path: tuple[str, ...]) -> str:
    """Name the variable of a setting.

    Args:
        path: Where it is in the settings.

    Returns:
        Its full name.
    """
    return PREFIX + NESTING.join(path).upper()


def _leaves(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Variable]:
    """List the variables of a group of settings, those of its groups included."""
    for name, info in model.model_fields.items():
        if (group := _group(info)) is not None:
            yield from _leaves(group, (*path, name))
        else:
            yield Variable(
                path=(*path, name),
                default=None if info.is_required() else _written(info.default),
                description=info.description or "",
                secret=_has_secret(info.annotation),
            )


def _group(info: FieldInfo) -> type[BaseModel] | None:
    """Tell whether a field holds settings of its own."""
    annotation = info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _has_secret(annotation: object) -> bool:
    """Tell whether a type holds a secret, however deep its unions and annotations go."""
    return annotation is SecretStr or any(_has_secret(one) for one in get_args(annotation))


def _written(value: object) -> str:
    """Write a default as it would stand in the environment; empty when there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "pattern", value))


def _find(env_file: Path | None) -> Found:
    """Find what is set of our variables; the environment wins over the file."""
    found = Found()
    in_file: Mapping[str, str | None] = {}
    if env_file is not None and env_file.is_file():
        try:
            in_file = dotenv_values(env_file)
        except (OSError, UnicodeDecodeError):
            found.mistakes.append(f"{env_file} cannot be read: expected NAME=value lines in UTF-8")
    ours = {
        name.upper(): value
        for name, value in {**in_file, **os.environ}.items()
        if name.upper().startswith(PREFIX) and value  # an empty value is none
    }
    leaves = {variable.name: variable for variable in variables()}
    groups = {name_of(leaf.path[:depth]) for leaf in leaves.values() for depth in (1, 2, 3)}
    # Groups first and in their order, so that a variable of its own wins over its group's JSON.
    for name in sorted(ours, key=lambda one: (one in leaves, one.count(NESTING), one)):
        if name in leaves:
            _put(found.values, leaves[name].path, ours[name])
        elif name in groups:
            _put_group(found, name, ours[name])
        else:
            found.mistakes.append(_not_a_setting(name))
    return found


def _put(values: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Put a value at its place; what stands in its way has been told as a mistake."""
    *above, last = path
    for part in above:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        values = cast("dict[str, Any]", inner)
    values[last] = value


def _put_group(found: Found, name: str, text: str) -> None:
    """Put a group that is given as JSON at its place. Its text may hold secrets."""
    try:
        group: object = json.loads(text)
    except ValueError:
        group = None
    if not isinstance(group, dict):
        found.mistakes.append(
            f"{name} got something else: expected a JSON object,"
            " or a variable for each setting in it"
        )
        return
    path = tuple(name.removeprefix(PREFIX).lower().split(NESTING))
    for key, value in cast("dict[str, object]", group).items():
        _put(found.values, (*path, key.lower()), value)


def _mistakes(details: ErrorDetails) -> Iterator[str]:
    """Say what is wrong with a value, and what would be right: a sentence a variable."""
    path = tuple(str(part) for part in details["loc"])
    name = name_of(path)
    if details["type"] == "missing":
        for variable in variables():
            if variable.path[: len(path)] == path and variable.required:
                example = f"For instance {variable.name}=https://users.internal/api"
                yield f"{variable.name} is missing: {variable.description} {example}"
    elif details["type"] == "extra_forbidden":
        yield _not_a_setting(name)
    else:
        found = next((one for one in variables() if one.name == name), None)
        got = _shown(found, details["input"])
        meaning = f" {found.description}" if found is not None else ""
        yield f"{name} got {got}: {_lowered(details)}.{meaning}"


def _not_a_setting(name: str) -> str:
    """Say that a variable is unknown, with the nearest name that is known."""
    near = difflib.get_close_matches(name, [variable.name for variable in variables()], n=1)
    hint = f"did you mean {near[0]}?" if near else LIST_OF_ALL
    return f"{name} is not a setting: {hint}"


def _shown(variable: Variable | None, value: object) -> str:
    """Quote a value for a message, without what may be secret in it."""
    if variable is None or not isinstance(value, str | int | float):
        return "something else"
    if variable.secret:
        return "a secret value"
    _, credentials, rest = str(value).rpartition("@")
    return shown(f"…@{rest}" if credentials else str(value))


def _lowered(details: ErrorDetails) -> str:
    """Turn a message of pydantic into a part of a sentence."""
    context: Mapping[str, Any] = details.get("ctx", {})
    message = str(context.get("error", details["msg"]))
    return message[:1].lower() + message[1:]
