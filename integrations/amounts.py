"""The forms of money that platforms use, as exact decimals.

Taken: numbers, whole numbers of minor units, and texts for people such as `12,50 €`, `1.234,56`,
`$25`, `US$ 1,234.56`, `1 234,50`. Nothing is rounded, and what can be read in two ways is refused:
`1.234` is a thousand in Berlin and little more than one elsewhere.
"""

import re
from decimal import Decimal
from typing import Any, Final, NamedTuple

from integrations.converted import Unfit

UNREADABLE: Final = "has an amount that can't be read"
TWO_WAYS: Final = "has an amount that can be read in two ways"
TWO_CURRENCIES: Final = "names one currency beside its amount and another in it"

SYMBOLS: Final = {
    "US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "HK$": "HKD",
    "NZ$": "NZD", "S$": "SGD", "R$": "BRL", "MX$": "MXN", "NT$": "TWD", "$": "USD", "€": "EUR",
    "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY", "₴": "UAH", "₫": "VND",
    "₱": "PHP", "฿": "THB", "₪": "ILS", "₦": "NGN", "zł": "PLN", "Kč": "CZK", "Ft": "HUF",
    "Rp": "IDR", "RM": "MYR",
}  # fmt: skip
"""Each with the currency that it means where no other is named; `kr` may be three."""
SHARED: Final = frozenset(("$", "¥", "£"))
"""Symbols of several currencies: which one, says what is named, or the default."""
THREE_DIGITS: Final = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))

_money = re.compile(r"([^\d.,+-]*)([+-]?)([^\d.,+-]*)(\d[\d.,]*)([^\d.,+-]*)").fullmatch
_spaces = re.compile(r"(?<=\d)[\s'’\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_code = re.compile(r"[A-Za-z]{3}").fullmatch
_plain = re.compile(r"\d+").fullmatch


class Money(NamedTuple):
    """An amount in major units, and its currency where it is known."""

    amount: Decimal
    currency: str | None


def money(value: Any, currency: Any = None, default: str | None = None) -> Money:
    """An amount of major units, in the `currency` that is named beside it, else in the one of its
    symbol, else in `default`. Raises `Unfit`, also where what is named and the symbol differ."""
    named, default = _code_in(currency), _code_in(default)
    if isinstance(value, str):
        return _of_text(value.strip(), named, default)
    return Money(_exact(value), named or default)


def _code_in(currency: Any) -> str | None:
    return currency.strip().upper() or None if isinstance(currency, str) else None


def minor(value: Any, digits: int) -> Decimal:
    """Whole minor units (cents for 2, thousandths for 3) as major units. Raises `Unfit`."""
    if isinstance(value, str) and _plain(value):
        value = int(value) if len(value) < 20 else None
    amount = _exact(value)
    if amount != amount.to_integral_value():
        raise Unfit(UNREADABLE)
    return _shown(amount.scaleb(-digits).normalize())


def _exact(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit("has no amount" if value is None else UNREADABLE)
    amount = Decimal(str(value))
    if not amount.is_finite() or abs(amount.adjusted()) > 20:
        raise Unfit(UNREADABLE)
    return _shown(amount)


def _shown(amount: Decimal) -> Decimal:
    """Without an exponent, so that it is a JSON number as people write it."""
    return Decimal(format(amount, "f"))


def _of_text(text: str, named: str | None, default: str | None) -> Money:
    if len(text) > 40:
        raise Unfit(UNREADABLE)
    matched = _money(_spaces.sub("", text))
    if matched is None:
        raise Unfit(UNREADABLE)
    before, sign, between, digits, after = matched.groups()
    around = [part.strip() for part in (before, between, after) if part.strip()]
    known = {part: _currency_of(part) for part in around}
    sure = {known[part] for part in known if part not in SHARED} | ({named} if named else set())
    if len(sure) > 1:
        raise Unfit(TWO_CURRENCIES)
    shared = next((known[part] for part in known if part in SHARED), None)
    found = next(iter(sure), None) or default or shared
    amount = Decimal(_plain_digits(digits, found))
    return Money(-amount if sign == "-" else amount, found)


def _currency_of(part: str) -> str:
    known = SYMBOLS.get(part) or (part.upper() if _code(part) else None)
    if known is None:
        raise Unfit(UNREADABLE)
    return known


def _plain_digits(text: str, currency: str | None) -> str:
    """The digits with a point at most, whichever way they were grouped."""
    marks = [mark for mark in text if mark in ".,"]
    if not marks:
        return text
    last = marks[-1]
    if len(set(marks)) == 1:
        whole, _, rest = text.partition(last)
        if len(marks) > 1:
            return _joined(text, last)
        if not rest:
            raise Unfit(UNREADABLE)
        if len(rest) != 3 or len(whole) > 3 or whole.startswith("0"):
            return f"{whole}.{rest}"
        if last == "." or currency in THREE_DIGITS:
            if currency in THREE_DIGITS and last == ".":
                return text
            raise Unfit(TWO_WAYS)
        return _joined(text, last)
    whole, _, rest = text.rpartition(last)
    if last in whole or not rest:
        raise Unfit(UNREADABLE)
    return f"{_joined(whole, '.' if last == ',' else ',')}.{rest}"


def _joined(text: str, mark: str) -> str:
    """Groups of thousands, or of India's hundreds, as one number. Raises `Unfit` for others."""
    groups = text.split(mark)
    first, *middle, last = groups
    if not 1 <= len(first) <= 3 or len(last) != 3 or any(len(one) not in (2, 3) for one in middle):
        raise Unfit(UNREADABLE)
    return "".join(groups)
