"""Money: what was written is what is kept, or it is refused."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from pytest import mark, raises

from schemas.errors import InvalidInput
from schemas.money import DIGITS, MINOR_MAX, currency_code, major_units, minor_units

amounts = st.integers(0, MINOR_MAX)
currencies = st.sampled_from(sorted(DIGITS))


@mark.parametrize(
    ("code", "digits"),
    [
        ("USD", 2),
        ("EUR", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("IDR", 2),
        ("HRK", 2),
    ],
)
def test_the_digits_are_those_of_iso_4217(code: str, digits: int) -> None:
    assert DIGITS[code] == digits


def test_codes_are_known_in_any_case_and_nothing_else_is() -> None:
    assert currency_code("currency", "usd") == "USD"
    for unknown in ("", "$", "USDT", "XAU", "XTS", "ﬀ"):
        with raises(InvalidInput):
            currency_code("currency", unknown)


@given(amounts, currencies)
def test_what_is_written_exactly_is_kept_exactly(amount: int, currency: str) -> None:
    written = Decimal(amount).scaleb(-DIGITS[currency])
    assert minor_units("amount", format(written, "f").encode(), currency) == amount
    assert minor_units("amount", format(written, "e").encode(), currency) == amount


@given(amounts, currencies)
def test_shown_and_written_again_it_is_the_same(amount: int, currency: str) -> None:
    shown = repr(major_units(amount, currency)).encode()
    assert minor_units("amount", shown, currency) == amount


@given(amounts, currencies, st.integers(1, 9))
def test_a_digit_more_than_the_currency_has_is_refused(
    amount: int, currency: str, digit: int
) -> None:
    more = Decimal(amount * 10 + digit).scaleb(-DIGITS[currency] - 1)
    with raises(InvalidInput):
        minor_units("amount", format(more, "f").encode(), currency)


@given(st.binary(max_size=80), currencies)
def test_whatever_is_written_is_a_whole_amount_or_refused(token: bytes, currency: str) -> None:
    try:
        assert 0 <= minor_units("amount", token, currency) <= MINOR_MAX
    except InvalidInput as refused:
        assert refused.field == "amount"
