"""What makes an event of a known identity another one."""

import json
from typing import Any

import pytest

from schemas.events import parse_interaction
from schemas.journal import JournalEntry
from stores.conflicts import differs
from tests.entries import entry_of

NOW = 1_795_000_000_000
EVENT = {
    "eventId": "e1",
    "fanId": "fan",
    "creatorId": "creator",
    "type": "tip",
    "amount": 5,
    "timestamp": "2026-10-01T10:00:00Z",
    "metadata": {"contentType": "ppv", "media": [1, 2]},
}


def entry(**changes: Any) -> JournalEntry:
    event = {name: value for name, value in (EVENT | changes).items() if value is not None}
    found = parse_interaction(json.dumps(event).encode(), NOW)
    return entry_of(found, source_offset=hash(str(changes)) % 100)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amount": 5.00},
        {"currency": "USD"},
        {"metadata": {"media": [1, 2], "contentType": "ppv"}},
        {"origin": "direct"},
        {"sender": "fan"},
        {"timestamp": "2026-10-02T10:00:00Z"},
        {"schemaVersion": 2, "unknown": True},
    ],
)
def test_the_same_event_in_other_words_is_a_duplicate(changes: dict[str, Any]) -> None:
    assert not differs(entry(), entry(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 5.01},
        {"currency": "EUR"},
        {"metadata": {"contentType": "ppv", "media": [1]}},
        {"metadata": None},
        {"sender": "creator"},
        {"author": "chatter"},
        {"content": "for you"},
        {"refersTo": {"eventId": "m1"}},
        {"timestamp": "2026-10-02T10:00:01Z"},
    ],
)
def test_what_says_something_else_is_a_conflict(changes: dict[str, Any]) -> None:
    assert differs(entry(), entry(**changes))
    assert differs(entry(**changes), entry())
