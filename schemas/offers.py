"""What `metadata` says of the creator's offers. Whatever else stands under these names is not ours
to judge: it says nothing, and is kept as it came.

| Name | In | Says |
|---|---|---|
| `offers` | a creator's message, a purchase | offers that it pitches; that were bought |
| `promises`, `delivers` | a creator's message | offers that it promises; that it delivers |
| `declines` | a fan's message | offers that the fan does not want |

Each is a list of names of the creator's catalogue, as text or as `{id, price?}`; the price is in
the event's currency, and means something in `offers` of a message.
"""

from typing import Any, Final, TypeGuard

import msgspec

from schemas.characters import has_control
from schemas.details import Kind, Mention, OfferAct
from schemas.errors import InvalidInput
from schemas.money import minor_units

NAMES: Final[dict[tuple[str, str], tuple[tuple[str, OfferAct], ...]]] = {
    ("message", "creator"): (
        ("offers", "pitched"),
        ("promises", "promised"),
        ("delivers", "delivered"),
    ),
    ("message", "fan"): (("declines", "declined"),),
    ("purchase", "fan"): (("offers", "bought"),),
    ("purchase", "creator"): (("offers", "bought"),),
}
"""(type, sender) -> name in `metadata`, and what it says."""
MENTIONS_MAX: Final = 8
"""Of one kind in one event; the first."""
ID_LENGTH_MAX: Final = 64

_WORDS: Final = frozenset(word for words in NAMES.values() for word, _ in words)
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def mentions_offers(metadata: dict[str, Any]) -> bool:
    """Whether there may be something of it."""
    return not _WORDS.isdisjoint(metadata)


def mentions_in(
    metadata: dict[str, Any] | None, kind: Kind, sender: str, currency: str
) -> tuple[Mention, ...]:
    """What an event of this type says of offers, each once."""
    if not metadata:
        return ()
    found: dict[tuple[OfferAct, str], Mention] = {}
    for word, act in NAMES.get((kind, sender), ()):
        listed = metadata.get(word)
        for one in listed[:MENTIONS_MAX] if isinstance(listed, list) else ():
            id = one.get("id") if isinstance(one, dict) else one
            if not is_offer_id(id):
                continue
            price = one.get("price") if isinstance(one, dict) and act == "pitched" else None
            found.setdefault((act, id), Mention(act, id, _price(price, currency)))
    return tuple(found.values())


def is_offer_id(id: Any) -> TypeGuard[str]:
    """Whether an offer can be known by this name."""
    return (
        isinstance(id, str)
        and 0 < len(id) <= ID_LENGTH_MAX
        and not id.isspace()
        and not has_control(id)
    )


def _price(value: Any, currency: str) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return minor_units("price", _encode(value), currency) or None
    except InvalidInput:
        return None
