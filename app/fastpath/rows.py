"""Rows decoded by msgspec if they fit their contract, and else by pydantic.

Replaces: ``validating_decoder`` and, for usual pages, the reading of ``PageReader``
    (``sources/mapping/decoding.py``, ``sources/lists/reader.py``).
Switch: ``GATEWAY_FASTPATH__ROWS``.
Gains: 842 us instead of 1,122 us for a page of fifty users, in process; a fifth of the time for a
    page of a list (docs/explanation/performance.md).
Proof: tests/fastpath/test_decoding.py compares both on generated rows, texts and times, and
    tests/fastpath/test_page_decoding.py on generated pages.

A source's record is a pydantic model, and that is the contract. msgspec decodes JSON into structs
in a fifth of the time. So each record gets a struct with the same attributes, which accepts no row
that the record refuses. Rows that msgspec refuses go to pydantic, which accepts more formats of a
time, and describes the error of a row. There are two differences. In fields that the record does
not have, msgspec only searches the end of the value. And msgspec rounds fractions of a second
beyond microseconds, while pydantic cuts them.

A record with anything but fields of the types below is decoded by pydantic.

A page of a list is decoded in the same way, together with its cursor, if its items have the fields
of their record. ``PageReader`` decodes a page to plain data first. It reads each page that is
refused here.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Optional, TypeVar, Union, cast, get_args, get_origin

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic.fields import FieldInfo

from app.fastpath.scan import AT_ONCE
from app.sources.base import Record
from app.sources.field_types import OneOf, id_text
from app.sources.mapping.decoding import (
    DecodedPage,
    PageDecoder,
    RowDecoder,
    validating_decoder,
)

R = TypeVar("R", bound=Record)

PLAIN_PATTERN = re.compile(r"\^[\w\[\]{}(),|*+?-]*\$", re.ASCII)
"""Patterns that mean the same to pydantic and to Python's ``re``, except at the end of the text."""

STRICT_TYPES: tuple[object, ...] = (str, int, float, bool, date)
"""Types that mean the same to msgspec and to strict pydantic."""


_UNFIT_IN_NAME = re.compile(r'["\\\x00-\x1f]')
"""Characters that msgspec does not accept in the name of a member."""


class _UnsupportedTypeError(Exception):
    """Only pydantic can decode the record."""


def struct_decoder(record: type[R]) -> RowDecoder[R]:
    """Make the decoder of a JSON array of rows.

    Args:
        record: The record of a row.

    Returns:
        A function from JSON to records, or to structs with the same attributes. The structs lack
        pydantic's methods, such as ``model_dump``; use ``values_of``. The function raises
        pydantic's ``ValidationError`` if any row does not fit.
    """
    decode_strictly = validating_decoder(record)
    try:
        struct = _struct_of(record)
    except _UnsupportedTypeError:
        return decode_strictly
    decode = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type] # made above

    def read(body: bytes) -> list[R]:
        try:
            return cast("list[R]", decode(body))  # they have the same attributes
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return decode_strictly(body)

    return read


def page_decoder(record: type[R], items: str, cursor: str) -> PageDecoder[R] | None:
    """Make the decoder of the pages of a list. A ``PageDecoderFactory``.

    Args:
        record: The record of an item.
        items: The name of the member with the items.
        cursor: The name of the member with the cursor.

    Returns:
        The decoder; ``None`` if pydantic has to decode the items. Items are structs with the
        attributes of the record.
    """
    if items == cursor or _UNFIT_IN_NAME.search(items + cursor):
        return None
    try:
        struct = _struct_of(record)
    except _UnsupportedTypeError:
        return None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("items", list[struct]),  # type: ignore[valid-type] # made above
        ("cursor", str | None, None),
    ]
    page = msgspec.defstruct("Page", fields, rename={"items": items, "cursor": cursor}, gc=False)
    # The attributes of a struct that is made here are unknown to type checkers.
    decode = cast("Callable[[bytes], Any]", msgspec.json.Decoder(page).decode)

    def read(body: bytes) -> DecodedPage[R] | None:
        if len(body) > AT_ONCE:
            return None  # only ``max_rows`` items are read of it
        try:
            found = decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return DecodedPage(found.items, found.cursor)

    return read


def _struct_of(record: type[Record]) -> type[msgspec.Struct]:
    """Make a struct that has the fields of a record, and accepts nothing else."""
    # Not cached: sources with field selection make records at run time, and a cache would keep
    # records that are dropped.
    if record.model_config != Record.model_config or _has_more_than_fields(record):
        raise _UnsupportedTypeError
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, info in record.model_fields.items():
        kind = _msgspec_type(info.annotation, info.metadata)
        if info.is_required():
            fields.append((name, kind))
        elif info.default is None and info.default_factory is None:
            fields.append((name, kind, None))
        else:
            raise _UnsupportedTypeError
    return msgspec.defstruct(
        record.__name__,
        fields,
        rename={name: _name_in_json(name, info) for name, info in record.model_fields.items()},
        frozen=True,
        kw_only=True,  # a field without a default may follow one with a default
        gc=False,  # no value in it can refer back to it
    )


def _has_more_than_fields(record: type[Record]) -> bool:
    """Return whether a record has validators, properties or methods. A struct would lack them."""
    own = record.mro()[: record.mro().index(Record)]
    return any(
        name not in record.model_fields and not name.startswith(("__", "_abc_", "model_"))
        for base in own
        for name in vars(base)
    )


def _name_in_json(name: str, info: FieldInfo) -> str:
    """Return the name of a field in JSON."""
    if info.validation_alias not in {None, info.alias}:
        raise _UnsupportedTypeError
    found = info.alias or name
    if _UNFIT_IN_NAME.search(found):
        raise _UnsupportedTypeError
    return found


def _msgspec_type(annotation: object, metadata: Iterable[object]) -> Any:  # noqa: ANN401 # a type or a special form
    """Return the type that means the same to msgspec as an annotation means to pydantic."""
    kind: Any
    metadata = tuple(metadata)
    limits: dict[str, Any] = {
        name: limit for item in metadata for name, limit in _limits(item).items()
    }
    match get_origin(annotation), get_args(annotation):
        case (origin, (inner, optional)) if origin in {Union, UnionType} and optional is NoneType:
            return Optional[_msgspec_type(inner, metadata)]  # noqa: UP045 # some of them have no `|`
        case (origin, (inner, following)) if origin is tuple and following is Ellipsis:
            kind = tuple.__class_getitem__((_msgspec_type(inner, ()), ...))
        case (origin, (inner, *more)) if origin is Annotated:
            return _msgspec_type(inner, (*more, *metadata))
        case _ if annotation is AwareDatetime:
            kind, limits["tz"] = datetime, True
        case _ if annotation in STRICT_TYPES:
            words = next((words for one in metadata if (words := _words_in(one))), None)
            # Words in another case go to pydantic.
            kind = annotation if words is None else Literal[tuple(sorted(words))]
        case _ if isinstance(annotation, type) and issubclass(annotation, Record):
            kind = _struct_of(annotation)
        case _:
            raise _UnsupportedTypeError
    return Annotated[kind, msgspec.Meta(**limits)] if limits else kind


def _is_id(metadata: object) -> bool:
    """Return whether a field has an id. Text is text, and a number goes to pydantic."""
    return isinstance(metadata, BeforeValidator) and metadata.func is id_text


def _words_in(metadata: object) -> frozenset[str] | None:
    """Return the words of which the text of a field is one; ``None`` if it may be any text."""
    check = metadata.func if isinstance(metadata, AfterValidator) else None
    return check.words if isinstance(check, OneOf) else None


def _limits(metadata: object) -> Mapping[str, Any]:
    """Return the limits of a field in the words of msgspec."""
    match metadata:
        case Ge(ge=least):
            return {"ge": least}
        case Le(le=most):
            return {"le": most}
        case MinLen(min_length=least):
            return {"min_length": least}
        case MaxLen(max_length=most):
            return {"max_length": most}
        case BeforeValidator() | AfterValidator() if _words_in(metadata) or _is_id(metadata):
            return {}
        case _:
            attributes: dict[str, Any] = getattr(metadata, "__dict__", {})
            pattern = attributes.get("pattern")
            if (
                len(attributes) != 1
                or not isinstance(pattern, str)
                or not PLAIN_PATTERN.fullmatch(pattern)
            ):
                raise _UnsupportedTypeError
            # Python's ``$`` also matches before a final line feed.
            return {"pattern": rf"{pattern[:-1]}\Z"}
