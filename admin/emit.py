"""Publish lines of InteractionEvents to `interactions`, as they are: judging them is ingest's work.

Lines are keyed `creatorId:fanId` and partitioned as Kafka's default partitioner does, so a
relationship's events keep their order. A line in which no ids can be read goes out without a key.
What ingest will refuse goes out as well: as a dead letter it is kept, and a count of it is told.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from admin.reading import VALUE_BYTES_MAX
from infra.kafka import partition_of, relationship_key
from infra.producer import BatchProducer, Keyed
from infra.settings import Settings
from schemas.errors import BrokerUnavailable
from schemas.times import from_datetime, render_time
from schemas.topics import INTERACTIONS

CHUNK_LINES: Final = 2_000
"""Lines in flight at a time."""
TICK_SECONDS: Final = 0.02
"""With a rate: how often a few lines go out."""


class _Ids(msgspec.Struct, rename="camel", gc=False):
    creator_id: str
    fan_id: str


class _Timed(msgspec.Struct, gc=False):
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Emitted:
    """What the broker has acknowledged."""

    sent: int
    seconds: float
    too_long: int
    """Lines left out because no broker would take them."""


class Emitter:
    """Publishes lines; one for each producer of them."""

    def __init__(self, settings: Settings) -> None:
        self._producer = BatchProducer(settings, "fanmemory-emit")
        self._partitions = 0
        self._known: dict[bytes, int] = {}
        self._next = 0

    async def stop(self) -> None:
        await self._producer.stop()

    async def send(self, lines: Iterable[bytes]) -> None:
        """Publish lines in order; returns when the broker has them all."""
        if not self._partitions:
            self._partitions = await self._producer.partitions(INTERACTIONS.name)
        batches: dict[int, list[Keyed]] = {}
        for line in lines:
            key = event_key(line)
            batches.setdefault(self._partition(key), []).append((key, line))
        await self._producer.send(INTERACTIONS.name, batches)

    def _partition(self, key: bytes | None) -> int:
        if key is None:
            self._next = (self._next + 1) % self._partitions
            return self._next
        partition = self._known.get(key)
        if partition is None:
            partition = partition_of(key, self._partitions)
            self._known[key] = partition
        return partition


async def emit(
    settings: Settings,
    lines: Iterable[bytes],
    *,
    rate: float | None = None,
    progress: Callable[[int], Any] = lambda _count: None,
) -> Emitted:
    """Publish all lines, at most `rate` a second; `progress` is told how many more went out.

    Raises `BrokerUnavailable`, which says how many it has; of those in flight some may be there.
    """
    emitter = Emitter(settings)
    started = time.perf_counter()
    sent = too_long = 0
    try:
        for chunk in _chunks(lines, CHUNK_LINES if rate is None else _tick_lines(rate)):
            fitting = [line for line in chunk if len(line) <= VALUE_BYTES_MAX]
            too_long += len(chunk) - len(fitting)
            try:
                await emitter.send(fitting)
            except BrokerUnavailable as error:
                raise _cut_short(sent) from error
            sent += len(fitting)
            progress(len(chunk))
            if rate is not None:
                ahead = sent / rate - (time.perf_counter() - started)
                await asyncio.sleep(max(0.0, ahead))
    finally:
        await emitter.stop()
    return Emitted(sent, time.perf_counter() - started, too_long)


def _cut_short(sent: int) -> BrokerUnavailable:
    if not sent:
        return BrokerUnavailable("No Kafka broker takes events.", hint="Check Kafka.")
    return BrokerUnavailable(
        f"Kafka has {sent:,} events and takes no more.",
        hint="Emit the file again: what has an eventId counts once, what has none would count"
        " twice.",
    )


def event_key(line: bytes) -> bytes | None:
    """`creatorId:fanId` of a line, or None when it names none."""
    try:
        ids = _decode_ids(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    return relationship_key(ids.creator_id, ids.fan_id)


def shifted(lines: Iterable[bytes], by_ms: int) -> Iterator[bytes]:
    """The lines with their times moved; one without a readable time stays as it is."""
    for line in lines:
        try:
            event = msgspec.json.decode(line)
            event["timestamp"] = render_time(from_datetime(_decode_timed(line).timestamp) + by_ms)
        except (msgspec.DecodeError, RecursionError, TypeError, OverflowError):
            yield line
        else:
            yield msgspec.json.encode(event)


def to_now_ms(lines: Iterable[bytes]) -> int:
    """By how much to shift so that the newest time is now; 0 when there is none."""
    newest = None
    for line in lines:
        try:
            time_ms = from_datetime(_decode_timed(line).timestamp)
        except (msgspec.DecodeError, RecursionError, TypeError):
            continue
        newest = time_ms if newest is None else max(newest, time_ms)
    now = from_datetime(datetime.now(UTC))
    return 0 if newest is None else now - newest


def _chunks(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _tick_lines(rate: float) -> int:
    return max(1, min(CHUNK_LINES, int(rate * TICK_SECONDS)))


_decode_ids = msgspec.json.Decoder(_Ids).decode
_decode_timed = msgspec.json.Decoder(_Timed).decode
