"""Written: where the newest writes stand, and waiting until the views contain them.

A write leaves its position in Redis for its fan's readers, who are told of it in the same call that
reads the fan. So they can wait for it, although they know nothing of it. That is as good as Redis
is: while it is away, or has dropped the position, nobody waits. A reader who has to be sure names
the position (`minPosition`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import pybreaker

from infra.breaker import Guard
from infra.deadlines import Deadlines
from schemas.errors import CacheUnavailable, DatabaseUnavailable
from schemas.positions import Position
from schemas.relationship import Relationship
from stores.cache import Cache
from stores.store import Store

CACHE_POLL_SECONDS: Final = 0.01
STORE_POLL_SECONDS: Final = 0.05
"""Postgres is asked five times more rarely than Redis: its answer costs five times more."""
LEFT_SECONDS: Final = 10.0
"""How long readers are told of a write; it is normally in the views after some 20 ms."""
LEAVE_SECONDS_MAX: Final = 0.05
"""How long a write waits for Redis, which takes 0.2 ms."""

MOMENTS_MAX: Final = 64
"""Reads that wait for what they know nothing of. While the views lag behind for long, each asks
Redis 30 times and Postgres 6 times in vain: more than so many at once don't wait."""

Source = Literal["cache", "store"]


class Written:
    """Belongs to one event loop, and to `stores.reader.FanMemory`, whose guards it calls."""

    def __init__(self, cache: Cache, store: Store, cache_guard: Guard, store_guard: Guard) -> None:
        self._cache = cache
        self._store = store
        self._cache_guard = cache_guard
        self._store_guard = store_guard
        self._leaving = Deadlines(LEAVE_SECONDS_MAX)
        self._moments = 0

    async def leave(self, writes: Sequence[tuple[Relationship, Position]]) -> bool:
        """Tell the readers of these fans; False when Redis has not taken it. Raises nothing."""
        if not writes:
            return True
        try:
            with self._leaving.limit():
                await self._cache_guard.breaker.call(
                    lambda: self._cache.written(writes, LEFT_SECONDS)
                )
        except (CacheUnavailable, pybreaker.CircuitBreakerError, TimeoutError):
            return False
        return True

    async def a_moment(
        self, creator_id: str, positions: Mapping[str, Position], seconds: float
    ) -> dict[str, Source]:
        """The same as `until`, for whoever can do without; not at all if too many wait."""
        if self._moments >= MOMENTS_MAX:
            return {}
        self._moments += 1
        try:
            return await self.until(creator_id, positions, seconds)
        finally:
            self._moments -= 1

    async def until(
        self, creator_id: str, positions: Mapping[str, Position], seconds: float
    ) -> dict[str, Source]:
        """Wait until the views of each of these fans contain what was accepted at its position.

        Returns, of those that do within `seconds`, the store that said so: read from that one.
        """
        found: dict[str, Source] = {}
        try:
            async with asyncio.timeout(seconds):
                await self._poll(creator_id, dict(positions), found)
        except TimeoutError:
            return found
        return found

    async def _poll(
        self, creator_id: str, left: dict[str, Position], found: dict[str, Source]
    ) -> None:
        clock = asyncio.get_running_loop().time
        ask_store_at = 0.0
        behind = False
        while True:
            doubted = []
            for fan_id, known in (await self._cache_reached(creator_id, left)).items():
                if known:
                    found[fan_id] = "cache"
                    del left[fan_id]
                elif known is None or behind:
                    # The cache can't tell, or has been behind for a while.
                    doubted.append(fan_id)
            if not behind and not doubted:
                ask_store_at = clock() + STORE_POLL_SECONDS
            behind = True
            if doubted and clock() >= ask_store_at:
                asked = {fan_id: left[fan_id] for fan_id in doubted}
                for fan_id in await self._store_reached(creator_id, asked):
                    found[fan_id] = "store"
                    del left[fan_id]
                ask_store_at = clock() + STORE_POLL_SECONDS
            if not left:
                return
            await asyncio.sleep(CACHE_POLL_SECONDS)

    async def _cache_reached(
        self, creator_id: str, positions: Mapping[str, Position]
    ) -> dict[str, bool | None]:
        try:
            known = await self._cache_guard.call(
                lambda: self._cache.reached_several(creator_id, positions)
            )
        except CacheUnavailable:
            return dict.fromkeys(positions)
        return dict(zip(positions, known, strict=True))

    async def _store_reached(
        self, creator_id: str, positions: Mapping[str, Position]
    ) -> Sequence[str]:
        try:
            return await self._store_guard.call(
                lambda: self._store.reached_several(creator_id, positions)
            )
        except DatabaseUnavailable:
            return ()  # it may be back before the deadline
