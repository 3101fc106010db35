"""The JSON of an event, and whether the contract takes it.

A refund names the payment that it takes back. Where the contract does not take that yet, the refund
is given without it: revenue is lowered by the same amount, and only what else the payment moved
stays. The other way round nobody would know of the refund until the next release.
"""

from integrations.converted import Event, encode
from schemas.errors import InvalidInput
from schemas.events import parse_interaction
from schemas.money import DEFAULT_CURRENCY


def accepted(
    creator_id: str, event: Event, now: int, currency: str = DEFAULT_CURRENCY
) -> tuple[bytes, InvalidInput | None]:
    """The event's JSON, and why it will be refused, if it will. `now` in ms; `currency` is
    that of amounts that name none."""
    value = encode(creator_id, event)
    refusal = _refusal(value, now, currency)
    if refusal is not None and event["type"] == "refund" and refusal.field == "refersTo":
        value = encode(creator_id, {n: v for n, v in event.items() if n != "refersTo"})
        refusal = _refusal(value, now, currency)
    return value, refusal


def _refusal(value: bytes, now: int, currency: str) -> InvalidInput | None:
    try:
        parse_interaction(value, now, currency)
    except InvalidInput as error:
        return error
    return None
