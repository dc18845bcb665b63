"""Where pydantic found something: its locations, translated into places of the settings.

Pydantic puts more into a location than keys: the tag of a model that is one of several, the name
of a type that was tried, a mark where a key itself is wrong.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.configuration.keys import Keys
from app.configuration.shape import NOWHERE, Setting, Shape

OF_A_KEY = "[key]"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a value.

    Attributes:
        keys: What leads to it.
        setting: What may stand there.
        around: What may stand in the table around it.
        details: What pydantic says.
        kind: What the table around it says that it is, as ``kind = 'bearer'``, if it has to.
        kinds: What may stand in that table, whichever it is.
        union: Where the value is one of several types that nothing tells apart: what leads to the
            value that may be any of them.
        label: The one of these types that was tried.
        others: What pydantic says of the other types.
    """

    keys: Keys
    setting: Setting
    around: Shape
    details: ErrorDetails
    kind: str | None = None
    kinds: Shape = NOWHERE
    union: Keys | None = None
    label: str = ""
    others: tuple[ErrorDetails, ...] = ()


def findings(error: ValidationError, model: type[BaseModel]) -> Iterator[Finding]:
    """List what pydantic found.

    Args:
        error: All of it.
        model: The settings that were read.

    Yields:
        Each once; of several types that a value may be, those of the one that it is nearest to.
    """
    unions: dict[Keys, dict[str, list[Finding]]] = {}
    found = [_finding(details, model) for details in error.errors(include_url=False)]
    for one in found:
        if one.union is not None:
            unions.setdefault(one.union, {}).setdefault(one.label, []).append(one)
    for one in found:
        if one.union is None:
            yield one
        elif (types := unions.pop(one.union, None)) is not None:
            yield from _nearest(types.values())


def _finding(details: ErrorDetails, model: type[BaseModel]) -> Finding:
    """Translate a location."""
    shape = around = Shape(tables=(model,))
    setting, keys = Setting(shape), Keys()
    here: tuple[str | None, Shape] = (None, NOWHERE)  # of the table that is come to
    (kind, kinds), union, label = here, None, ""
    for part in details["loc"]:
        if part == OF_A_KEY:
            continue
        if shape.united:
            if shape.tag is not None:
                here = (f"{shape.tag} = {str(part)!r}", shape)
            elif union is None:
                union, label = keys, str(part)
            shape = shape.named(part)
            continue
        (kind, kinds), here, around = here, (None, NOWHERE), shape
        setting = shape.below(part)
        shape, keys = setting.shape, (*keys, part)
    return Finding(keys, setting, around, details, kind, kinds, union, label)


def _nearest(types: Iterable[list[Finding]]) -> Iterable[Finding]:
    """Choose what to tell of a value that is none of several types."""
    groups = sorted(types, key=lambda found: (found[0].keys == found[0].union, len(found)))
    best = groups[0]
    if best[0].keys != best[0].union:
        return best
    others = tuple(one.details for group in groups[1:] for one in group)
    return [replace(best[0], others=others)]
