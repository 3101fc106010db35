"""Projection: journal records become the truth in Postgres, then a copy in Redis.

One unit of work, in this order; what a crash after each step costs is in brackets:

1. Read frames, mark what ingest may have produced again, open what still has a key. [nothing]
2. One transaction [rolled back]:
   a. move the position rows by compare-and-set: the fence; who was erased meanwhile stops it
      only if this batch has opened something of them;
   b. insert the history; what comes back was there already: duplicates, or conflicts;
   c. read the states of the batch's fans, fold what is new, write them back; whoever has something
      to be corrected is folded again from the whole history;
   d. quarantine what could not be opened or folded, write the outbox: what moved, and a dead
      letter for each conflict;
   e. count what became of every record; commit.
3. Bring Redis up to date, then publish the position there. [Redis is behind: the next owner of the
   partition, or we when Redis answers again, drops the fans moved since the published
   position before publishing another]
4. Wake the relay, which publishes the outbox. [some worker's relay finds it within a second]

A lost reply to COMMIT is a crash after 2 or in it: the positions are read again, which tells.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Container, Mapping, Sequence

from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.settings import Settings
from privacy.seal import open_if_intact
from privacy.subjects import Subject, Subjects
from schemas.dead_letters import CONFLICT
from schemas.errors import DatabaseUnavailable, SealBroken
from schemas.journal import JournalEntry
from schemas.topics import DEAD_LETTERS, JOURNAL, MEMORY_UPDATES
from stores import (
    corrections,
    generations,
    history,
    letters,
    outbox,
    quarantine,
    refused,
    states,
)
from stores.attempts import REASON, Places
from stores.cache import Cache
from stores.erasing import Requests
from stores.folding import (
    Folded,
    FramedBatch,
    OpenedRecord,
    distinct,
    fold_new,
    open_records,
    read_frames,
)
from stores.letters import Letters
from stores.positions import Batch, Held, count_folded, terminating_blockers
from stores.refolding import Limits
from stores.relay import Relay
from stores.tally import COUNTERS
from streams.cache_writer import CACHE_PAUSE_SECONDS, CacheWriter
from streams.healing import ProjectionHealer
from streams.step import Positioned
from views import engagement
from views.emotional_state import render_signals
from views.state import moved

log = logging.getLogger(__name__)


class Projection(Positioned):
    """The step of `journal`."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        cache: Cache,
        relay: Relay,
        subjects: Subjects,
        letters: Letters,
        requests: Sequence[Requests],
    ) -> None:
        super().__init__(pool, JOURNAL.name)
        self._letters = letters
        self._requests = requests
        self._subjects = subjects
        self._limits = Limits.of(settings)
        self._relay = relay
        self._cache_writer = CacheWriter(pool, cache)
        self._healer = ProjectionHealer(settings, pool, self.positions, subjects)
        self._met = False
        """Whether somebody was erased since the subjects were forgotten: we may still keep one who
        was not in the batch that met it, and look at each batch's subjects again."""

    @property
    def stopped(self) -> Container[int]:
        return self._healer.stopped

    async def check(self, partitions: Sequence[int]) -> None:
        """Rolled-back views leave newer ones in Redis: then it begins from nothing."""
        before = self._healer.rolled_back
        await self._healer.check(partitions)
        if self._healer.rolled_back != before:
            await self._cache_writer.start_over(self.positions)

    async def claim(self, partitions: Sequence[int]) -> None:
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            generation = await self._live_generation(connection)
            async with terminating_blockers(self._pool, connection):
                await self.positions.claim(connection, generation, partitions)
            # Not before: who was looked up meanwhile may have been erased before the claim.
            self._forget_subjects()
            await self._attempts.claimed(connection)
            await outbox.adopt_former(connection, partitions)
        await self._cache_writer.doubt(self.positions)

    async def reload(self, partitions: Sequence[int]) -> bool:
        """Also notices that another generation went live: then its rows are claimed."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            generation = await self._live_generation(connection)
            if generation != self.positions.generation:
                await self.positions.claim(connection, generation, sorted(self.positions.held))
                ours = True
            else:
                ours = await self.positions.reload(connection, partitions)
            self._forget_subjects()  # as above: the relay looks up beside us
        await self._cache_writer.doubt(self.positions)
        return ours

    def _forget_subjects(self) -> None:
        self._subjects.forget_all()
        self._met = False

    @property
    def in_doubt(self) -> bool:
        return False

    async def doubtful(self) -> set[int]:
        return await self._healer.doubtful()

    async def apply(self, batches: Sequence[Batch]) -> None:
        async for part, aside in self._attempts.parts(batches):
            await self._apply(part, aside)
            self.positions.moved(part)

    async def _apply(self, batches: Sequence[Batch], aside: Places) -> None:
        held = self.positions.held
        async with self._attempts.risk():
            framed = read_frames(
                (record for batch in batches for record in batch.records),
                {partition: one.sources for partition, one in held.items()},
                dict.fromkeys(aside, REASON),
            )
        async with database_errors(), self._pool.acquire() as connection:
            locked: dict[bytes, SealBroken] = {}
            subjects = await self._subjects.lookup(
                connection, {raw.key for raw, _ in framed.records}, locked
            )
            async with self._attempts.risk():
                opened, later = distinct(open_records(framed, subjects, locked))
            async with connection.transaction():
                await self._meet_erasures(connection, batches, subjects.keys(), held)
                folded = await self._write(connection, batches, framed, opened, later, subjects)
                conflicting = self._letters.of_conflicts(framed, subjects)
                told = [*map(_told, folded), *(one.outgoing for one in conflicting)]
                await outbox.write(connection, told)
                await refused.write(connection, [one.row for one in conflicting])
                fail_point("projection.before_commit")
                began = time.perf_counter()
        self.counts.commit.add(time.perf_counter() - began)
        fail_point("projection.after_commit")
        for partition, sources in framed.sources.items():
            if partition in held:
                held[partition].sources = sources
        await self._cache_writer.push(batches, folded, subjects, framed.sources)
        self._count(batches, framed)
        self._relay.wake(MEMORY_UPDATES.name)
        if conflicting:
            self._relay.wake(DEAD_LETTERS.name)

    async def _meet_erasures(
        self,
        connection: Connection,
        batches: Sequence[Batch],
        subjects: Collection[bytes],
        held: Mapping[int, Held],
    ) -> None:
        erased = await self.positions.meet_erasures(
            connection, batches, subjects, held, certain=not self._met
        )
        self._cache_writer.know_erasures(erased)
        self._met = self._met or bool(erased)

    async def refresh_cache(self) -> None:
        """Once a second: bring Redis back when it was away, keep our positions known to it."""
        while True:
            await asyncio.sleep(CACHE_PAUSE_SECONDS)
            for one in self._requests:
                await one.drop_left()
            await self._cache_writer.refresh()

    async def _live_generation(self, connection: Connection) -> int:
        """Locks it against a switch until the caller's transaction ends."""
        live = await generations.lock_live(connection)
        if live is None:
            raise DatabaseUnavailable("The live generation is changing.")
        return generations.require_version(live).number

    async def _write(
        self,
        connection: Connection,
        batches: Sequence[Batch],
        framed: FramedBatch,
        opened: list[OpenedRecord],
        later: Sequence[tuple[OpenedRecord, OpenedRecord]],
        subjects: Mapping[bytes, Subject],
    ) -> list[Folded]:
        generation = self.positions.generation
        await self.positions.advance(connection, batches)
        fail_point("projection.after_advance")
        fresh, firsts = await self._insert_history(connection, opened, subjects)
        for one in opened:
            if (place := (one.partition, one.offset)) in firsts:
                framed.known(one, firsts[place])
        for one, first in later:
            framed.known(one, firsts.get((first.partition, first.offset), first.entry))
        fail_point("projection.after_history")
        ids = sorted({one.subject for one in fresh})
        stored = await states.read(connection, generation, ids, subjects)
        async with self._attempts.risk():  # not of this transaction, which may never end
            began = time.perf_counter()
            folded, waiting = fold_new(fresh, stored, framed)
            self.counts.fold.add(time.perf_counter() - began)
        if waiting:
            again, changes = await corrections.fold_waiting(
                connection, waiting, subjects, self._limits, framed, self._attempts.risk
            )
            await history.correct_columns(connection, changes)
            folded = sorted([*folded, *again], key=lambda fan: fan.subject)
        fail_point("projection.after_fold")
        await states.write(connection, generation, states.state_rows(folded, subjects, generation))
        if framed.quarantined:
            log.error("records quarantined", extra={"count": len(framed.quarantined)})
            await quarantine.insert(connection, framed.quarantined)
        counts = [
            (batch.partition, framed.sources[batch.partition], framed.tallies[batch.partition])
            for batch in batches
            if batch.records
        ]
        await count_folded(connection, generation, JOURNAL.name, counts)
        await letters.count(connection, JOURNAL.name, _conflicts(framed))
        return folded

    def _count(self, batches: Sequence[Batch], framed: FramedBatch) -> None:
        """For metrics, once it is committed and in the cache."""
        for tally in framed.tallies.values():
            self.counts.became(zip(COUNTERS, tally.as_row(), strict=True))
        self.counts.refused(_conflicts(framed))
        self.counts.seen(batches)

    async def _insert_history(
        self,
        connection: Connection,
        opened: list[OpenedRecord],
        subjects: Mapping[bytes, Subject],
    ) -> tuple[list[OpenedRecord], dict[tuple[int, int], JournalEntry | None]]:
        """The entries that were not there yet; and by the place of each other one, what was."""
        fresh = await _without_known_before(connection, opened, subjects)
        known = await history.insert(connection, history.history_rows(fresh))
        if not known and len(fresh) == len(opened):
            return opened, {}
        fresh = [one for one in fresh if (one.subject, one.event_key) not in known]
        new = {(one.partition, one.offset) for one in fresh}
        again = [one for one in opened if (one.partition, one.offset) not in new]
        firsts = await history.firsts(connection, again, subjects)
        places = ((one.partition, one.offset) for one in again)
        return fresh, {place: firsts.get(place) for place in places}


async def _without_known_before(
    connection: Connection, opened: list[OpenedRecord], subjects: Mapping[bytes, Subject]
) -> list[OpenedRecord]:
    """Leave out what stands there already under the key that another release gave it."""
    kinds = {}
    for one in await history.known_before(connection, opened):
        cipher = subjects[one.subject].cipher
        entry = open_if_intact(cipher, one.subject, one.event_key, one.body)
        if entry is not None:  # an altered row hides no event
            kinds[one.subject, one.event_key] = entry.kind
    if not kinds:
        return opened
    return [
        one
        for one in opened
        if not one.other_key or kinds.get((one.subject, one.other_key)) != one.entry.kind
    ]


def _conflicts(framed: FramedBatch) -> list[tuple[int, str]]:
    """(partition, reason) of those that are counted as such."""
    return [
        (one.partition, CONFLICT)
        for one in framed.conflicts
        if (one.partition, one.offset) not in framed.doubted
    ]


def _told(fan: Folded) -> outbox.Outgoing:
    newest = fan.opened[-1].entry.time
    return outbox.moved(
        fan.subject,
        fan.opened[-1].partition,
        fan.version,
        # A correction may change whatever the events that it names had changed.
        moved((one.entry for one in fan.opened), first=fan.base == 0 or fan.shown is not None),
        engagement.score(fan.state.engagement, newest),
        newest,
        render_signals(fan.signals) if fan.signals else None,
    )
