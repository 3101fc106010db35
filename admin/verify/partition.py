"""One partition of a verify: refold it, and compare what it gave with Postgres and Redis.

All of Postgres is read in the snapshot of the whole run, so it stands still while the pipeline runs
on. Redis moves meanwhile: a cached fan at another version is looked at again, next to what Postgres
says at that moment, until both are at one version or the cache has stood still behind for too long.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from admin.journal import open_journal
from admin.parallel import Progress
from admin.refold import HELD_BYTES_MAX, Bucket, Refold
from admin.verify.differences import (
    Difference,
    counter_differences,
    differing_fields,
    history_digest,
    newest_fragments,
    same_fragments,
    subject_text,
)
from infra.postgres import connect, database_errors, open_pool
from infra.settings import Settings
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import Subject, Subjects, journal_partition
from stores.cache import Cache
from stores.folding import Folded, OpenedRecord
from stores.generations import schema_name
from stores.positions import sources_row
from stores.snapshot import SealedSnapshot
from stores.store import Store
from stores.tally import Tally

SQL: Final = Path(__file__).with_name("verify.sql")
CHUNK_FANS: Final = 500
DIFFERENCES_MAX: Final = 200
"""Differences of one partition that are named; all are counted."""
STALE_SECONDS: Final = 10.0
"""A cached fan that stands behind Postgres for so long is stale; a push takes milliseconds."""
LOOK_AGAIN_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """What a process needs to know; `row` is the partition's position row in the snapshot."""

    settings: Settings
    snapshot: str
    generation: int
    partition: int
    partitions: int
    row: dict[str, Any]
    first: int
    """Where the journal begins: 0, unless the loss of its beginning was accepted."""
    folder: Path
    sample: frozenset[bytes] | None
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
    looked_again: int = 0
    """Of them, how many were at another version than the snapshot's."""
    spilled: int = 0
    tally: Tally = field(default_factory=Tally)
    state_rows: int = 0
    """Rows of `fan_state` that belong to a refolded fan."""
    history_rows: int = 0
    found: int = 0
    """Differences, all of them."""
    differences: list[Difference] = field(default_factory=list)
    fingerprints: list[int] = field(default_factory=list)
    """8 bytes of each refolded subject, to find rows that no subject of the journal explains."""

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.found += 1
            if len(self.differences) < DIFFERENCES_MAX:
                self.differences.append(difference)


def fingerprint(subject: bytes) -> int:
    """8 bytes of a random id: enough to tell subjects apart."""
    return int.from_bytes(subject[8:], "big")


async def verify_partition(task: PartitionTask, progress: Progress) -> PartitionResult:
    """Raises `BrokerUnavailable`, `DatabaseUnavailable`, `CacheUnavailable`, `SealBroken`."""
    settings = task.settings
    keyring = Keyring.parse(settings.keyring.get_secret_value())
    cache = Cache(settings.redis_url, keyring, ttl_seconds=settings.cache_ttl_seconds, timeout=10)
    pool = await open_pool(settings.postgres_url, size_max=1)
    connection = await connect(settings.postgres_url, command_timeout=600)
    try:
        store = Store(pool, keyring, task.partitions)
        async with database_errors(), connection.transaction(isolation="repeatable_read"):
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{task.snapshot}'")
            comparison = _Comparison(task, connection, cache, store, keyring, progress)
            return await comparison.run()
    finally:
        await connection.close()
        await cache.close()
        await pool.close()


class _Comparison:
    def __init__(
        self,
        task: PartitionTask,
        connection: Any,
        cache: Cache,
        store: Store,
        keyring: Keyring,
        progress: Progress,
    ) -> None:
        self._task = task
        self._connection = connection
        self._cache = cache
        self._store = store
        self._keyring = keyring
        self._progress = progress
        self._queries = load_queries(SQL, generation=schema_name(task.generation))
        self._result = PartitionResult(task.partition)

    async def run(self) -> PartitionResult:
        task, result = self._task, self._result
        sample = task.sample
        wanted = None if sample is None else sample.__contains__
        refold = Refold(task.partition, task.folder, wanted, task.held_bytes_max)
        async with open_journal(task.settings) as journal:
            await refold.read(journal, task.first, task.row["next"], self._progress)
        subjects = Subjects(self._keyring, limit=1 << 30)
        async for bucket in refold.buckets(subjects, self._connection):
            await self._compare_bucket(bucket)
        result.records, result.spilled, result.tally = refold.records, refold.spilled, refold.tally
        result.add(
            counter_differences(
                task.partition,
                task.row,
                refold.tally,
                sources_row(refold.sources),
                sampled=sample is not None,
            )
        )
        if sample is not None:
            await self._compare_unfolded(sample)
        return result

    async def _compare_bucket(self, bucket: Bucket) -> None:
        histories: dict[bytes, list[OpenedRecord]] = {}
        for one in bucket.history:
            histories.setdefault(one.subject, []).append(one)
        folded = {fan.subject: fan for fan in bucket.folded}
        ids = sorted(histories)
        for start in range(0, len(ids), CHUNK_FANS):
            chunk = ids[start : start + CHUNK_FANS]
            await self._compare_fans(
                [(bucket.subjects[id], folded.get(id), histories[id]) for id in chunk]
            )
            self._progress(0)

    async def _compare_fans(
        self, fans: Sequence[tuple[Subject, Folded | None, list[OpenedRecord]]]
    ) -> None:
        result = self._result
        ids = [subject.id for subject, _, _ in fans]
        states = {
            row["subject"]: (row["version"], row["state"])
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
            result.add(self._compare_state(subject.id, fan, states.get(subject.id)))
            result.add(self._compare_history(subject.id, history, rows.get(subject.id)))
        await self._compare_cached(fans)

    def _compare_state(
        self, subject: bytes, fan: Folded | None, stored: tuple[int, bytes] | None
    ) -> list[Difference]:
        expected = 0 if fan is None else fan.version
        actual = 0 if stored is None else stored[0]
        if fan is None or stored is None:
            if fan is None and stored is None:
                return []  # nothing of this fan could be folded
            return [self._difference("state", subject, "version", expected, actual)]
        found = []
        if expected != actual:
            found.append(self._difference("state", subject, "version", expected, actual))
        found += [
            self._difference("state", subject, path)
            for path in differing_fields(fan.document, stored[1])
        ]
        return found

    def _compare_history(
        self, subject: bytes, history: Sequence[OpenedRecord], stored: tuple[int, bytes] | None
    ) -> list[Difference]:
        count, digest = stored or (0, b"")
        if count != len(history):
            return [self._difference("history", subject, "rows", len(history), count)]
        if history and digest != history_digest(history):
            return [self._difference("history", subject, "digest")]
        return []

    async def _compare_cached(
        self, fans: Sequence[tuple[Subject, Folded | None, list[OpenedRecord]]]
    ) -> None:
        pairs = [(subject.creator_id, subject.fan_id) for subject, _, _ in fans]
        for (subject, fan, history), cached in zip(
            fans, await self._cache.stored(pairs), strict=True
        ):
            if cached is None:
                continue
            self._result.cached += 1
            expected = (self._task.generation, 0 if fan is None else fan.version)
            if (cached.generation, cached.version) != expected:
                self._result.looked_again += 1
                self._result.add(await self._look_again(subject))
            elif fan is not None:
                fragments = newest_fragments(history)
                taken = newest_fragments(fan.opened)
                self._result.add(
                    self._difference("cache", subject.id, path)
                    for path in differing_fields(fan.document, cached.state)
                )
                # What could not be folded is in the history, but was never pushed.
                if not same_fragments(fragments, cached.fragments) and not same_fragments(
                    taken, cached.fragments
                ):
                    self._result.add([self._difference("cache", subject.id, "messages")])

    async def _look_again(self, subject: Subject) -> list[Difference]:
        """Compare a cached fan that moves, or stands still, with Postgres as it is now."""
        clock = asyncio.get_running_loop().time
        seen: tuple[int, int] | None = None
        since = clock()
        while True:
            cached = (await self._cache.stored([(subject.creator_id, subject.fan_id)]))[0]
            stored = await self._store.stored(subject.creator_id, subject.fan_id)
            if cached is None:
                return []
            version = (cached.generation, cached.version)
            if stored is not None and version == (stored.generation, stored.version):
                return self._same_version(subject.id, stored, cached)
            if version != seen:
                seen, since = version, clock()
            elif clock() - since > STALE_SECONDS:
                actual = cached.version
                expected = 0 if stored is None else stored.version
                return [self._difference("cache", subject.id, "version", expected, actual)]
            self._progress(0)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def _same_version(
        self, subject: bytes, stored: SealedSnapshot, cached: SealedSnapshot
    ) -> list[Difference]:
        found = [
            self._difference("cache", subject, path)
            for path in differing_fields(stored.state, cached.state)
        ]
        if not same_fragments(stored.fragments, cached.fragments):
            found.append(self._difference("cache", subject, "messages"))
        return found

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
