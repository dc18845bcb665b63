"""Public names for what services call something: camel case, and letters that GraphQL has. Pure."""

import re
from unicodedata import normalize

from app.importing.names import singular

_GOOD = re.compile(r"[a-z][A-Za-z0-9]*", re.ASCII)
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+", re.ASCII)

_LONGEST = 60
"""The most characters of a public name that is made of a service's name."""


def words_in(name: str) -> list[str]:
    """Split a name into its words.

    Args:
        name: The name, in any case: ``first_name``, ``firstName``, ``URL-path``.

    Returns:
        The words in small letters; none if it has no ASCII letters and digits.
    """
    # A letter with an accent is split into the letter and the accent, which is left out.
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode()
    return [part.lower() for part in _PART.findall(plain)]


def last_word(name: str) -> str:
    """Return the last word of a name.

    Args:
        name: The name.

    Returns:
        The word in small letters; empty if there is none.
    """
    return next(reversed(words_in(name)), "")


def public_name(name: str) -> str | None:
    """Make the public name of a member.

    Args:
        name: Its name in a row.

    Returns:
        The same name if it is a good one, else its words in camel case; ``None`` if it has no
        letters or is too long.
    """
    if len(name) <= _LONGEST and _GOOD.fullmatch(name):
        return name
    first, *others = words_in(name) or [""]
    joined = first + "".join(map(str.capitalize, others))
    if not joined or len(joined) > _LONGEST:
        return None
    return f"_{joined}" if joined[0].isdigit() else joined


def type_name_of(name: str, *, of_item: bool) -> str:
    """Make the name of an object's type.

    Args:
        name: The public name of the field that has the object.
        of_item: Whether the field is a list of them.

    Returns:
        The name, with a capital letter, in the singular for an item.
    """
    words = words_in(name)
    if of_item and words:
        words[-1] = singular(words[-1])
    joined = "".join(map(str.capitalize, words))
    return joined if joined[:1].isalpha() else f"Type{joined}"
