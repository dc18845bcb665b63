"""Amounts of money as integers in the minor unit of their currency. Pure, exact, without floats.

ISO 4217 defines the decimal places of each currency's minor unit: two for the euro's cent, none for
the yen, three for the Kuwaiti fils. The tables are those of its list of current currencies of
2026-01-01, and of those withdrawn since 2018, which old accounts may still name. A code in none of
them is an error: two decimal places would be a guess.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType

_CURRENCIES: Mapping[int, str] = MappingProxyType(
    {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        2: (
            "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN"
            " BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD"
            " FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW"
            " KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR"
            " MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG"
            " SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD"
            " USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
        ),
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }
)
"""The codes of the list of current currencies, by their decimal places."""

_WITHDRAWN = "ANG BGN CUC HRK MRO SLL STD VEF ZWL"
"""Codes withdrawn since 2018, all with two decimal places."""

_WITHOUT = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX"
"""Codes of the list without a minor unit: metals, units of account, "no currency"."""

MAX_PLACES = 18
"""The most decimal places of a unit of amounts; ether has so many."""

_MAX_DIGITS = 40
_LIMIT = 10**_MAX_DIGITS


class InexactError(ValueError):
    """A conversion would lose information, or its input is not usable."""


def _currency_places() -> Iterator[tuple[str, int]]:
    """List the codes with their decimal places."""
    for places, codes in _CURRENCIES.items():
        for code in codes.split():
            yield code, places
    for code in _WITHDRAWN.split():
        yield code, 2


_PLACES: Mapping[str, int] = MappingProxyType(dict(_currency_places()))


def currencies() -> Mapping[str, int]:
    """Return the currencies that have a minor unit.

    Returns:
        The decimal places of each, by its code (ISO 4217).
    """
    return _PLACES


def places_of(currency: str) -> int:
    """Return the decimal places of a currency.

    Args:
        currency: Its code in capital letters, such as ``EUR``.

    Returns:
        The places (ISO 4217, list of current currencies).

    Raises:
        InexactError: The code is unknown, or has no minor unit.
    """
    places = _PLACES.get(currency)
    if places is not None:
        return places
    if currency in _WITHOUT.split():
        raise InexactError("a currency without a minor unit")
    raise InexactError("no currency of ISO 4217")


def shifted(number: int | Decimal, places: int) -> tuple[int, bool]:
    """Move the decimal point to the right, and round down.

    It is safe for any finite number: ``1E+999999999`` is rejected before its digits are written
    out.

    Args:
        number: A finite number.
        places: By how many places; to the left if negative.

    Returns:
        The greatest integer that is not greater than the result, and whether it is less.

    Raises:
        InexactError: It has more than 40 digits.
    """
    whole, move = (number, places) if isinstance(number, int) else _whole(number, places)
    if not -_LIMIT < whole < _LIMIT or (whole and move > _MAX_DIGITS):
        raise InexactError(f"a number of more than {_MAX_DIGITS} digits")
    if move >= 0:
        return whole * 10**move, False
    quotient, rest = divmod(whole, 10 ** min(-move, _MAX_DIGITS))
    return quotient, rest != 0


def _whole(number: Decimal, places: int) -> tuple[int, int]:
    """Return a number as an integer, and the places by which that has to be moved."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise InexactError("no finite number")
    if not any(digits):
        return 0, 0
    if len(digits) > _MAX_DIGITS:
        raise InexactError(f"a number of more than {_MAX_DIGITS} digits")
    whole = int("".join(map(str, digits)))
    return -whole if sign else whole, exponent + places


def minor_units(amount: int | Decimal, currency: str, places: int | None) -> int:
    """Convert an amount to minor units, exactly.

    Args:
        amount: The amount.
        currency: Its code in capital letters.
        places: The decimal places of the unit of ``amount``: 0 for euros, 2 for cents, 6 for
            millionths of a euro; ``None`` for those of the currency's minor unit.

    Returns:
        The amount in the currency's minor unit.

    Raises:
        InexactError: It is not a whole number of minor units, or the currency is unknown.
    """
    own = places_of(currency)
    units, cut = shifted(amount, 0 if places is None else own - places)
    if cut:
        raise InexactError(f"not a whole number of minor units: {currency} has {own} places")
    return units
