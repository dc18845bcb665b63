"""The settings of this process: from the environment, and from the file that it names.

``loading`` reads any settings model. This module applies it to ``Settings``, and adds the check
that the settings of each source fit the record that it is read into.
"""

from collections.abc import Iterator
from pathlib import Path

from app.schema.user import specs
from app.settings.auth import WHO_MAY_ASK
from app.settings.loading import LoadedSettings, read_settings
from app.settings.models import Settings
from app.settings.nested import NOTHING, Keys, value_at
from app.settings.variables import CONFIG, Variable, variables_of
from app.sources.endpoints import misfits

ENV_FILE = Path(".env")


def load_settings(
    env_file: Path | None = ENV_FILE, *, config: Path | None = None, serving: bool = False
) -> Settings:
    """Read the settings from the environment, and from files for what it lacks.

    Args:
        env_file: A file of ``NAME=value`` lines that count as the environment; ``None`` for none.
            It need not exist.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names, if any.
        serving: Whether requests are going to be answered; the settings must then say who may ask.

    Returns:
        The settings.

    Raises:
        ConfigurationError: The settings are wrong; it has one sentence for each mistake.
    """
    check = _misfits_of_serving if serving else _misfits
    return read_settings(Settings, env_file=env_file, config=config, check=check).settings


def read(
    env_file: Path | None = ENV_FILE, *, config: Path | None = None
) -> LoadedSettings[Settings]:
    """Read the settings as ``load_settings`` does, with the origin of each.

    Args:
        env_file: A file of ``NAME=value`` lines that count as the environment; ``None`` for none.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names, if any.

    Returns:
        The settings and their origins.

    Raises:
        ConfigurationError: The settings are wrong; it has one sentence for each mistake.
    """
    return read_settings(Settings, env_file=env_file, config=config, check=_misfits)


def variables() -> Iterator[Variable]:
    """List every variable, in the order of the settings.

    Yields:
        The variable that names the configuration file, then one variable for each value. A table
        can also be given as one variable with JSON.
    """
    yield CONFIG
    yield from variables_of(Settings)


def _misfits(values: object) -> Iterator[tuple[Keys, str]]:
    """Find the settings of sources that do not fit their records."""
    for name, spec in specs().items():
        place: Keys = ("sources", name)
        for mistake in misfits(spec, value_at(values, place)):
            yield (*place, *mistake.keys), mistake.what


def _misfits_of_serving(values: object) -> Iterator[tuple[Keys, str]]:
    """Find the misfits, and a missing ``auth``, which serving needs."""
    yield from _misfits(values)
    if value_at(values, ("auth",)) is NOTHING:
        yield ("auth", "mode"), f"is missing: {WHO_MAY_ASK}"
