"""What is read-only compares, hashes and is copied with changes as a frozen dataclass is."""

from dataclasses import dataclass, field, replace

from app.readonly import readonly


@readonly(frozen=True, slots=True)
class Place:
    """A place in two dimensions, and a name that is not shown."""

    x: int
    y: int = 0
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FrozenPlace:
    """The same, frozen at run time, too."""

    x: int
    y: int = 0
    name: str = field(default="", repr=False)


def test_what_is_equal_is_one_key() -> None:
    assert Place(1, 2) == Place(1, y=2)
    assert len({Place(1, 2), Place(1, y=2), Place(2, 1)}) == 2
    assert hash(Place(1, 2)) == hash(FrozenPlace(1, 2))


def test_a_copy_with_a_change_leaves_the_first_as_it_was() -> None:
    first = Place(1, name="here")

    assert replace(first, y=3) == Place(1, 3, "here")
    assert first == Place(1, 0, "here")
    assert repr(first) == "Place(x=1, y=0)"
