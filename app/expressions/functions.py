"""The functions that expressions have: those of JMESPath, exact, and our own.

    unix_seconds(x)                  a time from seconds since 1970, fractions and text too
    unix_millis(x)                   a time from milliseconds since 1970
    iso_time(x)                      a time from text with an offset, in any common form
    iso_time_utc(x)                  the same; without an offset it is in UTC
    number(x)                        a number from a number or text; an integer where it is one
    money_minor(x, currency)         an amount in minor units (cents)
    money_decimal(x, currency)       an amount in main units (euros): `"12.34"`, `12.34`
    money_scaled(x, currency, n)     an amount in a unit that is n decimal places away: 6 for
                                     millionths
    lower(x), upper(x)               text in small or capital letters
    lookup(words, x)                 the member of the object ``words`` that is named x
    before(x, separator)             the text before the first separator: all of it if there is none
    after(x, separator)              the text after the last separator; null if there is none
    part(x, &expression)             the expression of the object x
    parts(x, &expression)            the expression of each item of the list x; null items stay

An amount is returned as ``{amount, currency}``, as records have it. Our functions return ``null``
for ``null``, so that ``||`` and ``not_null`` can go on to another field. For any other value that
they cannot use, they fail the row: a wrong value is not a missing one.

A number with a fraction is a ``Decimal`` here, and an inexact result is an error. JMESPath's own
functions would return a float.
"""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, localcontext
from re import ASCII
from re import compile as compiled
from typing import Protocol, cast

import orjson
from jmespath.functions import Functions, signature

from app.expressions.money import MAX_PLACES, InexactError, minor_units, shifted
from app.expressions.times import from_iso, from_unix

_NUMBER = compiled(r"[+-]?(\d{1,100}(\.\d{0,100})?|\.\d{1,100})", ASCII)

_takes_one = signature({"types": []})
_takes_two = signature({"types": []}, {"types": []})
_takes_three = signature({"types": []}, {"types": []}, {"types": []})
_takes_expression = signature({"types": []}, {"types": ["expref"]})
_takes_number = signature({"types": ["number"]})
_takes_numbers = signature({"types": ["array-number"]})


def exact(value: object) -> int | Decimal:
    """Read a number from a number or from text.

    Args:
        value: The number, or text such as ``"-12.50"``.

    Returns:
        The exact number, without rounding.

    Raises:
        InexactError: It is not a number. Grouped digits (``1,234.50``) are rejected, because the
            same text means another number in other countries.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise InexactError(f"{_kind(value)} that is no number")


def _text(value: object) -> str:
    """Return a value that is text; reject others."""
    if not isinstance(value, str):
        raise InexactError(f"{_kind(value)} where text has to be")
    return value


def _separator(value: object) -> str:
    """Return a text that separates others; reject an empty one."""
    text = _text(value)
    if not text:
        raise InexactError("an empty separator")
    return text


def _kind(value: object) -> str:
    """Return the kind of a value, without the value."""
    match value:
        case str():
            return "text"
        case bool():
            return "a truth value"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"


def _money(amount: object, currency: object, places: int | None) -> "Mapping[str, object] | None":
    """Build an amount of money as a record has it."""
    if amount is None or currency is None:
        return None
    code = _text(currency)
    if not code.isascii():  # some letters outside ASCII have ASCII capitals
        raise InexactError("no currency of ISO 4217")
    code = code.upper()
    return {"amount": minor_units(exact(amount), code, places), "currency": code}


def as_json(value: object) -> bytes:
    """Write the result of an expression as JSON.

    Args:
        value: Plain data, with decimal numbers in it.

    Returns:
        JSON in UTF-8; a decimal number has all its digits.

    Raises:
        TypeError: It cannot be written: nested too deeply, an integer of more than 64 bits, or a
            lone surrogate.
    """
    return orjson.dumps(value, default=_digits)


def _digits(value: object) -> orjson.Fragment:
    """Write a value that orjson does not know: a decimal number with all its digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} cannot be written")


def _floor(number: int | Decimal) -> tuple[int, bool]:
    """Round down; also return whether that changed the number."""
    return (number, False) if isinstance(number, int) else shifted(number, 0)


class _Reference(Protocol):
    """An expression that a function gets to evaluate: ``&expression``."""

    @property
    def expression(self) -> Mapping[str, object]:
        """Its syntax tree."""
        ...

    def visit(self, node: Mapping[str, object], value: object) -> object:
        """Evaluate a syntax tree for a value."""
        ...


class ExactFunctions(Functions):
    """JMESPath's functions and our own, which compute exactly with decimal numbers."""

    @_takes_one
    def _func_unix_seconds(self, number: object) -> str | None:
        return None if number is None else from_unix(exact(number), 0)

    @_takes_one
    def _func_unix_millis(self, number: object) -> str | None:
        return None if number is None else from_unix(exact(number), 3)

    @_takes_one
    def _func_iso_time(self, text: object) -> str | None:
        return None if text is None else from_iso(_text(text), without_offset_is_utc=False)

    @_takes_one
    def _func_iso_time_utc(self, text: object) -> str | None:
        return None if text is None else from_iso(_text(text), without_offset_is_utc=True)

    @_takes_one
    def _func_number(self, value: object) -> int | Decimal | None:
        if value is None:
            return None
        number = exact(value)
        whole, cut = shifted(number, 0)
        return number if cut else whole

    @_takes_two
    def _func_money_minor(self, amount: object, currency: object) -> object:
        return _money(amount, currency, None)

    @_takes_two
    def _func_money_decimal(self, amount: object, currency: object) -> object:
        return _money(amount, currency, 0)

    @_takes_three
    def _func_money_scaled(self, amount: object, currency: object, places: object) -> object:
        if type(places) is not int or not 0 <= places <= MAX_PLACES:
            raise InexactError(f"decimal places that are not 0 to {MAX_PLACES}")
        return _money(amount, currency, places)

    @_takes_one
    def _func_lower(self, text: object) -> str | None:
        return None if text is None else _text(text).lower()

    @_takes_one
    def _func_upper(self, text: object) -> str | None:
        return None if text is None else _text(text).upper()

    @signature({"types": ["object"]}, {"types": []})
    def _func_lookup(self, words: Mapping[str, object], word: object) -> object:
        if word is None:
            return None
        name = str(word) if type(word) is int else _text(word)
        if name not in words:
            raise InexactError("text that the words do not have")
        return words[name]

    @_takes_two
    def _func_before(self, text: object, separator: object) -> str | None:
        if text is None:
            return None
        return _text(text).partition(_separator(separator))[0]

    @_takes_two
    def _func_after(self, text: object, separator: object) -> str | None:
        if text is None:
            return None
        _, found, rest = _text(text).rpartition(_separator(separator))
        return rest if found else None

    @_takes_expression
    def _func_part(self, value: object, expression: _Reference) -> object:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InexactError(f"{_kind(value)} where an object has to be")
        return expression.visit(expression.expression, cast("Mapping[str, object]", value))

    @_takes_expression
    def _func_parts(self, value: object, expression: _Reference) -> object:
        if value is None:
            return None
        if not isinstance(value, list):
            raise InexactError(f"{_kind(value)} where a list has to be")
        items = cast("list[object]", value)
        return [expression.visit(expression.expression, item) for item in items]

    @_takes_one
    def _func_to_number(self, value: object) -> int | Decimal | None:
        try:
            return None if value is None else self._func_number(value)
        except InexactError:
            return None  # as JMESPath specifies it

    @_takes_one
    def _func_to_string(self, value: object) -> str:
        if isinstance(value, str | Decimal):
            return str(value)
        return as_json(value).decode()

    @_takes_one
    def _func_type(self, value: object) -> str:
        return self._convert_to_jmespath_type(type(value).__name__)

    @_takes_numbers
    def _func_avg(self, numbers: Sequence[int | Decimal]) -> Decimal | None:
        if not numbers:
            return None
        with localcontext(Context(prec=34)):  # the one function that has to round
            return sum(map(Decimal, numbers), Decimal()) / len(numbers)

    @_takes_number
    def _func_ceil(self, number: int | Decimal) -> int:
        whole, cut = _floor(number)
        return whole + cut

    @_takes_number
    def _func_floor(self, number: int | Decimal) -> int:
        return _floor(number)[0]

    # The methods below make all other functions of JMESPath accept decimal numbers. The library
    # knows types by the names of their classes, and has no public way to add one.

    def _convert_to_jmespath_type(self, name: str) -> str:
        if name == "Decimal":
            return "number"
        return str(super()._convert_to_jmespath_type(name))  # type: ignore[misc] # see above

    def _get_allowed_pytypes(self, types: Sequence[str]) -> tuple[list[str], list[list[str]]]:
        alone, within = cast(
            "tuple[Sequence[str], Sequence[Sequence[str]]]",
            super()._get_allowed_pytypes(types),  # type: ignore[misc] # see above
        )
        return _with_decimal(alone), [_with_decimal(names) for names in within]


def _with_decimal(names: Sequence[str]) -> list[str]:
    """Add ``Decimal`` to the names of types if numbers are among them."""
    return [*names, "Decimal"] if "int" in names else [*names]
