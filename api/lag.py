"""How far the views are behind the log: each partition's position, lag and oldest unread record.

Positions come from Postgres, ends and times of records from the brokers, through a consumer that
belongs to no group and commits nothing; the cache is pinged beside it. Answers are kept
`KEEP_SECONDS`, so that a scrape, a probe and a dashboard together cost one look, and as many probes
as anybody likes ask none of the services more often.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from infra import kafka
from infra.kafka import KafkaError, TopicPartition
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, CacheUnavailable, DatabaseUnavailable
from schemas.topics import INTERACTIONS, JOURNAL
from stores.cache import Cache
from stores.log_breaks import Lost
from stores.outbox import Waiting
from stores.store import PartitionStatus, Store
from stores.tally import COUNTERS

KEEP_SECONDS: Final = 1.0
OUTCOMES: Final = ("accepted", "dead_letters", "suppressed", "control", *COUNTERS)
LOOK_SECONDS_MAX: Final = 1.5
"""For Postgres, and again for the brokers: a probe is answered before the request's deadline."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition as the views stand to it."""

    topic: str
    partition: int
    position: int
    """Next offset to be read."""
    end: int | None
    """Next offset to be written; None while the broker does not answer."""
    lag: int | None
    """Records not yet read. Below 0 the log ends before the position: it lost its tail."""
    oldestUnprojectedSeconds: float | None  # noqa: N815 (a field of the JSON)
    """Age of the record at `position`; 0 without lag; None when unknown."""
    stopped: bool = False
    """Whether it waits for its operator, since its log lacks something."""


@dataclass(frozen=True, slots=True)
class PipelineState:
    """How far behind the views were at one moment; `database`, `cache`, `broker`: whether they
    answered."""

    partitions: tuple[PartitionLag, ...]
    database: bool
    cache: bool
    broker: bool
    stopped: tuple[Lost, ...] = ()
    """Partitions that wait for their operator."""
    outbox: tuple[Waiting, ...] = ()
    """What is not yet told on other topics; nothing waits for it."""
    events: Mapping[str, int] = field(default_factory=dict)
    """What became of the events, by counter of the position rows; nothing without the database."""
    letters: Mapping[str, int] = field(default_factory=dict)
    """Dead letters by the class of their reason."""

    @property
    def alarms(self) -> list[str]:
        """What is wrong with the logs, in words; empty when nothing is."""
        waiting = {(lost.topic, lost.partition) for lost in self.stopped}
        return [f"{lost}. {lost.advice}" for lost in self.stopped] + [
            f"{part.topic}-{part.partition}: the log ends before the position, by {-part.lag}"
            for part in self.partitions
            if part.lag is not None and part.lag < 0
            if (part.topic, part.partition) not in waiting
        ]


class LagReader:
    """Looks at most once per `KEEP_SECONDS`; those who ask at the same time share one look."""

    def __init__(self, settings: Settings, store: Store, cache: Cache) -> None:
        self._settings = settings
        self._store = store
        self._cache = cache
        self._consumer: Any = None
        self._looking: asyncio.Task[PipelineState] | None = None
        self._looked_at = float("-inf")
        self.latest = PipelineState((), database=False, cache=False, broker=False)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        await self._disconnect()

    async def look(self) -> PipelineState:
        """The present state; never raises because something is down."""
        if time.monotonic() - self._looked_at < KEEP_SECONDS:
            return self.latest
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> PipelineState:
        state, cache = await asyncio.gather(self._look_at_logs(), self._cache_answers())
        self.latest = replace(state, cache=cache)
        self._looked_at = time.monotonic()
        return self.latest

    async def _look_at_logs(self) -> PipelineState:
        """All but the cache."""
        statuses: list[PartitionStatus] | None = None
        stopped: tuple[Lost, ...] = ()
        untold: tuple[Waiting, ...] = ()
        letters: dict[str, int] = {}
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                statuses = await self._store.positions()
                stopped = tuple(await self._store.stopped())
                untold = tuple(await self._store.untold())
                letters = await self._store.dead_letters()
        except (DatabaseUnavailable, TimeoutError):
            pass
        parts: tuple[PartitionLag, ...] = ()
        broker = True
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                parts = await self._measure(statuses or [])
        except (BrokerUnavailable, TimeoutError):
            broker = False
            await self._disconnect()
            parts = tuple(
                PartitionLag(s.topic, s.partition, s.next, None, None, None) for s in statuses or ()
            )
        waiting = {(lost.topic, lost.partition) for lost in stopped}
        parts = tuple(
            replace(part, stopped=(part.topic, part.partition) in waiting) for part in parts
        )
        events = {
            name: sum(getattr(status, name) for status in statuses or ())
            for name in OUTCOMES
            if statuses
        }
        return PipelineState(
            parts, statuses is not None, False, broker, stopped, untold, events, letters
        )

    async def _cache_answers(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                await self._cache.ping()
        except (CacheUnavailable, TimeoutError):
            return False
        return True

    async def _measure(self, statuses: list[PartitionStatus]) -> tuple[PartitionLag, ...]:
        consumer = await self._connected()
        try:
            cluster = await consumer._client.fetch_all_metadata()
            # A partition that no worker has claimed yet stands at its beginning.
            wanted = {
                TopicPartition(topic.name, partition): 0
                for topic in (INTERACTIONS, JOURNAL)
                for partition in sorted(
                    cluster.partitions_for_topic(kafka.named(self._settings, topic.name)) or ()
                )
            }
            for status in statuses:
                wanted[TopicPartition(status.topic, status.partition)] = status.next
            ends = await consumer.end_offsets(list(wanted))
            oldest = await self._oldest(consumer, wanted, ends)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable from error
        found = []
        for place, next in wanted.items():
            end = ends[place]
            age = oldest.get(place) if end > next else 0.0
            found.append(PartitionLag(place.topic, place.partition, next, end, end - next, age))
        return tuple(found)

    async def _oldest(
        self,
        consumer: Any,
        wanted: dict[TopicPartition, int],
        ends: dict[TopicPartition, int],
    ) -> dict[TopicPartition, float]:
        """Age in seconds of the first unread record of each partition that has one."""
        behind = [place for place, next in wanted.items() if ends[place] > next]
        consumer.assign(behind)
        if not behind:
            return {}
        for place in behind:
            consumer.seek(place, wanted[place])
        found: dict[TopicPartition, float] = {}
        now = time.time()
        for place in behind:
            records = await consumer.getmany(place, timeout_ms=200, max_records=1)
            for record in records.get(place, ()):
                found[place] = max(0.0, now - record.timestamp / 1000)
        consumer.assign([])
        return found

    async def _connected(self) -> Any:
        if self._consumer is None:
            consumer = kafka.reader(
                self._settings,
                client_id="fanmemory-api-lag",
                auto_offset_reset="earliest",
                request_timeout_ms=5_000,
                max_partition_fetch_bytes=65_536,
                fetch_max_wait_ms=100,
            )
            await kafka.connect(consumer)
            self._consumer = consumer
        return self._consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await kafka.disconnect(consumer)
