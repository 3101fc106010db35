"""The forms of time that platforms use, as the one of the contract.

Taken: RFC 3339 and its relatives (a space for the T, no zone, `+0200`, ` +0200`, `UTC`, up to nine
digits of a second, the leap second `:60`), RFC 2822, and seconds, milliseconds, microseconds or
nanoseconds since 1970, as numbers or as their digits.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

from integrations.converted import Context, Unfit
from schemas.times import from_datetime, render_time

UNREADABLE: Final = "has a time that can't be read"

_stamp = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})[T ,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"\s*(?:([zZ]|UTC|GMT)|([+-])(\d{2}):?(\d{2})?)?"
).fullmatch
_digits = re.compile(r"-?\d{9,19}(?:\.\d{1,9})?").fullmatch
_MS_PER_UNIT = ((10**17, Decimal("1e-6")), (10**14, Decimal("1e-3")), (10**11, Decimal(1)))
"""From which number on it counts nanoseconds, microseconds, milliseconds; below, seconds. In
milliseconds 10^11 is 1973, in seconds the year 5138."""


def moment(context: Context, *found: Any) -> str:
    """The first time that is given, else when the payload came. Raises `Unfit`."""
    for one in found:
        if one is not None and one != "":
            return rendered(milliseconds(one, context.zone))
    return rendered(context.received)


def rendered(ms: int) -> str:
    """RFC 3339. Raises `Unfit` for a time that no calendar has."""
    try:
        return render_time(ms)
    except (OverflowError, ValueError):
        raise Unfit(UNREADABLE) from None


def milliseconds(value: Any, zone: tzinfo) -> int:
    """Milliseconds since 1970. Raises `Unfit`."""
    if isinstance(value, str):
        return _of_text(value.strip(), zone)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(UNREADABLE)
    return _of_number(value)


def _of_number(value: float | Decimal) -> int:
    try:
        exact = Decimal(str(value))
        if not exact.is_finite() or abs(exact) >= 10**20:
            raise Unfit(UNREADABLE)
    except ArithmeticError:
        raise Unfit(UNREADABLE) from None
    factor = next((ms for least, ms in _MS_PER_UNIT if abs(exact) >= least), Decimal(1000))
    return int(exact * factor)


def _of_text(text: str, zone: tzinfo) -> int:
    if len(text) > 64:
        raise Unfit(UNREADABLE)
    if _digits(text):
        return _of_number(Decimal(text))
    matched = _stamp(text)
    try:
        if matched is None:
            found = parsedate_to_datetime(text)
            return from_datetime(found if found.tzinfo else found.replace(tzinfo=zone))
        year, month, day, hour, minute, second, fraction, utc, sign, ahead, minutes = (
            matched.groups()
        )
        leap = second == "60"
        zoned: tzinfo = UTC if utc else zone
        if sign:
            offset = timedelta(hours=int(ahead), minutes=int(minutes or 0))
            zoned = timezone(-offset if sign == "-" else offset)
        found = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            59 if leap else int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            tzinfo=zoned,
        )
        return from_datetime(found) + (1000 if leap else 0)
    except (ValueError, OverflowError, TypeError, IndexError):
        raise Unfit(UNREADABLE) from None
