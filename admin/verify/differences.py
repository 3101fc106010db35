"""What can differ, and where inside a document. Pure; names places and numbers, never content."""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from privacy.subjects import Subject
from schemas.errors import Misconfigured
from schemas.journal import JournalEntry
from schemas.random_ids import id_text
from stores.recent import Recent, show, show_facts, show_notes
from stores.record import Columns, OpenedRecord, columns_of
from stores.tally import COUNTERS, Tally
from views import facts, messages, notes
from views.state import decode

Where = Literal[
    "state",
    "history",
    "cache",
    "position",
    "accounting",
    "intake",
    "subject",
    "generation",
    "reference",
    "outbox",
]

_ROW: Final = struct.Struct(">iqq????")
_NONE_DECIDED: Final[Mapping[bytes, Columns]] = {}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the journal says."""

    where: Where
    partition: int
    subject: str
    """The subject's id, or empty for a whole partition."""
    field: str
    """Path within the document, or the name of a counter; never a key that came from an event."""
    expected: int | None = None
    """Of counts and versions only, as refolded from the journal."""
    actual: int | None = None
    position: str = ""
    """The record in question, when it is one."""


def subject_text(subject: bytes) -> str:
    return id_text(subject)


def history_digest(
    rows: Iterable[OpenedRecord], decided: Mapping[bytes, Columns] = _NONE_DECIDED
) -> bytes:
    """As `history_of` in `verify.sql` reckons it; `decided` by corrections, by event key."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda one: one.event_key):
        columns = decided.get(row.event_key) or columns_of(row.entry)
        digest.update(row.event_key)
        digest.update(
            _ROW.pack(
                row.partition,
                row.offset,
                row.entry.time,
                columns.message,
                columns.indirect,
                columns.note,
                columns.told,
            )
        )
        digest.update(columns.edited_by or b"")
        digest.update(row.body)
    return digest.digest()


def newest_shown(subject: Subject, entries: Iterable[tuple[int, JournalEntry]]) -> Recent:
    """What a reader gets of these (offset, entry), rendered."""
    who = subject.creator_id, subject.fan_id
    known = list(entries)
    newest = [show(who, one.time, one.offset, one.entry) for one in messages.newest(known)]
    return Recent.of(newest, show_notes(notes.newest(known)), show_facts(facts.telling(known)))


def differing_fields(expected: bytes, actual: bytes) -> list[str]:
    """Paths of the fields in which two state documents differ."""
    if expected == actual:
        return []
    try:
        found = list(_walk(decode(expected), decode(actual), ""))
    except Misconfigured:
        return ["(not a state of this view version)"]
    return found or ["(the same values in other bytes)"]


def _walk(expected: Any, actual: Any, path: str) -> Iterable[str]:
    for field in msgspec.structs.fields(type(expected)):
        one, other = getattr(expected, field.name), getattr(actual, field.name)
        below = f"{path}.{field.name}" if path else field.name
        if isinstance(one, msgspec.Struct) and type(one) is type(other):
            yield from _walk(one, other, below)
        elif one != other:
            yield below


def counter_differences(
    partition: int,
    row: Mapping[str, Any],
    tally: Tally,
    sources: Sequence[int],
    *,
    sampled: bool,
    unjudged: int = 0,
) -> list[Difference]:
    """The position row's counters against the refold's.

    An erasure turns what was applied into what is forgotten or, if ingest may have written it
    twice, into a repeat: with erasures only the sum holds. So it is once the log was `broken`: what
    became of the records that it lost was taken back by a guess (`stores.rollback`). A sample opens
    only some records: it knows the sources. `unjudged` records could not be opened, so nobody knows
    what they were counted as. Former releases, whose workers may still run, counted conflicts among
    the duplicates.
    """
    found = []
    expected: dict[str, int]
    if sampled:
        expected = {}
    elif row["erasures"] or row["broken"] or unjudged:
        expected = {}
        once = sum(getattr(tally, name) for name in COUNTERS) + unjudged
        actual = sum(row[name] for name in COUNTERS)
        if once != actual:
            field = "+".join(COUNTERS)
            found.append(Difference("position", partition, "", field, once, actual))
    else:
        expected = {name: getattr(tally, name) for name in COUNTERS}
        if row["conflicts"] < tally.conflicts:
            # Former releases counted conflicts as duplicates.
            expected["duplicates"] += tally.conflicts - row["conflicts"]
            expected["conflicts"] = row["conflicts"]
    found += [
        Difference("position", partition, "", name, count, row[name])
        for name, count in expected.items()
        if row[name] != count
    ]
    if list(row["sources"]) != list(sources):
        found.append(Difference("position", partition, "", "sources"))
    return found
