"""The store of the entity cache."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.sources.base import UserId
from app.sources.cache.lifetime import SeenResponse
from app.sources.cache.store import SECOND_CHANCES, UNKNOWN_SHARE, EntityStore, Entry, EntryKey
from tests.properties import examples
from tests.sources.upstream import PersonRecord, ids

NOW = datetime(2026, 6, 1, tzinfo=UTC)

KEYS = [
    EntryKey(identity, user) for identity in ("", "ann", "ben", "cleo") for user in ids("abcdefgh")
]


def entry(key: EntryKey, version: int = 0, *, known: bool = True) -> Entry[PersonRecord]:
    """Make an entry."""
    person = PersonRecord(id=key.user, identity=key.identity, version=version)
    return Entry(key, person if known else None, SeenResponse(NOW))


class StoreAndModel(RuleBasedStateMachine):
    """A store and a plain list of its entries, the oldest first."""

    @initialize(most=st.sampled_from([1, 2, 5, 9, 10, 11, 20, 25]))
    def begin(self, most: int) -> None:
        self.most = most
        self.store: EntityStore[PersonRecord] = EntityStore(most)
        self.model: list[Entry[PersonRecord]] = []
        self.used: set[EntryKey] = set()
        self.versions = 0

    @rule(keys=st.lists(st.sampled_from(KEYS), max_size=6), known=st.booleans())
    def put(self, keys: list[EntryKey], *, known: bool) -> None:
        self.versions += 1
        entries = [entry(key, self.versions, known=known) for key in keys]
        self.store.put_many(entries)
        for one in entries:
            kept_keys = [(kept.key, kept.record is None) for kept in self.model]
            if (one.key, one.record is None) in kept_keys:  # it takes the place of the older one
                self.model[kept_keys.index((one.key, one.record is None))] = one
                self.used.add(one.key)
                continue
            others = [kept for kept in self.model if kept.key != one.key]
            is_full = len(self.model) == len(others) == self.most
            self.model = others
            self.used.discard(one.key)
            if not is_full or self.forget_one(one):
                self.model.append(one)

    def forget_one(self, new: Entry[PersonRecord]) -> bool:
        """Evict an entry for a new one, unless the new one has to go first."""
        unknown = [kept for kept in self.model if kept.record is None]
        records = [kept for kept in self.model if kept.record is not None]
        too_many = len(unknown) + (new.record is None) > self.most // UNKNOWN_SHARE
        candidates = unknown if too_many or not records else records
        if not candidates:
            return False
        for _ in range(min(SECOND_CHANCES, len(candidates))):
            oldest = candidates[0]
            if oldest.key not in self.used:
                break
            self.used.remove(oldest.key)
            for each in (candidates, self.model):
                each.remove(oldest)
                each.append(oldest)
        self.model.remove(candidates[0])
        self.used.discard(candidates[0].key)
        return True

    @rule(keys=st.lists(st.sampled_from(KEYS), max_size=6))
    def get(self, keys: list[EntryKey]) -> None:
        for key in keys:
            found = [kept for kept in self.model if kept.key == key]
            self.used.update(kept.key for kept in found)
            [got] = self.store.get_many(key.identity, [key.user])
            assert got is (found[0] if found else None)

    @invariant()
    def its_size_is_that_of_the_list_and_within_the_limit(self) -> None:
        assert self.store.size == len(self.model) <= self.most


def test_the_store_behaves_like_a_plain_list_of_entries() -> None:
    run_state_machine_as_test(
        StoreAndModel,
        settings=settings(max_examples=examples(60), stateful_step_count=40, deadline=None),
    )


def test_the_oldest_entry_that_was_not_read_is_evicted() -> None:
    store: EntityStore[PersonRecord] = EntityStore(2)
    a, b, c, d = (entry(key) for key in KEYS[:4])
    users = [one.key.user for one in (a, b, c, d)]
    store.put_many([a, b])
    store.get_many("", [a.key.user])

    store.put_many([c])
    assert store.get_many("", users) == [a, None, c, None]

    store.put_many([d])
    assert store.get_many("", users) == [None, None, c, d], (
        "both were read: the older one is evicted"
    )
    assert store.evicted == 2


def test_an_entry_is_removed_for_one_identity_only() -> None:
    store: EntityStore[PersonRecord] = EntityStore(10)
    keys = [EntryKey(identity, UserId("a")) for identity in ("ann", "ben")]
    entries = [entry(key) for key in keys]
    store.put_many(entries)

    store.remove_many([keys[0], EntryKey("cleo", UserId("a"))])

    assert [store.get_many(key.identity, [key.user]) for key in keys] == [[None], [entries[1]]]
    assert store.size == 1


def test_unknown_users_do_not_evict_records() -> None:
    store: EntityStore[PersonRecord] = EntityStore(100)
    real = [entry(key) for key in KEYS]
    store.put_many(real)

    for number in range(1_000):
        made_up = EntryKey("", UserId(f"made up {number}"))
        store.put_many([entry(made_up, known=False)])

    assert [store.get_many(*key) for key in _by_identity(real)] == [
        [one for one in real if one.key.identity == identity] for identity, _ in _by_identity(real)
    ]
    assert store.size == 100


def _by_identity(entries: list[Entry[PersonRecord]]) -> list[tuple[str, list[UserId]]]:
    """Divide the users of entries by their identities."""
    users: dict[str, list[UserId]] = {}
    for one in entries:
        users.setdefault(one.key.identity, []).append(one.key.user)
    return [*users.items()]


def test_an_age_is_in_seconds_and_negative_for_a_future_time() -> None:
    one = entry(KEYS[0])

    assert one.age(NOW + timedelta(minutes=1, milliseconds=500)) == 60.5
    assert one.age(NOW - timedelta(seconds=1)) == -1.0
