"""Money: decimals in JSON, integer minor units inside, by the digits that ISO 4217 gives.

The table is the ISO's own, as the package `iso4217` publishes it (its version is the table's date);
Unicode's, which babel has, says how prices are *shown*, and has other digits.
"""

import re
from typing import Final

from iso4217 import Currency

from schemas.errors import InvalidInput

DEFAULT_CURRENCY: Final = "USD"
MINOR_MAX: Final = 10**12
"""Largest amount in minor units: ten thousand million dollars."""

_WITHDRAWN: Final = dict.fromkeys(
    ("BGN", "BYR", "CUC", "EEK", "HRK", "LTL", "LVL", "MRO", "SLL", "STD", "VEF", "ZMK", "ZWL"), 2
) | {"BYR": 0}
"""Since 2010: exports of what was paid in them are still brought in."""
DIGITS: Final[dict[str, int]] = _WITHDRAWN | {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
"""Code -> digits after the point. Units of account without any (gold, testing) are not in it."""

_UNITS: Final = {code: int(10**digits) for code, digits in DIGITS.items()}
_TOKEN_LENGTH_MAX: Final = 64
_EXPONENT_MAX: Final = 20
_number: Final = re.compile(rb"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?").fullmatch


def currency_code(field: str, value: str) -> str:
    """The code in upper case; raises `InvalidInput` unless ISO 4217 gives it digits."""
    code = value.upper()
    if code not in DIGITS:
        raise InvalidInput(field, "must be a currency code of ISO 4217, such as USD")
    return code


def minor_units(field: str, token: bytes, currency: str) -> int:
    """The exact minor units of a JSON number, given as it was written.

    Raises `InvalidInput` for anything else, for more digits than the currency has (nothing is
    rounded; zeros at the end are no digits), for less than 0 and more than `MINOR_MAX`.
    """
    matched = _number(token) if len(token) <= _TOKEN_LENGTH_MAX else None
    if matched is None:
        reason = "must be a number of fewer digits" if token[:1].isdigit() else "must be a number"
        raise InvalidInput(field, reason)
    sign, whole, fraction, exponent = matched.groups(b"")
    digits = DIGITS[currency]
    amount = int(whole + fraction)
    if sign and amount:
        raise InvalidInput(field, "must not be below 0")
    shift = digits - len(fraction) + int(exponent or 0)
    if shift > 0:
        # Beyond that only 0 is small enough, and the number must not be built.
        amount *= 10 ** min(shift, _EXPONENT_MAX)
    elif shift < 0:
        amount, rest = divmod(amount, 10**-shift) if amount else (0, 0)
        if rest:
            shown = "digits" if digits != 1 else "digit"
            raise InvalidInput(field, f"must have at most {digits} {shown} after the point")
    if amount > MINOR_MAX:
        raise InvalidInput(field, f"must be at most {MINOR_MAX} minor units")
    return amount


def major_units(amount: int, currency: str) -> float:
    """The float nearest to an amount of minor units."""
    return amount / _UNITS[currency]
