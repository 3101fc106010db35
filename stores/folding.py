"""Folding a batch: from journal records to the new states of the fans they concern. No I/O.

A record at or below the highest source offset seen here is *doubted*: most likely ingest wrote it
twice. It is dropped, and counted as a repeat, only if its event is known too (or its subject is
gone). The offset alone proves nothing: after a restore of the database ingest writes again, under
new subjects, what the lost subjects had already brought to this partition.

A record that a fold can't take must not stop the others: it is quarantined with its reason, and the
fan's state is folded again from where it stood, without it. `fanmemory verify` and
`fanmemory rebuild` use this module too, so they quarantine the same records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from privacy.seal import open_entry, other_key
from privacy.subjects import Subject
from schemas.errors import Misconfigured, SealBroken
from schemas.journal import JournalEntry, JournalRecord, check_source, decode_record
from schemas.text_features import SignalKind
from stores.conflicts import differs
from stores.record import HIDDEN, Columns, columns_of
from stores.record import OpenedRecord as OpenedRecord
from stores.refolding import Limits, name_of, refold
from stores.tally import Tally
from views.corrections import TOO_LONG, is_correction, token
from views.emotional_state import Signal, raised
from views.state import FanState, decode, encode, fold

_NONE_ASIDE: Final[Mapping[tuple[int, int], str]] = {}
_NONE_LOCKED: Final[Mapping[bytes, SealBroken]] = {}
_NO_SIGNALS: Final[Mapping[SignalKind, Signal]] = {}


class Quarantined(NamedTuple):
    """One record that could not be opened or folded, for the quarantine."""

    partition: int
    offset: int
    subject: bytes | None
    reason: str
    value: bytes


class Folded(NamedTuple):
    """One fan's move from `base` to `version`, with the entries that made it."""

    subject: bytes
    base: int
    version: int
    state: FanState
    document: bytes
    opened: list[OpenedRecord]
    shown: list[tuple[int, JournalEntry]] | None = None
    """When the whole history was folded again: (offset, entry) of all that stands in it."""
    signals: Mapping[SignalKind, Signal] = _NO_SIGNALS
    """Those of the state that it did not have at `base`."""


class Waiting(NamedTuple):
    """One fan who has to be folded again from the history: something corrects something."""

    subject: bytes
    base: int
    document: bytes
    opened: list[OpenedRecord]


@dataclass(slots=True)
class FramedBatch:
    """The records of a batch whose frames were read: what may still be sealed."""

    records: list[tuple[Any, JournalRecord]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    tallies: dict[int, Tally] = field(default_factory=dict)
    sources: dict[int, dict[int, int]] = field(default_factory=dict)
    """Per journal partition: highest source offset per interactions partition, after the batch."""
    doubted: set[tuple[int, int]] = field(default_factory=set)
    """(partition, offset) of the records that ingest may have written before."""
    columns: dict[bytes, dict[bytes, Columns]] = field(default_factory=dict)
    """Subject -> event key -> what its row of the history must say, of fans with corrections."""

    conflicts: list[OpenedRecord] = field(default_factory=list)
    """Of a known identity, but another event. Also of `doubted` ones, which are no more than
    repeats to the counters: most likely they were kept before, but that is not certain."""

    def quarantine(self, one: OpenedRecord, reason: str) -> None:
        """Set aside a record that was opened and can't be folded."""
        self.tallies[one.partition].quarantined += 1
        self.quarantined.append(
            Quarantined(one.partition, one.offset, one.subject, reason, one.body)
        )

    def known(self, one: OpenedRecord, first: JournalEntry | None) -> None:
        """Count a record whose identity was there already; `first` is what it stands for there, if
        that can be read."""
        tally = self.tallies[one.partition]
        conflict = first is not None and differs(first, one.entry)
        if conflict:
            self.conflicts.append(one)
        if (one.partition, one.offset) in self.doubted:
            tally.repeats += 1
        elif conflict:
            tally.conflicts += 1
        else:
            tally.duplicates += 1


def read_frames(
    records: Iterable[Any],
    sources: Mapping[int, Mapping[int, int]],
    aside: Mapping[tuple[int, int], str] = _NONE_ASIDE,
) -> FramedBatch:
    """Read the clear frames and mark what ingest may have written before.

    `sources` is what was known before, per journal partition; it is not changed. Records that are
    to be set `aside`, for the reasons given, are not looked at.
    """
    framed = FramedBatch()
    for raw in records:
        partition = raw.partition
        tally = framed.tallies.get(partition)
        if tally is None:
            tally = framed.tallies[partition] = Tally()
            framed.sources[partition] = dict(sources.get(partition, ()))
        if (partition, raw.offset) in aside:
            reason = aside[partition, raw.offset]
            value = raw.value or b""
            framed.quarantined.append(Quarantined(partition, raw.offset, None, reason, value))
            tally.quarantined += 1
            continue
        try:
            record = decode_record(raw.value or b"")
            if len(raw.key or b"") != 16:
                raise SealBroken("A journal record's key is not a subject.")
        except SealBroken as broken:
            framed.quarantined.append(_unreadable(raw, None, broken))
            tally.quarantined += 1
            continue
        seen = framed.sources[partition]
        if record.source_offset <= seen.get(record.source_partition, -1):
            framed.doubted.add((partition, raw.offset))
        else:
            seen[record.source_partition] = record.source_offset
        framed.records.append((raw, record))
    return framed


def open_records(
    framed: FramedBatch,
    subjects: Mapping[bytes, Subject],
    locked: Mapping[bytes, SealBroken] = _NONE_LOCKED,
) -> list[OpenedRecord]:
    """Open what its subject's key still opens; what has no key left is forgotten, not an error.

    The subjects that are `locked` exist, but the keyring lacks the key of theirs: what they sealed
    is quarantined until a rebuild with the key.
    """
    opened = []
    for raw, record in framed.records:
        subject = subjects.get(raw.key)
        if subject is None and raw.key not in locked:
            tally = framed.tallies[raw.partition]
            if (raw.partition, raw.offset) in framed.doubted:
                tally.repeats += 1
            else:
                tally.forgotten += 1
            continue
        try:
            if subject is None:
                raise locked[raw.key]
            entry = open_entry(subject.cipher, subject.id, record.event_key, record.sealed)
            check_source(record, entry)
        except SealBroken as broken:
            framed.quarantined.append(_unreadable(raw, raw.key, broken))
            tally = framed.tallies[raw.partition]
            if (raw.partition, raw.offset) in framed.doubted:
                tally.repeats += 1  # kept like the first copy, which was counted
            else:
                tally.quarantined += 1
            continue
        opened.append(
            OpenedRecord(
                raw.partition,
                raw.offset,
                subject.id,
                record.event_key,
                record.sealed,
                entry,
                other_key(subject.key, entry.event_id, entry.kind, record.event_key),
            )
        )
    return opened


def distinct(
    opened: Iterable[OpenedRecord],
) -> tuple[list[OpenedRecord], list[tuple[OpenedRecord, OpenedRecord]]]:
    """Of the same identity twice in one batch the first counts, whichever release named it.

    Returns those, and (later, first) of the others. They are not counted yet: something earlier may
    be known than the first of this batch, and that is what they have to equal.
    """
    first: dict[tuple[bytes, bytes], OpenedRecord] = {}
    kept, later = [], []
    for one in opened:
        other = first.get((one.subject, one.other_key)) if one.other_key is not None else None
        if other is None or other.entry.kind != one.entry.kind:
            other = first.setdefault((one.subject, one.event_key), one)
        if other is one:
            kept.append(one)
        else:
            later.append((one, other))
    return kept, later


def fold_new(
    opened: Iterable[OpenedRecord], states: Mapping[bytes, tuple[int, bytes]], framed: FramedBatch
) -> tuple[list[Folded], list[Waiting]]:
    """Fold each fan's entries onto its stored (version, document); both sorted by subject.

    Sorted, so that every transaction locks rows in the same order. Who is `Waiting` is folded by
    `fold_corrected`, or by `fold_uncorrected`.
    """
    folded, waiting = [], []
    for subject, entries in _by_fan(opened):
        stored = states.get(subject)
        base, document = stored if stored is not None else (0, b"")
        fan = _fold_fan(Waiting(subject, base, document, entries), framed)
        if isinstance(fan, Waiting):
            waiting.append(fan)
        elif fan is not None:
            folded.append(fan)
    return folded, waiting


def fold_whole(opened: Iterable[OpenedRecord], limits: Limits, framed: FramedBatch) -> list[Folded]:
    """Fold fans from nothing, all of whose history this is; sorted by subject."""
    folded = []
    for subject, entries in _by_fan(opened):
        fan = _fold_fan(Waiting(subject, 0, b"", entries), framed)
        if isinstance(fan, Waiting):
            fan = fold_corrected(fan, entries, limits, framed)
        if fan is not None:
            folded.append(fan)
    return folded


def _by_fan(opened: Iterable[OpenedRecord]) -> list[tuple[bytes, list[OpenedRecord]]]:
    per_fan: dict[bytes, list[OpenedRecord]] = {}
    for one in opened:
        per_fan.setdefault(one.subject, []).append(one)
    return sorted(per_fan.items())


def fold_corrected(
    fan: Waiting, history: Sequence[OpenedRecord], limits: Limits, framed: FramedBatch
) -> Folded | None:
    """Fold a fan again; `history` is all there is, the new entries included, in log order."""
    found = refold(history, limits)
    framed.columns[fan.subject] = found.columns
    taken = []
    for one in fan.opened:
        reason = found.refused.get(one.event_key)
        if reason is None:
            framed.tallies[one.partition].applied += 1
            taken.append(one)
        else:
            framed.quarantine(one, reason)
    if not taken:
        return None
    version = taken[-1].offset + 1
    signals = raised(_signals(fan.document), found.state.emotional_state.signals)
    return Folded(
        fan.subject, fan.base, version, found.state, found.document, taken, found.shown, signals
    )


def fold_uncorrected(fan: Waiting, framed: FramedBatch) -> Folded | None:
    """Fold a fan whose history is too long to be corrected: what would have to be is left out."""
    stored = _stored(fan.document)
    awaited = frozenset(() if stored is None else stored.awaited)
    taken, hidden = [], {}
    for one in fan.opened:
        if is_correction(one.entry) or token(one.entry.event_id) in awaited:
            framed.quarantine(one, TOO_LONG)
            if columns_of(one.entry) != HIDDEN:
                hidden[one.event_key] = HIDDEN
        else:
            taken.append(one)
    framed.columns[fan.subject] = hidden
    if not taken:
        return None
    folded = _fold_fan(fan._replace(opened=taken), framed)
    return None if isinstance(folded, Waiting) else folded


def _fold_fan(fan: Waiting, framed: FramedBatch) -> Folded | Waiting | None:
    state: FanState | None
    entries = fan.opened
    for one in entries:
        # Said in two steps, because a call costs more than the look that most events end with.
        entry = one.entry
        if (entry.details is not None or entry.kind == "delete") and is_correction(entry):
            return fan
    try:
        state = decode(fan.document) if fan.document else None
        if state is not None and state.awaited:
            awaited = frozenset(state.awaited)
            if any(token(one.entry.event_id) in awaited for one in entries):
                return fan
        for one in entries:
            state = fold(state, one.entry, one.offset)
        folded = encode(state)
    except Exception:  # noqa: BLE001 # whatever it is, only its record may be left out
        entries, state = _fold_singly(fan, framed)
        folded = encode(state)
    if state is None:
        return None
    for one in entries:
        framed.tallies[one.partition].applied += 1
    signals = state.emotional_state.signals
    if signals:
        signals = raised(_signals(fan.document), signals)
    version = entries[-1].offset + 1
    return Folded(fan.subject, fan.base, version, state, folded, entries, None, signals)


def _signals(document: bytes) -> Mapping[SignalKind, Signal]:
    """Of a stored state. It is decoded once more only of a fan who has signals."""
    stored = _stored(document)
    return stored.emotional_state.signals if stored is not None else _NO_SIGNALS


def _stored(document: bytes) -> FanState | None:
    """None where there is none, or none that can be read: its fan is folded from the history, or
    what comes of them is quarantined, and neither may stop the others."""
    try:
        return decode(document) if document else None
    except Misconfigured:
        return None


def _fold_singly(fan: Waiting, framed: FramedBatch) -> tuple[list[OpenedRecord], FanState | None]:
    document = fan.document
    taken: list[OpenedRecord] = []
    for one in fan.opened:
        try:
            state = decode(document) if document else None
            document = encode(fold(state, one.entry, one.offset))
            taken.append(one)
        except Exception as error:  # noqa: BLE001 # see above
            framed.quarantine(one, name_of(error))
    return taken, decode(document) if taken else None


def _unreadable(raw: Any, subject: bytes | None, broken: SealBroken) -> Quarantined:
    return Quarantined(raw.partition, raw.offset, subject, str(broken), raw.value or b"")
