"""What a draft offers and promises, as the event of its sending says it (`schemas.offers`). Pure.

Of a draft's claims those that cite an entry of the catalogue in the intent's `data.offers`: by kind
`offer` and `price` it is pitched, by `promise` promised. Of what a person has written anew, only
what still has the entry's title in it.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from schemas.money import DIGITS
from schemas.offers import MENTIONS_MAX, is_offer_id
from stores.workflows.sealed import Body

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_PITCHING: Final = frozenset(("offer", "price"))


class Said(NamedTuple):
    """What an event has besides."""

    fields: dict[str, Any]
    metadata: dict[str, Any]


def offers_of(body: Body, data: bytes) -> Said:
    """`data` is the intent's, as JSON. Prices are said if all of them are in one currency."""
    catalogue = {one["id"]: one for one in _entries(_decode(data).get("offers"))}
    pitched, promised = (
        [
            name
            for name in _cited(body, kinds)
            if name in catalogue and _still_said(body, catalogue[name])
        ][:MENTIONS_MAX]
        for kinds in (_PITCHING, frozenset(("promise",)))
    )
    currencies = {_currency(catalogue[name]) for name in pitched}
    priced = len(currencies) == 1 and currencies <= {None, *DIGITS}
    currency = next(iter(currencies)) if priced else None
    metadata: dict[str, Any] = {}
    if pitched:
        metadata["offers"] = [
            {"id": name, "price": catalogue[name]["price"]}
            if priced and _is_price(catalogue[name].get("price"))
            else {"id": name}
            for name in pitched
        ]
    if promised:
        metadata["promises"] = promised
    return Said({} if currency is None else {"currency": currency}, metadata)


def _entries(found: object) -> Iterator[Mapping[str, Any]]:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and is_offer_id(one.get("id")):
            yield one


def _cited(body: Body, kinds: Iterable[str]) -> list[str]:
    claims = body.result.get("claims") or ()
    return list(
        dict.fromkeys(
            name for claim in claims if claim["kind"] in kinds for name in claim["evidence"]
        )
    )


def _still_said(body: Body, entry: Mapping[str, Any]) -> bool:
    title = entry.get("title")
    if body.provider != "person":
        return True
    return isinstance(title, str) and title.casefold() in "\n".join(body.messages).casefold()


def _currency(entry: Mapping[str, Any]) -> str | None:
    found = entry.get("currency")
    return found.upper() if isinstance(found, str) else None


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value > 0
