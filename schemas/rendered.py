"""An InteractionEvent again, out of what the journal has of it: `parse_interaction` reversed.

The same event, not the same bytes: text that came as HTML is text, and an amount names its
currency, so that it is read right whatever the system's default is by then.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from schemas.details import NO_DETAILS, Details
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY, DIGITS
from schemas.relationship import Relationship
from schemas.times import render_time

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def render_interaction(who: Relationship, entry: JournalEntry) -> bytes:
    """The event's JSON; `who` is (creator, fan)."""
    creator_id, fan_id = who
    details = entry.details or NO_DETAILS
    currency = details.currency or DEFAULT_CURRENCY
    event: dict[str, Any] = {
        "eventId": entry.event_id,
        "fanId": fan_id,
        "creatorId": creator_id,
        "type": entry.kind,
        "timestamp": render_time(entry.time),
        "sender": entry.sender if entry.sender != "fan" else None,
        "author": entry.author,
        "content": entry.content,
        "amount": _decimal(entry.amount, currency),
        "metadata": None if entry.metadata is None else msgspec.Raw(entry.metadata),
        **_details(details, currency),
    }
    if entry.amount is not None or entry.details is not None:
        event["currency"] = currency
    if entry.kind == "refund":
        event["reason"] = details.reason
    return _encode({name: value for name, value in event.items() if value is not None})


def _details(details: Details, currency: str) -> dict[str, Any]:
    attachments = [
        {"type": one.type, "id": one.id, "price": _decimal(one.price, currency)}
        for one in details.attachments
    ]
    meant = details.refers_to
    return {
        "origin": details.origin if details.origin != "direct" else None,
        "attachments": [_without_none(one) for one in attachments] or None,
        "price": _decimal(details.price, currency),
        "refersTo": None
        if meant is None
        else _without_none({"eventId": meant.event_id, "type": meant.kind}),
        "sequence": details.sequence,
        "replaces": details.replaces,
    }


def _without_none(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _decimal(amount: int | None, currency: str) -> Decimal | None:
    return None if amount is None else Decimal(amount).scaleb(-DIGITS[currency])
