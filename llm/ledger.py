"""What a text offers or promises, against what was offered to this fan before (`views.offers`).

Pure, and by what a prompt holds as well: a template judges by it as the checks do.

- `bought`: the fan has it.
- `pitched`: it was offered before, whether the fan said no or nothing.
- `promised`: it was promised and not delivered; offering or promising it once more does not
  deliver it.
- `price_changed`: what is asked for it now is less or more than at the last pitch, in the same
  currency.

An offer is meant by a claim that cites it, by `data.offerIds`, or by its title in a text.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from llm.speech import plain, words
from schemas.context import OfferStatus
from schemas.money import DEFAULT_CURRENCY

LedgerCode = Literal["bought", "pitched", "promised", "price_changed"]

TITLE_MIN: Final = 4
"""Characters; a shorter title stands in too many texts by chance."""


class Offered(NamedTuple):
    """One line of the ledger."""

    status: OfferStatus
    pitches: int
    price: Decimal | None
    currency: str | None


class Price(NamedTuple):
    """What is asked now."""

    amount: Decimal | None
    currency: str | None


class Finding(NamedTuple):
    """One thing that is not as it should be with an offer."""

    code: LedgerCode
    offer: str


def ledger_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, Offered]:
    """By id, from lines as a prompt has them."""
    return {
        one["id"]: Offered(
            one["status"], one["pitches"], _decimal(one.get("price")), one.get("currency")
        )
        for one in lines
    }


def findings(
    offers: Iterable[str], ledger: Mapping[str, Offered], prices: Mapping[str, Price]
) -> Iterator[Finding]:
    """What is wrong with these offers, each named once, in their order."""
    for name in dict.fromkeys(offers):
        known = ledger.get(name)
        if known is None:
            continue
        if known.status == "bought":
            yield Finding("bought", name)
        elif known.status == "promised":
            yield Finding("promised", name)
        elif known.pitches:
            yield Finding("pitched", name)
        asked = prices.get(name)
        if asked is not None and _changed(known, asked):
            yield Finding("price_changed", name)


def titled(text: str, titles: Mapping[str, str]) -> Iterator[str]:
    """Ids of the offers whose title stands in a text, however it is written."""
    said = _spaced(text)
    for name, title in titles.items():
        wanted = _spaced(title)
        if len(wanted) >= TITLE_MIN + 2 and wanted in said:
            yield name


def price_of(entry: Mapping[str, Any]) -> Price:
    """Of an entry of the catalogue as a prompt has it."""
    amount, currency = entry.get("price"), entry.get("currency")
    known = isinstance(amount, int | float) and not isinstance(amount, bool)
    return Price(
        _decimal(amount) if known else None, currency if isinstance(currency, str) else None
    )


def _changed(known: Offered, asked: Price) -> bool:
    if known.price is None or asked.amount is None:
        return False
    same = (known.currency or DEFAULT_CURRENCY) == (asked.currency or DEFAULT_CURRENCY)
    return same and known.price != asked.amount


def _spaced(text: str) -> str:
    """Its words, one space before, between and behind them."""
    return f" {' '.join(words(text)) or plain(text)} "


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
