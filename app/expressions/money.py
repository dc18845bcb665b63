"""Amounts of money as integers in their currency's minor unit. Pure, exact, never by a float.

ISO 4217 says of each currency how many decimal places its minor unit is away: two for the euro's
cent, none for the yen, three for the Kuwaiti fils. The tables are those of its list of current
currencies of 2026-01-01, and of those withdrawn since 2018, which old accounts may still name. A
code that is in none of them is an error: two decimal places would be a guess.
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
"""The codes of the list of current currencies, by how many decimal places each has."""

_WITHDRAWN = "ANG BGN CUC HRK MRO SLL STD VEF ZWL"
"""Codes withdrawn since 2018, all of two decimal places."""

_WITHOUT = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX"
"""Codes of the list that have no minor unit: metals, units of account, "no currency"."""

MAX_PLACES = 18
"""Most decimal places that an amount may be moved by; ethers have so many."""

_MAX_DIGITS = 40
_LIMIT = 10**_MAX_DIGITS


class InexactError(ValueError):
    """A conversion would lose something, or has nothing to work with."""


def _listed() -> Iterator[tuple[str, int]]:
    """List codes and their decimal places."""
    for places, codes in _CURRENCIES.items():
        for code in codes.split():
            yield code, places
    for code in _WITHDRAWN.split():
        yield code, 2


_PLACES: Mapping[str, int] = MappingProxyType(dict(_listed()))


def currencies() -> Mapping[str, int]:
    """List the currencies that have a minor unit.

    Returns:
        How many decimal places each has, by its code (ISO 4217).
    """
    return _PLACES


def places_of(currency: str) -> int:
    """Tell how many decimal places a currency has.

    Args:
        currency: Its code in capital letters, such as ``EUR``.

    Returns:
        The places (ISO 4217, list of current currencies).

    Raises:
        InexactError: There is no such code, or it has no minor unit.
    """
    places = _PLACES.get(currency)
    if places is not None:
        return places
    if currency in _WITHOUT.split():
        raise InexactError("a currency without a minor unit")
    raise InexactError("no currency of ISO 4217")


def shifted(number: int | Decimal, places: int) -> tuple[int, bool]:
    """Move the decimal point to the right, and cut off what stays behind it.

    No number is too hostile for it: ``1E+999999999`` is turned away before it is written out.

    Args:
        number: A finite number.
        places: By how many places; to the left where negative.

    Returns:
        The greatest integer that is not greater, and whether it is less.

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
    """Write a number as an integer, and by how many places that has to be moved."""
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
    """Turn an amount into minor units, exactly.

    Args:
        amount: The amount.
        currency: Its code in capital letters.
        places: How many decimal places the unit of ``amount`` is away from the currency's main
            unit: 0 for euros, 2 for cents, 6 for millionths; ``None`` for the currency's own.

    Returns:
        The amount in the currency's minor unit.

    Raises:
        InexactError: It is not a whole number of them, or the currency is unknown.
    """
    own = places_of(currency)
    units, cut = shifted(amount, 0 if places is None else own - places)
    if cut:
        raise InexactError(f"not a whole number of minor units: {currency} has {own} places")
    return units
