"""Conflicts: events of a known identity whose content is another. Pure.

The first of an identity counts. What comes later under the same type and id is the same event once
more, a duplicate, or it is another event whose producer gave an id twice: then something was said
or paid that no view shows. So the contents are compared, and what differs is counted apart and kept
as a dead letter. Which is the first is what the journal's order says, live as in a rebuild.

A producer that sends an event again may stamp it with the time of sending: a time that differs by
no more than a day, and nothing else, makes no other event.
"""

from typing import Final

import msgspec

from schemas.details import NO_DETAILS, Details
from schemas.events import Interaction
from schemas.journal import JournalEntry, is_forgotten
from schemas.money import DEFAULT_CURRENCY
from schemas.times import DAY_MS

STAMPED_MS_MAX: Final = DAY_MS
"""Between the times of one event that was stamped twice."""


def differs(first: JournalEntry | Interaction, later: JournalEntry | Interaction) -> bool:
    """Whether `later`, of the same identity, is another event. Of a forgotten one nobody can tell,
    and no copy is to be made of what comes after it."""
    if isinstance(first, JournalEntry) and is_forgotten(first):
        return False
    return (
        first.kind != later.kind
        or abs(first.time - later.time) > STAMPED_MS_MAX
        or first.content != later.content
        or first.amount != later.amount
        or first.sender != later.sender
        or first.author != later.author
        or _details(first.details) != _details(later.details)
        or _metadata(first.metadata) != _metadata(later.metadata)
    )


def _details(details: Details | None) -> Details:
    """With its currency named: whoever names the default one says nothing else. What is known of
    offers stands in the metadata, which earlier releases did not read."""
    known = details or NO_DETAILS
    currency = known.currency or DEFAULT_CURRENCY
    return msgspec.structs.replace(known, currency=currency, offers=())


def _metadata(encoded: bytes | None) -> object:
    return None if encoded is None else msgspec.json.decode(encoded)
