"""Texts that begin or end as a right one does, and are none."""

from collections.abc import Iterator

END_OF_LINE = ("\n", "\r", "\r\n", "\u0085", "\u2028")
"""What ends a line somewhere: ``$`` and ``.`` of patterns know some of them."""

POISON = (
    *END_OF_LINE,
    *("\x00", "\x1b", "\x7f", "\x80", "\u00a0", "\u200b", "\ufeff"),
    *("\u0661", "\uff11", "\u00b2", "\u2460"),  # digits to ``\d``, ``isdigit`` or ``isnumeric``
    *("\u212a", "\u017f", "\u0130", "\uff21", "\uff0f", "\u00e9", "\u00df"),
    *("\ud83d", "\udc00", "\U0001f600"),
)
"""Characters that no pattern of ASCII takes, wherever they are."""

OTHER_DIGITS = tuple(
    str.maketrans("0123456789", "".join(chr(zero + one) for one in range(10)))
    for zero in (0x0660, 0xFF10, 0x1D7CE)
)
"""Digits of other scripts, of full width, and of mathematics."""

BEHIND = (
    *(" or id gt 0", "' or '1'='1", '"', "'", "\\", ",b", " b", "\tb", ";b", "|b", "(b)", ")"),
    *(
        "/b",
        "/../b",
        "%2f..",
        "%2F..%2Fadmin",
        "\\..\\b",
        "?x=",
        "&id=b",
        "#",
        "#b",
        "=b",
        "*",
        "%",
    ),
    *("\r\nX-Evil: 1", "\n\nGET / HTTP/1.1", "\x00.json", "{key}", "{keys}", "}", "]", '"]}'),
)
"""What makes another question of a key behind which it is written unescaped."""


def poisoned(good: str) -> Iterator[str]:
    """Make texts of a right one that no pattern of ASCII may take.

    Args:
        good: The right text, of ASCII and not empty.

    Yields:
        Each of them, all different from the right one.
    """
    middle = len(good) // 2
    for one in POISON:
        yield good + one
        yield one + good
        yield good[:middle] + one + good[middle:]
        yield good[:-1] + one
    for digits in OTHER_DIGITS:
        if (other := good.translate(digits)) != good:
            yield other


def behind(good: str) -> Iterator[str]:
    """Write behind a right key, and before it, what would make it another question.

    Args:
        good: The key.

    Yields:
        Keys, each of which is one of its own.
    """
    for one in BEHIND:
        yield good + one
        yield one + good
