"""Project: journal records become the truth in Postgres, then a copy in Redis.

One unit of work, in this order; what a crash after each step costs is in brackets:

1. Read frames, drop what ingest produced again, open what still has a key. [nothing]
2. One transaction [rolled back]:
   a. move the position rows by compare-and-set: the fence;
   b. insert the history; what comes back was there already: duplicates;
   c. read the states of the batch's fans, fold what is new, write them back;
   d. quarantine what could not be folded, write the outbox, delete what was published;
   e. count what became of every record; commit.
3. Bring Redis up to date, then publish the position there. [Redis is behind: whoever holds the
   partition next, or we when Redis answers again, drops the fans moved since the published
   position before publishing another]
4. Hand the outbox rows to the relay. [they are read from the outbox at the next claim]

A lost reply to COMMIT is a crash after 2 or in it: the positions are read again, which tells.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from infra.failpoints import fail_point
from infra.postgres import database_errors
from privacy.subjects import Subjects
from schemas.errors import DatabaseUnavailable, Misconfigured
from schemas.topics import JOURNAL
from stores.cache import Cache
from stores.folding import (
    Folded,
    FramedBatch,
    OpenedRecord,
    distinct,
    fold_all,
    open_records,
    read_frames,
)
from stores.outbox import Moved, Relay, Row, encode_moves
from stores.positions import POSITION_SQL, Batch, Positions, sources_row, terminating_blockers
from stores.queries import memory_queries
from streams.cache_writer import CACHE_PAUSE_SECONDS, CacheWriter
from views import engagement
from views.state import VIEW_VERSION, moved

log = logging.getLogger(__name__)


class Projection:
    """The step of `journal`."""

    def __init__(
        self,
        pool: Any,
        cache: Cache,
        relay: Relay,
        subjects: Subjects,
    ) -> None:
        self.positions = Positions(JOURNAL.name)
        self._pool = pool
        self._subjects = subjects
        self._relay = relay
        self._cache_writer = CacheWriter(pool, cache)

    async def claim(self, partitions: Sequence[int]) -> None:
        self._subjects.forget_all()
        async with database_errors(), self._pool.acquire() as connection:
            async with connection.transaction():
                generation = await self._live_generation(connection)
                async with terminating_blockers(self._pool, connection):
                    await self.positions.claim(connection, generation, partitions)
            await self._relay.recover(connection, generation, partitions)
        await self._cache_writer.doubt(self.positions)

    async def reload(self, partitions: Sequence[int]) -> bool:
        """Also notices that another generation went live: then its rows are claimed."""
        self._subjects.forget_all()
        async with database_errors(), self._pool.acquire() as connection:
            async with connection.transaction():
                generation = await self._live_generation(connection)
                if generation != self.positions.generation:
                    await self.positions.claim(connection, generation, sorted(self.positions.held))
                    ours = True
                else:
                    ours = await self.positions.reload(connection, partitions)
            # A commit whose reply was lost was neither pushed nor told.
            await self._relay.recover(connection, generation, sorted(self.positions.held))
        await self._cache_writer.doubt(self.positions)
        return ours

    async def apply(self, batches: Sequence[Batch]) -> None:
        held = self.positions.held
        framed = read_frames(
            (record for batch in batches for record in batch.records),
            {partition: one.sources for partition, one in held.items()},
        )
        async with database_errors(), self._pool.acquire() as connection:
            subjects = await self._subjects.lookup(
                connection, {raw.key for raw, _ in framed.records}
            )
            opened = distinct(open_records(framed, subjects), framed.tallies)
            async with connection.transaction():
                folded = await self._write(connection, batches, framed, opened)
                rows = await self._write_outbox(connection, batches, folded)
                fail_point("projection.before_commit")
        fail_point("projection.after_commit")
        for partition, sources in framed.sources.items():
            if partition in held:
                held[partition].sources = sources
        await self._cache_writer.push(batches, folded, subjects, framed.sources)
        await self._relay.offer(rows)

    async def refresh_cache(self) -> None:
        """Once a second: bring Redis back when it was away, keep our positions known to it."""
        while True:
            await asyncio.sleep(CACHE_PAUSE_SECONDS)
            await self._cache_writer.refresh()

    async def _live_generation(self, connection: Any) -> int:
        """Locks it against a switch until the caller's transaction ends.

        A claim of a generation that a rebuild has just made a former one would let two writers
        fold the same records: each into views of its own, but into one history.
        """
        row = await connection.fetchrow(POSITION_SQL.lock_live_generation)
        if row is None:
            raise DatabaseUnavailable("The live generation is changing.")
        if row["view_version"] != VIEW_VERSION:
            raise Misconfigured(
                f"The live views are {row['view_version']}, this code folds {VIEW_VERSION}.",
                hint="After an update of this code run `fanmemory rebuild`; after a rebuild by"
                " other code run that code.",
            )
        return int(row["generation"])

    async def _write(
        self,
        connection: Any,
        batches: Sequence[Batch],
        framed: FramedBatch,
        opened: list[OpenedRecord],
    ) -> list[Folded]:
        queries = memory_queries(self.positions.generation)
        await self.positions.advance(connection, batches)
        fail_point("projection.after_advance")
        fresh = await self._insert_history(connection, queries, framed, opened)
        fail_point("projection.after_history")
        ids = sorted({one.subject for one in fresh})
        states = {
            row["subject"]: (row["version"], row["state"])
            for row in await connection.fetch(queries.read_states, ids)
        }
        folded = fold_all(fresh, states, framed)
        fail_point("projection.after_fold")
        await connection.execute(
            queries.upsert_states,
            [fan.subject for fan in folded],
            [fan.version for fan in folded],
            [fan.document for fan in folded],
        )
        if framed.quarantined:
            log.error("records quarantined", extra={"count": len(framed.quarantined)})
            await connection.executemany(queries.insert_quarantine, framed.quarantined)
        await connection.executemany(POSITION_SQL.count_folded, self._counts(batches, framed))
        return folded

    async def _insert_history(
        self, connection: Any, queries: Any, framed: FramedBatch, opened: list[OpenedRecord]
    ) -> list[OpenedRecord]:
        """The entries that were not there yet."""
        if not opened:
            return opened
        # In the order of the primary key: neighbouring rows share pages, and nobody deadlocks.
        rows = sorted(opened, key=lambda one: (one.subject, one.event_key))
        duplicates = await connection.fetch(
            queries.insert_history,
            [one.subject for one in rows],
            [one.event_key for one in rows],
            [one.partition for one in rows],
            [one.offset for one in rows],
            [one.entry.time for one in rows],
            [one.entry.kind == "message" for one in rows],
            [one.body for one in rows],
        )
        if not duplicates:
            return opened
        known = {(row["subject"], row["event_key"]) for row in duplicates}
        fresh = []
        for one in opened:
            if (one.subject, one.event_key) in known:
                framed.tallies[one.partition].duplicates += 1
            else:
                fresh.append(one)
        return fresh

    def _counts(self, batches: Sequence[Batch], framed: FramedBatch) -> list[tuple[Any, ...]]:
        counts = []
        for batch in batches:
            if not batch.records:
                continue
            tally = framed.tallies[batch.partition]
            counts.append(
                (
                    self.positions.generation,
                    JOURNAL.name,
                    batch.partition,
                    sources_row(framed.sources[batch.partition]),
                    tally.applied,
                    tally.duplicates,
                    tally.repeats,
                    tally.forgotten,
                    tally.quarantined,
                )
            )
        return counts

    async def _write_outbox(
        self, connection: Any, batches: Sequence[Batch], folded: Sequence[Folded]
    ) -> list[Row]:
        queries = memory_queries(self.positions.generation)
        until = {batch.partition: batch.until for batch in batches}
        moves: dict[int, list[Moved]] = {}
        for fan in folded:
            moves.setdefault(fan.opened[-1].partition, []).append(_moved(fan))
        rows = [Row(partition, until[partition], moved) for partition, moved in moves.items()]
        if rows:
            await connection.execute(
                queries.insert_outbox,
                [row.partition for row in rows],
                [row.next for row in rows],
                [encode_moves(row.moves) for row in rows],
            )
        published = self._relay.published
        if published:
            await connection.execute(
                queries.delete_outbox, list(published), list(published.values())
            )
        return rows


def _moved(fan: Folded) -> Moved:
    newest = fan.opened[-1].entry.time
    return Moved(
        fan.subject,
        fan.version,
        moved((one.entry for one in fan.opened), first=fan.base == 0),
        engagement.score(fan.state.engagement, newest),
        newest,
    )
