"""Reading a topic from its beginning, apart from any worker: what verify and rebuild share.

Mostly the journal; verify reads the other topics in the same way. No consumer group, no commits:
the caller says from where to where.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from infra.kafka import (
    KNOWN_END_WAIT_MS,
    KafkaError,
    OffsetOutOfRangeError,
    TopicPartition,
    admin,
    named,
    reading,
)
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, DataLost, Misconfigured
from schemas.topics import JOURNAL

FETCH_BYTES: Final = 4_194_304
"""Of one partition in one answer: large, since no one waits for the first record."""
FETCH_RECORDS: Final = 10_000
SILENT_SECONDS_MAX: Final = 30.0
"""So long without a record that must be there: the broker is away."""


class Raw(NamedTuple):
    """One record as Kafka has it."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int = 0
    """Kafka's, ms; 0 where it is not needed."""
    headers: tuple[tuple[str, bytes], ...] = ()


class Bounds(NamedTuple):
    """The offsets of one partition: `first` is there, `end` is the next to be written."""

    first: int
    end: int


class Journal:
    """A reader; one at a time may read. Every method raises `BrokerUnavailable`."""

    def __init__(self, settings: Settings, consumer: Any, topic: str = JOURNAL.name) -> None:
        self._topic = topic
        self._settings = settings
        self._consumer = consumer
        self._next = -1
        """Where the consumer stands in the partition it is assigned to."""

    async def bounds(self) -> dict[int, Bounds]:
        """What there is of every partition. Raises `Misconfigured` when there is no journal."""
        try:
            async with asyncio.timeout(SILENT_SECONDS_MAX):
                async with admin(self._settings) as client:
                    (described,) = await client.describe_topics(
                        [named(self._settings, self._topic)]
                    )
                if not described["partitions"]:
                    raise Misconfigured(
                        f"There is no topic {self._topic}.", hint="Run `fanmemory topics create`."
                    )
                numbers = sorted(each["partition"] for each in described["partitions"])
                tps = [TopicPartition(self._topic, number) for number in numbers]
                first = await self._consumer.beginning_offsets(tps)
                end = await self._consumer.end_offsets(tps)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error
        return {tp.partition: Bounds(first[tp], end[tp]) for tp in tps}

    async def read(self, partition: int, start: int, until: int) -> AsyncIterator[list[Raw]]:
        """The records from offset `start` up to, but without, `until`, in lists."""
        if start >= until:
            return
        tp = TopicPartition(self._topic, partition)
        consumer = self._consumer
        if consumer.assignment() != {tp}:
            consumer.assign([tp])
            self._next = -1
        if self._next != start:
            consumer.seek(tp, start)
        silent = 0.0
        while True:
            try:
                fetched = await consumer.getmany(timeout_ms=1000, max_records=FETCH_RECORDS)
            except OffsetOutOfRangeError:
                await self._begin_later(tp, until)
                continue
            except (KafkaError, OSError) as error:
                raise BrokerUnavailable from error
            records = [
                Raw(
                    partition,
                    record.offset,
                    record.key or b"",
                    record.value or b"",
                    record.timestamp,
                    tuple(record.headers),
                )
                for record in fetched.get(tp, ())
            ]
            if records:
                silent = 0.0
                beyond = records[-1].offset >= until
                yield [raw for raw in records if raw.offset < until] if beyond else records
            else:
                silent += 1.0
            # The position also passes offsets that hold no record.
            self._next = await consumer.position(tp)
            if self._next >= until:
                return
            if silent >= SILENT_SECONDS_MAX:
                raise BrokerUnavailable(f"The topic {self._topic} does not answer.")

    async def _begin_later(self, tp: TopicPartition, until: int) -> None:
        """Retention has taken what was to be read next: continue at what is left.

        The journal has no retention: there it is a loss.
        """
        if self._topic == JOURNAL.name:
            raise DataLost("The beginning of the journal was cut off while it was read.")
        try:
            first = (await self._consumer.beginning_offsets([tp]))[tp]
            if first <= await self._consumer.position(tp):
                raise BrokerUnavailable(f"The topic {self._topic} ends before {until}.")
            self._consumer.seek(tp, first)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable from error

    async def offsets_at(self, time_ms: int, partitions: Iterable[int]) -> dict[int, int]:
        """Partition -> offset of the first record that Kafka dates at this time or later.

        Partitions without one are absent.
        """
        try:
            async with asyncio.timeout(SILENT_SECONDS_MAX):
                tps = {TopicPartition(self._topic, number): time_ms for number in partitions}
                found = await self._consumer.offsets_for_times(tps)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error
        return {tp.partition: at.offset for tp, at in found.items() if at is not None}

    async def collect(
        self, ranges: Mapping[int, tuple[int, int]], seconds_max: float = SILENT_SECONDS_MAX
    ) -> dict[int, list[Raw]]:
        """The records of short (from, up to) ranges of many partitions, all at once."""
        found: dict[int, list[Raw]] = {partition: [] for partition in ranges}
        open_ranges = {
            TopicPartition(self._topic, partition): until
            for partition, (start, until) in ranges.items()
            if start < until
        }
        if not open_ranges:
            return found
        consumer = self._consumer
        self._next = -1
        consumer.assign(list(open_ranges))
        for tp in open_ranges:
            consumer.seek(tp, ranges[tp.partition][0])
        try:
            async with asyncio.timeout(seconds_max):
                while open_ranges:
                    fetched = await consumer.getmany(*open_ranges, timeout_ms=100)
                    for tp, records in fetched.items():
                        found[tp.partition] += [
                            Raw(tp.partition, record.offset, record.key or b"", record.value or b"")
                            for record in records
                            if record.offset < open_ranges[tp]
                        ]
                    for tp, until in list(open_ranges.items()):
                        if await consumer.position(tp) >= until:
                            del open_ranges[tp]
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error
        return found


@asynccontextmanager
async def open_journal(settings: Settings, topic: str = JOURNAL.name) -> AsyncIterator[Journal]:
    """A connected reader of the journal, or of another topic; raises `BrokerUnavailable`."""
    async with reading(
        settings,
        seconds_max=SILENT_SECONDS_MAX,
        auto_offset_reset="none",
        fetch_max_bytes=4 * FETCH_BYTES,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=KNOWN_END_WAIT_MS,
    ) as consumer:
        yield Journal(settings, consumer, topic)


def check_whole(bounds: Mapping[int, Bounds], accepted: Mapping[int, int]) -> None:
    """Raise `DataLost` when the journal no longer reaches back to its beginning.

    `accepted` says of each partition up to where an operator took the loss.
    """
    cut = [p for p, (first, _) in bounds.items() if first > accepted.get(p, 0)]
    if cut:
        raise DataLost(
            "The beginning of the journal is gone, in partitions "
            + ", ".join(map(str, cut))
            + ": the views can't be folded from it again.",
        )
