"""The settings that the schema is made of, and what can be wrong with them."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from msgspec import Struct, field

from app.schema.configured.modules import LoadedModule
from app.settings.nested import Keys
from app.settings.public_schema import (
    EnumSettings,
    ObjectSettings,
    SchemaSettings,
    UserFieldSettings,
)
from app.settings.source import SourceSettings


class SchemaTables(Struct, frozen=True):
    """The settings of which the schema is made.

    Attributes:
        schema: The schema as a whole.
        user: The fields of a user.
        types: The objects.
        enums: The enums.
        sources: The sources.
        module: The Python module; ``None`` without one.
        unread: Names of objects, enums, sources and endpoints whose settings are invalid by
            themselves.
        lost_fields: Names of the fields of a user of which that is so.
    """

    schema: SchemaSettings = field(default_factory=SchemaSettings)
    user: Mapping[str, UserFieldSettings] = {}
    types: Mapping[str, ObjectSettings] = {}
    enums: Mapping[str, EnumSettings] = {}
    sources: Mapping[str, SourceSettings] = {}
    module: LoadedModule | None = None
    unread: frozenset[str] = frozenset()
    lost_fields: frozenset[str] = frozenset()

    @property
    def lost_module(self) -> bool:
        """Whether it is not known what the module declares."""
        return self.module is not None and self.module.extension is None


class SchemaMistake(Struct, frozen=True):
    """A setting of the schema that does not fit.

    Attributes:
        keys: Its place.
        what: What is wrong, and what was expected; ``None`` if the setting is missing.
    """

    keys: Keys
    what: str | None


class MistakeList:
    """Collects the mistakes of one schema.

    Attributes:
        found: The mistakes so far.
    """

    def __init__(self) -> None:
        self.found: list[SchemaMistake] = []

    def add(self, keys: Keys, what: str | None) -> None:
        """Add a mistake.

        Args:
            keys: Its place.
            what: What is wrong, and what was expected; ``None`` if the setting is missing.
        """
        self.found.append(SchemaMistake(keys, what))


def unknown(name: str, known: Collection[str], kind: str = "") -> str:
    """Write the end of a sentence about a name that is not known.

    Args:
        name: The name.
        known: The names that are.
        kind: What it should be the name of, such as ``default field``.

    Returns:
        What is wrong with the name, and the nearest known one, or all of them.
    """
    wrong = f"which is no {kind}" if kind else "which is not known"
    if near := get_close_matches(name, known, n=1):
        return f"{wrong}: did you mean {near[0]}?"
    names = ", ".join(dict.fromkeys(known))
    return f"{wrong}: expected one of {names}." if known else f"{wrong}: there is none."
