"""How long a process that has died waits for its successor."""

from hypothesis import given
from hypothesis import strategies as st

from app.server.restarts import LONG_LIFE, LONGEST_PAUSE, Restarts


def test_the_first_death_has_no_pause_and_each_further_one_doubles_it() -> None:
    restarts = Restarts()

    pauses = [restarts.pause_after(2.0) for _ in range(8)]

    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_long_life_ends_the_pauses() -> None:
    restarts = Restarts()
    early = [restarts.pause_after(0.0) for _ in range(3)]

    later = [restarts.pause_after(life) for life in (LONG_LIFE, 1.0, 1.0)]

    assert early == [0.0, 1.0, 2.0]
    assert later == [0.0, 0.0, 1.0]


@given(st.lists(st.floats(0.0, 200.0), max_size=1_500))
def test_a_pause_is_never_longer_than_the_longest(lives: list[float]) -> None:
    restarts = Restarts()

    pauses = [restarts.pause_after(life) for life in lives]

    assert all(0.0 <= pause <= LONGEST_PAUSE for pause in pauses)
    assert all(pause == 0.0 for pause, life in zip(pauses, lives, strict=True) if life >= LONG_LIFE)
