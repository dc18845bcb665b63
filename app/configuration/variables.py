"""Which variables there are, and the settings that they are of."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydantic import BaseModel, SecretStr

from app.configuration.keys import NOTHING, Keys
from app.configuration.nearest import nearest
from app.configuration.shape import Setting, Shape

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
    for keys, setting in settings_below(Setting(Shape(tables=(model,)), required=True)):
        yield Variable(
            path=tuple(str(key) for key in keys),
            default=None if setting.required else _written(setting.default),
            description=setting.meaning,
            secret=setting.shape.secret,
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
    shape = setting.shape
    if not shape.tables or shape.plain or shape.secret:
        yield keys, setting
    if set(shape.tables) & set(around):
        return
    certain = setting.required or setting.default is not None
    for name in shape.names():
        one = shape.below(name)
        given = _given(setting.default, name)
        sure = certain and (len(shape.tables) == 1 or name == shape.tag)
        inner = replace(
            one,
            required=one.required and sure and given is NOTHING,
            default=one.default if given is NOTHING else given,
            dependent=setting.dependent or (given is NOTHING and not sure),
        )
        yield from _below(inner, (*keys, name), (*around, *shape.tables))


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
