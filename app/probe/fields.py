"""What was made of a row, field by field, ready to be shown. Pure."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.sources.seen import FieldSeen, RowSeen


class Told(BaseModel):
    """Base of what is told."""

    model_config = ConfigDict(frozen=True)


class FieldCheck(Told):
    """A field of a record."""

    name: str = Field(description="What the record calls it.")
    expression: str | None = Field(description="What it is made by; null: the row has it so.")
    value: JsonValue = Field(description="What that gave. It may be personal.")
    type: str | None = Field(description="Of which type it is; null where it is wrong.")
    wrong: str | None = Field(description="Why it cannot be used.")


class RowCheck(Told):
    """A row, and the record that was made of it."""

    source: str = Field(description="Whose row it is.")
    key: str = Field(description="The key that it was asked for by.")
    wrong: str | None = Field(description="Why it is no record.")
    fields: tuple[FieldCheck, ...] = Field(description="Its fields.")


def row_check(row: RowSeen) -> RowCheck:
    """Tell what was made of a row.

    Args:
        row: The row.

    Returns:
        Its fields, with their values and types.
    """
    return RowCheck(
        source=row.source,
        key=row.key,
        wrong=row.wrong,
        fields=tuple(_field_check(one, row) for one in row.fields),
    )


def _field_check(field: FieldSeen, row: RowSeen) -> FieldCheck:
    """Tell what was made of a field."""
    made: object = field.value
    if row.record is not None:
        by_alias = {
            info.alias or name: name for name, info in type(row.record).model_fields.items()
        }
        made = getattr(row.record, by_alias[field.name])
    return FieldCheck(
        name=field.name,
        expression=field.expression,
        value=_plain(field.value),
        type=None if field.wrong is not None else _type_of(made),
        wrong=field.wrong,
    )


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 # decoded JSON, with decimal numbers
    """Write a value as JSON has it; a decimal number with all its digits, as text."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType] # JSON
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # JSON
    plain: JsonValue = value
    return plain


def _type_of(value: object) -> str:  # noqa: PLR0911 # a table
    """Name the type of a value."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int():
            return "whole number"
        case float() | Decimal():
            return "number"
        case str():
            return "text"
        case datetime():
            return "time"
        case list() | tuple():
            return f"list of {len(value)}"  # pyright: ignore[reportUnknownArgumentType] # of any kind
        case _:
            return "object"
