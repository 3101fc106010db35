"""Keeps Redis honest: pushes what was committed, and never claims more than was pushed."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from infra.failpoints import fail_point
from infra.postgres import database_errors
from privacy.subjects import Subject
from schemas.errors import CacheUnavailable, DatabaseUnavailable
from stores.cache import Cache, Pushed
from stores.folding import Folded
from stores.positions import Batch, Positions
from stores.queries import memory_queries
from stores.snapshot import Fragment

log = logging.getLogger(__name__)

CACHE_PAUSE_SECONDS: Final = 1.0
"""After Redis failed, how long no batch waits for it."""
MISSED_FANS_MAX: Final = 100_000
"""More fans than this are not dropped from the cache one by one: all are."""


class CacheWriter:
    """Keeps Redis honest: pushes what was committed, and never claims more than was pushed."""

    def __init__(self, pool: Any, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache
        self._generation = 0
        self._committed: dict[int, int] = {}
        self._sources: dict[int, dict[int, int]] = {}
        self._behind: set[int] = set()
        self._not_before = 0.0
        self._lock = asyncio.Lock()

    async def doubt(self, positions: Positions) -> None:
        """Until checked, assume that something was committed and not pushed."""
        async with self._lock:
            self._generation = positions.generation
            self._committed = {partition: one.next for partition, one in positions.held.items()}
            self._sources = {partition: one.sources for partition, one in positions.held.items()}
            self._behind = set(positions.held)

    async def push(
        self,
        batches: Sequence[Batch],
        folded: Sequence[Folded],
        subjects: dict[bytes, Subject],
        sources: dict[int, dict[int, int]],
    ) -> None:
        """Never raises for Redis: what could not be pushed is caught up later."""
        async with self._lock:
            # A partition may have been taken from us since: its next owner publishes.
            touched = {batch.partition for batch in batches} & self._committed.keys()
            for batch in batches:
                if batch.partition in touched:
                    self._committed[batch.partition] = batch.until
                    if batch.records:
                        self._sources[batch.partition] = sources[batch.partition]
            if time.monotonic() < self._not_before:
                self._behind |= touched
                return
            try:
                for partition in sorted(self._behind & touched):
                    await self._catch_up(partition)
                await self._cache.push(
                    self._generation, [_pushed(fan, subjects[fan.subject]) for fan in folded]
                )
                fail_point("projection.after_push")
                for partition in touched:
                    await self._publish(partition)
                fail_point("projection.after_publish")
            except (CacheUnavailable, DatabaseUnavailable) as error:
                self._failed(touched, error)

    async def refresh(self) -> None:
        async with self._lock:
            if time.monotonic() < self._not_before:
                return
            known = set(self._committed)
            try:
                for partition in sorted(known):
                    if partition in self._behind:
                        await self._catch_up(partition)
                    await self._publish(partition)
            except (CacheUnavailable, DatabaseUnavailable) as error:
                self._failed(known, error)

    async def _catch_up(self, partition: int) -> None:
        """Drop what was committed but maybe not pushed, this partition's newest batch included."""
        published = await self._cache.published(self._generation, partition)
        queries = memory_queries(self._generation)
        if published is None:
            # Redis is new or lost its mind: nothing in it can be vouched for.
            await self._cache.drop_all()
        else:
            async with database_errors(), self._pool.acquire() as connection:
                rows = await connection.fetch(
                    queries.folded_since, partition, published, MISSED_FANS_MAX + 1
                )
            if len(rows) > MISSED_FANS_MAX:
                await self._cache.drop_all()
            else:
                version = self._committed[partition]
                await self._cache.drop(self._generation, version, [tuple(row) for row in rows])
        self._behind.discard(partition)

    async def _publish(self, partition: int) -> None:
        await self._cache.publish(
            self._generation,
            partition,
            self._committed[partition],
            self._sources.get(partition, {}),
        )

    def _failed(self, partitions: set[int], error: Exception) -> None:
        self._behind |= partitions
        self._not_before = time.monotonic() + CACHE_PAUSE_SECONDS
        log.warning("the cache misses moves, to be dropped later: %s", type(error).__name__)


def _pushed(fan: Folded, subject: Subject) -> Pushed:
    fragments = [
        Fragment(one.entry.time, one.offset, one.event_key, one.body)
        for one in fan.opened
        if one.entry.kind == "message"
    ]
    return Pushed(
        subject.creator_id, subject.fan_id, fan.base, fan.version, fan.document, fragments
    )
