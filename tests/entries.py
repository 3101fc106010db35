"""Journal entries of events, as ingest makes them."""

from typing import Any

import msgspec

from schemas.events import Interaction
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures


def entry_of(event: Interaction, text: TextFeatures | None = None, **more: Any) -> JournalEntry:
    """`more` are fields of the entry alone, and the id of an event that has none."""
    fields = msgspec.structs.asdict(event) | more
    del fields["creator_id"], fields["fan_id"]
    assert fields["event_id"] is not None
    return JournalEntry(**fields, text=text)
