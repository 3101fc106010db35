"""The relay: publishes the outbox, each topic by itself, in the order of its rows.

One round, in one transaction; what a crash after each step costs is in brackets:

1. Become the topic's one relay: any worker may be it, round by round. [nothing]
2. Read the oldest rows, and the names of those they are about. [nothing]
3. Publish them, acknowledged by all. [they are published again]
4. Delete what the broker has, mark what it will never take; commit. [done]

A round that fails keeps what it knows to be published, waits, and is done again. Nobody waits for
it: the rows grow old, which is said, and those older than the topic's retention are let go of.

A relay that was put to sleep loses its lock (Postgres ends the waiting transaction), and looks at
the clock before it publishes. Only in the instant of sending could it wake up behind a newer one;
readers of a topic have a version to tell.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from infra import kafka
from infra.failpoints import fail_point
from infra.postgres import database_errors
from infra.producer import BatchProducer, Delivery, Keyed
from infra.retry import outage, retried, worth_saying
from infra.settings import Settings
from privacy.subjects import Subjects
from schemas.errors import BrokerUnavailable, DatabaseUnavailable, SealBroken
from schemas.topics import Topic
from stores import outbox

log = logging.getLogger(__name__)

ROWS_MAX: Final = 4_000
"""Of one round: about 1 MB of memory updates."""
POLL_SECONDS: Final = 1.0
"""For rows that a worker has written that died before it woke a relay."""
BUSY_SECONDS: Final = 0.05
"""When another relay is at it, which may have looked before our rows were there."""
ROUND_SHARE: Final = 0.5
"""Of the time that Postgres lets a transaction wait (the session): so long may publishing take."""
OLD_SECONDS: Final = 60.0
"""A topic whose rows are older needs somebody."""
EXPIRE_SECONDS: Final = 60.0


class Relay:
    """Publishes some topics' rows; the topics don't wait for each other."""

    def __init__(
        self, settings: Settings, pool: Any, subjects: Subjects, topics: Sequence[Topic]
    ) -> None:
        self._lanes = {topic.name: _Lane(settings, pool, subjects, topic) for topic in topics}

    def wake(self, topic: str) -> None:
        """There are new rows, committed."""
        self._lanes[topic].woken.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        await asyncio.gather(*(lane.run() for lane in self._lanes.values()))

    async def stop(self) -> None:
        for lane in self._lanes.values():
            await lane.producer.stop()


class _Lane:
    """One topic's rows and the producer that publishes them."""

    def __init__(self, settings: Settings, pool: Any, subjects: Subjects, topic: Topic) -> None:
        self.woken = asyncio.Event()
        # Of its own: one that fails is replaced, and the other topics' sends with it.
        self.producer = BatchProducer(settings, f"fanmemory-{topic.name}")
        self._pool = pool
        self._subjects = subjects
        self._topic = topic
        self._backoff = outage(settings.retry_seconds_max)
        self._round_seconds_max = settings.session_seconds * ROUND_SHARE
        self._expired_at = float("-inf")
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
            pass
        self.woken.clear()

    def _waits(self, attempt: int, error: BaseException) -> None:
        if worth_saying(attempt):
            log.warning(
                "the outbox waits for %s",
                type(error).__name__,
                extra={"topic": self._topic.name, "attempt": attempt},
            )

    async def _round(self) -> Literal["nothing", "busy", "more"]:
        """Publish the oldest rows."""
        failed: BrokerUnavailable | None = None
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            if not await outbox.lock(connection, self._topic.name):
                return "busy"
            began = time.monotonic()
            await self._expire(connection, began)
            rows = await outbox.read(connection, self._topic.name, ROWS_MAX)
            if not rows:
                return "nothing"
            round = _Round(rows)
            try:
                await self._publish(connection, round, began)
            except BrokerUnavailable as error:
                failed = error
            published, refused = round.outcome()
            await outbox.delete(connection, self._topic.name, published)
            await outbox.refuse(connection, self._topic.name, refused)
            if refused:
                log.error(
                    "the broker will never take records of the outbox: they are kept there",
                    extra={"topic": self._topic.name, "count": len(refused)},
                )
            if failed is not None:
                await self._say_old(connection, began)
        if failed is not None:
            raise failed
        return "more"

    async def _publish(self, connection: Any, round: "_Round", began: float) -> None:
        try:
            async with asyncio.timeout(self._round_seconds_max):
                partitions = await self.producer.partitions(self._topic.name)
                locked: dict[bytes, SealBroken] = {}
                ids = {row["subject"] for row in round.rows if row["subject"] is not None}
                subjects = await self._subjects.lookup(connection, ids, locked)
                round.prepare(subjects, locked, partitions)
                if time.monotonic() - began > self._round_seconds_max:
                    raise BrokerUnavailable("This process was asleep.")
                fail_point("outbox.before_send")
                await self.producer.send(self._topic.name, round.batches, round.delivery)
                fail_point("outbox.after_send")
        except TimeoutError:
            await self.producer.stop()
            raise BrokerUnavailable from None

    async def _expire(self, connection: Any, now: float) -> None:
        if now - self._expired_at < EXPIRE_SECONDS:
            return
        self._expired_at = now
        expired = await outbox.expire(connection, self._topic.name, self._topic.retention_ms)
        if expired:
            log.error(
                "records of the outbox were never published and are older than their topic keeps",
                extra={"topic": self._topic.name, "count": expired},
            )

    async def _say_old(self, connection: Any, now: float) -> None:
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
    """The rows of one round, and what becomes of them."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows
        self.batches: dict[int, list[Keyed]] = {}
        self.delivery = Delivery()
        self._ids: dict[int, list[int]] = {}
        self._forgotten: list[int] = []
        self._locked: dict[int, str] = {}

    def prepare(
        self,
        subjects: Mapping[bytes, Any],
        locked: Mapping[bytes, SealBroken],
        partitions: int,
    ) -> None:
        """Fill in names; rows of erased fans are done with, those of locked ones passed over."""
        for row in self.rows:
            key, value, subject = row["key"], row["value"], row["subject"]
            if subject is not None:
                if subject in locked:
                    self._locked[row["id"]] = str(locked[subject])
                    continue
                if subject not in subjects:
                    self._forgotten.append(row["id"])
                    continue
                key, value = outbox.named(value, subjects[subject])
            partition = row["partition"]
            if partition is None or partition >= partitions:
                partition = kafka.partition_of(key or b"", partitions)
            self.batches.setdefault(partition, []).append((key, value))
            self._ids.setdefault(partition, []).append(row["id"])

    def outcome(self) -> tuple[list[int], dict[int, str]]:
        """Ids that are done with, and why others never will be."""
        refused = dict(self._locked)
        for partition, ones in self.delivery.refused.items():
            refused |= {self._ids[partition][one.place]: one.reason for one in ones}
        published = [
            id
            for partition, settled in self.delivery.settled.items()
            for id in self._ids[partition][:settled]
            if id not in refused
        ]
        return published + self._forgotten, refused
