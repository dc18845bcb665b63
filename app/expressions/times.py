"""Converts points in time from the forms that services write to RFC 3339. Pure."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from app.expressions.money import InexactError, shifted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)

_ISO = re.compile(
    r"(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:[Tt ]"
    r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,30}))?)?)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?)?",
    re.ASCII,
)
_RFC_3339 = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"[Tt ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))?",
    re.ASCII,
)
_MAX_HOUR = 24
_MINUTES_OF_HOUR = 60
_LEAP_SECOND = 60
_ROUNDED_UP_FROM = "5"


def from_unix(number: int | Decimal, places: int) -> str:
    """Convert a count since the beginning of 1970 (POSIX, "seconds since the epoch").

    Args:
        number: The count.
        places: The decimal places of its unit: 0 for seconds, 3 for milliseconds.

    Returns:
        The time in RFC 3339, in UTC; cut to microseconds.

    Raises:
        InexactError: It is not between the years 1 and 9999, or has more than 40 digits.
    """
    microseconds, _ = shifted(number, 6 - places)
    try:
        return _written(_EPOCH + timedelta(microseconds=microseconds))
    except OverflowError as error:
        raise InexactError("a time beyond the years 1 to 9999") from error


def from_rfc3339(text: str) -> datetime:
    """Read a time in the form of RFC 3339, section 5.6, and no other.

    ``T`` and ``Z`` may be small letters, and a space may stand for the ``T``. The colon of an
    offset may be missing. The time is rounded to microseconds, or cut if it would exceed the last
    year. A leap second becomes the second after it.

    Args:
        text: The time.

    Returns:
        The time with its offset; a naive time if the text has no offset.

    Raises:
        InexactError: It is not such a time.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise InexactError("no time as in RFC 3339")
    year, month, day, hour, minute, second = (
        int(match[part]) for part in ("year", "month", "day", "hour", "minute", "second")
    )
    offset = _offset(match)
    leaps = _is_leap_second(hour, minute, second, offset)
    fraction = match["fraction"] or ""
    microsecond = int(fraction[:6].ljust(6, "0"))
    zone = None if match["zone"] is None else timezone(offset)
    try:
        time = datetime(year, month, day, hour, minute, second - leaps, microsecond, zone)
        time += timedelta(seconds=leaps)
    except (ValueError, OverflowError) as error:
        raise InexactError("a time that no calendar has") from error
    if fraction[6:7] >= _ROUNDED_UP_FROM and time != _LAST.replace(tzinfo=zone):
        time += timedelta(microseconds=1)
    return time


def from_iso(text: str, *, without_offset_is_utc: bool) -> str:
    """Read a time in the form of ISO 8601 or RFC 3339, or of their common variants.

    The variants: a space instead of the ``T``; no colons or dashes; offsets such as ``+0100`` and
    ``+01``; ``UTC`` and ``GMT`` for ``Z``; a comma before the fraction, and up to 30 digits after
    it; no seconds or no minutes; 24:00, which is the beginning of the next day; a leap second,
    which is the second after it; a date alone, which is its first moment.

    Args:
        text: The time.
        without_offset_is_utc: Whether a time without an offset is in UTC; it is an error otherwise.

    Returns:
        The time in RFC 3339, in UTC; cut to microseconds.

    Raises:
        InexactError: It is not a time, or lacks an offset.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise InexactError("no time as in ISO 8601")
    if match["zone"] is None and not without_offset_is_utc:
        raise InexactError("a time without an offset")
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    offset = _offset(match)
    leaps = _is_leap_second(hour, minute, second, offset)
    at_midnight = hour == _MAX_HOUR and not (minute or second or int(fraction))
    if (
        (hour >= _MAX_HOUR and not at_midnight)
        or minute >= _MINUTES_OF_HOUR
        or (second >= _LEAP_SECOND and not leaps)
    ):
        raise InexactError("a time that no clock shows")
    try:
        day = datetime(
            int(match["year"]), int(match["month"]), int(match["day"]), tzinfo=timezone(offset)
        )
        time = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(fraction))
        return _written((day + time).astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise InexactError("a time that no calendar has") from error


def _offset(match: re.Match[str]) -> timedelta:
    """Return the offset of a time; zero if it has none."""
    hours, minutes = int(match["hours"] or 0), int(match["minutes"] or 0)
    if hours >= _MAX_HOUR or minutes >= _MINUTES_OF_HOUR:
        raise InexactError("a time that no clock shows")
    return timedelta(hours=hours, minutes=minutes) * (-1 if match["sign"] == "-" else 1)


def _is_leap_second(hour: int, minute: int, second: int, offset: timedelta) -> bool:
    """Return whether a time is a leap second: only the last minute of a UTC day has one."""
    if second != _LEAP_SECOND:
        return False
    ended = timedelta(hours=hour, minutes=minute + 1) - offset
    return ended % timedelta(days=1) == timedelta()


def _written(time: datetime) -> str:
    """Write a UTC time in RFC 3339."""
    return time.isoformat().replace("+00:00", "Z")
