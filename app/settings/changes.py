"""What differs between two versions of the settings, by name. Values are never shown. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from app.settings.files import WithFiles
from app.settings.models import Settings
from app.settings.nested import Keys, dotted

FIXED = ("host", "port", "workers", "log", "telemetry", "drain", "reload")
"""The settings that are read once, when the gateway starts."""

FIXED_OF_ADMIN = ("port", "host")
"""The settings of ``admin`` that are read once."""


def changes(before: WithFiles[Settings], after: WithFiles[Settings]) -> Sequence[str]:
    """List the settings that differ. A file that has other content differs, too.

    Args:
        before: The settings before.
        after: The settings after.

    Returns:
        Names such as ``sources.billing.timeout``, in the order of the settings.
    """
    old, new = before.digests, after.digests
    in_files = [keys for keys, digest in new.items() if old.get(keys, digest) != digest]
    differing = _different(before.settings, after.settings, ())
    return [dotted(keys) for keys in dict.fromkeys((*differing, *in_files))]


def applicable(before: Settings, after: Settings) -> tuple[Settings, Sequence[str]]:
    """Return the settings that a running gateway can apply.

    Args:
        before: The settings that it runs with.
        after: The settings that it should run with.

    Returns:
        ``after``, with the values of ``before`` for settings that are read once; and the names of
        those of them that differ. They need a restart.
    """
    kept: dict[str, Any] = {name: getattr(before, name) for name in FIXED}
    of_admin = {name: getattr(before.admin, name) for name in FIXED_OF_ADMIN}
    kept["admin"] = after.admin.model_copy(update=of_admin)
    if (before.tls is None) != (after.tls is None):  # a listener speaks either http or https
        kept["tls"] = before.tls
    applied = after.model_copy(update=kept)
    return applied, [dotted(keys) for keys in _different(applied, after, ())]


def _different(before: object, after: object, keys: Keys) -> Iterator[Keys]:
    """List the places at which two values differ."""
    if isinstance(before, BaseModel) and type(before) is type(after):
        for name, info in type(before).model_fields.items():
            old, new = getattr(before, name), getattr(after, name)
            yield from _different(old, new, (*keys, info.alias or name))
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        old_table = cast("Mapping[str, object]", before)
        new_table = cast("Mapping[str, object]", after)
        for name in dict.fromkeys((*old_table, *new_table)):
            if name in old_table and name in new_table:
                yield from _different(old_table[name], new_table[name], (*keys, name))
            else:
                yield (*keys, name)
    elif before != after:
        yield keys
