"""What is done of one fan whom Redis did not have: Postgres is read, and Redis is filled.

Equal misses in flight share one read. What Postgres gave goes back to Redis without delaying the
answer, under a lease that was taken before Postgres was asked (`stores.cache`).
"""

import asyncio
import logging
from typing import Literal

import pybreaker

from infra.background import Background
from infra.breaker import Guard
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.errors import CacheUnavailable, SealBroken
from stores.cache import Cache, Lease
from stores.cached import Remembered, remembered
from stores.recent import Recent
from stores.remarks import ReadCounts
from stores.several import LEASE_SECONDS_MAX
from stores.snapshot import SealedSnapshot
from stores.store import Store

Miss = Literal["cold", "unusable", "silent"]
"""Why Redis gave nothing: it has nothing, nothing that can be used, or it does not answer."""

log = logging.getLogger(__name__)


class Misses:
    """Belongs to `stores.reader.FanMemory`, whose guards it calls and whose counts it keeps."""

    def __init__(
        self,
        cache: Cache,
        store: Store,
        keyring: Keyring,
        guards: tuple[Guard, Guard],
        counts: ReadCounts,
        settings: Settings,
    ) -> None:
        self._cache = cache
        self._store = store
        self._keyring = keyring
        self._cache_guard, self._store_guard = guards
        self._counts = counts
        self._fills_max = settings.cache_fills_max
        self._fill_seconds_max = settings.cache_seconds_max
        self.flights: dict[tuple[str, str], asyncio.Task[Remembered | None]] = {}
        """Reads of Postgres that others may share."""
        self.reads: Background[Remembered | None] = Background()
        """Reads of Postgres, under way."""
        self.fills: Background[None] = Background()
        """Writes to Redis, under way."""

    def flight(
        self, creator_id: str, fan_id: str, miss: Miss, share: bool
    ) -> "asyncio.Task[Remembered | None]":
        """A read of Postgres, to be awaited by a shield: whoever began it may hang up without
        taking it from the others, or from the circuit that counts it."""
        key = (creator_id, fan_id)
        flight = self.flights.get(key) if share else None
        if flight is not None:
            self._counts.shared_reads += 1
            return flight
        flight = self.reads.begin(self._fetch(creator_id, fan_id, miss))
        if share:
            self.flights[key] = flight
            flight.add_done_callback(lambda _: self.flights.pop(key, None))
        return flight

    async def _fetch(self, creator_id: str, fan_id: str, miss: Miss) -> Remembered | None:
        self._counts.store_reads += 1
        # Before Postgres is asked: what is pushed from here on ends it.
        lease = None if miss == "silent" else await self._lease(creator_id, fan_id, miss)
        stored = await self._store_guard.call(lambda: self._store.stored(creator_id, fan_id))
        if stored is None:
            return None
        who = creator_id, fan_id
        try:
            found = remembered(stored, who, self._keyring)
        except SealBroken:
            self._counts.seals_broken += 1
            log.exception("a fan's memory does not open for them", extra={"operation": "readStore"})
            raise
        if lease is not None and found is not None:
            self.fill_later(lease, creator_id, fan_id, stored, found.recent)
        return found

    async def _lease(self, creator_id: str, fan_id: str, miss: Miss) -> Lease | None:
        """Nobody waits long for it: without one the next read is a miss too."""
        try:
            async with asyncio.timeout(LEASE_SECONDS_MAX):
                return await self._cache_guard.breaker.call(
                    lambda: self._cache.lease(creator_id, fan_id, unusable=miss == "unusable")
                )
        except (CacheUnavailable, pybreaker.CircuitBreakerError, TimeoutError):
            return None

    def fill_later(
        self, lease: Lease, creator_id: str, fan_id: str, stored: SealedSnapshot, recent: Recent
    ) -> None:
        if len(self.fills) >= self._fills_max:
            self._counts.fills_dropped += 1
            return
        self.fills.begin(self._fill(lease, creator_id, fan_id, stored, recent))

    async def _fill(
        self, lease: Lease, creator_id: str, fan_id: str, stored: SealedSnapshot, recent: Recent
    ) -> None:
        try:
            async with asyncio.timeout(self._fill_seconds_max):
                await self._cache_guard.breaker.call(
                    lambda: self._cache.fill(lease, creator_id, fan_id, stored, recent)
                )
            self._counts.fills += 1
        except (CacheUnavailable, pybreaker.CircuitBreakerError, TimeoutError):
            self._counts.fills_dropped += 1
