"""Prices and promises in a text, and whether they rest on something.

A price rests if a claim of kind price or offer cites a message or an offer whose price is that
amount. A promise rests if a claim of kind promise cites anything of the material. What is cited has
to exist: `checks` looks at that.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from llm.material import Material
from llm.results import Claim
from llm.speech import plain
from llm.words import either, phrases

_NUMBER: Final = r"\d{1,3}(?:[.,' ]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?"
_UNITS: Final = either("units")
_PRICES: Final = re.compile(
    rf"(?:(?:{_UNITS})\s*(?P<after>{_NUMBER}))|(?:(?P<before>{_NUMBER})\s*(?:{_UNITS})(?!\w))"
)
_FREE: Final = phrases("free")
_PROMISES: Final = phrases("promises")


def prices_rest(text: str, claims: Sequence[Claim], material: Material) -> bool:
    """Whether every amount of money in the text is that of something cited."""
    said = plain(text)
    amounts = [*_amounts(said)]
    cited = [
        name for claim in claims if claim.kind in ("price", "offer") for name in claim.evidence
    ]
    if _FREE.search(said) is not None and not cited:
        return False
    known = {*_prices_of(cited, material)}
    return all(amount in known for amount in amounts)


def promises_rest(text: str, claims: Sequence[Claim]) -> bool:
    """Whether a text that promises has a claim that says on what it rests."""
    if _PROMISES.search(plain(text)) is None:
        return True
    return any(claim.kind == "promise" and claim.evidence for claim in claims)


def _amounts(text: str) -> Iterator[Decimal]:
    for match in _PRICES.finditer(text):
        yield _decimal(match["after"] or match["before"])


def _decimal(text: str) -> Decimal:
    """A comma or point before one or two last digits is the decimal one; the others group."""
    digits = re.sub("[' ]", "", text)
    whole, last = re.fullmatch(r"(.*?)(?:[.,](\d{1,2}))?", digits).groups()  # type: ignore[union-attr]
    return Decimal(f"{re.sub('[.,]', '', whole) or 0}.{last or 0}")


def _prices_of(cited: Sequence[str], material: Material) -> Iterator[Decimal]:
    names = frozenset(cited)
    for offer in material.offers:
        if offer.id in names and offer.price is not None:
            yield offer.price
    for message in material.messages:
        if message.id in names:
            yield from _number(message.metadata.get("price"))
            if message.sender == "creator":
                yield from _amounts(plain(message.content))


def _number(value: Any) -> Iterator[Decimal]:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            yield Decimal(str(value))
        except InvalidOperation:
            return
