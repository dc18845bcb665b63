"""Sources whose keys are in other sources' rows, for tests: settings and rows."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

from app.settings.models import Settings
from app.settings.request import RepeatRequest
from app.settings.response import AnswerSettings
from app.settings.source import KeyFrom, KeyFromSettings, LookupSettings
from tests.fakes import Row, account_row, activity_row, profile_row, user_id

MAKERS = {"profile": profile_row, "billing": account_row, "activity": activity_row}
KEYS = {"profile": "id", "billing": "userId", "activity": "userId"}
LOOKUP = "billing.by_mail"

Parents: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""For a source or ``LOOKUP``, which has its keys: one, or several in order; none for ids."""


BY_MAIL: Parents = {"billing": ("profile", LOOKUP), LOOKUP: "profile"}
"""Billing's customers are in profile's rows, or are found by what these have as address."""


def origins(parents: Parents, name: str) -> tuple[str, ...]:
    """List which have the keys of a source, in order."""
    found = parents.get(name, ())
    return (found,) if isinstance(found, str) else found


def _key_from(parents: Parents, name: str) -> KeyFrom | None:
    """Make the setting, one table or several."""
    key = f'"{name}"' if "." in name else name
    places = [
        KeyFromSettings(source=one, expression=f"keys.{key}") for one in origins(parents, name)
    ]
    if isinstance(parents.get(name), str):
        return places[0]
    return tuple(places) or None


def linked(settings: Settings, parents: Parents) -> Settings:
    """Have the keys of some sources, by their names, be in the rows of others."""
    lookup = LookupSettings(
        request=RepeatRequest(form="repeat", path="/lookup", parameter="mail"),
        answer=AnswerSettings(key=("mail",)),
        key_from=_key_from(parents, LOOKUP),
    )
    sources: Mapping[str, Any] = {
        name: one.model_copy(
            update={
                "key_from": _key_from(parents, name),
                "lookups": {"by_mail": lookup} if name == "billing" and LOOKUP in parents else {},
            }
        )
        for name, one in settings.sources.items()
    }
    return settings.model_copy(update={"sources": {**settings.sources, **sources}})


def own_key(source: str, number: int, parents: Parents) -> str:
    """Make the key of a test's user at a source."""
    return f"{source}-{number}" if origins(parents, source) else user_id(number)


def linked_row(
    source: str, number: int, parents: Parents, keys: Mapping[str, object] | None = None
) -> Row:
    """Make the row that a source has of a user, with the keys of others that are in it.

    Args:
        source: The source, or ``LOOKUP``.
        number: The user.
        parents: Which source has whose keys.
        keys: What is in the place of keys; by default those that are right.
    """
    right = {
        other: own_key(other, number, parents)
        for other in parents
        if source in origins(parents, other)
    }
    own = own_key(source, number, parents)
    if source == LOOKUP:
        return {"mail": own, "keys": right if keys is None else keys}
    changes = {KEYS[source]: own, "keys": right if keys is None else keys}
    return MAKERS[source](number, **changes)


PARENTS: list[Parents] = [
    {},
    {},
    {"billing": "profile"},
    {"profile": "activity"},
    {"billing": "profile", "activity": "profile"},
    {"billing": "profile", "activity": "billing"},
    {"billing": ("profile", "activity")},
    BY_MAIL,
    {"activity": ("profile", LOOKUP, "billing"), LOOKUP: ()},
    {"billing": ("activity", LOOKUP), "activity": "profile", LOOKUP: ("profile", "activity")},
]
"""Which source has whose keys: nobody, one, one of two, one of another that has a third's; then
several in order, and what finds billing's customers by mail address or by id."""


def has_fallbacks(parents: Parents) -> bool:
    """Tell whether the keys of a source may be in several places."""
    return any(len(origins(parents, name)) > 1 for name in parents)


@st.composite
def keys_of(draw: st.DrawFn, number: int, parents: Parents) -> Mapping[str, object]:
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
