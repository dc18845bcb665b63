"""Whether the settings of sources fit the records that they are made into. Pure.

The settings by themselves know no record. What does not fit is found here before anything starts,
by making what would read the source's answers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from app.shapes.expression import ExpressionError, checked_expression
from app.shapes.source import SourceSettings
from app.sources.base import SourceSpec
from app.sources.endpoints import endpoints_of
from app.sources.mapping import Mistake, ShapeError

_SOMEWHERE = "http://nowhere"
_ANYTHING = "anything"
"""An expression that is right, in place of one that is not: its own mistake is told already."""


def misfits(spec: SourceSpec[Any], values: object) -> tuple[Mistake, ...]:
    """Find what does not fit in the settings of a source, whatever else is wrong with them.

    Args:
        spec: The source.
        values: Its settings as they were read, which need not be right.

    Returns:
        All that is wrong, by place below them.
    """
    settings = _as_far_as_right(values)
    if settings is None:
        return ()
    try:
        endpoints_of([spec], {spec.service: settings})
    except ShapeError as error:
        return error.mistakes
    return ()


def _as_far_as_right(values: object) -> SourceSettings | None:
    """Take of some settings what is right by itself; ``None`` where nothing can be."""
    if not isinstance(values, dict):
        return None
    given = cast("Mapping[str, object]", values)
    known = SourceSettings.model_fields
    right = {
        name: value
        for name, value in _with_right_expressions(given)
        if name in known and _made({"base_url": _SOMEWHERE, name: value}) is not None
    }
    return _made({"base_url": _SOMEWHERE, **right})


def _with_right_expressions(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Put a right expression in place of each that is not."""
    for name, value in values.items():
        if name == "fields" and isinstance(value, dict):
            fields = cast("Mapping[str, object]", value)
            yield (
                name,
                {one: text if _is_right(text) else _ANYTHING for one, text in fields.items()},
            )
        else:
            yield name, value


def _is_right(text: object) -> bool:
    """Tell whether something is an expression."""
    try:
        return isinstance(text, str) and bool(checked_expression(text))
    except ExpressionError:
        return False


def _made(values: Mapping[str, object]) -> SourceSettings | None:
    """Make settings, if they are right."""
    try:
        return SourceSettings.model_validate(values)
    except ValidationError:
        return None
