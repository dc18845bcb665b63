"""Settings of sources of which nothing but the addresses is said."""

from collections.abc import Mapping

from app.settings import SourcesSettings
from app.shapes.source import SourceSettings

UNSERVED = "http://127.0.0.1:9"
"""An address where nothing answers: the discard port."""


def sources_at(addresses: Mapping[str, str]) -> SourcesSettings:
    """Make the settings of the sources.

    Args:
        addresses: Base URLs by name; where one has none, nothing answers.

    Returns:
        Their settings, all else by default.
    """
    return SourcesSettings.model_validate(
        {
            name: SourceSettings(base_url=addresses.get(name, UNSERVED))
            for name in SourcesSettings.model_fields
        }
    )
