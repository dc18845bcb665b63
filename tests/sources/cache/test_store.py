"""Where answers are kept."""

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
from app.sources.cache.store import UNKNOWN_SHARE, EntityStore, Entry, EntryKey
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
    """A store beside a list of its entries, the least recently used first."""

    @initialize(most=st.sampled_from([1, 2, 5, 9, 10, 11, 20, 25]))
    def begin(self, most: int) -> None:
        self.most = most
        self.store: EntityStore[PersonRecord] = EntityStore(most)
        self.model: list[Entry[PersonRecord]] = []
        self.versions = 0

    @rule(keys=st.lists(st.sampled_from(KEYS), max_size=6), known=st.booleans())
    def put(self, keys: list[EntryKey], *, known: bool) -> None:
        self.versions += 1
        entries = [entry(key, self.versions, known=known) for key in keys]
        self.store.put_many(entries)
        for one in entries:
            self.model = [kept for kept in self.model if kept.key != one.key] + [one]
            if len(self.model) > self.most:
                self.model.remove(self.least_wanted())

    def least_wanted(self) -> Entry[PersonRecord]:
        """Choose what to forget."""
        unknown = [kept for kept in self.model if kept.record is None]
        records = [kept for kept in self.model if kept.record is not None]
        too_many = len(unknown) > self.most // UNKNOWN_SHARE
        return unknown[0] if too_many or not records else records[0]

    @rule(keys=st.lists(st.sampled_from(KEYS), max_size=6))
    def get(self, keys: list[EntryKey]) -> None:
        expected: list[Entry[PersonRecord] | None] = []
        for key in keys:
            found = [kept for kept in self.model if kept.key == key]
            expected.append(found[0] if found else None)
            self.model = [kept for kept in self.model if kept.key != key] + found
        assert self.store.get_many(keys) == expected

    @invariant()
    def it_is_as_full_as_the_list_and_never_too_full(self) -> None:
        assert self.store.size == len(self.model) <= self.most


def test_the_store_does_what_a_list_of_its_entries_says() -> None:
    run_state_machine_as_test(
        StoreAndModel,
        settings=settings(max_examples=examples(60), stateful_step_count=40, deadline=None),
    )


def test_the_least_recently_used_is_forgotten_and_looking_is_using() -> None:
    store: EntityStore[PersonRecord] = EntityStore(2)
    a, b, c = (entry(key) for key in KEYS[:3])
    store.put_many([a, b])
    store.get_many([a.key])

    store.put_many([c])

    assert store.get_many([a.key, b.key, c.key]) == [a, None, c]


def test_made_up_users_do_not_push_out_the_real_ones() -> None:
    store: EntityStore[PersonRecord] = EntityStore(100)
    real = [entry(key) for key in KEYS]
    store.put_many(real)

    for number in range(1_000):
        made_up = EntryKey("", UserId(f"made up {number}"))
        store.put_many([entry(made_up, known=False)])

    assert store.get_many([one.key for one in real]) == real
    assert store.size == 100


def test_an_age_is_in_seconds_and_negative_for_what_is_from_the_future() -> None:
    one = entry(KEYS[0])

    assert one.age(NOW + timedelta(minutes=1, milliseconds=500)) == 60.5
    assert one.age(NOW - timedelta(seconds=1)) == -1.0
