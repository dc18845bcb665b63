"""Keys that were slow or failed go in smaller and smaller batches, and are forgotten later."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.sources.base import UserId
from app.sources.suspects import FORGOTTEN_AFTER, MAX_SUSPECTS, Suspects
from tests.clock import ManualClock
from tests.sources.upstream import ids

KEYS = ids("abcdefgh")

BEGAN = 1000.0
"""The time at which the batches of a test were sent."""


def test_a_slow_batch_is_halved_until_its_slow_key_is_alone(clock: ManualClock) -> None:
    suspects = Suspects(clock)
    suspects.add(KEYS, len(KEYS), began=BEGAN)

    first = suspects.groups(KEYS, math.inf)
    suspects.clear(first[1])
    suspects.add(first[0], len(first[0]), began=BEGAN)
    second = suspects.groups(KEYS, math.inf)
    suspects.add(second[0], len(second[0]), began=BEGAN)
    third = suspects.groups(KEYS, math.inf)

    assert first == [ids("abcd"), ids("efgh")]
    assert second == [ids("ab"), ids("cd")]
    assert third == [ids("a"), ids("b"), ids("cd")]


def test_only_a_key_that_was_slow_alone_is_known_as_slow(clock: ManualClock) -> None:
    suspects = Suspects(clock)
    suspects.add(ids("ab"), 2, began=BEGAN)
    clock.advance(1)
    suspects.add(ids("a"), 1, began=BEGAN)
    suspects.add(ids("a"), 5, began=BEGAN + 1)

    assert suspects.since(KEYS[0]) == BEGAN
    assert suspects.since(KEYS[1]) is None
    assert suspects.since(KEYS[2]) is None


def test_suspects_are_separated_only_after_another_key_has_succeeded(clock: ManualClock) -> None:
    suspects = Suspects(clock)
    suspects.add(ids("a"), 1, began=BEGAN)

    assert suspects.groups(KEYS, BEGAN) == []
    assert suspects.groups(KEYS, BEGAN + 1) == [ids("a")]


def test_a_suspect_is_forgotten_after_some_time(clock: ManualClock) -> None:
    suspects = Suspects(clock)
    suspects.add(ids("ab"), 1, began=BEGAN)
    clock.advance(FORGOTTEN_AFTER)

    assert suspects.groups(ids("a"), math.inf) == []
    suspects.add(ids("b"), 4, began=BEGAN)
    assert suspects.groups(ids("b"), math.inf) == [ids("b")]
    assert suspects.since(KEYS[1]) is None
    assert len(suspects.by_key) == 1


@given(sizes=st.lists(st.integers(1, 100), max_size=12), wanted=st.integers(0, 300))
def test_groups_have_each_suspect_once_and_at_most_half_the_former_size(
    sizes: list[int], wanted: int
) -> None:
    suspects = Suspects(ManualClock())
    size_of: dict[str, int] = {}
    for number, size in enumerate(sizes):
        keys = [f"{number}.{one}" for one in range(size)]
        size_of.update(dict.fromkeys(keys, size))
        suspects.add(ids_of(keys), size, began=BEGAN)
    asked = [*size_of][:wanted]

    groups = suspects.groups(ids_of([*asked, "other"]), math.inf)

    assert sorted(key for group in groups for key in group) == sorted(asked)
    assert all(len(group) <= max(1, size_of[key] // 2) for group in groups for key in group)


def test_the_oldest_suspects_are_forgotten_at_the_limit(clock: ManualClock) -> None:
    suspects = Suspects(clock)
    keys = ids_of([str(number) for number in range(MAX_SUSPECTS + 1)])
    suspects.add(keys, 1, began=BEGAN)
    suspects.add(keys[1:2], 1, began=BEGAN)
    suspects.add(keys[:1], 1, began=BEGAN)

    assert len(suspects.by_key) == MAX_SUSPECTS
    assert suspects.since(keys[2]) is None
    assert suspects.since(keys[1]) is not None


def ids_of(words: list[str]) -> list[UserId]:
    """Make one key of each word."""
    return [UserId(word) for word in words]
