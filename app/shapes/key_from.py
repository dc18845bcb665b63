"""Sources that know users by keys of their own, as data: which other source has these keys, where.

[sources.billing.key_from]
source = "profile"
expression = "app_metadata.stripe_customer_id"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from app.shapes.answer import ExpressionText
from app.shapes.base import Shape


class KeyFromSettings(Shape):
    """Where a source's keys are."""

    source: str = Field(
        max_length=100,
        description="The source that has this one's key of each user. It is asked first.",
        examples=["profile"],
    )
    expression: ExpressionText = Field(
        description="Where its rows have the key, as they come: an expression (JMESPath) that gives"
        " text or a whole number. Null, nothing or an empty text says that there is none.",
        examples=["app_metadata.stripe_customer_id"],
    )


@dataclass(frozen=True, slots=True)
class KeyMistake:
    """A source whose keys cannot be from where it is said.

    Attributes:
        source: The source.
        what: What would be right.
    """

    source: str
    what: str


def key_mistakes(parents: Mapping[str, str | None]) -> Iterator[KeyMistake]:
    """Find sources whose keys can never be had.

    Args:
        parents: Of every source there is, the one that has its keys; ``None`` where users' ids are
            its keys.

    Yields:
        Each that takes its keys from itself, from none that there is, or in a ring; a ring once.
    """
    told: set[str] = set()
    for name, parent in parents.items():
        if parent is None:
            continue
        if parent not in parents or parent == name:
            others = ", ".join(one for one in parents if one != name)
            yield KeyMistake(name, f"expected one of {others}")
            continue
        ring = _ring(name, parents)
        if ring and told.isdisjoint(ring):
            told.update(ring)
            way = " ← ".join([*ring, name])
            yield KeyMistake(name, f"expected no ring ({way}): none of it could be asked first")


def _ring(name: str, parents: Mapping[str, str | None]) -> list[str]:
    """Follow a source to where its keys are from, as long as that is; none if it ends."""
    way = [name]
    while (parent := parents.get(way[-1])) is not None and parent not in way:
        way.append(parent)
    return way if parent == name and len(way) > 1 else []
