"""Texts with one or several places for a key, each with the escape that its place needs. Pure."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from app.expressions.escapes import Write

KEY = "{key}"
"""Where one key goes."""


class KeyPlaces(Struct, frozen=True):
    """A text with places for one key.

    Attributes:
        texts: The fixed texts before, between and after the places, in encoded form: one more than
            there are places.
        writers: How the key is written at each place.
    """

    texts: Sequence[str]
    writers: Sequence[Write]

    @property
    def before(self) -> str:
        """The text before the first place."""
        return self.texts[0]

    @property
    def after(self) -> str:
        """The text after the last place."""
        return self.texts[-1]

    def written(self, key: str) -> str | None:
        """Write a key at all places.

        Args:
            key: The key.

        Returns:
            The text from the first place to the last one; ``None`` if the key cannot be written
            safely at one of them.
        """
        parts: list[str] = []
        for number, write in enumerate(self.writers):
            text = write(key)
            if text is None:
                return None
            parts += [self.texts[number], text] if number else [text]
        return "".join(parts)

    def followed_by(self, other: "KeyPlaces") -> "KeyPlaces":
        """Append another text.

        Args:
            other: The other text.

        Returns:
            Both texts, one after the other.
        """
        joint = self.texts[-1] + other.texts[0]
        texts = (*self.texts[:-1], joint, *other.texts[1:])
        return KeyPlaces(texts, (*self.writers, *other.writers))


def fixed(text: str) -> KeyPlaces:
    """Make a text without places.

    Args:
        text: The text, in encoded form.

    Returns:
        The text.
    """
    return KeyPlaces((text,), ())


def places_in(
    text: str, encoded: Callable[[str], str], writer: Callable[[str, str], Write]
) -> KeyPlaces:
    """Find the places for a key in a text.

    Args:
        text: The text, with ``{key}`` at each place.
        encoded: Encodes the fixed texts.
        writer: Makes the writer of a place, by the fixed text before and after it.

    Returns:
        The places.
    """
    texts = text.split(KEY)
    return KeyPlaces(
        [*map(encoded, texts)], [writer(before, after) for before, after in _around(texts)]
    )


def _around(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the fixed text before and after each place; other places count as nothing."""
    for number in range(1, len(texts)):
        yield "".join(texts[:number]), "".join(texts[number:])
