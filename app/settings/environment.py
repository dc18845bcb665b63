"""The settings of this process: from the environment, and from the file that it names.

``loading`` reads any settings model. This module applies it to ``Settings``, and adds the check
that the settings of each source fit the record that it is read into.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from app.settings.auth import WHO_MAY_ASK
from app.settings.defaults import DEFAULTS, SOURCES
from app.settings.loading import (
    LoadedSettings,
    SettingsCheck,
    SettingsCompletion,
    as_they_are,
    read_settings,
)
from app.settings.models import Settings, WrittenSettings
from app.settings.nested import NOTHING, Keys, value_at
from app.settings.source import SourceSettings
from app.settings.variables import ENV_FILE, FILES, Variable, variables_of


def load_settings(
    env_file: Path | None = ENV_FILE,
    *,
    checks: Sequence[SettingsCheck],
    complete: SettingsCompletion = as_they_are,
    config: Path | None = None,
    serving: bool = False,
) -> Settings:
    """Read the settings from the environment, and from files for what it lacks.

    Args:
        env_file: A file of ``NAME=value`` lines, used for names that the environment lacks. It
            need not exist.
        checks: Find mistakes that the models cannot know.
        complete: Adds values before they are checked.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names, if any.
        serving: Whether the gateway is going to serve requests, which requires ``auth``.

    Returns:
        The settings.

    Raises:
        ConfigurationError: The settings are wrong; it has one sentence for each mistake.
    """
    used = (_missing_callers, *checks) if serving else checks
    every: SettingsCheck = lambda values: chain.from_iterable(one(values) for one in used)  # noqa: E731
    return read(env_file, check=every, complete=complete, config=config).settings


def read(
    env_file: Path | None = ENV_FILE,
    *,
    check: SettingsCheck,
    complete: SettingsCompletion = as_they_are,
    config: Path | None = None,
) -> LoadedSettings[Settings]:
    """Read the settings as ``load_settings`` does, with the origin of each.

    Args:
        env_file: A file of ``NAME=value`` lines.
        check: Finds mistakes that the models cannot know.
        complete: Adds values before they are checked.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names, if any.

    Returns:
        The settings and their origins.

    Raises:
        ConfigurationError: The settings are wrong; it has one sentence for each mistake.
    """
    # Else its validator is made twice: as a part of that of `Settings`, and for `check`.
    SourceSettings.model_rebuild()
    return read_settings(
        Settings,
        written=WrittenSettings,
        env_file=env_file,
        config=config,
        check=check,
        complete=complete,
    )


def variables() -> Iterator[Variable]:
    """List every variable, in the order of the settings; those of sources are first.

    Yields:
        The variables that name files with settings, then one variable for each value. A table can
        also be given as one variable with JSON.
    """
    yield from FILES
    yield from sorted(
        variables_of(WrittenSettings), key=lambda one: one.path[0] not in {SOURCES, DEFAULTS}
    )


def _missing_callers(values: object) -> Iterator[tuple[Keys, str]]:
    """Report a missing ``auth``: the gateway must not serve anyone by accident."""
    if value_at(values, ("auth",)) is NOTHING:
        yield ("auth", "mode"), f"is missing: {WHO_MAY_ASK}"
