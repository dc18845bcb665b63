"""Amounts of money in minor units are exact, or an error."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.money import InexactError, currencies, minor_units, places_of, shifted

CURRENCIES = st.sampled_from(sorted(currencies()))
UNITS = st.integers(min_value=-(2**53), max_value=2**53)


def written(units: int, places: int) -> str:
    """Write minor units as a decimal text, without arithmetic."""
    digits = str(abs(units)).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :]
    return ("-" if units < 0 else "") + (f"{whole}.{fraction}" if places else whole)


def test_the_table_of_currencies_is_that_of_iso_4217() -> None:
    table = currencies()

    assert Counter(table.values()) == {0: 17, 2: 139 + 9, 3: 7, 4: 2}
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in table)
    examples = {"EUR": 2, "USD": 2, "JPY": 0, "KRW": 0, "ISK": 0, "KWD": 3, "TND": 3, "CLF": 4}
    assert {code: places_of(code) for code in examples} == examples


@pytest.mark.parametrize("code", ["XXX", "XAU", "EUX", "eur", "", "EURO", "BTC"])
def test_a_currency_without_known_minor_units_is_an_error(code: str) -> None:
    with pytest.raises(InexactError, match="currency"):
        places_of(code)


@given(units=UNITS, currency=CURRENCIES, zeros=st.integers(0, 12))
def test_a_decimal_amount_is_converted_to_minor_units_without_loss(
    units: int, currency: str, zeros: int
) -> None:
    places = places_of(currency)
    text = written(units, places)
    longer = text + ("0" if "." in text else ".0") * min(zeros, 1) + "0" * zeros

    assert minor_units(Decimal(text), currency, 0) == units
    assert minor_units(Decimal(longer), currency, 0) == units
    assert minor_units(Decimal(text).scaleb(6), currency, 6) == units


@given(units=UNITS, currency=CURRENCIES)
def test_an_amount_in_minor_units_is_not_changed(units: int, currency: str) -> None:
    assert minor_units(units, currency, None) == units
    assert minor_units(Decimal(units), currency, None) == units


@given(units=UNITS, currency=CURRENCIES, digit=st.integers(1, 9))
def test_a_part_of_a_minor_unit_is_an_error_and_never_rounded(
    units: int, currency: str, digit: int
) -> None:
    text = written(units, places_of(currency))
    text += str(digit) if "." in text else f".{digit}"

    with pytest.raises(InexactError, match="whole number of minor units"):
        minor_units(Decimal(text), currency, 0)


@pytest.mark.parametrize(
    "number",
    [
        *("1E+999999999", "-1E+999999999999999999", "NaN", "-Infinity", "1" * 41),
        "0." + "1" * 41,
    ],
)
def test_a_hostile_number_is_refused_before_its_digits_are_expanded(number: str) -> None:
    with pytest.raises(InexactError):
        shifted(Decimal(number), 2)


@pytest.mark.parametrize(
    ("number", "places", "result"),
    [
        ("0E+999999999", 2, (0, False)),
        ("-0", 0, (0, False)),
        ("1E-999999999", 2, (0, True)),
        ("-1E-999999999", 2, (-1, True)),
        ("12.349", 2, (1234, True)),
        ("-12.349", 2, (-1235, True)),
        ("12.30", 1, (123, False)),
        ("1200", -2, (12, False)),
        ("1E+3", 2, (100_000, False)),
    ],
)
def test_the_decimal_point_is_shifted_and_further_digits_are_cut_off(
    number: str, places: int, result: tuple[int, bool]
) -> None:
    assert shifted(Decimal(number), places) == result


def test_an_integer_has_a_limit_on_its_digits() -> None:
    assert shifted(-(10**39), 0) == (-(10**39), False)
    for number, places in ((10**40, 0), (1, 41), (10**4000, -4000)):
        with pytest.raises(InexactError, match="40 digits"):
            shifted(number, places)
