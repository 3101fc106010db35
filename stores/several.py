"""Reads of several fans of one creator: one round trip to Redis, one statement for all misses.

Each is one call of its guard, so that a bulk read of a hundred counts as one failure of a store
that is down, and waits for it once. What happens to one fan says nothing about the others: an error
of one stands beside the memories of the rest, and is never mistaken for a fan that is not known.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import pybreaker

from infra.breaker import Guard
from privacy.keys import Keyring
from schemas.errors import CacheUnavailable, DatabaseUnavailable, FanMemoryError, SealBroken
from schemas.positions import Position
from stores.cache import Cache, Lease
from stores.cached import Remembered, remembered
from stores.recent import Recent
from stores.snapshot import SealedSnapshot, open_snapshot
from stores.store import Store
from stores.written import Written

LEASE_SECONDS_MAX: Final = 0.1
"""How long a miss waits for its lease, which takes 0.2 ms."""
TURN: Final = 8
"""Memories of Postgres opened before other requests get the loop: 0.3 ms each."""

FillLater = Callable[[Lease, str, str, SealedSnapshot, Recent], None]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Several:
    """What was found of several fans."""

    found: dict[str, Remembered] = field(default_factory=dict)
    errors: dict[str, FanMemoryError] = field(default_factory=dict)
    hits: int = 0
    pending: dict[str, Position] = field(default_factory=dict)
    """Where something stands that was written lately and is not in what was found."""
    unusable: list[str] = field(default_factory=list)
    """Entries of Redis that could not be opened."""
    silent: bool = False
    """Redis did not answer."""
    asked_store: bool = False


class SeveralReader:
    """Belongs to `stores.reader.FanMemory`, whose guards it calls."""

    def __init__(
        self,
        cache: Cache,
        store: Store,
        keyring: Keyring,
        guards: tuple[Guard, Guard],
        fill_later: FillLater,
        written: Written,
        own_write_seconds_max: float,
    ) -> None:
        self._cache = cache
        self._store = store
        self._keyring = keyring
        self._cache_guard, self._store_guard = guards
        self._fill_later = fill_later
        self._written = written
        self._own_write_seconds_max = own_write_seconds_max

    async def read(
        self, creator_id: str, fan_ids: Sequence[str], *, own_writes: bool = True
    ) -> Several:
        """Fans who are neither in `found` nor in `errors` are not known. `fan_ids`: each once."""
        read = Several()
        pending = await self._from_cache(read, creator_id, fan_ids)
        if pending and own_writes:
            await self._own_writes(read, creator_id, pending)
        read.hits = len(read.found)
        missed = [fan_id for fan_id in fan_ids if fan_id not in read.found]
        if missed:
            await self._from_store(read, creator_id, missed)
        return read

    async def _own_writes(
        self, read: Several, creator_id: str, pending: dict[str, Position]
    ) -> None:
        """Wait a moment for what was written lately, for all of them together."""
        limit = self._own_write_seconds_max
        sources = await self._written.until(creator_id, pending, limit)
        read.pending = {fan: one for fan, one in pending.items() if fan not in sources}
        for fan_id in sources:
            read.found.pop(fan_id, None)
        again = [fan_id for fan_id, source in sources.items() if source == "cache"]
        if again:
            await self._from_cache(read, creator_id, again)

    async def _from_cache(
        self, read: Several, creator_id: str, fan_ids: Sequence[str]
    ) -> dict[str, Position]:
        """Returns of whom something was written lately that is not in what was found."""
        try:
            answers = await self._cache_guard.call(
                lambda: self._cache.look_at_several(creator_id, fan_ids)
            )
        except CacheUnavailable:
            read.silent = True
            return {}
        pending = {}
        for fan_id, looked in zip(fan_ids, answers, strict=True):
            if isinstance(looked.found, Remembered):
                read.found[fan_id] = looked.found
            elif looked.found is not None and fan_id not in read.unusable:
                read.unusable.append(fan_id)
            if looked.pending is not None:
                pending[fan_id] = looked.pending
        return pending

    async def _from_store(self, read: Several, creator_id: str, fan_ids: Sequence[str]) -> None:
        read.asked_store = True
        # Before Postgres is asked: what is pushed from here on ends them.
        leases = {} if read.silent else await self._leases(creator_id, fan_ids, read.unusable)
        try:
            stored = await self._store_guard.call(
                lambda: self._store.stored_several(creator_id, fan_ids)
            )
        except DatabaseUnavailable as error:
            read.errors.update(dict.fromkeys(fan_ids, error))
            return
        for number, (fan_id, of_fan) in enumerate(stored.items(), 1):
            who = creator_id, fan_id
            try:
                sealed = of_fan()
                memory = remembered(sealed, open_snapshot(sealed, who, self._keyring), who)
            except SealBroken as error:
                log.exception(
                    "a fan's memory does not open for them", extra={"operation": "readStore"}
                )
                read.errors[fan_id] = error
                continue
            read.found[fan_id] = memory
            lease = leases.get(fan_id)
            if lease is not None:
                self._fill_later(lease, creator_id, fan_id, sealed, memory.recent)
            if number % TURN == 0:
                await asyncio.sleep(0)

    async def _leases(
        self, creator_id: str, fan_ids: Sequence[str], unusable: Sequence[str]
    ) -> dict[str, Lease | None]:
        """Nobody waits long for them: without one the next read is a miss too."""
        wanted = [(fan_id, fan_id in unusable) for fan_id in fan_ids]
        try:
            async with asyncio.timeout(LEASE_SECONDS_MAX):
                leases = await self._cache_guard.breaker.call(
                    lambda: self._cache.leases(creator_id, wanted)
                )
        except (CacheUnavailable, pybreaker.CircuitBreakerError, TimeoutError):
            return {}
        return dict(zip(fan_ids, leases, strict=True))
