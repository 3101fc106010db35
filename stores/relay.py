"""The relay: publishes the outbox, each topic by itself, in the order of its packs.

One round, in one transaction; what a crash after each step costs is in brackets:

1. Become the topic's one relay: any worker may be it, round by round. [nothing]
2. Read the oldest packs, and the names of those their records are about. [nothing]
3. Publish the records, acknowledged by all. [they are published again]
4. Delete what the broker has, set aside what it will never take; commit. [done]

A round that fails keeps what it knows to be published, waits, and is done again. Nobody waits for
it: the packs grow old, which is said, and those older than the topic's retention are let go of.

A relay that was put to sleep loses its lock (Postgres ends the waiting transaction), and looks at
the clock before it publishes. Only in the instant of sending could it wake up behind a newer one;
readers of a topic have a version to tell.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from infra import kafka
from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.producer import BatchProducer, Delivery, Keyed
from infra.retry import outage, retried, worth_saying
from infra.settings import Settings
from privacy.subjects import Subject, Subjects
from schemas.errors import BrokerUnavailable, DatabaseUnavailable, SealBroken
from schemas.topics import Topic
from stores import outbox

log = logging.getLogger(__name__)

ROUND_BYTES_MAX: Final = 1 << 20
"""About 8,000 memory updates."""
GATHER_SECONDS: Final = 0.02
"""After the first commit that wakes a relay, for more: a round costs a transaction and a request
to the broker, however little it publishes, and no reader of a context waits for it."""
POLL_SECONDS: Final = 1.0
"""For records that a worker has written that died before it woke a relay."""
BUSY_SECONDS: Final = 0.05
"""When another relay is at it, which may have looked before our records were there."""
ROUND_SHARE: Final = 0.5
"""Of the time that Postgres lets a transaction wait (the session): so long may publishing take."""
OLD_SECONDS: Final = 60.0
"""A topic whose records are older needs somebody."""
EXPIRE_SECONDS: Final = 60.0


Place = tuple[int, int]
"""(index of a pack, number of its record) in a round."""


class Relay:
    """Publishes some topics' records; the topics don't wait for each other."""

    def __init__(
        self, settings: Settings, pool: Pool, subjects: Subjects, topics: Sequence[Topic]
    ) -> None:
        self._lanes = {topic.name: _Lane(settings, pool, subjects, topic) for topic in topics}

    def wake(self, topic: str) -> None:
        """There are new records, committed."""
        self._lanes[topic].woken.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        await asyncio.gather(*(lane.run() for lane in self._lanes.values()))

    async def stop(self) -> None:
        for lane in self._lanes.values():
            await lane.producer.stop()


class _Lane:
    """One topic's records and the producer that publishes them."""

    def __init__(self, settings: Settings, pool: Pool, subjects: Subjects, topic: Topic) -> None:
        self.woken = asyncio.Event()
        # Of its own: one that fails is replaced, and the other topics' sends with it.
        self.producer = BatchProducer(settings, f"fanmemory-{topic.name}", topic.compression)
        self._pool = pool
        self._subjects = subjects
        self._topic = topic
        self._backoff = outage(settings.retry_seconds_max)
        self._round_seconds_max = settings.session_seconds * ROUND_SHARE
        self._expired_at = float("-inf")
        self._packed_at = float("-inf")
        self._said_old_at = float("-inf")

    async def run(self) -> None:
        while True:
            await self._sleep(POLL_SECONDS)
            await retried(
                self._publish_all,
                self._backoff,
                on=(BrokerUnavailable, DatabaseUnavailable),
                told=self._waits,
            )

    async def _publish_all(self) -> None:
        pause = BUSY_SECONDS
        while (found := await self._round()) != "nothing":
            if found == "busy":
                await asyncio.sleep(pause)
                pause = min(2 * pause, POLL_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_SECONDS)
        self.woken.clear()

    def _waits(self, attempt: int, error: BaseException) -> None:
        if worth_saying(attempt):
            log.warning(
                "the outbox waits for %s",
                type(error).__name__,
                extra={"topic": self._topic.name, "attempt": attempt},
            )

    async def _round(self) -> Literal["nothing", "busy", "more"]:
        """Publish the oldest packs; "nothing" when then nothing was left."""
        failed: BrokerUnavailable | None = None
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            if not await outbox.lock(connection, self._topic.name):
                return "busy"
            began = time.monotonic()
            await self._expire(connection, began)
            await self._pack_singles(connection, began)
            packs = await outbox.read(connection, self._topic.name, ROUND_BYTES_MAX)
            if not packs:
                return "nothing"
            round = _Round(packs)
            try:
                await self._publish(connection, round, began)
            except BrokerUnavailable as error:
                failed = error
            done, left, refused = round.outcome()
            await outbox.settle(connection, self._topic.name, done, left, refused)
            if refused:
                log.error(
                    "the broker will never take records of the outbox: they are kept there",
                    extra={"topic": self._topic.name, "count": len(refused)},
                )
            if failed is not None:
                await self._say_old(connection, began)
        if failed is not None:
            raise failed
        all_read = len(packs) < outbox.PACKS_MAX and round.bytes < ROUND_BYTES_MAX
        return "nothing" if all_read else "more"

    async def _publish(self, connection: Connection, round: "_Round", began: float) -> None:
        try:
            async with asyncio.timeout(self._round_seconds_max):
                partitions = await self.producer.partitions(self._topic.name)
                locked: dict[bytes, SealBroken] = {}
                subjects = await self._subjects.lookup(connection, round.subjects(), locked)
                round.prepare(subjects, locked, partitions)
                if time.monotonic() - began > self._round_seconds_max:
                    raise BrokerUnavailable("This process was asleep.")
                fail_point("outbox.before_send")
                await self.producer.send(self._topic.name, round.batches, round.delivery)
                fail_point("outbox.after_send")
        except TimeoutError:
            await self.producer.stop()
            raise BrokerUnavailable from None

    async def _expire(self, connection: Connection, now: float) -> None:
        if now - self._expired_at < EXPIRE_SECONDS:
            return
        self._expired_at = now
        expired = await outbox.expire(connection, self._topic.name, self._topic.retention_ms)
        if expired:
            log.error(
                "records of the outbox were never published and are older than their topic keeps",
                extra={"topic": self._topic.name, "count": expired},
            )

    async def _pack_singles(self, connection: Connection, now: float) -> None:
        if now - self._packed_at < POLL_SECONDS:
            return
        if await outbox.pack_singles(connection, self._topic.name):
            self._packed_at = now

    async def _say_old(self, connection: Connection, now: float) -> None:
        if now - self._said_old_at < OLD_SECONDS:
            return
        for one in await outbox.waiting(connection):
            if one.topic == self._topic.name and one.oldest_seconds > OLD_SECONDS:
                self._said_old_at = now
                log.error(
                    "the outbox has not been published for %d s: look at the topic",
                    one.oldest_seconds,
                    extra={"topic": one.topic, "count": one.waiting},
                )


class _Round:
    """The packs of one round, and what becomes of their records."""

    def __init__(self, packs: Sequence[outbox.Pack]) -> None:
        self.batches: dict[int, list[Keyed]] = {}
        self.delivery = Delivery()
        self.bytes = sum(pack.bytes for pack in packs)
        self._packs = packs
        self._places: dict[int, list[Place]] = {}
        self._settled: set[Place] = set()
        """Besides what the delivery tells: records of erased and of locked fans."""
        self._locked: dict[Place, str] = {}
        self._prepared = False

    def subjects(self) -> set[bytes]:
        """Whose names are needed."""
        found = {one.subject for pack in self._packs for one in pack.records}
        return {subject for subject in found if subject is not None}

    def prepare(
        self,
        subjects: Mapping[bytes, Subject],
        locked: Mapping[bytes, SealBroken],
        partitions: int,
    ) -> None:
        """Fill in names; records of erased fans are done with, those of locked ones set aside."""
        for index, pack in enumerate(self._packs):
            for number, one in enumerate(pack.records):
                key, value = one.key, one.value
                if one.subject is not None:
                    subject = subjects.get(one.subject)
                    if subject is None:
                        self._settled.add((index, number))
                        if one.subject in locked:
                            self._locked[index, number] = str(locked[one.subject])
                        continue
                    key, value = outbox.named(value, subject)
                partition = one.partition
                if partition is None or partition >= partitions:
                    partition = kafka.partition_of(key or b"", partitions)
                if partition not in self.batches:
                    self.batches[partition], self._places[partition] = [], []
                self.batches[partition].append((key, value))
                self._places[partition].append((index, number))
        self._prepared = True

    def outcome(
        self,
    ) -> tuple[list[int], dict[int, list[outbox.Packed]], list[tuple[int, outbox.Packed, str]]]:
        """What `outbox.settle` takes."""
        if not self._prepared:
            return [], {}, []
        delivery = self.delivery
        reasons = dict(self._locked)
        for partition, ones in delivery.refused.items():
            reasons |= {self._places[partition][one.place]: one.reason for one in ones}
        refused = [
            (self._packs[index].id, self._packs[index].records[number], reason)
            for (index, number), reason in reasons.items()
        ]
        if all(delivery.settled.get(p, 0) == len(ones) for p, ones in self.batches.items()):
            return [pack.id for pack in self._packs], {}, refused
        settled = set(self._settled)
        for partition, count in delivery.settled.items():
            settled.update(self._places[partition][:count])
        done: list[int] = []
        left: dict[int, list[outbox.Packed]] = {}
        for index, pack in enumerate(self._packs):
            rest = [one for n, one in enumerate(pack.records) if (index, n) not in settled]
            if not rest:
                done.append(pack.id)
            elif len(rest) < len(pack.records):
                left[pack.id] = rest
        return done, left, refused
