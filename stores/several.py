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

from infra.background import Background
from infra.breaker import Guard
from privacy.keys import Keyring
from schemas.errors import CacheUnavailable, DatabaseUnavailable, FanMemoryError, SealBroken
from schemas.positions import Position
from stores import wall
from stores.cache import Cache, Lease, Looked
from stores.cached import Remembered, remembered
from stores.overtaking import Overtaking
from stores.recent import Recent
from stores.snapshot import SealedSnapshot
from stores.store import Store
from stores.written import Written

LEASE_SECONDS_MAX: Final = 0.1
"""How long a miss waits for its lease, which takes 0.2 ms."""
TURN: Final = 8
"""Memories of Postgres opened before other requests get the loop: 0.3 ms each."""

Stored = dict[str, Callable[[], SealedSnapshot]]
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
    overtaken: int = 0
    """Fans for whom Redis took too long."""
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
        overtaking: Overtaking,
        own_write_seconds_max: float,
    ) -> None:
        self._cache = cache
        self._store = store
        self._keyring = keyring
        self._cache_guard, self._store_guard = guards
        self._fill_later = fill_later
        self._written = written
        self._overtaking = overtaking
        self._own_write_seconds_max = own_write_seconds_max
        self.reads: Background[Stored] = Background()
        """Of Postgres, under way."""

    async def read(
        self, creator_id: str, fan_ids: Sequence[str], *, own_writes: bool = True
    ) -> Several:
        """Fans who are neither in `found` nor in `errors` are not known. `fan_ids`: each once."""
        read = Several()
        if not wall.sees(creator_id):
            return read
        looked = await self._overtaking.soon(lambda: self._look(creator_id, fan_ids))
        if looked is None:
            await self._overtaken(read, creator_id, fan_ids)
            return read
        pending = self._sort(read, fan_ids, looked)
        if pending and own_writes:
            await self._own_writes(read, creator_id, pending)
        read.hits = len(read.found)
        missed = _missed(read, fan_ids)
        if missed:
            # Before Postgres is asked: what is pushed from here on ends them.
            leases = {} if read.silent else await self._leases(creator_id, missed, read.unusable)
            await self._take(read, creator_id, missed, self._fetch(creator_id, missed), leases)
        return read

    async def _overtaken(self, read: Several, creator_id: str, fan_ids: Sequence[str]) -> None:
        """Whichever store answers first, now that Redis has taken too long."""
        read.overtaken = len(fan_ids)
        try:
            fetching = self._fetch(creator_id, fan_ids)
            looked = await self._overtaking.sooner(
                lambda: self._look(creator_id, fan_ids), fetching
            )
            if looked is not None:
                self._sort(read, fan_ids, looked)
                read.hits = len(read.found)
            missed = _missed(read, fan_ids)
            if missed:
                await self._take(read, creator_id, missed, fetching, {})
        finally:
            self._overtaking.release()

    async def _own_writes(
        self, read: Several, creator_id: str, pending: dict[str, Position]
    ) -> None:
        """Wait a moment for what was written lately, for all of them together."""
        limit = self._own_write_seconds_max
        sources = await self._written.a_moment(creator_id, pending, limit)
        read.pending = {fan: one for fan, one in pending.items() if fan not in sources}
        for fan_id in sources:
            read.found.pop(fan_id, None)
        again = [fan_id for fan_id, source in sources.items() if source == "cache"]
        if again:
            self._sort(read, again, await self._look(creator_id, again))

    async def _look(self, creator_id: str, fan_ids: Sequence[str]) -> "Sequence[Looked]":
        """Of each of them; nothing at all when Redis does not answer."""
        try:
            return await self._cache_guard.call(
                lambda: self._cache.look_at_several(creator_id, fan_ids)
            )
        except CacheUnavailable:
            return ()

    def _sort(
        self, read: Several, fan_ids: Sequence[str], answers: Sequence[Looked]
    ) -> dict[str, Position]:
        """Returns of whom something was written lately that is not in what was found."""
        pending = {}
        read.silent = not answers
        for fan_id, looked in zip(fan_ids, answers, strict=False):
            if isinstance(looked.found, Remembered):
                read.found[fan_id] = looked.found
            elif looked.found is not None and fan_id not in read.unusable:
                read.unusable.append(fan_id)
            if looked.pending is not None:
                pending[fan_id] = looked.pending
        return pending

    def _fetch(self, creator_id: str, fan_ids: Sequence[str]) -> "asyncio.Task[Stored]":
        """A read of Postgres that goes on, and is counted, if the client hangs up."""

        async def fetch() -> Stored:
            return await self._store_guard.call(
                lambda: self._store.stored_several(creator_id, fan_ids)
            )

        return self.reads.begin(fetch())

    async def _take(
        self,
        read: Several,
        creator_id: str,
        fan_ids: Sequence[str],
        fetching: "asyncio.Task[Stored]",
        leases: dict[str, Lease | None],
    ) -> None:
        """What Postgres has of these."""
        read.asked_store = True
        try:
            stored = await asyncio.shield(fetching)
        except DatabaseUnavailable as error:
            read.errors.update(dict.fromkeys(fan_ids, error))
            return
        wanted = set(fan_ids)
        for number, (fan_id, of_fan) in enumerate(stored.items(), 1):
            if fan_id not in wanted:
                continue
            who = creator_id, fan_id
            try:
                sealed = of_fan()
                memory = remembered(sealed, who, self._keyring)
            except SealBroken as error:
                log.exception(
                    "a fan's memory does not open for them", extra={"operation": "readStore"}
                )
                read.errors[fan_id] = error
                continue
            if memory is None:
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


def _missed(read: Several, fan_ids: Sequence[str]) -> list[str]:
    return [fan_id for fan_id in fan_ids if fan_id not in read.found]
