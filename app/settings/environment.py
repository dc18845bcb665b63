"""The settings of this process: from the environment, and from the file that it names.

What may be said, and what is wrong with what is, is the business of ``configuration/``; here it is
told which settings these are, and that those of a source have to fit what it is read into.
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
    """Read the settings from the environment, and from files for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines, which is as good as the environment. It need not
            exist.
        config: The configuration file; the one that ``GATEWAY_CONFIG`` names by default, if any.
        serving: Whether requests are going to be answered, so that it has to be said who may ask.

    Returns:
        The settings.

    Raises:
        ConfigurationError: They cannot be used; with one sentence a mistake.
    """
    check = _unsaid if serving else _misfits
    return read_settings(Settings, env_file=env_file, config=config, check=check).settings


def read(
    env_file: Path | None = ENV_FILE, *, config: Path | None = None
) -> LoadedSettings[Settings]:
    """Read the settings, and where each is from; as ``load_settings`` does.

    Args:
        env_file: A file of ``NAME=value`` lines.
        config: The configuration file.

    Returns:
        The settings and their origins.

    Raises:
        ConfigurationError: They cannot be used; with one sentence a mistake.
    """
    return read_settings(Settings, env_file=env_file, config=config, check=_misfits)


def variables() -> Iterator[Variable]:
    """List every variable, in the order of the settings.

    Yields:
        The variable that names the file, and those that hold one value each; a table of them can
        also be given as JSON.
    """
    yield CONFIG
    yield from variables_of(Settings)


def _misfits(values: object) -> Iterator[tuple[Keys, str]]:
    """Find what does not fit in the settings of sources."""
    for name, spec in specs().items():
        place: Keys = ("sources", name)
        for mistake in misfits(spec, value_at(values, place)):
            yield (*place, *mistake.keys), mistake.what


def _unsaid(values: object) -> Iterator[tuple[Keys, str]]:
    """Find what does not fit, and what has to be said before anybody is served."""
    yield from _misfits(values)
    if value_at(values, ("auth",)) is NOTHING:
        yield ("auth", "mode"), f"is missing: {WHO_MAY_ASK}"
