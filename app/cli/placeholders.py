"""Settings for commands that run without those of an operator."""

from collections.abc import Mapping

from app.settings.models import DEFAULT_SOURCES
from app.settings.source import SourceSettings

UNSERVED = "http://127.0.0.1:9"
"""An address at which no service listens: the discard port (RFC 863)."""


def sources_at(addresses: Mapping[str, str]) -> Mapping[str, SourceSettings]:
    """Make the settings of the default sources.

    Args:
        addresses: Base URLs by the name of the source. A source that is missing here gets an
            address at which no service listens.

    Returns:
        The settings of these sources, with defaults except for the addresses.
    """
    return {
        name: SourceSettings(base_url=addresses.get(name, UNSERVED)) for name in DEFAULT_SOURCES
    }
