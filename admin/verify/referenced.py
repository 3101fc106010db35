"""Some fans once more, by plain sums that share no code with the folds.

A mistake in a fold, or in the rules of what counts once, is the same on both sides of a refold.
Here the fan's records are taken as they stand in the journal, each event once, whatever is said of
repeats, and every document that a reader gets of the stored state is held against the definitions
(`admin.verify.reference`).
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from admin.refold import Held
from admin.verify.reference import corrected, document_differences
from privacy.seal import open_entry
from privacy.subjects import Subject
from schemas.errors import Misconfigured, SealBroken
from schemas.journal import JournalEntry
from schemas.topics import INTERACTIONS
from views import facts, messages, notes
from views.context import render_context
from views.state import decode, is_nobody

FANS: Final = 8
"""Size of the sample when none is asked for; each fan takes milliseconds."""
REMEMBERED: Final = "(remembered, though nothing of it stands)"
EVENTS_MAX: Final = 5_000
"""Fans with more are left out: plain sums over all events take their time."""


def entries_of(held: Iterable[Held], subject: Subject) -> list[tuple[int, JournalEntry]] | None:
    """(offset, entry) of each event once, in log order; None when one of them can't be opened."""
    seen: set[bytes] = set()
    named: set[tuple[str, str]] = set()
    found = []
    for raw, record, _ in held:
        if raw.key != subject.id or record.event_key in seen:
            continue
        try:
            entry = open_entry(subject.cipher, subject.id, record.event_key, record.sealed)
        except SealBroken:
            return None
        # Former releases had another key for the same event; what has no id has its place for one.
        place = f"{INTERACTIONS.name}-{record.source_partition}:{record.source_offset}"
        if entry.event_id != place and (entry.kind, entry.event_id) in named:
            continue
        seen.add(record.event_key)
        named.add((entry.kind, entry.event_id))
        found.append((raw.offset, entry))
    return found


def reference_differences(
    subject: Subject, state: bytes, entries: list[tuple[int, JournalEntry]], currency: str
) -> list[str]:
    """The fields of this fan's documents that the definitions give otherwise."""
    events = [entry for _, entry in entries]
    standing = corrected(events)
    if not standing:
        return [] if is_nobody(state) else [REMEMBERED]
    now = max(entry.time for _, entry in standing)
    try:
        fan = decode(state)
    except Misconfigured:
        return []  # said by the comparison with the fold
    placed = [(entries[place][0], entry) for place, entry in standing]
    shown, written = messages.newest_entries(placed), notes.newest(placed)
    told = facts.telling(placed)
    who = subject.creator_id, subject.fan_id
    context = render_context(*who, fan, shown, now, currency, written, told)
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(context))
    return document_differences(document, subject.creator_id, subject.fan_id, events, now, currency)
