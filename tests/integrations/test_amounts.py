"""Every form of money, to the last digit."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.amounts import TWO_CURRENCIES, TWO_WAYS, Money, minor, money
from integrations.converted import Unfit


@pytest.mark.parametrize(
    ("given", "amount", "currency"),
    [
        ("12,50 €", "12.50", "EUR"),
        ("1.234,56", "1234.56", None),
        ("$25", "25", "USD"),
        ("$25.00", "25.00", "USD"),
        ("US$ 1,234.56", "1234.56", "USD"),
        ("1\u202f234,50\u00a0€", "1234.50", "EUR"),
        ("CHF 1'234.50", "1234.50", "CHF"),
        ("1,234", "1234", None),
        ("1,00,000.50", "100000.50", None),
        ("1.234.567", "1234567", None),
        ("-5", "-5", None),
        ("-$5.10", "-5.10", "USD"),
        ("0.500", "0.500", None),
        ("¥5000", "5000", "JPY"),
        ("Rp5", "5", "IDR"),
        ("zł 10", "10", "PLN"),
        ("3.00", "3.00", None),
        ("13.37 usd", "13.37", "USD"),
        (25, "25", None),
        (0.1, "0.1", None),
        (Decimal("1E+2"), "100", None),
        (Decimal("19.999"), "19.999", None),
    ],
)
def test_a_form_is_its_amount(given: Any, amount: str, currency: str | None) -> None:
    found = money(given)
    assert (str(found.amount), found.currency) == (amount, currency)


@pytest.mark.parametrize(
    "given",
    [None, True, "", "free", "$", "1,2,3", "12.34.56", "1,23,4", "12 €uro$", "NaN", "1e5", "٣,", [],
     {}, float("nan"), float("inf"), Decimal("sNaN"), Decimal("1e999"), "9" * 50, "5 kr"],
)  # fmt: skip
def test_what_is_no_amount_is_refused(given: Any) -> None:
    with pytest.raises(Unfit):
        money(given)


@pytest.mark.parametrize("given", ["1.234", "1.234 €"])
def test_what_can_be_read_in_two_ways_is_refused(given: str) -> None:
    with pytest.raises(Unfit, match=TWO_WAYS):
        money(given)


def test_a_currency_of_three_digits_makes_it_one_way() -> None:
    assert money("1.234", "KWD") == Money(Decimal("1.234"), "KWD")
    with pytest.raises(Unfit, match=TWO_WAYS):
        money("1,234", "KWD")


@pytest.mark.parametrize(
    ("text", "named", "default", "currency"),
    [
        ("$5", "cad", None, "CAD"),
        ("$5", None, "CAD", "CAD"),
        ("$5 AUD", None, "CAD", "AUD"),
        ("$5", None, None, "USD"),
        ("12,50 €", None, "USD", "EUR"),
        ("12,50 €", "EUR", "USD", "EUR"),
        ("R$ 5", None, "USD", "BRL"),
        ("5", None, "USD", "USD"),
        ("5", " ", "USD", "USD"),
        ("5", None, " usd", "USD"),
    ],
)
def test_whose_currency_it_is(
    text: str, named: str | None, default: str | None, currency: str
) -> None:
    """The one named beside it, else the one in it, else the connection's."""
    assert money(text, named, default).currency == currency


@pytest.mark.parametrize(
    ("text", "named"), [("12,50 €", "USD"), ("5 EUR", "usd"), ("€ 5 USD", None)]
)
def test_two_currencies_of_one_amount_are_refused(text: str, named: str | None) -> None:
    with pytest.raises(Unfit, match=TWO_CURRENCIES):
        money(text, named, "GBP")


@given(st.integers(0, 10**12), st.integers(0, 6))
def test_minor_units_lose_nothing(amount: int, digits: int) -> None:
    assert minor(amount, digits) * 10**digits == amount
    assert minor(str(amount), digits) == minor(amount, digits)


@pytest.mark.parametrize("given", [1.5, "1.5", True, None, "", "-", float("nan"), "9" * 30])
def test_minor_units_are_whole(given: Any) -> None:
    with pytest.raises(Unfit):
        minor(given, 2)


@given(st.decimals(0, 10**9, places=2), st.sampled_from(["{:,.2f}", "€{:,.2f}", "{:.2f} USD"]))
def test_what_people_write_comes_back(amount: Decimal, form: str) -> None:
    assert money(form.format(amount)).amount == amount
    german = form.format(amount).translate(str.maketrans(",.", ".,"))
    assert money(german).amount == amount
