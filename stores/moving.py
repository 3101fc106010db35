"""A fan's history under a new subject, without some of its events. Pure.

The key of the old subject opens every body that was ever sealed for it, in the journal too, which
can't be rewritten. So what is to be forgotten is left behind with that key, and the rest is sealed
again. In the place of each forgotten event stands one that moves no view (`schemas.journal`): who
sends the event once more, repeats what is known.
"""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from privacy.seal import moved_key, nonces, open_if_intact, seal_entry
from privacy.subjects import Subject
from schemas.control import Forget
from schemas.details import NO_DETAILS
from schemas.events import EDITABLE
from schemas.journal import (
    FORMAT,
    JournalEntry,
    JournalRecord,
    encode_record,
    forgotten,
    is_forgotten,
)
from schemas.positions import Position, source_name
from schemas.topics import INTERACTIONS
from stores.history import Row
from stores.record import OpenedRecord

Boundaries = Mapping[int, Sequence[int]]
"""Partition of `interactions` -> where each later log of that name begins."""


class Moved(NamedTuple):
    """What a fan's history comes to."""

    forgotten: list[bytes]
    """Keys, under the old subject, of the events that are left behind."""
    places: list[tuple[int, int]]
    """Where those stood in `interactions`."""
    opened: list[OpenedRecord]
    """What stands under the new one, in log order; where in the journal is not known yet."""
    records: list[tuple[bytes, bytes]]
    """The same as records of the journal."""

    def placed(self, offsets: Sequence[int]) -> list[OpenedRecord]:
        """The opened records, each where the journal has it."""
        pairs = zip(self.opened, offsets, strict=True)
        return [one._replace(offset=offset) for one, offset in pairs]


def chosen(entries: Sequence[JournalEntry], order: Forget) -> set[int]:
    """Places of what an order is about: messages and notes, with what they were edited to, and all
    that is older than a time."""
    wanted = set(order.event_ids)
    texts = [(n, entry) for n, entry in enumerate(entries) if entry.kind in EDITABLE]
    places = set(order.places)
    wanted |= {entry.event_id for _, entry in texts if place_of(entry) in places}
    size = -1
    while size != len(wanted):  # an edit may be one of an edit
        size = len(wanted)
        for _, entry in texts:
            if (entry.details or NO_DETAILS).replaces in wanted:
                wanted.add(entry.event_id)
    found = {n for n, entry in texts if entry.event_id in wanted}
    if order.before is not None:
        # What stands for a forgotten event has no time, and keeps that from coming back.
        before = order.before
        found |= {n for n, one in enumerate(entries) if one.time < before and not is_forgotten(one)}
    return found


def place_of(entry: JournalEntry) -> tuple[int, int]:
    """Where an event stood in `interactions`, the first time that it was sent."""
    return entry.source_partition, entry.source_offset


def move(
    rows: Sequence[Row], partition: int, old: Subject, new: Subject, order: Forget, logs: Boundaries
) -> Moved:
    """`rows` are the whole history. What was altered does not open, and stays behind."""
    read = [
        (row, entry)
        for row in rows
        if (entry := open_if_intact(old.cipher, old.id, row.event_key, row.body)) is not None
    ]
    entries = [entry for _, entry in read]
    gone = chosen(entries, order)
    left = sorted(gone)
    moved = Moved(
        [read[n][0].event_key for n in left], [place_of(entries[n]) for n in left], [], []
    )
    kept = _kept(entries, gone, order)
    for (row, _), (n, entry), nonce in zip(
        (read[n] for n, _ in kept), kept, nonces(len(kept)), strict=True
    ):
        key = moved_key(old.key, new.key, row.event_key, entry, _names(entry, logs))
        body = seal_entry(new.cipher, new.id, key, entry, nonce)
        source = max(0, entry.source_partition), max(0, entry.source_offset)
        moved.records.append((new.id, encode_record(JournalRecord(FORMAT, *source, key, body))))
        moved.opened.append(OpenedRecord(partition, n, new.id, key, body, entry))
    return moved


def _kept(
    entries: Sequence[JournalEntry], gone: Container[int], order: Forget
) -> list[tuple[int, JournalEntry]]:
    """(place, entry) of what stands under the new subject."""
    kept = []
    for n, entry in enumerate(entries):
        if n in gone:
            # What is older than a time is recognised by its time, if it is sent once more.
            if order.before is None or entry.time >= order.before:
                kept.append((n, forgotten(entry)))
        elif entry.event_id or not is_forgotten(entry):
            kept.append((n, entry))
    return kept


def _names(entry: JournalEntry, logs: Boundaries) -> list[str]:
    """By which an event without an id of its own may be known: its place, in each log."""
    position = Position(INTERACTIONS.name, entry.source_partition, entry.source_offset)
    known = logs.get(entry.source_partition, ())
    return [source_name(position, known[:count]) for count in range(len(known) + 1)]
