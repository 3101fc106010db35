"""Refolding one partition of the journal into fresh states, in bounded memory.

1. Every record's frame is read, in order; what ingest may have produced again is marked. All are
   laid into buckets by subject. Beyond a number of bytes all buckets go to files, still sealed.
2. Bucket by bucket: open, keep the first of equal events, fold each fan from nothing.

The rules are those of `stores.folding`, so the same records count, and the same are quarantined, as
when they were folded live. A fan's records are all in one bucket, so one bucket at a time is all
that is ever open, and each state is encoded once.
"""

import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from admin.journal import Journal, Raw
from admin.places import Places
from infra.postgres import Connection
from privacy.subjects import Subject, Subjects
from schemas.errors import SealBroken
from schemas.journal import JournalRecord, decode_record
from stores.folding import (
    Folded,
    FramedBatch,
    Quarantined,
    distinct,
    fold_whole,
    open_records,
    read_frames,
)
from stores.record import Columns
from stores.refolding import Limits
from stores.tally import Tally

BUCKET_RECORDS: Final = 20_000
"""About so many records are opened at once: some 30 MB."""
BUCKETS_MAX: Final = 4096
HELD_BYTES_MAX: Final = 100_000_000
"""Sealed bytes held before all buckets are written to files."""
_RECORD_OVERHEAD: Final = 350
"""Bytes of Python objects around one held record."""
_HEAD: Final = struct.Struct("<16sq?I")

Held = tuple[Raw, JournalRecord, bool]
"""One record, its frame, and whether it is doubted (`stores.folding`)."""


@dataclass(slots=True)
class Bucket:
    """The fans of one bucket, folded."""

    folded: list[Folded]
    subjects: dict[bytes, Subject]
    history: list[Any]
    """Every opened record that is the first of its event, in log order
    (`stores.folding.OpenedRecord`); also those whose fold failed."""
    columns: dict[bytes, dict[bytes, Columns]]
    """Subject -> event key -> what its row must say, of fans with corrections."""
    quarantined: list[Quarantined]
    held: list[Held]
    """Every record whose frame could be read, in log order, whether it could be opened or not."""
    broken: frozenset[bytes] = frozenset()
    """Subjects whose key does not open: their records are in nothing but `held`."""


@dataclass(slots=True)
class Refold:
    """One partition's refold: `read` everything, then go through `buckets`, then see the rest."""

    partition: int
    folder: Path
    """For the files of buckets; must exist, and belongs to the caller."""
    limits: Limits
    """How long a history may be to be corrected."""
    wanted: Callable[[bytes], bool] | None = None
    """Which subjects to fold; None: all."""
    held_bytes_max: int = HELD_BYTES_MAX
    bucket_records: int = BUCKET_RECORDS
    tally: Tally = field(default_factory=Tally)
    sources: dict[int, int] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    """Records whose frame could not be read."""
    tolerant: bool = False
    """Leave out subjects whose key does not open, instead of raising `SealBroken`."""
    places: Places | None = None
    """When given, takes the place in `interactions` of each record whose frame was read."""
    records: int = 0
    spilled: int = 0
    """Records that went through files."""
    _buckets: list[list[Held]] = field(default_factory=list)
    _held_bytes: int = 0

    async def read(
        self, journal: Journal, start: int, until: int, progress: Callable[[int], None]
    ) -> None:
        """Read frames from `start` up to `until`; `progress` is told how many more."""
        count = min(BUCKETS_MAX, 1 + (until - start) // self.bucket_records)
        self._buckets = [[] for _ in range(count)]
        async for raws in journal.read(self.partition, start, until):
            self._take(raws)
            progress(len(raws))

    def _take(self, raws: list[Raw]) -> None:
        framed = read_frames(raws, {self.partition: self.sources})
        self.records += len(raws)
        if raws:
            tally = framed.tallies[self.partition]
            self.tally.quarantined += tally.quarantined
            self.sources = framed.sources[self.partition]
            self.quarantined += framed.quarantined
        if self.places is not None:
            for _, record in framed.records:
                self.places.add(record.source_partition, record.source_offset)
        count, wanted = len(self._buckets), self.wanted
        for raw, record in framed.records:
            if wanted is not None and not wanted(raw.key):
                continue
            doubted = (self.partition, raw.offset) in framed.doubted
            self._buckets[zlib.crc32(raw.key) % count].append((raw, record, doubted))
            self._held_bytes += len(raw.value) + _RECORD_OVERHEAD
        if self._held_bytes > self.held_bytes_max:
            self._spill()

    def _spill(self) -> None:
        for number, held in enumerate(self._buckets):
            if not held:
                continue
            parts = []
            for raw, _, doubted in held:
                parts.append(_HEAD.pack(raw.key, raw.offset, doubted, len(raw.value)))
                parts.append(raw.value)
            with self._file(number).open("ab") as file:
                file.write(b"".join(parts))
            self.spilled += len(held)
            held.clear()
        self._held_bytes = 0

    def _file(self, number: int) -> Path:
        return self.folder / f"{self.partition}-{number}"

    def _unspilled(self, number: int) -> Iterator[Held]:
        path = self._file(number)
        if not path.exists():
            return
        data = memoryview(path.read_bytes())
        path.unlink()
        at = 0
        while at < len(data):
            key, offset, doubted, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            value = bytes(data[at : at + length])
            at += length
            yield Raw(self.partition, offset, key, value), decode_record(value), doubted

    async def buckets(self, subjects: Subjects, connection: Connection) -> AsyncIterator[Bucket]:
        """Fold bucket by bucket; the tally is complete when the last one was taken."""
        for number in range(len(self._buckets)):
            held = [*self._unspilled(number), *self._buckets[number]]
            self._buckets[number] = []
            if not held:
                continue
            ids = {raw.key for raw, _, _ in held}
            locked: dict[bytes, SealBroken] = {}
            known = await subjects.lookup(connection, ids, locked if self.tolerant else None)
            broken = frozenset(locked)
            framed = FramedBatch(
                records=[(raw, record) for raw, record, _ in held if raw.key not in broken],
                tallies={self.partition: self.tally},
                doubted={(self.partition, raw.offset) for raw, _, doubted in held if doubted},
            )
            history, later = distinct(open_records(framed, known))
            for one, first in later:
                framed.known(one, first.entry)
            folded = fold_whole(history, self.limits, framed)
            yield Bucket(folded, known, history, framed.columns, framed.quarantined, held, broken)
            subjects.forget_all()
