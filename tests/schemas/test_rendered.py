"""An event out of the journal is the event that came in."""

import json
from typing import Any

import msgspec
import pytest

from schemas.details import NO_DETAILS
from schemas.events import Interaction, parse_interaction
from schemas.rendered import render_interaction
from tests.entries import entry_of

NOW = 1_795_000_000_000
BASE = {
    "eventId": 'e"1\\',
    "fanId": "fan é",
    "creatorId": "creator",
    "type": "message",
    "timestamp": "2026-10-01T10:00:00.123Z",
}
EVENTS: dict[str, dict[str, Any]] = {
    "a text": {"content": 'she said "\u2028" 😀\n', "author": "ai", "sender": "creator"},
    "HTML": {"content": "<p>you &amp; me</p>", "format": "html", "origin": "broadcast"},
    "media with prices": {
        "attachments": [{"type": "gif"}, {"type": "video", "id": 2**63, "price": 9.99}],
        "price": 25,
        "currency": "KWD",
        "sequence": -7,
    },
    "a purchase": {
        "type": "purchase",
        "amount": 0.1,
        "refersTo": {"eventId": "m1", "type": "message"},
        "metadata": {"contentType": "ppv", "deep": [{"a": 10**21, "b": 0.1}], "gif": True},
    },
    "much money": {"type": "tip", "amount": 9999999999.99, "content": "for you"},
    "yen": {"type": "tip", "amount": 5000, "currency": "JPY", "refersTo": {"eventId": "m1"}},
    "a chargeback": {"type": "refund", "amount": 3, "reason": "chargeback"},
    "a refund": {"type": "refund", "amount": 3},
    "a subscription": {
        "type": "subscription",
        "amount": 9.99,
        "metadata": {"event": "started", "trial": True, "until": "2026-11-01T00:00:00Z"},
    },
    "a like": {"type": "like", "metadata": {"contentType": "photo"}},
}


@pytest.mark.parametrize("case", EVENTS)
@pytest.mark.parametrize("default", ["USD", "EUR"])
def test_what_is_rendered_is_parsed_to_the_same_event(case: str, default: str) -> None:
    first = parse_interaction(json.dumps(BASE | EVENTS[case]).encode(), NOW, default)
    rendered = render_interaction((first.creator_id, first.fan_id), entry_of(first))
    # Whatever the default is by then.
    again = parse_interaction(rendered, NOW, "GBP")
    assert named(again) == named(first)


def named(event: Interaction) -> Interaction:
    """With the currency named that was none before."""
    details = event.details or NO_DETAILS
    details = msgspec.structs.replace(details, currency=details.currency or "USD")
    return msgspec.structs.replace(event, details=details)
