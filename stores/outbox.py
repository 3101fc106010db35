"""Updates: tell the world, through the outbox, that fans' views moved.

Projection writes one outbox row per partition of a batch in the batch's own transaction. This relay
publishes the rows in order, and the next batch's transaction deletes what was published. A crash
before the delete publishes again: delivered at least once, never lost.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from infra.failpoints import fail_point
from infra.kafka import partition_of, relationship_key
from infra.postgres import database_errors
from infra.producer import BatchProducer, Keyed
from infra.settings import Settings
from privacy.subjects import Subject, Subjects
from schemas.errors import BrokerUnavailable, DatabaseUnavailable
from schemas.positions import Position
from schemas.times import render_time
from schemas.topics import JOURNAL, MEMORY_UPDATES
from schemas.updates import MemoryUpdate, encode_update
from stores.queries import memory_queries

log = logging.getLogger(__name__)

QUEUED_ROWS_MAX: Final = 64


class Moved(NamedTuple):
    """One fan's move, as the outbox keeps it: no names, so that an erasure leaves nothing."""

    subject: bytes
    version: int
    views: tuple[str, ...]
    score: float
    time: int


class Row(NamedTuple):
    """One outbox row."""

    partition: int
    next: int
    moves: Sequence[Moved]


encode_moves = msgspec.msgpack.Encoder().encode
decode_moves = msgspec.msgpack.Decoder(list[Moved]).decode


class Relay:
    """Publishes outbox rows; `published` says up to where, for the next transaction to delete."""

    def __init__(
        self, settings: Settings, pool: Any, producer: BatchProducer, subjects: Subjects
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._producer = producer
        self._subjects = subjects
        self._queue: asyncio.Queue[Row] = asyncio.Queue(QUEUED_ROWS_MAX)
        self._partitions = 0
        self.published: dict[int, int] = {}

    async def offer(self, rows: Sequence[Row]) -> None:
        """Take committed rows over; waits while too many are unpublished."""
        for row in rows:
            await self._queue.put(row)

    async def recover(self, connection: Any, generation: int, partitions: Sequence[int]) -> None:
        """Take over what an earlier owner of these partitions left unpublished."""
        rows = await connection.fetch(memory_queries(generation).read_outbox, partitions)
        for row in rows:
            left = Row(row["partition"], row["next"], decode_moves(row["updates"]))
            await self._publish_until_done([left])

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            rows = [await self._queue.get()]
            while not self._queue.empty():
                rows.append(self._queue.get_nowait())
            await self._publish_until_done(rows)

    async def _publish_until_done(self, rows: Sequence[Row]) -> None:
        attempt = 0
        while True:
            try:
                await self._publish(rows)
                return
            except (BrokerUnavailable, DatabaseUnavailable) as error:
                attempt += 1
                log.warning("updates wait for %s", type(error).__name__)
                longest = min(self._settings.retry_seconds_max, 0.1 * 2 ** min(attempt, 16))
                await asyncio.sleep(random.uniform(longest / 4, longest))

    async def _publish(self, rows: Sequence[Row]) -> None:
        if not self._partitions:
            self._partitions = await self._producer.partitions(MEMORY_UPDATES.name)
        async with database_errors(), self._pool.acquire() as connection:
            subjects = await self._subjects.lookup(
                connection, {move.subject for row in rows for move in row.moves}
            )
        batches: dict[int, list[Keyed]] = {}
        for row in rows:
            for move in row.moves:
                subject = subjects.get(move.subject)
                if subject is not None:
                    key, value = _record(row, move, subject)
                    batches.setdefault(partition_of(key, self._partitions), []).append((key, value))
        fail_point("updates.before_send")
        await self._producer.send(MEMORY_UPDATES.name, batches)
        fail_point("updates.after_send")
        for row in rows:
            self.published[row.partition] = max(row.next, self.published.get(row.partition, 0))


def _record(row: Row, move: Moved, subject: Subject) -> tuple[bytes, bytes]:
    update = MemoryUpdate(
        creator_id=subject.creator_id,
        fan_id=subject.fan_id,
        views=move.views,
        version=str(Position(JOURNAL.name, row.partition, move.version - 1)),
        engagement_score=move.score,
        timestamp=render_time(move.time),
    )
    return relationship_key(subject.creator_id, subject.fan_id), encode_update(update)
