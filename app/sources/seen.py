"""What whoever watches the reading of answers is shown of a row: which expression gave what.

Nothing of it is made while nobody watches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydantic import ValidationError

from app.shapes.functions import as_json
from app.sources.base import Record
from app.sources.contract import unwritable


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """How a field of a record was made.

    Attributes:
        name: What the record calls it in JSON.
        expression: What it was made by; ``None`` where the row has it by that name.
        value: What that gave.
        wrong: Why that cannot be used; ``None`` where it can.
    """

    name: str
    expression: str | None
    value: object = None
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class RowSeen:
    """How a record was made of a row.

    Attributes:
        source: Whose row it is.
        key: The key that was asked for, as it was asked for.
        record: The record; ``None`` where the row does not fit.
        wrong: Why it does not; ``None`` where it does.
        fields: How each field was made, in the order of the record.
    """

    source: str
    key: str
    record: Record | None
    wrong: str | None
    fields: Sequence[FieldSeen]


See: TypeAlias = Callable[[RowSeen], None]
"""Is shown rows while answers are read."""


def with_what_is_wrong(
    fields: Sequence[FieldSeen], record: type[Record], values: Mapping[str, object]
) -> Sequence[FieldSeen]:
    """Say of each field what is wrong with its value.

    Args:
        fields: How they were made.
        record: What they are to be fields of.
        values: All values, by their names in JSON.

    Returns:
        The same, each with the first thing that is wrong with it.
    """
    wrong: dict[str, str] = {}
    try:
        record.model_validate_json(as_json(values))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            field, *within = [str(part) for part in one["loc"]] or ["all of it"]
            place = f"{'.'.join(within)}: " if within else ""
            wrong.setdefault(field, place + one["msg"])
    except TypeError:
        wrong.update(unwritable(values))
    return [
        one if one.wrong is not None else replace(one, wrong=wrong.get(one.name)) for one in fields
    ]
