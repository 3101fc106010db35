"""The way of POST into `interactions`: acknowledged by all in-sync replicas, or said not to be.

The producer is idempotent, so its own retries never write twice. What a client sends again after
a timeout can be written twice, unless it gave an `eventId`: then the views count it once.

Starting needs no broker: it is connected in the background, and until then the answer is
`BrokerUnavailable` at once. A breaker keeps requests from queueing at a dead broker, a limit
on the publishes in flight keeps them from starving the reads.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import pybreaker

from infra import kafka
from infra.breaker import Breaker, watching
from infra.kafka import (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from infra.retry import Backoff, retried
from infra.settings import Settings
from schemas.errors import (
    BrokerUnavailable,
    DeadlineExceeded,
    FanMemoryError,
    InvalidInput,
)
from schemas.positions import Position
from schemas.topics import CORRELATION_HEADER, INTERACTIONS

CONNECT_BACKOFF: Final = Backoff(0.5, 0.5)
CONNECT_SECONDS_MAX: Final = 1.0
CLOSE_SECONDS_MAX: Final = 1.0
BATCH_BYTES_MAX: Final = 1_000_000
"""Below the 1 MiB that the topic takes as one batch."""
DEADLINE_SHARE: Final = 0.9
"""Of the request's deadline: so that the answer to a slow broker is ours."""
IN_FLIGHT_MAX: Final = 256

_UNSURE: Final = (
    "It may still be accepted. Send it again with the same eventId: it is counted once."
)
Keyed = tuple[bytes, bytes]
"""(key, value)"""

_REFUSED: Final = (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    TopicAuthorizationFailedError,
)
"""The broker's own word that it did not take a record. After any other error than these an earlier
attempt may have arrived, and only its acknowledgement been lost."""

log = logging.getLogger(__name__)


class Publisher:
    """Belongs to one event loop; `start` it and `close` it there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds_max = settings.request_seconds_max * DEADLINE_SHARE
        self._producer: Any = None
        self._connected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._broken = asyncio.Event()
        self._in_flight = 0
        self.breaker = Breaker(
            "memory-broker",
            failures_max=settings.database_failures_max,
            window_seconds=settings.database_window_seconds,
            reset_seconds=settings.database_reset_seconds,
        )

    @property
    def connected(self) -> bool:
        """Whether a producer is ready to take records."""
        return self._connected.is_set()

    def start(self) -> None:
        """Connect in the background, again whenever the producer breaks."""
        self._tasks = [
            asyncio.create_task(self._keep_connected()),
            *watching(self.breaker, self.ping, self._settings.ping_seconds),
        ]

    async def close(self) -> None:
        """Deliver what was accepted for sending, within a second, and disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await kafka.disconnect(producer, CLOSE_SECONDS_MAX)

    async def ping(self) -> None:
        """Raises `BrokerUnavailable` when no broker answers."""
        if self._producer is None:
            raise BrokerUnavailable
        async with kafka.broker_errors():
            await self._producer.client.fetch_all_metadata()

    async def publish(
        self,
        key: bytes,
        value: bytes,
        time_ms: int,
        correlation: str | None = None,
        topic: str = INTERACTIONS.name,
    ) -> Position:
        """Append to a topic; returns when the brokers have it, with its position.

        `correlation` is the id of the request that it comes from, and goes along as a header.
        Raises `BrokerUnavailable` and `DeadlineExceeded`: their advice says whether nothing was
        accepted, or that this is not known. `InvalidInput` when the broker refuses this record.
        """
        if self._in_flight >= IN_FLIGHT_MAX:
            raise BrokerUnavailable
        self._in_flight += 1
        try:
            return await self.breaker.call(
                lambda: self._publish(topic, key, value, time_ms, correlation)
            )
        except pybreaker.CircuitBreakerError:
            raise BrokerUnavailable from None
        finally:
            self._in_flight -= 1

    async def publish_several(
        self, records: Sequence[Keyed], time_ms: int, correlation: str | None = None
    ) -> list[Position | FanMemoryError]:
        """The same for several by one batch per partition: what became of each, in order.

        To the circuit it is one call, which has failed if any of them has.
        """
        outcomes: list[Position | FanMemoryError] = [BrokerUnavailable() for _ in records]
        if not records or self._in_flight >= IN_FLIGHT_MAX:
            return outcomes
        self._in_flight += 1
        try:
            await self.breaker.call(
                lambda: self._publish_several(records, time_ms, correlation, outcomes)
            )
        except (pybreaker.CircuitBreakerError, FanMemoryError):
            log.debug("not all of a batch was accepted")  # of each it is said in its place
        finally:
            self._in_flight -= 1
        return outcomes

    async def _publish(
        self, topic: str, key: bytes, value: bytes, time_ms: int, correlation: str | None
    ) -> Position:
        producer = await self._ready()
        sending = None
        try:
            async with asyncio.timeout(self._seconds_max):
                sending = await producer.send(
                    topic,
                    value,
                    key=key,
                    timestamp_ms=time_ms,
                    headers=_headers(correlation),
                )
                written = await sending
        except (TimeoutError, KafkaError, OSError) as error:
            raise self._failure(error, producer, sent=sending is not None) from error
        return _position(written)

    async def _publish_several(
        self,
        records: Sequence[Keyed],
        time_ms: int,
        correlation: str | None,
        outcomes: list[Position | FanMemoryError],
    ) -> None:
        """Raises one of the failures once each record has its outcome."""
        producer = await self._ready()
        until = asyncio.get_running_loop().time() + self._seconds_max
        try:
            async with asyncio.timeout_at(until):
                count = len(await producer.partitions_for(INTERACTIONS.name))
        except (TimeoutError, KafkaError, OSError) as error:
            raise self._failure(error, producer, sent=False) from error
        places: dict[int, list[int]] = {}
        for place, (key, _) in enumerate(records):
            places.setdefault(kafka.partition_of(key, count), []).append(place)

        async def send(partition: int, left: Sequence[int]) -> FanMemoryError | None:
            while left:
                batch, taken = self._batch(
                    producer, [records[place] for place in left], time_ms, correlation
                )
                first = await self._send_batch(producer, batch, partition, until)
                if isinstance(first, FanMemoryError):
                    for place in left[:taken]:
                        outcomes[place] = first
                    return first  # what comes after it must not stand before it
                for number, place in enumerate(left[:taken]):
                    outcomes[place] = first._replace(offset=first.offset + number)
                left = left[taken:]
            return None

        sends = [send(partition, chosen) for partition, chosen in places.items()]
        for failure in await asyncio.gather(*sends):
            if failure is not None:
                raise failure

    def _batch(
        self, producer: Any, records: Sequence[Keyed], time_ms: int, correlation: str | None
    ) -> tuple[Any, int]:
        """A batch of as many of these as fit, which is all but of very large ones; how many."""
        batch, headers = producer.create_batch(), _headers(correlation)
        for number, (key, value) in enumerate(records):
            added = batch.append(key=key, value=value, timestamp=time_ms, headers=headers)
            if added is None:
                return batch, number
        return batch, len(records)

    async def _send_batch(
        self, producer: Any, batch: Any, partition: int, until: float
    ) -> Position | FanMemoryError:
        """Where the batch's first record stands."""
        sending = None
        try:
            async with asyncio.timeout_at(until):
                sending = await producer.send_batch(batch, INTERACTIONS.name, partition=partition)
                return _position(await sending)
        except (TimeoutError, KafkaError, OSError) as error:
            return self._failure(error, producer, sent=sending is not None)
        except BrokerUnavailable as error:
            return error

    def _failure(self, error: Exception, producer: Any, *, sent: bool) -> FanMemoryError:
        """What the client is told; `sent`: it may be on its way."""
        if isinstance(error, TimeoutError):
            return DeadlineExceeded("The broker has not acknowledged in time.", hint=_UNSURE)
        if isinstance(error, MessageSizeTooLargeError):
            return InvalidInput("$", "is larger than the broker accepts")
        if not getattr(error, "retriable", False) and producer is self._producer:
            # An idempotent producer that lost its sequence refuses everything from then on.
            self._connected.clear()
            self._broken.set()
        if not sent or isinstance(error, _REFUSED):
            return BrokerUnavailable()
        return BrokerUnavailable(hint=_UNSURE)

    async def _ready(self) -> Any:
        """The producer; just started, or after a failure, it is there in a moment or not at all."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await self._connected.wait()
        except TimeoutError:
            raise BrokerUnavailable from None
        return self._producer

    async def _keep_connected(self) -> None:
        while True:
            self._broken.clear()
            self._producer = await retried(
                self._connect, CONNECT_BACKOFF, on=BrokerUnavailable, told=_no_broker_yet
            )
            self._connected.set()
            log.info("connected to the broker")
            await self._broken.wait()
            self._connected.clear()
            broken, self._producer = self._producer, None
            await kafka.disconnect(broken, CLOSE_SECONDS_MAX)

    async def _connect(self) -> Any:
        producer = kafka.producer(
            self._settings,
            client_id="fanmemory-api",
            request_timeout_ms=5_000,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=100,
        )
        await kafka.connect(producer)
        return producer


def _no_broker_yet(_attempt: int, error: BaseException) -> None:
    log.warning("no broker yet", extra={"reason": type(error.__cause__).__name__})


def _headers(correlation: str | None) -> list[tuple[str, bytes]]:
    return [(CORRELATION_HEADER, correlation.encode())] if correlation else []


def _position(written: Any) -> Position:
    """Raises `BrokerUnavailable` for what the broker has taken as a repeat: it says not where."""
    if written.offset < 0:
        raise BrokerUnavailable(hint=_UNSURE)
    return Position(INTERACTIONS.name, written.partition, written.offset)
