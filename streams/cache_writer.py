"""Keeps Redis honest: pushes what was committed, and never vouches for more than was pushed.

For each partition it holds, in this order; what a crash after each step costs is in brackets:

1. Push the fans of a committed batch to the entries that stand where it began. [Redis is behind
   what is committed; the partition's word runs out in seconds, then reads are misses. Whoever
   holds the partition next drops the fans moved since the last publication]
2. Publish: all below this position is pushed. [nothing]

Once a second each publication is repeated, which is what keeps it valid. A publication stands only
in the place of the one before. If another stands there, something has happened to Redis or to us:

- it is one of ours that was not acknowledged, or a former owner's: drop the fans moved since;
- there is none, or it is of another generation, or of another database than ours, or older than
  what we saw acknowledged, or misses an erasure: nothing in Redis can be trusted. A new era;
- the partition is another's by now, says Postgres: let go of it.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.failpoints import fail_point
from infra.postgres import Pool
from privacy.subjects import Subject
from schemas.errors import CacheFull, CacheUnavailable, DatabaseUnavailable
from schemas.journal import JournalEntry
from stores import missed
from stores.cache import Cache, Published, Pushed, new_number
from stores.folding import Folded
from stores.positions import Batch, Held, Positions
from stores.snapshot import Fragment
from views import facts

log = logging.getLogger(__name__)

CACHE_PAUSE_SECONDS: Final = 1.0
"""After Redis failed, how long no batch waits for it."""
MISSED_FANS_MAX: Final = 100_000
"""More fans than this are not dropped from the cache one by one: all are."""
OWNERS_SECONDS_MAX: Final = 1.0
"""How long a refresh waits for Postgres, which may hang: the cache must not run out with it."""


@dataclass(slots=True)
class _Vouched:
    """One partition that we hold, and what was said of it."""

    epoch: int
    claimed: int
    """Where Postgres stood when we claimed it, or read it again in doubt."""
    committed: int
    erasures: int
    sources: dict[int, int]
    acknowledged: bytes | None = None
    """The number of our last publication that Redis has acknowledged."""
    attempted: set[bytes] = field(default_factory=set)
    """Those after it whose answer was lost."""
    highest: int = 0
    """The highest position that we published."""
    behind: bool = True
    """Something may be committed that was neither pushed nor dropped."""

    def is_ours(self, number: bytes) -> bool:
        return number == self.acknowledged or number in self.attempted


class CacheWriter:
    """Belongs to one event loop. Never raises for Redis or Postgres: what could not be done now is
    done when both answer."""

    def __init__(self, pool: Pool, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache
        self._generation = 0
        self._held: dict[int, _Vouched] = {}
        self._asking: asyncio.Task[dict[int, int]] | None = None
        self._not_before = 0.0
        self._lock = asyncio.Lock()

    async def doubt(self, positions: Positions) -> None:
        """Until checked, assume that something was committed and not pushed."""
        async with self._lock:
            self._asking = None  # what it is told is older than this
            former = self._held if positions.generation == self._generation else {}
            self._generation = positions.generation
            self._held = {
                partition: _doubted(one, former.get(partition))
                for partition, one in positions.held.items()
            }

    async def start_over(self, positions: Positions) -> None:
        """Views went back: what Redis has may be newer than they are, so all of it goes."""
        async with self._lock:
            try:
                await self._cache.drop_all()
            except CacheUnavailable as error:
                log.warning("the cache keeps views that went back: %s", type(error).__name__)
        await self.doubt(positions)

    def know_erasures(self, erased: Mapping[int, int]) -> None:
        """Of these partitions more fans were erased than we knew; `stores.erasing` drops them."""
        for partition, erasures in erased.items():
            if partition in self._held:
                self._held[partition].erasures = erasures

    async def push(
        self,
        batches: Sequence[Batch],
        folded: Sequence[Folded],
        subjects: dict[bytes, Subject],
        sources: dict[int, dict[int, int]],
    ) -> None:
        """Bring Redis to what was just committed."""
        async with self._lock:
            touched = []
            for batch in batches:
                # A partition may have been taken from us since: its next owner publishes.
                one = self._held.get(batch.partition)
                if one is None:
                    continue
                touched.append(batch.partition)
                one.committed = batch.until
                if batch.records:
                    one.sources = sources[batch.partition]
            if time.monotonic() < self._not_before:
                self._doubt(touched)
                return
            try:
                await self._bring([(fan, subjects[fan.subject]) for fan in folded])
                fail_point("projection.after_push")
                for partition in touched:
                    await self._vouch(partition)
                fail_point("projection.after_publish")
            except (CacheUnavailable, DatabaseUnavailable) as error:
                self._failed(touched, error)

    async def refresh(self) -> None:
        """Repeat what is said of every partition that is still ours."""
        if time.monotonic() < self._not_before:
            return
        await self._ask_owners()  # before the lock: no batch waits behind it for Postgres
        async with self._lock:
            if time.monotonic() < self._not_before:
                return
            self._let_go()
            try:
                for partition in sorted(self._held):
                    await self._vouch(partition)
            except (CacheUnavailable, DatabaseUnavailable) as error:
                self._failed(list(self._held), error)

    async def _bring(self, fans: Sequence[tuple[Folded, Subject]]) -> None:
        """Who was folded again may have other messages than what stands here plus the new ones, and
        which notes and facts are shown can't be said of new ones alone."""
        pushed, again = [], []
        for fan, of in fans:
            if fan.shown is not None or any(_is_beside(one.entry) for one in fan.opened):
                again.append((of.creator_id, of.fan_id))
            else:
                pushed.append(_pushed(fan, of))
        if again:
            await self._cache.drop(again)
        await self._push(pushed)

    async def _push(self, moves: Sequence[Pushed]) -> None:
        try:
            await self._cache.push(self._generation, moves)
        except CacheFull:
            # Full, and it evicts nothing: what can't be brought up to date is taken away.
            await self._cache.drop([(move.creator_id, move.fan_id) for move in moves])

    async def _vouch(self, partition: int) -> None:
        one = self._held[partition]
        if not one.behind and await self._publish(partition, one, one.acknowledged):
            return
        one.behind = True
        await self._catch_up(partition, one)

    async def _catch_up(self, partition: int, one: _Vouched) -> None:
        """Drop what was committed but maybe not pushed, this partition's newest batch included."""
        found = await self._cache.published(partition)
        if found is not None and one.is_ours(found.number) and found.next == one.committed:
            pass  # nothing was committed since, so nothing can be missed
        else:
            if not await self._is_owner(partition, one):
                del self._held[partition]
                return
            await self._drop_missed(partition, one, found)
        if await self._publish(partition, one, found and found.number):
            one.behind = False

    async def _drop_missed(self, partition: int, one: _Vouched, found: Published | None) -> None:
        if found is None or not self._can_be_trusted(one, found):
            log.warning("the whole cache is dropped", extra={"partition": partition})
            await self._cache.drop_all()
            return
        fans = await missed.folded_since(
            self._pool, partition, found.next, limit=MISSED_FANS_MAX + 1
        )
        if len(fans) > MISSED_FANS_MAX:
            await self._cache.drop_all()
        else:
            await self._cache.drop(fans)

    def _can_be_trusted(self, one: _Vouched, found: Published) -> bool:
        """Whether Redis holds nothing but what was true at `found.next`."""
        if found.generation != self._generation:
            return False
        if one.is_ours(found.number):
            return True
        # A former owner's. Redis has gone back if we have spoken since; Postgres has gone back if
        # it was further than where we began. An erasure is not among what moved since.
        return (
            one.acknowledged is None
            and found.next <= one.claimed
            and found.erasures == one.erasures
        )

    async def _publish(self, partition: int, one: _Vouched, expected: bytes | None) -> bool:
        number = new_number()
        one.attempted.add(number)
        one.highest = max(one.highest, one.committed)
        said = Published(
            partition, self._generation, one.committed, one.erasures, number, one.sources
        )
        if not await self._cache.publish(said, expected):
            return False
        one.acknowledged = number
        one.attempted.clear()
        return True

    async def _is_owner(self, partition: int, one: _Vouched) -> bool:
        epochs = await missed.owners(self._pool, self._generation, [partition])
        return epochs.get(partition) == one.epoch

    async def _ask_owners(self) -> None:
        """Ask Postgres whose the partitions are, and wait for it a while."""
        if not self._held:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(
                missed.owners(self._pool, self._generation, list(self._held))
            )
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        await asyncio.wait({self._asking}, timeout=OWNERS_SECONDS_MAX)

    def _let_go(self) -> None:
        """Of what Postgres says is another's: its owner speaks for it, or no worker does.

        While Postgres does not answer, no worker commits, so what is cached stays true; and it is
        all that readers have.
        """
        asked = self._asking
        if asked is None or not asked.done():
            return
        self._asking = None
        if asked.cancelled() or isinstance(asked.exception(), DatabaseUnavailable):
            return
        epochs = asked.result()
        for partition, one in list(self._held.items()):
            if epochs.get(partition) != one.epoch:
                del self._held[partition]

    def _doubt(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            if partition in self._held:
                self._held[partition].behind = True

    def _failed(self, partitions: Sequence[int], error: Exception) -> None:
        self._doubt(partitions)
        self._not_before = time.monotonic() + CACHE_PAUSE_SECONDS
        log.warning("the cache misses moves, to be dropped later: %s", type(error).__name__)


def _doubted(held: Held, former: _Vouched | None) -> _Vouched:
    one = _Vouched(held.epoch, held.next, held.next, held.erasures, dict(held.sources))
    # Were we further than Postgres is, it has gone back: then even our own word is not trusted.
    if former is not None and former.epoch == held.epoch and former.highest <= held.next:
        one.acknowledged, one.attempted = former.acknowledged, former.attempted
        one.highest = former.highest
    return one


def _is_beside(entry: JournalEntry) -> bool:
    return entry.kind == "note" or facts.tells(entry)


def _pushed(fan: Folded, subject: Subject) -> Pushed:
    fragments = [
        Fragment(one.entry.time, one.offset, one.event_key, one.body)
        for one in fan.opened
        if one.entry.kind == "message"
    ]
    return Pushed(
        subject.creator_id,
        subject.fan_id,
        fan.opened[-1].partition,
        fan.base,
        fan.version,
        subject.id,
        subject.cipher,
        fan.document,
        fragments,
    )
