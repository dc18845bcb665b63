"""How a kept source result may be used, by its age. Pure.

``use_of`` decides:

    record     up to ttl                               used
               then up to + stale_while_revalidate     used at once, and renewed in the background
               then up to + stale_if_error             used if the source fails (``stale_ok``)
    unknown    up to unknown_ttl                       used
    failure    never kept; the same is true of a record with damaged fields

The cache headers of the service bound each of these times (``lifetime.py``).

An entry that lacks a wanted field is not used. The new record is then merged with the entry, if
that is still fresh; the merged entry is as old as the older part.
"""

from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from app.errors import Code, SourceFailure
from app.settings.source import SourceSettings
from app.sources.base import DamagedRecord, FieldSet, Record, SourceResult
from app.sources.cache.lifetime import Lifetime, SeenResponse
from app.sources.cache.store import Entry
from app.sources.records_in_parts import joined

R = TypeVar("R", bound=Record)


class EntryUse(Enum):
    """How an entry may be used."""

    FRESH = "fresh"
    """It is the result."""
    REVALIDATE = "revalidate"
    """It is the result, and a new one is fetched in the background for later requests."""
    IF_ERROR = "if_error"
    """It is the result if the source fails."""
    NONE = "none"
    """It is not used."""


AT_ONCE = (EntryUse.FRESH, EntryUse.REVALIDATE)
"""The uses for which a request does not wait for the source. A tuple: the hash of an enum's member
is slow (Python 3.11), and each look-up would need one for each key."""


def use_of(
    entry: Entry[Record] | None,
    now: datetime,
    settings: SourceSettings,
    fields: FieldSet | None = None,
) -> EntryUse:
    """Decide how an entry may be used. At an age of exactly ``ttl`` it is still fresh.

    Args:
        entry: The entry; ``None`` if there is none.
        now: The time of day.
        settings: The settings of the source: the times of the cache, and the contract.
        fields: The wanted fields; ``None`` for all.

    Returns:
        The use. An entry from the future is not used: the clock was set back, so its age is not
        known.
    """
    if entry is None or not entry.holds(fields) or (age := entry.age(now)) < 0:
        return EntryUse.NONE
    cache, lifetime = settings.cache, entry.lifetime
    ttl = cache.unknown_ttl if entry.record is None else cache.ttl
    if age <= ttl and age < lifetime.fresh:
        return EntryUse.FRESH
    if entry.record is None:
        return EntryUse.NONE
    stale = age - min(ttl, lifetime.fresh)
    revalidate = min(cache.stale_while_revalidate, lifetime.stale_while_revalidate)
    if 0 < revalidate >= stale:
        return EntryUse.REVALIDATE
    if_error = min(revalidate + cache.stale_if_error, lifetime.stale_if_error)
    if settings.contract == "stale_ok" and 0 < if_error >= stale:
        return EntryUse.IF_ERROR
    return EntryUse.NONE


def fresh_until(
    settings: SourceSettings, at: datetime, lifetime: Lifetime, *, is_known: bool
) -> datetime:
    """Return before which time an entry is fresh, by the settings and by the service.

    Args:
        settings: The settings of the source.
        at: When its response arrived.
        lifetime: How long the service allows to keep it.
        is_known: Whether the source knew the user.

    Returns:
        The time.
    """
    cache = settings.cache
    seconds = min(cache.ttl if is_known else cache.unknown_ttl, lifetime.fresh)
    return at + timedelta(seconds=max(seconds, 0.0))


def with_old(
    result: SourceResult[R] | Exception, old: SourceResult[R]
) -> SourceResult[R] | Exception:
    """Use an old record where the source failed.

    Args:
        result: The result of the source.
        old: The old record of the same user.

    Returns:
        The old record instead of a failure other than ``SOURCE_REJECTED``, which is a decision of
        the source. A damaged record with the old values of its damaged fields. Any other result as
        it is.
    """
    if isinstance(result, SourceFailure) and result.code is not Code.SOURCE_REJECTED:
        return old
    if isinstance(result, DamagedRecord) and old is not None:
        values = {name: getattr(old, name) for name in result.failures}
        return result.record.model_copy(update=values)
    return result


def merged_entry(old: Entry[R], new: Entry[R]) -> Entry[R]:
    """Merge two entries of one user that may have different fields.

    Args:
        old: The kept entry, which is fresh.
        new: The new entry.

    Returns:
        The new entry, with the fields that only the old one has. If there are any, it has the age
        of the older entry, and the shorter lifetime.
    """
    if old.record is None or new.record is None or old.fields is None or new.fields is None:
        return new
    if new.fields >= old.fields:
        return new
    return Entry(
        new.key,
        joined([old.record, new.record]),
        SeenResponse(
            min(old.fetched_at, new.fetched_at), lifetime=old.lifetime.shorter(new.lifetime)
        ),
        old.fields | new.fields,
        began=min(old.began, new.began),
        tags=tuple(dict.fromkeys((*old.tags, *new.tags))),
    )
