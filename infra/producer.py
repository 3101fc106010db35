"""The producer: whole batches, in order, without gaps.

A partition's next batch is sent when the one before is acknowledged, so that a fan's events stand
in the journal in the order they came. After any failure the producer is replaced: a batch that it
may still hold can arrive late, as a repeat, but never ahead of one that was lost.

A record that the broker will never take must not stop the others: its batch is halved until it is
alone, then it is left out and named to the caller (`Delivery`).
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from infra import kafka
from infra.settings import Settings
from schemas.errors import BrokerUnavailable

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 262_144
REQUEST_BYTES_MAX: Final = 2_097_152
DELIVERY_SECONDS_MAX: Final = 15.0

REFUSALS: Final = (
    kafka.CorruptRecordException,
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
)
"""The broker's word about what was sent: no retry helps, and the records beside it are fine.

All else is waited for, though a retry alone won't mend it: a topic without its ACL, a name that is
not allowed, record times that the broker refuses because a clock is wrong. That concerns every
record, so setting the records aside would empty the stream into the dead letters."""

Keyed = tuple[bytes | None, bytes] | tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]
"""(key, value), or (key, value, headers)"""


class Refused(NamedTuple):
    """One record that the broker will never take."""

    place: int
    """Its place among the partition's records."""
    reason: str


@dataclass(slots=True)
class Delivery:
    """What has become of the records of one `send`, also when it raised half-way."""

    settled: dict[int, int] = field(default_factory=dict)
    """Per partition: how many of its records, from the first on, the broker has, or refused."""
    last: dict[int, int] = field(default_factory=dict)
    """Per partition: the offset of the last acknowledged record."""
    refused: dict[int, list[Refused]] = field(default_factory=dict)


class BatchProducer:
    """An idempotent producer, acks=all, of ready-made batches."""

    def __init__(
        self, settings: Settings, client_id: str, compression: Literal["zstd"] | None = None
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._compression = compression
        self._producer: Any = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        await self._ready()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and not await kafka.disconnect(producer):
            log.warning("a producer did not stop in time")

    async def send(
        self,
        topic: str,
        batches: Mapping[int, Sequence[Keyed]],
        delivery: Delivery | None = None,
        times: Mapping[int, Sequence[int]] | None = None,
    ) -> dict[int, int]:
        """Publish records per partition; returns when the broker has them all.

        `times` are the records' own, in ms, where they shall not have that of sending.

        What it returns is the offset of each partition's last record. Raises `BrokerUnavailable`;
        then any prefix of each partition's records may be there, and `delivery` says which are for
        certain. Records that the broker will never take are found by halving, left out and named in
        `delivery`; without one to name them in, they are `BrokerUnavailable` as well.
        """
        if delivery is None:
            delivery = Delivery()
            raise_refusals = True
        else:
            raise_refusals = False
        sizes: dict[int, int] = {}
        while True:
            producer = await self._ready()
            sends = [
                asyncio.ensure_future(
                    _Sending(
                        producer,
                        topic,
                        partition,
                        records,
                        delivery,
                        sizes,
                        (times or {}).get(partition),
                    ).run()
                )
                for partition, records in batches.items()
                if delivery.settled.get(partition, 0) < len(records)
            ]
            if not sends:
                return delivery.last
            error = await self._outcome(sends)
            if error is None:
                return delivery.last
            # After any failure a producer's numbers don't fit the broker's any more.
            await self.stop()
            if not isinstance(error, REFUSALS):
                tell_why(topic, error)
                raise BrokerUnavailable from error
            if raise_refusals:
                raise BrokerUnavailable(f"{topic} takes no such record.") from error

    async def _outcome(self, sends: Sequence[asyncio.Future[None]]) -> BaseException | None:
        """Wait for all, also beside one that failed: what the broker has is not sent again."""
        try:
            async with asyncio.timeout(DELIVERY_SECONDS_MAX):
                outcomes = await asyncio.gather(*sends, return_exceptions=True)
        except TimeoutError as error:
            return error
        failures = [one for one in outcomes if one is not None]
        for failure in failures:
            if not isinstance(failure, (kafka.KafkaError, OSError)):
                raise failure
        failures.sort(key=lambda failure: isinstance(failure, REFUSALS))
        return failures[0] if failures else None

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        producer = await self._ready()
        async with kafka.broker_errors(), asyncio.timeout(DELIVERY_SECONDS_MAX):
            return len(await producer.partitions_for(topic))

    async def links(self, topic: str) -> dict[int, kafka.Link]:
        """Partition -> how its leader is reached now; raises `BrokerUnavailable`."""
        producer, name = await self._ready(), kafka.named(self._settings, topic)
        async with kafka.broker_errors(), asyncio.timeout(DELIVERY_SECONDS_MAX):
            partitions = await producer.partitions_for(topic)
            await kafka.link_leaders(producer.client, name, partitions)
        return {p: kafka.link(producer.client, name, p) for p in partitions}

    def linked(self, topic: str, links: Mapping[int, kafka.Link]) -> bool:
        """Whether there are links, and every one is there still: then what the leaders had
        acknowledged when they were made can't be lost."""
        name = kafka.named(self._settings, topic)
        return bool(self._producer is not None and links) and all(
            known.connection is not None
            and kafka.link(self._producer.client, name, partition) == known
            for partition, known in links.items()
        )

    async def _ready(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = kafka.producer(
                    self._settings,
                    client_id=self._client_id,
                    compression_type=self._compression,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=REQUEST_BYTES_MAX,
                    linger_ms=0,
                    request_timeout_ms=int(DELIVERY_SECONDS_MAX * 1000),
                    retry_backoff_ms=50,
                )
                await kafka.connect(producer, DELIVERY_SECONDS_MAX)
                self._producer = producer
            return self._producer


class _Sending:
    """One partition's part of a send, batch after batch."""

    def __init__(
        self,
        producer: Any,
        topic: str,
        partition: int,
        records: Sequence[Keyed],
        delivery: Delivery,
        sizes: dict[int, int],
        times: Sequence[int] | None = None,
    ) -> None:
        self._times = times
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._records = records
        self._delivery = delivery
        self._sizes = sizes
        """Records of the partition's next batch at most, once one was refused."""

    async def run(self) -> None:
        """Raises what the producer raises; how far it got is in the delivery."""
        delivery, partition = self._delivery, self._partition
        if partition not in await self._producer.partitions_for(self._topic):
            raise kafka.UnknownTopicOrPartitionError
        while (first := delivery.settled.get(partition, 0)) < len(self._records):
            batch = self._batch(first)
            count = batch.record_count()
            try:
                acknowledged = await self._producer.send_batch(
                    batch, self._topic, partition=partition
                )
                written = await acknowledged
            except REFUSALS as error:
                if count == 1:
                    refused = Refused(first, type(error).__name__)
                    delivery.refused.setdefault(partition, []).append(refused)
                    delivery.settled[partition] = first + 1
                self._sizes[partition] = max(1, count // 2)
                raise
            delivery.settled[partition] = first + count
            if written.offset >= 0:  # -1: the broker knows it as a repeat, not where it is
                delivery.last[partition] = int(written.offset + count - 1)
            if partition in self._sizes:
                self._sizes[partition] *= 2

    def _batch(self, first: int) -> Any:
        now = int(time.time() * 1000)
        batch = self._producer.create_batch()
        until = first + self._sizes.get(self._partition, len(self._records))
        for index in range(first, min(until, len(self._records))):
            key, value, *more = self._records[index]
            headers = list(more[0]) if more else []
            # Of the future Kafka may refuse it, whatever clock said so.
            at = now if self._times is None else min(self._times[index], now)
            if batch.append(key=key, value=value, timestamp=at, headers=headers) is None:
                break
        return batch


def tell_why(topic: str, error: BaseException) -> None:
    """Say a failure that is news.

    A broker that is away is none; one that answers, and refuses, needs somebody, unless it has only
    forgotten this producer, which has been replaced.
    """
    if not isinstance(error, kafka.KafkaError) or error.retriable:
        return
    reason = type(error).__name__
    if isinstance(error, kafka.FORGOTTEN):
        log.warning(
            "the log does not continue what was sent: a new producer goes on",
            extra={"topic": topic, "reason": reason},
        )
    else:
        log.error(
            "the broker refuses everything: look at the topic, its ACLs and the clocks",
            extra={"topic": topic, "reason": reason},
        )
