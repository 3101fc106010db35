"""The producer: whole batches, in order, without gaps.

Project recognises ingest's retries by keeping the highest source offset per source partition. That
is exact only if a record is in the journal no earlier than all of its source partition before it.
So a partition's next batch is sent when the one before is acknowledged, and after any failure
the producer is replaced: a batch that it may still hold can arrive late, as a repeat, but never
ahead of one that was lost.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from infra import kafka
from infra.settings import Settings
from schemas.errors import BrokerUnavailable

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 262_144
REQUEST_BYTES_MAX: Final = 2_097_152
DELIVERY_SECONDS_MAX: Final = 15.0

Keyed = tuple[bytes | None, bytes]
"""(key, value)"""


class BatchProducer:
    """An idempotent producer, acks=all, of ready-made batches."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: Any = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        await self._ready()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and not await kafka.disconnect(producer):
            log.warning("a producer did not stop in time")

    async def send(self, topic: str, batches: Mapping[int, Sequence[Keyed]]) -> dict[int, int]:
        """Publish records per partition; returns when the broker has them all.

        What it returns is the offset of each partition's last record. Raises `BrokerUnavailable`;
        then any prefix of each partition's records may be there.
        """
        producer = await self._ready()
        sends = [
            asyncio.ensure_future(_send(producer, topic, partition, records))
            for partition, records in batches.items()
            if records
        ]
        if not sends:
            return {}
        try:
            async with asyncio.timeout(DELIVERY_SECONDS_MAX):
                return dict(await asyncio.gather(*sends))
        except kafka.ERRORS as error:
            for send in sends:
                send.cancel()
            await self.stop()
            raise BrokerUnavailable from error

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        producer = await self._ready()
        async with kafka.broker_errors(), asyncio.timeout(DELIVERY_SECONDS_MAX):
            return len(await producer.partitions_for(topic))

    async def _ready(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = kafka.producer(
                    self._settings,
                    client_id=self._client_id,
                    compression_type="zstd",
                    max_batch_size=BATCH_BYTES,
                    max_request_size=REQUEST_BYTES_MAX,
                    linger_ms=0,
                    request_timeout_ms=int(DELIVERY_SECONDS_MAX * 1000),
                    retry_backoff_ms=50,
                )
                await kafka.connect(producer, DELIVERY_SECONDS_MAX)
                self._producer = producer
            return self._producer


async def _send(
    producer: Any, topic: str, partition: int, records: Sequence[Keyed]
) -> tuple[int, int]:
    """The partition, and the offset of the last of its records."""
    now = int(time.time() * 1000)
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=now) is None:
            await _deliver(producer, batch, topic, partition)
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=now)
    return partition, await _deliver(producer, batch, topic, partition)


async def _deliver(producer: Any, batch: Any, topic: str, partition: int) -> int:
    """The offset of the batch's last record."""
    acknowledged = await producer.send_batch(batch, topic, partition=partition)
    written = await acknowledged
    return int(written.offset + batch.record_count() - 1)
