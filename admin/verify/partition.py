"""One partition of a verify: refold it, and compare what it gave with Postgres and Redis.

All of Postgres is read in the snapshot of the whole run, so it stands still while the pipeline runs
on. What the cache holds is held against it in `admin.verify.cached`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from admin.journal import Bounds, Journal, open_journal
from admin.parallel import Progress
from admin.places import Places
from admin.refold import HELD_BYTES_MAX, Bucket, Refold
from admin.verify.accounts import SourcePlaces
from admin.verify.cached import UNOPENED, CachedComparison, RefoldedFan
from admin.verify.differences import (
    Difference,
    counter_differences,
    differing_fields,
    history_digest,
    subject_text,
)
from admin.verify.referenced import EVENTS_MAX, entries_of, reference_differences
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.errors import SealBroken
from schemas.journal import decode_record
from stores.folding import Folded, OpenedRecord
from stores.generations import schema_name
from stores.opened import open_stores
from stores.positions import sources_row
from stores.record import Columns
from stores.refolding import Limits
from stores.sealing import open_state
from stores.states import creator_hash
from stores.tally import Tally
from views.segments import filters_of

SQL: Final = Path(__file__).with_name("verify.sql")
CHUNK_FANS: Final = 500
DIFFERENCES_MAX: Final = 200
"""Differences of one partition that are named; all are counted."""
BROKEN_KEY: Final = "(its key does not open for this fan)"


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """What a process needs to know; `row` is the partition's position row in the snapshot."""

    settings: Settings
    snapshot: str
    generation: int
    partition: int
    partitions: int
    row: dict[str, Any]
    bounds: Bounds
    """Of the journal: it begins at 0, unless the loss of its beginning was accepted."""
    folder: Path
    sample: frozenset[bytes] | None
    referenced: frozenset[bytes]
    """Fans that are reckoned by plain sums, too."""
    held_bytes_max: int = HELD_BYTES_MAX


@dataclass(slots=True)
class PartitionResult:
    """What was seen of one partition."""

    partition: int
    records: int = 0
    fans: int = 0
    events: int = 0
    """History rows compared."""
    cached: int = 0
    """Cached fans compared."""
    referenced: int = 0
    """Fans reckoned by plain sums."""
    looked_again: int = 0
    """Of them, how many were at another version than the snapshot's."""
    spilled: int = 0
    tally: Tally = field(default_factory=Tally)
    state_rows: int = 0
    """Rows of `fan_state` that belong to a refolded fan."""
    unindexed: int = 0
    """Of them, how many have filter columns of another version, or none."""
    history_rows: int = 0
    cache_lost: bool = False
    """The cache did not answer: fans from there on were not compared with it."""
    found: int = 0
    """Differences, all of them."""
    differences: list[Difference] = field(default_factory=list)
    fingerprints: list[int] = field(default_factory=list)
    """8 bytes of each refolded subject, to find rows that no subject of the journal explains."""
    places: SourcePlaces = field(default_factory=SourcePlaces)
    gone: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Subjects of the journal who have no row any more: the place of the first record of each."""
    waiting: set[bytes] = field(default_factory=set)
    """Subject and event key of each record beyond the position."""

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.found += 1
            if len(self.differences) < DIFFERENCES_MAX:
                self.differences.append(difference)


class _Stored(NamedTuple):
    """A row of `fan_state`, as `states_of` reads it."""

    subject: bytes
    version: int
    state: bytes
    creator_hash: int | None
    rank: float | None
    revenue: int | None
    last_interaction: int | None
    traits: int | None
    waiting_since: int | None
    indexed: bool | None
    """Whether the columns are of this version."""


def fingerprint(subject: bytes) -> int:
    """8 bytes of a random id: enough to tell subjects apart."""
    return int.from_bytes(subject[8:], "big")


async def verify_partition(task: PartitionTask, progress: Progress) -> PartitionResult:
    """Raises `BrokerUnavailable`, `DatabaseUnavailable`, `CacheUnavailable`, `SealBroken`."""
    settings = task.settings
    async with (
        open_stores(settings, connections_max=1, cache_timeout=10) as stores,
        connecting(settings.postgres_url, command_timeout=600) as connection,
        database_errors(),
        connection.transaction(isolation="repeatable_read"),
    ):
        await connection.execute(f"SET TRANSACTION SNAPSHOT '{task.snapshot}'")
        cached = CachedComparison(
            stores.cache, stores.store, stores.keyring, task.generation, task.partitions, progress
        )
        return await _Comparison(task, connection, cached, stores.keyring, progress).run()


class _Comparison:
    def __init__(
        self,
        task: PartitionTask,
        connection: Connection,
        cached: CachedComparison,
        keyring: Keyring,
        progress: Progress,
    ) -> None:
        self._task = task
        self._connection = connection
        self._cached = cached
        self._keyring = keyring
        self._progress = progress
        self._queries = load_queries(SQL, generation=schema_name(task.generation))
        self._result = PartitionResult(task.partition)
        self._unjudged = 0
        """Records of subjects whose key does not open."""

    async def run(self) -> PartitionResult:
        task, result = self._task, self._result
        sample = task.sample
        wanted = None if sample is None else sample.__contains__
        refold = Refold(
            task.partition,
            task.folder,
            Limits.of(task.settings),
            wanted,
            task.held_bytes_max,
            tolerant=True,
            places=result.places.projected,
        )
        first, end = task.bounds
        async with open_journal(task.settings) as journal:
            await refold.read(journal, first, min(task.row["next"], end), self._progress)
            await self._read_waiting(journal)
        if sample is None:
            result.places.living = Places()
        subjects = Subjects(self._keyring, limit=1 << 30)
        async for bucket in refold.buckets(subjects, self._connection):
            if sample is None:
                self._place(bucket)
            await self._name_broken(bucket)
            await self._compare_bucket(bucket)
            await self._reckon(bucket)
        result.records, result.spilled, result.tally = refold.records, refold.spilled, refold.tally
        result.places.unreadable = len(refold.quarantined)
        result.add(
            counter_differences(
                task.partition,
                task.row,
                refold.tally,
                sources_row(refold.sources),
                sampled=sample is not None,
                unjudged=self._unjudged,
            )
        )
        if sample is not None:
            await self._compare_unfolded(sample)
        cached = self._cached
        result.cached, result.looked_again = cached.compared, cached.looked_again
        result.cache_lost = cached.lost
        return result

    async def _read_waiting(self, journal: Journal) -> None:
        """What project has still to fold: only its frames."""
        task, places = self._task, self._result.places
        async for raws in journal.read(task.partition, task.row["next"], task.bounds.end):
            for raw in raws:
                try:
                    record = decode_record(raw.value)
                except SealBroken:
                    places.unreadable_waiting += 1
                    continue
                places.waiting.add(record.source_partition, record.source_offset)
                self._result.waiting.add(raw.key + record.event_key)

    def _place(self, bucket: Bucket) -> None:
        """Part the places of those who are still remembered from the others'."""
        places, gone = self._result.places, self._result.gone
        living = places.living
        if living is None:
            living = places.living = Places()
        for raw, record, doubted in bucket.held:
            place = (record.source_partition, record.source_offset)
            if raw.key in bucket.subjects or raw.key in bucket.broken:
                living.add(*place)
                continue
            gone.setdefault(raw.key, place)
            # What ingest may have written twice was counted as a repeat; before its fan was erased
            # it may have been applied.
            erased = self._task.row["erasures"]
            if (erased or not doubted) and not places.gone.add(*place):
                places.gone_again += 1

    async def _name_broken(self, bucket: Bucket) -> None:
        """A key that does not open hides its own fan, and no other."""
        if not bucket.broken:
            return
        result, ids = self._result, sorted(bucket.broken)
        self._unjudged += sum(raw.key in bucket.broken for raw, _, _ in bucket.held)
        result.fingerprints += map(fingerprint, ids)
        result.state_rows += len(await self._connection.fetch(self._queries.states_of, ids))
        result.history_rows += sum(
            row["rows"] for row in await self._connection.fetch(self._queries.history_of, ids)
        )
        result.add(self._difference("subject", id, BROKEN_KEY) for id in ids)

    async def _compare_bucket(self, bucket: Bucket) -> None:
        histories: dict[bytes, list[OpenedRecord]] = {}
        for one in bucket.history:
            histories.setdefault(one.subject, []).append(one)
        folded = {fan.subject: fan for fan in bucket.folded}
        ids = sorted(histories)
        for start in range(0, len(ids), CHUNK_FANS):
            chunk = ids[start : start + CHUNK_FANS]
            await self._compare_fans(
                [RefoldedFan(bucket.subjects[id], folded.get(id), histories[id]) for id in chunk],
                bucket.columns,
            )
            self._progress(0)

    async def _compare_fans(
        self, fans: Sequence[RefoldedFan], decided: Mapping[bytes, Mapping[bytes, Columns]]
    ) -> None:
        result = self._result
        ids = [subject.id for subject, _, _ in fans]
        states = {
            row["subject"]: _Stored(*row)
            for row in await self._connection.fetch(self._queries.states_of, ids)
        }
        rows = {
            row["subject"]: (row["rows"], row["digest"])
            for row in await self._connection.fetch(self._queries.history_of, ids)
        }
        result.fans += len(fans)
        result.state_rows += len(states)
        result.history_rows += sum(count for count, _ in rows.values())
        result.fingerprints += map(fingerprint, ids)
        for subject, fan, history in fans:
            result.events += len(history)
            stored = states.get(subject.id)
            result.add(self._compare_state(subject, fan, stored))
            if fan is not None and stored is not None:
                result.add(self._compare_filters(subject, fan, stored))
            columns = decided.get(subject.id, {})
            result.add(self._compare_history(subject.id, history, columns, rows.get(subject.id)))
        result.add(await self._cached.compare(fans))

    async def _reckon(self, bucket: Bucket) -> None:
        """Fans with a quarantined record are left out: plain sums know no quarantine."""
        quarantined = {one.subject for one in bucket.quarantined}
        ids = sorted((self._task.referenced & bucket.subjects.keys()) - quarantined)
        for row in await self._connection.fetch(self._queries.states_of, ids) if ids else ():
            subject = bucket.subjects[row["subject"]]
            entries = entries_of(bucket.held, subject)
            if not entries or len(entries) > EVENTS_MAX:
                continue
            try:
                state = open_state(subject.cipher, subject.id, self._task.generation, row["state"])
            except SealBroken:
                continue  # said by the comparison with the fold
            self._result.referenced += 1
            self._result.add(
                self._difference("reference", subject.id, path)
                for path in reference_differences(
                    subject, state, entries, self._task.settings.currency
                )
            )

    def _compare_state(
        self, subject: Subject, fan: Folded | None, stored: _Stored | None
    ) -> list[Difference]:
        expected = 0 if fan is None else fan.version
        actual = 0 if stored is None else stored.version
        if fan is None or stored is None:
            if fan is None and stored is None:
                return []  # nothing of this fan could be folded
            return [self._difference("state", subject.id, "version", expected, actual)]
        found = []
        if expected != actual:
            found.append(self._difference("state", subject.id, "version", expected, actual))
        found += [
            self._difference("state", subject.id, path)
            for path in self._differing(subject, fan.document, stored.state)
        ]
        return found

    def _differing(self, subject: Subject, document: bytes, stored: bytes) -> list[str]:
        try:
            found = open_state(subject.cipher, subject.id, self._task.generation, stored)
        except SealBroken:
            return [UNOPENED]
        return differing_fields(document, found)

    def _compare_filters(
        self, subject: Subject, fan: Folded, stored: _Stored
    ) -> Iterable[Difference]:
        """Columns of another version are no difference: a worker is about to write them."""
        if not stored.indexed:
            self._result.unindexed += 1
            return
        expected = {"creator_hash": creator_hash(subject.creator_id)}
        expected |= filters_of(fan.state)._asdict()
        for column, value in expected.items():
            if getattr(stored, column) != value:
                yield self._difference("state", subject.id, column)

    def _compare_history(
        self,
        subject: bytes,
        history: Sequence[OpenedRecord],
        decided: Mapping[bytes, Columns],
        stored: tuple[int, bytes] | None,
    ) -> list[Difference]:
        count, digest = stored or (0, b"")
        if count != len(history):
            return [self._difference("history", subject, "rows", len(history), count)]
        if history and digest != history_digest(history, decided):
            return [self._difference("history", subject, "digest")]
        return []

    async def _compare_unfolded(self, sample: frozenset[bytes]) -> None:
        """Sampled fans of this partition of whom the journal has nothing must have no rows."""
        task, result = self._task, self._result
        folded = set(result.fingerprints)
        ids = sorted(
            id
            for id in sample
            if journal_partition(id, task.partitions) == task.partition
            and fingerprint(id) not in folded
        )
        for row in await self._connection.fetch(self._queries.states_of, ids):
            result.add([self._difference("state", row["subject"], "version", 0, row["version"])])
        for row in await self._connection.fetch(self._queries.history_of, ids):
            result.add([self._difference("history", row["subject"], "rows", 0, row["rows"])])

    def _difference(
        self,
        where: Any,
        subject: bytes,
        field: str,
        expected: int | None = None,
        actual: int | None = None,
    ) -> Difference:
        return Difference(
            where, self._task.partition, subject_text(subject), field, expected, actual
        )
