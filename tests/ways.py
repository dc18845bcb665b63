"""The ways in which the gateway can do its work; what it promises holds in each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.settings.fastpath import FastpathSettings
from app.settings.models import DEFAULT_SOURCES, Settings
from app.settings.resilience import CoalesceSettings
from tests.file_schema import in_a_file


@dataclass(frozen=True)
class Ways:
    """Which short cuts the gateway takes.

    Attributes:
        short: Whether operations are compiled, and requests share calls.
        file: Whether the schema is the one of a file.
    """

    short: bool
    file: bool = False

    def __str__(self) -> str:
        way = "compiled and coalesced" if self.short else "interpreted and apart"
        return f"{way}, by a file" if self.file else way

    def of(self, settings: Settings) -> Settings:
        """Have the gateway work in these ways; where they are short, as the settings say."""
        if self.file:
            settings = in_a_file(settings)
        if self.short:
            return settings
        apart = {"coalesce": CoalesceSettings(enabled=False)}
        sources: dict[str, Any] = {
            name: source.model_copy(update=apart) for name, source in settings.sources.items()
        }
        return settings.model_copy(
            update={
                "fastpath": FastpathSettings(enabled=False),
                "sources": {**settings.sources, **sources},
            }
        )

    @property
    def variables(self) -> Mapping[str, str]:
        """The same as variables, for a gateway in a process of its own."""
        if self.short:
            return {}
        apart = {
            f"GATEWAY_SOURCES__{name.upper()}__COALESCE__ENABLED": "false"
            for name in DEFAULT_SOURCES
        }
        return {"GATEWAY_FASTPATH__ENABLED": "false", **apart}


SHORT, LONG = Ways(short=True), Ways(short=False)

BOTH = (SHORT, LONG)

BY_FILE = (Ways(short=True, file=True), Ways(short=False, file=True))
"""The same ways with a schema that a file defines."""

ALSO_BY_FILE = (*BOTH, BY_FILE[0])
"""Both ways, and a schema that a file defines, for tests that take long."""

EVERY = (*BOTH, *BY_FILE)
"""All of them."""
