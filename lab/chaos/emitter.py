"""The emitter: every event into `interactions` exactly once, whatever happens to the broker.

One idempotent producer for the whole run, which repeats a batch for as long as it takes; the broker
recognises repeats by producer and sequence, also after kill -9. `account` reads the topic back
and holds it against what was sent, record by record: the suite does not rest on the producer's
word.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any, Final

from infra import kafka
from infra.settings import Settings
from lab.chaos.topic import read_topic
from lab.load import Event
from schemas.topics import INTERACTIONS

TICK_SECONDS: Final = 0.02
BATCH_BYTES: Final = 262_144
GROWTH: Final = 50
OUTAGE_SECONDS_MAX: Final = 300.0
"""How long the broker may be away before the run is given up."""


class Emitter:
    """Publishes a list of events in order, at a rate that its owner moves."""

    def __init__(self, settings: Settings, events: Sequence[Event]) -> None:
        self._settings = settings
        self._events = events
        self._partitions = settings.interactions_partitions
        self._producer: Any = None
        self._sent: dict[int, list[bytes]] = {p: [] for p in range(self._partitions)}
        self._allowed = 0.0
        self._hurry = asyncio.Event()
        self._turn = asyncio.Lock()
        self.rate = 0.0
        """Events a second."""
        self.reserved = 0
        """Events, the last ones, that are kept for a fault which needs so many at once."""
        self.sent = 0
        """Events that the broker has acknowledged."""
        self.slipped: list[Event] = []
        """Records that faults have put among them."""

    @property
    def left(self) -> int:
        """Events that may be sent now."""
        return max(0, len(self._events) - self.reserved - self.sent)

    async def start(self) -> None:
        self._producer = kafka.producer(
            self._settings,
            client_id="fanmemory-chaos",
            compression_type="zstd",
            max_batch_size=BATCH_BYTES,
            # Also a batch's time to live while its partition has no leader.
            request_timeout_ms=int(OUTAGE_SECONDS_MAX * 1000),
            retry_backoff_ms=50,
        )
        await self._producer.start()

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def run(self) -> None:
        """Publish until everything is out."""
        last = time.monotonic()
        while self.sent < len(self._events):
            now = time.monotonic()
            # After an outage the rate continues; what was missed does not pile up.
            self._allowed += self.rate * min(now - last, 10 * TICK_SECONDS)
            last = now
            count = min(int(self._allowed), self.left)
            if count:
                self._allowed -= count
                async with self._turn:
                    await self._send(self._events[self.sent : self.sent + count])
                self.sent += count
            else:
                await self._tick()

    def ends(self) -> dict[int, int]:
        """How many records each partition was sent and has kept."""
        return {partition: len(sent) for partition, sent in self._sent.items()}

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[None]:
        """Nothing is sent inside."""
        async with self._turn:
            yield

    async def lost(self, ends: Mapping[int, int]) -> None:
        """The log was cut to these ends, inside `silent`; a new producer goes on behind them."""
        for partition, end in ends.items():
            del self._sent[partition][end:]
        await self.stop()
        await self.start()

    async def grow(self, beyond: Mapping[int, int]) -> None:
        """Inside `silent`: publish until every partition is longer than that, as far as events go.

        Raises `TimeoutError` when there are too few.
        """
        while any(len(self._sent[partition]) <= end for partition, end in beyond.items()):
            count = min(GROWTH, self.left)
            if not count:
                raise TimeoutError
            await self._send(self._events[self.sent : self.sent + count])
            self.sent += count

    async def slip(self, value: bytes) -> None:
        """One bad record among the others, compressed: larger than anybody should send."""
        producer = kafka.producer(
            self._settings, compression_type="gzip", max_request_size=4 * len(value)
        )
        event = Event(("slipped", "in"), value, "bad")
        partition = len(self.slipped) % self._partitions
        async with self._turn:
            await producer.start()
            try:
                await producer.send_and_wait(INTERACTIONS.name, value, partition=partition)
            finally:
                await producer.stop()
            self._sent[partition].append(_digest(None, value))
            self.slipped.append(event)

    def burst(self, count: int) -> None:
        """Publish so many at once."""
        self._allowed += count
        self._hurry.set()

    async def _tick(self) -> None:
        self._hurry.clear()
        try:
            await asyncio.wait_for(self._hurry.wait(), TICK_SECONDS)
        except TimeoutError:
            return

    async def _send(self, events: Iterable[Event]) -> None:
        batches: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for event in events:
            key = kafka.relationship_key(*event.relationship)
            partition = kafka.partition_of(key, self._partitions)
            batches.setdefault(partition, []).append((key, event.value))
        await asyncio.gather(*(self._send_to(*batch) for batch in batches.items()))

    async def _send_to(self, partition: int, records: list[tuple[bytes, bytes | None]]) -> None:
        now = int(time.time() * 1000)
        batch = self._producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=now) is None:
                await self._deliver(batch, partition)
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=now)
        await self._deliver(batch, partition)
        self._sent[partition] += [_digest(*record) for record in records]

    async def _deliver(self, batch: Any, partition: int) -> None:
        async with asyncio.timeout(OUTAGE_SECONDS_MAX):
            topic = INTERACTIONS.name
            await (await self._producer.send_batch(batch, topic, partition=partition))

    async def account(self) -> str | None:
        """What differs between what was sent and what the topic holds; None when nothing does."""
        held: dict[int, list[bytes]] = {partition: [] for partition in self._sent}
        async for record in read_topic(self._settings, INTERACTIONS.name):
            held[record.partition].append(_digest(record.key, record.value))
        wrong = [partition for partition in held if held[partition] != self._sent[partition]]
        if not wrong:
            return None
        sizes = ", ".join(f"{p}: {len(self._sent[p])} sent, {len(held[p])} held" for p in wrong)
        return f"partitions differ ({sizes})"


def _digest(key: bytes | None, value: bytes | None) -> bytes:
    return blake2b(repr((key, value)).encode(), digest_size=8).digest()
