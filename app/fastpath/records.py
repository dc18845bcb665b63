"""All records of a response made by one generated function, and decoded together.

Replaces: ``RowMapper.records`` (``sources/mapping/row_mapper.py``).
Switch: ``GATEWAY_FASTPATH__EXPRESSIONS``.
Gains: 920 us instead of 2,480 us for three pages of fifty users, in process; with expressions.py
    (docs/explanation/performance.md).
Proof: tests/fastpath/test_records.py compares both on random settings and responses.

The reference evaluates one expression after the other, and validates the values of each row by
itself. Here the expressions of a source become one function from rows to the values of their
fields, with the words and defaults of the settings. The values of all rows are validated together,
by the decoder of responses that have the default contract. That needs them as JSON, which takes a
tenth of the time, and finds what no record may have: a lone surrogate, or an integer that is too
large. If any row does not fit, each is converted alone, and those that do not fit are left to the
reference, so that the texts of errors have one author.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from app.expressions.functions import as_json
from app.fastpath.expression_code import ExpressionWriter
from app.sources.base import Record, UserId
from app.sources.mapping.decoding import DecoderFactory, RecordMaker, RecordMakerFactory
from app.sources.mapping.fields import FOREIGN_KEYS, ForeignKey, MappedField, RecordPlan

R = TypeVar("R", bound=Record)

_Values = Callable[[Sequence[object], Sequence[UserId]], list[dict[str, object]]]


def record_maker(decoders: DecoderFactory) -> RecordMakerFactory:
    """Choose how the values of records are validated.

    Args:
        decoders: Creates the decoder from bytes to records.

    Returns:
        Creates the maker of the records of a source.
    """

    def create(plan: RecordPlan[R]) -> RecordMaker[R] | None:
        if plan.reads_response:
            return None
        values, decode = _values_of(plan), decoders(plan.record)

        def make(rows: Sequence[object], users: Sequence[UserId]) -> Sequence[R | None]:
            try:
                return decode(as_json(values(rows, users)))
            except (TypeError, ValueError, ArithmeticError, RecursionError):
                if len(rows) == 1:
                    return [None]
            pairs = zip(rows, users, strict=True)
            return [record for row, user in pairs for record in make([row], [user])]

        return make

    return create


def _values_of(plan: RecordPlan[Any]) -> _Values:
    """Generate the function from rows to the values of their records, by names in JSON."""
    writer = ExpressionWriter(has_facts=False)
    writer.line("records = []")
    with writer.block("for row, user in zip(rows, users)"):
        made = [f"{one.json_name!r}: {_write_field(writer, one)}" for one in plan.fields]
        parts = [f"{plan.key!r}: user", *made]
        if plan.foreign_keys:
            key_of = writer.bind(ForeignKey.of)
            keys = (
                f"{name!r}: {key_of}(row, {writer.bind(expression)})"
                for name, expression in plan.foreign_keys.items()
            )
            parts.append(f"{FOREIGN_KEYS!r}: {{{', '.join(keys)}}}")
        writer.line(f"records.append({{{', '.join(parts)}}})")
    writer.line("return records")
    return writer.function("rows, users")


def _write_field(writer: ExpressionWriter, field: MappedField) -> str:
    """Write how a field is made, and return the name of its value."""
    default = writer.bind(field.default)
    if field.expression is None:
        return default
    value = writer.set(writer.evaluated(field.expression, "row"))
    if field.words:
        words = writer.bind(field.words)
        with writer.block(f"if type({value}) is str"):
            writer.line(f"{value} = {words}.get({value}, {value})")
    if field.default is not None:
        with writer.block(f"if {value} is None"):
            writer.line(f"{value} = {default}")
    return value
