"""Sources whose keys are in other sources' rows, for tests: settings and rows."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from app.settings.models import Settings
from app.settings.source import KeyFromSettings
from tests.fakes import Row, account_row, activity_row, profile_row, user_id

MAKERS = {"profile": profile_row, "billing": account_row, "activity": activity_row}
KEYS = {"profile": "id", "billing": "userId", "activity": "userId"}


def linked(settings: Settings, parents: Mapping[str, str]) -> Settings:
    """Have the keys of some sources, by their names, be in the rows of others."""
    sources: Mapping[str, Any] = {
        name: one.model_copy(
            update={
                "key_from": KeyFromSettings(source=parents[name], expression=f"keys.{name}")
                if name in parents
                else None
            }
        )
        for name, one in settings.sources.items()
    }
    return settings.model_copy(update={"sources": {**settings.sources, **sources}})


def own_key(source: str, number: int, parents: Mapping[str, str]) -> str:
    """Make the key of a test's user at a source."""
    return f"{source}-{number}" if source in parents else user_id(number)


def linked_row(
    source: str, number: int, parents: Mapping[str, str], keys: Mapping[str, object] | None = None
) -> Row:
    """Make the row that a source has of a user, with the keys of others that are in it.

    Args:
        source: The source.
        number: The user.
        parents: Which source has whose keys.
        keys: What is in the place of keys; by default those that are right.
    """
    right = {
        other: own_key(other, number, parents)
        for other, parent in parents.items()
        if parent == source
    }
    changes = {
        KEYS[source]: own_key(source, number, parents),
        "keys": right if keys is None else keys,
    }
    return MAKERS[source](number, **changes)


PARENTS: list[Mapping[str, str]] = [
    {},
    {},
    {"billing": "profile"},
    {"profile": "activity"},
    {"billing": "profile", "activity": "profile"},
    {"billing": "profile", "activity": "billing"},
]
"""Which source has whose keys: nobody, one, one of two, one of another that has a third's."""


@st.composite
def keys_of(draw: st.DrawFn, number: int, parents: Mapping[str, str]) -> Mapping[str, object]:
    """Make what is in the place of keys in a user's rows: mostly those that are right."""
    right = {name: own_key(name, number, parents) for name in parents}
    odd = st.sampled_from([None, "", "nobody's", 7, True, ["no key"]])
    shared = st.integers(1, 5)
    return {
        name: key
        if (kind := draw(st.integers(0, 5))) < 4
        else draw(odd)
        if kind == 4
        else own_key(name, draw(shared), parents)
        for name, key in right.items()
    }
