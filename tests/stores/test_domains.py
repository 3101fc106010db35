"""What is sealed for one purpose is bound to that purpose: under no key does it open as another's.

A key's purposes are told apart by how what is authenticated begins. So no beginning may be that of
another one, and none may begin with what a stranger chooses, like an id.
"""

from datetime import UTC, datetime
from itertools import permutations

import pytest

from privacy import creators, keys, seal, sealed_files, suppression
from stores import cached, connections, day_keys, erasure, letters, recent, sealing
from stores.workflows import answers, sealed

SUBJECT = b"\xff" * 16
UNDER_THE_RING = {
    "a fan's key": keys._identity(SUBJECT, ("creator", "fan")),
    "a creator's key": creators.creator_context("creator"),
    "a day's key": day_keys._context(datetime.now(UTC).date()),
    "a backup's key": sealed_files._context("backup"),
    "the key of suppression": suppression._CONTEXT + b"\0",
    "who is to be erased": erasure._CONTEXT,
    "secrets of a connection": connections._context("id", "stripe", "creator"),
}
UNDER_A_FAN = {
    "an event": seal._JOURNAL_NAME,
    "a state in Postgres": sealing._STATE,
    "a state in Redis": cached._STATE,
    "messages in Redis": recent._TOPIC,
    "a dead letter": letters._TOPIC + letters.OF_SUBJECT.encode(),
    "what a dead letter is about": letters._ABOUT + letters.OF_SUBJECT.encode(),
    "an intent": sealed._INTENT + b"\0",
    "a draft": sealed._DRAFT + b"\0",
    "a decision": sealed._DECISION + b"\0",
    "an answer": answers._KIND + b"\0",
}


@pytest.mark.parametrize("contexts", [UNDER_THE_RING, UNDER_A_FAN], ids=["ring", "fan"])
def test_no_purpose_of_a_key_is_mistaken_for_another(contexts: dict[str, bytes]) -> None:
    beginnings = [context.partition(b"\0")[0] for context in contexts.values()]
    assert all(len(one) > 4 and one.isascii() for one in beginnings)
    for one, other in permutations(beginnings, 2):
        assert not other.startswith(one), (one, other)
