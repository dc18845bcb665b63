"""Decoding the rows of a response into records: the reference, by pydantic alone.

Another decoder may replace it (``fastpath/rows.py``). It must give the same values for the same
bytes, in objects with the same attributes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct
from pydantic import FailFast, TypeAdapter

from app.expressions.expression import Expression, compile_expression
from app.settings.response import AnswerSettings
from app.sources.base import R_co, Record, UserId
from app.sources.mapping.fields import RecordPlan
from app.sources.mapping.scan import ScannedDocument, scan

R = TypeVar("R", bound=Record)

RowDecoder: TypeAlias = Callable[[bytes], list[R]]
"""Decodes a JSON array of rows. Raises pydantic's ``ValidationError`` if any row does not fit."""


class DecoderFactory(Protocol):
    """Creates the decoder for a record type."""

    def __call__(self, record: type[R]) -> RowDecoder[R]:
        """Create a decoder.

        Args:
            record: The type of a row.

        Returns:
            The decoder. Its results have the attributes of the record, but may have another type.
        """
        ...


class DecodedPage(Struct, Generic[R]):
    """A page of a list, decoded at once.

    Attributes:
        items: The items.
        cursor: The cursor of the next page; ``None`` if there is none.
    """

    items: Sequence[R]
    cursor: str | None


PageDecoder: TypeAlias = Callable[[bytes], DecodedPage[R] | None]
"""Decodes an object with a list of items and a cursor beside it; ``None`` if it has another form,
or if an item does not fit."""


class PageDecoderFactory(Protocol):
    """Creates the decoder for the pages of a list whose items have the fields of their record."""

    def __call__(self, record: type[R], items: str, cursor: str) -> PageDecoder[R] | None:
        """Create a decoder.

        Args:
            record: The type of an item.
            items: The name of the member with the items.
            cursor: The name of the member with the cursor.

        Returns:
            The decoder; ``None`` if ``PageReader`` decodes each page.
        """
        ...


def each_page(record: type[R], items: str, cursor: str) -> PageDecoder[R] | None:
    """Leave all pages to ``PageReader``. A ``PageDecoderFactory``.

    Args:
        record: The type of an item.
        items: The name of the member with the items.
        cursor: The name of the member with the cursor.

    Returns:
        ``None``.
    """
    del record, items, cursor
    return None


class ExpressionCompiler(Protocol):
    """Compiles the expressions of a source."""

    def __call__(self, text: str) -> Expression:
        """Compile an expression.

        Args:
            text: The expression.

        Returns:
            The compiled expression.
        """
        ...


def validating_decoder(record: type[R]) -> RowDecoder[R]:
    """Create the decoder that validates every row with pydantic.

    Args:
        record: The type of a row.

    Returns:
        The decoder.
    """
    adapter: TypeAdapter[list[R]] = TypeAdapter(Annotated[list[record], FailFast()])  # type: ignore[valid-type, arg-type] # a type at run time
    return adapter.validate_json


class RecordMaker(Protocol[R_co]):
    """Converts rows to records, if they fit."""

    def __call__(self, rows: Sequence[object], users: Sequence[UserId]) -> Sequence[R_co | None]:
        """Convert rows.

        Args:
            rows: The rows, of any type, with ``Decimal`` for numbers that have a fraction.
            users: The requested key of each.

        Returns:
            For each row its record, or an object with the attributes of the record; ``None`` if the
            row does not fit, or the maker cannot convert it.
        """
        ...


class RecordMakerFactory(Protocol):
    """Creates the maker of the records of a source."""

    def __call__(self, plan: RecordPlan[R]) -> RecordMaker[R] | None:
        """Create a maker.

        Args:
            plan: How the records are made.

        Returns:
            The maker; ``None`` if ``RowMapper`` converts each row.
        """
        ...


def each_row(plan: RecordPlan[R]) -> RecordMaker[R] | None:
    """Leave all rows to ``RowMapper``. A ``RecordMakerFactory``.

    Args:
        plan: How the records are made.

    Returns:
        ``None``.
    """
    del plan
    return None


class Scanner(Protocol):
    """Decodes the JSON of responses to plain data."""

    def __call__(self, body: bytes, settings: AnswerSettings) -> ScannedDocument:
        """Decode a response, as ``scan`` does.

        Args:
            body: The JSON text.
            settings: The path of the rows, and their maximum number.

        Returns:
            The rows, and the JSON around them.

        Raises:
            MalformedError: The body is not JSON, or the value at the path of the rows has the wrong
                type.
        """
        ...


class ReadMethods(Struct, frozen=True):
    """How responses are decoded and expressions evaluated: by the libraries, or by fast paths.

    Attributes:
        decoders: Creates the decoder from bytes to records.
        scan: Decodes bytes to plain data.
        expressions: Compiles expressions.
        records: Creates the maker of the records of a source.
        pages: Creates the decoder of the pages of a list.
    """

    decoders: DecoderFactory = validating_decoder
    scan: Scanner = scan
    expressions: ExpressionCompiler = compile_expression
    records: RecordMakerFactory = each_row
    pages: PageDecoderFactory = each_page


BY_LIBRARIES = ReadMethods()
"""The reference."""


def values_of(record: object) -> Mapping[str, Any]:
    """Return the values of a record's fields.

    Args:
        record: A record, or the object of another decoder.

    Returns:
        The values by the Python names of the fields.
    """
    if isinstance(record, Record):
        return dict(record)
    names: tuple[str, ...] = getattr(record, "__struct_fields__")  # noqa: B009 # a struct of a fast path
    return {name: getattr(record, name) for name in names}
