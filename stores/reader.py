"""FanMemory: one fan's memory, cache first, Postgres on a miss. What the API and agents read from.

How a read goes:
1. Redis is asked, within its budget. A hit is rendered for now, around messages that are rendered
   already.
2. On a miss, or with Redis unwell, a lease for the fill is taken, then Postgres is asked, within
   its budget (`stores.misses`). Equal misses in flight share one read.
3. What Postgres gave goes back to Redis without delaying the answer. Redis refuses what may be
   stale (`stores.cache`), so a lost or late fill costs latency only.

A read of Redis that takes long is overtaken by one of Postgres (`stores.overtaking`). While
Postgres is down, what is cached still answers, and the rest is `DatabaseUnavailable`. A memory that
can't be read is never said to be empty. Whoever can do without memories asks for `minimal` then,
which says that it has none.

Reading one's own write: `at_least` waits until the views contain what was accepted at a position,
then reads from where that was seen. If Redis says that the position was reached, Redis is read: it
publishes a position after the data. If only Postgres says so, Postgres is read, and not by sharing
a read that began earlier. A read that names no position waits a moment, in the same way, for what
was written to its fan lately (`stores.written`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec

from infra.breaker import Breaker, BreakerStats, Guard, watching
from infra.clock import now_ms
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.context import EngagementScore, MemoryContext
from schemas.errors import (
    CacheUnavailable,
    DatabaseUnavailable,
    DeadlineExceeded,
    FanNotFound,
    InvalidInput,
    SealBroken,
)
from schemas.positions import Position, refused_position
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS, JOURNAL
from stores import wall
from stores.cache import Cache
from stores.cached import Remembered
from stores.misses import Miss, Misses
from stores.overtaking import Overtaking
from stores.percentiles import Ranking
from stores.remarks import Contexts, Degraded, ReadCounts, Remarks
from stores.several import SeveralReader
from stores.store import Store
from stores.written import CACHE_POLL_SECONDS, Source, Written
from views import state as states
from views.context import Beside, minimal_context, render_around, render_score
from views.segments import rank_of

DOUBT_SECONDS: Final = 0.25
"""Who has waited so long for a position asks whether what stands there was refused."""
TURN: Final = 32
"""Contexts of several fans rendered before other requests get the loop: 30 us each."""

log = logging.getLogger(__name__)


class FanMemory:
    """Reads of fans' memory. Belongs to one event loop; `start` it and `close` it there."""

    def __init__(
        self,
        cache: Cache,
        store: Store,
        keyring: Keyring,
        settings: Settings,
        now: Callable[[], int] = now_ms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is the circuits'."""
        self.counts = ReadCounts()
        self._cache = cache
        self._store = store
        self._keyring = keyring
        self._settings = settings
        self._now = now
        self.cache_guard = Guard(
            Breaker(
                "memory-cache",
                failures_max=settings.cache_failures_max,
                window_seconds=settings.cache_window_seconds,
                reset_seconds=settings.cache_reset_seconds,
                clock=clock,
            ),
            CacheUnavailable,
            settings.cache_seconds_max,
        )
        self.store_guard = Guard(
            Breaker(
                "memory-database",
                failures_max=settings.database_failures_max,
                window_seconds=settings.database_window_seconds,
                reset_seconds=settings.database_reset_seconds,
                clock=clock,
            ),
            DatabaseUnavailable,
            settings.database_seconds_max,
        )
        self._overtaking = Overtaking(settings.cache_overtaken_seconds)
        self.written = Written(cache, store, self.cache_guard, self.store_guard)
        guards = self.cache_guard, self.store_guard
        self._misses = Misses(cache, store, keyring, guards, self.counts, settings)
        self._several = SeveralReader(
            cache,
            store,
            keyring,
            guards,
            self._misses.fill_later,
            self.written,
            self._overtaking,
            settings.own_write_seconds_max,
        )
        self._watches: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to ping dependencies whose circuit is open."""
        pings: list[tuple[Breaker, Callable[[], Awaitable[object]]]] = [
            (self.cache_guard.breaker, self._cache.ping),
            (self.store_guard.breaker, self._store.live_generation),
        ]
        for breaker, ping in pings:
            self._watches += watching(breaker, ping, self._settings.ping_seconds)

    async def close(self) -> None:
        """End the background work; the stores belong to the code that opened them."""
        tasks: list[asyncio.Task[Any]] = [*self._watches, *self._misses.fills, *self._misses.reads]
        tasks += [*self._overtaking.again, *self._several.reads]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def breakers(self) -> dict[str, BreakerStats]:
        """`database` and `cache`, as the reference names them."""
        return {
            "database": self.store_guard.breaker.stats(),
            "cache": self.cache_guard.breaker.stats(),
        }

    def statistics(self) -> dict[str, int]:
        return asdict(self.counts) | {
            "cache_retries": self.cache_guard.retries,
            "store_retries": self.store_guard.retries,
        }

    async def context(
        self,
        creator_id: str,
        fan_id: str,
        *,
        at_least: Position | None = None,
        seconds: float | None = None,
    ) -> MemoryContext:
        """The whole memory of a fan, decayed to now.

        Raises `FanNotFound`, `DatabaseUnavailable`, and with `at_least` `DeadlineExceeded` when
        the views have not reached it after `seconds` (default: the request's deadline).
        """
        found = await self.recall(creator_id, fan_id, at_least, seconds)
        return self._render(creator_id, fan_id, found, found.recent.decoded())

    def to_send(self, creator_id: str, fan_id: str, found: Remembered) -> MemoryContext:
        """What was recalled, for whoever encodes it and looks at nothing: its messages and notes
        are JSON already."""
        return self._render(creator_id, fan_id, found, found.recent.json)

    async def contexts_to_send(
        self,
        creator_id: str,
        fan_ids: Sequence[str],
        *,
        own_writes: bool = True,
        strict: bool = True,
    ) -> Contexts:
        """The same of several fans, each named once: by one read of each store, not one per fan.

        Unless `strict`, it has contexts without memories (`minimal`) while both circuits are open.
        Raises nothing.
        """
        read = await self._several.read(creator_id, fan_ids, own_writes=own_writes)
        counts = self.counts
        counts.cache_requests += len(fan_ids)
        counts.cache_overtaken += read.overtaken
        counts.cache_hits += read.hits
        counts.cache_errors += len(fan_ids) if read.silent else len(read.unusable)
        counts.store_reads += read.asked_store
        counts.seals_broken += sum(isinstance(one, SealBroken) for one in read.errors.values())
        contexts: dict[str, msgspec.Struct] = {}
        for number, (fan_id, found) in enumerate(read.found.items(), 1):
            contexts[fan_id] = self.to_send(creator_id, fan_id, found)
            if number % TURN == 0:
                await asyncio.sleep(0)
        degraded: Degraded | None = None
        if read.hits and not self.store_guard.breaker.closed:
            degraded = "cache"
            counts.degraded_cache += read.hits
        for fan_id, error in list(read.errors.items()):
            if isinstance(error, DatabaseUnavailable):
                minimal = self.minimal(creator_id, fan_id, strict=strict)
                if minimal is not None:
                    contexts[fan_id] = minimal
                    del read.errors[fan_id]
                    degraded = "minimal"
        return Contexts(contexts, read.errors, read.pending, degraded)

    async def score(
        self,
        creator_id: str,
        fan_id: str,
        *,
        at_least: Position | None = None,
        seconds: float | None = None,
    ) -> EngagementScore:
        """The engagement score now; raises like `context`."""
        found = await self.recall(creator_id, fan_id, at_least, seconds, messages=False)
        return self.score_of(creator_id, fan_id, found)

    def score_of(
        self, creator_id: str, fan_id: str, found: Remembered, ranking: Ranking | None = None
    ) -> EngagementScore:
        state = states.decode_scored(found.state)
        percentile = (
            msgspec.UNSET if ranking is None else ranking.percentile(rank_of(state.engagement))
        )
        return render_score(creator_id, fan_id, state, self._now(), found.position, percentile)

    async def wait_until(
        self, creator_id: str, fan_id: str, position: Position, seconds: float
    ) -> Source:
        """Wait until the fan's views contain what was accepted at `position`, or what stands there
        in the journal.

        Returns the store that said so: read from that one. Raises `DeadlineExceeded`, and
        `InvalidInput` for what will never be in the views: another fan's, or what was refused.
        """
        if position.topic not in (INTERACTIONS.name, JOURNAL.name):
            raise InvalidInput(
                "minPosition", f"must be a position in {INTERACTIONS.name}, or a version"
            )
        # A little sooner than the request's own deadline, which began earlier.
        seconds -= CACHE_POLL_SECONDS
        doubted = min(seconds, DOUBT_SECONDS)
        sources = await self.written.until(creator_id, {fan_id: position}, doubted)
        if fan_id not in sources:
            await self._refuse_refused((creator_id, fan_id), position)
            sources = await self.written.until(creator_id, {fan_id: position}, seconds - doubted)
        if fan_id not in sources:
            raise DeadlineExceeded("The views have not reached minPosition in time.")
        return sources[fan_id]

    async def _refuse_refused(self, who: Relationship, position: Position) -> None:
        """Raise `InvalidInput` when what was written there was refused since, or is a place in the
        journal where no event of theirs can stand."""
        guard, store = self.store_guard, self._store
        with contextlib.suppress(DatabaseUnavailable):
            if position.topic == JOURNAL.name:
                if await guard.call(lambda: store.partition_of(who)) != position.partition:
                    raise InvalidInput("minPosition", "is not a version of this fan's memory")
                return
            refusal = await guard.call(lambda: store.refusal_at(who, position))
            if refusal is not None:
                raise refused_position("minPosition", refusal.field, refusal.reason)

    async def pending(self, creator_id: str, fan_id: str) -> Position | None:
        """Where what was written to the fan lately stands, if Redis says that it is not in the
        views yet."""
        return (await self._look(creator_id, fan_id, messages=False))[1]

    def _render(
        self,
        creator_id: str,
        fan_id: str,
        found: Remembered,
        beside: Beside,
    ) -> MemoryContext:
        return render_around(
            (creator_id, fan_id),
            states.decode(found.state),
            beside,
            self._now(),
            found.position,
            self._settings.currency,
        )

    async def recall(
        self,
        creator_id: str,
        fan_id: str,
        at_least: Position | None = None,
        seconds: float | None = None,
        *,
        messages: bool = True,
        own_writes: bool = True,
        remarks: Remarks | None = None,
    ) -> Remembered:
        """A fan's memory, not rendered; raises like `context`.

        Without messages, if they are not wanted and Redis knows the fan. Unless `at_least` says
        what to wait for, what was written lately is waited for, if `own_writes`; if that took too
        long the `remarks` say so.
        """
        if not wall.sees(creator_id):
            raise FanNotFound
        source: Source = "cache"
        share = at_least is None
        if at_least is not None:
            if at_least.topic == JOURNAL.name:
                found, _ = await self._look(creator_id, fan_id, messages)
                if isinstance(found, Remembered) and _is_of(found, at_least):
                    self._count(found)
                    self._remark_cached(remarks)
                    return found
            limit = self._settings.request_seconds_max if seconds is None else seconds
            source = await self.wait_until(creator_id, fan_id, at_least, limit)
        miss: Miss = "cold"
        if source == "cache":
            looked = await self._overtaking.soon(lambda: self._look(creator_id, fan_id, messages))
            if looked is None:
                return await self._overtaken(creator_id, fan_id, messages, share, remarks)
            found, pending = looked
            if pending is not None and own_writes and at_least is None:
                share = False  # with a read that began before it was there
                where = await self._own_write(creator_id, fan_id, pending, remarks)
                found = "cold"
                if where != "store":
                    found, _ = await self._look(creator_id, fan_id, messages)
            self._count(found)
            if isinstance(found, Remembered):
                self._remark_cached(remarks)
                return found
            miss = found
        return _known(await asyncio.shield(self._misses.flight(creator_id, fan_id, miss, share)))

    async def _overtaken(
        self,
        creator_id: str,
        fan_id: str,
        messages: bool,
        share: bool,
        remarks: Remarks | None,
    ) -> Remembered:
        """Whichever store answers first, now that Redis has taken too long."""
        self.counts.cache_requests += 1
        self.counts.cache_overtaken += 1
        try:
            flight = self._misses.flight(creator_id, fan_id, "silent", share)
            looked = await self._overtaking.sooner(
                lambda: self._look(creator_id, fan_id, messages), flight
            )
            if looked is not None and isinstance(looked[0], Remembered):
                self.counts.cache_hits += 1
                self._remark_cached(remarks)
                return looked[0]
            return _known(await asyncio.shield(flight))
        finally:
            self._overtaking.release()

    def _remark_cached(self, remarks: Remarks | None) -> None:
        """The cache answers alone while the database's circuit is open: that is to be said."""
        if not self.store_guard.breaker.closed:
            self.counts.degraded_cache += 1
            if remarks is not None:
                remarks.degraded = "cache"

    def minimal(self, creator_id: str, fan_id: str, *, strict: bool) -> MemoryContext | None:
        """What can be said of a fan while nobody remembers anything: a context without memories,
        marked as such. None unless both circuits are open, or if it was not to be said."""
        both_open = not (self.store_guard.breaker.closed or self.cache_guard.breaker.closed)
        if strict or not both_open or self._settings.degraded_reads == "refuse":
            return None
        self.counts.degraded_minimal += 1
        return minimal_context(creator_id, fan_id, self._now())

    async def _own_write(
        self, creator_id: str, fan_id: str, position: Position, remarks: Remarks | None
    ) -> Source | None:
        """Wait a moment for it; None if that was too short."""
        limit = self._settings.own_write_seconds_max
        source = (await self.written.a_moment(creator_id, {fan_id: position}, limit)).get(fan_id)
        if source is None and remarks is not None:
            remarks.pending = position
        return source

    async def _look(
        self, creator_id: str, fan_id: str, messages: bool
    ) -> tuple[Remembered | Miss, Position | None]:
        try:
            found, pending = await self.cache_guard.call(
                lambda: self._cache.look(creator_id, fan_id, messages=messages)
            )
        except CacheUnavailable:
            return "silent", None
        if isinstance(found, SealBroken):
            # Altered, of another release, or of a keyring that this process has not: Postgres has
            # the truth.
            log.warning("a cached memory can't be opened", extra={"operation": "readCache"})
            return "unusable", pending
        return found or "cold", pending

    def _count(self, found: Remembered | Miss) -> None:
        counts = self.counts
        counts.cache_requests += 1
        if isinstance(found, Remembered):
            counts.cache_hits += 1
        elif found != "cold":
            counts.cache_errors += 1


def _is_of(found: Remembered, version: Position) -> bool:
    """Whether a memory is of this version, or a later one of the same fan."""
    return found.partition == version.partition and found.version > version.offset


def _known(stored: Remembered | None) -> Remembered:
    if stored is None:
        raise FanNotFound
    return stored
