"""Reading settings in tests, and the settings that they begin with."""

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.execution.source_fit import completed, misfits_in
from app.settings.environment import read
from app.settings.loading import read_settings
from app.settings.models import Settings
from tests.settings.models import ServiceSettings, TestSettings

SECRET = "canary-secret"

NEEDED = """
[sources]
profile.base_url = "http://profile"
billing.base_url = "http://billing"
activity.base_url = "http://activity"
"""

SERVICE = """
[services.users]
url = "http://users"
"""


def load(path: Path | None = None) -> Settings:
    """Read our settings."""
    return read(Path(".env"), check=misfits_in, complete=completed, config=path).settings


def load_unchecked(path: Path) -> Settings:
    """Read our settings by their models alone, without a check of sources against the schema."""
    return read(Path(".env"), check=lambda _: (), complete=completed, config=path).settings


def mistakes(path: Path | None = None) -> tuple[str, ...]:
    """Read our settings, which have mistakes, and return the mistakes."""
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value.mistakes


def load_own(path: Path | None = None) -> ServiceSettings:
    """Read the settings of the test's own models."""
    own = read_settings(TestSettings, env_file=None, config=path)
    return own.settings.services.users


def mistakes_own(path: Path | None = None) -> tuple[str, ...]:
    """Read the settings of the test's own models, and return their mistakes."""
    with pytest.raises(ConfigurationError) as caught:
        load_own(path)
    return caught.value.mistakes
