"""The way of POST into `interactions`: acknowledged by all in-sync replicas, or said not to be.

The producer is idempotent, so its own retries never write twice. What a client sends again after
a timeout can be written twice, unless it gave an `eventId`: then the views count it once.

Starting needs no broker: it is connected in the background, and until then the answer is
`BrokerUnavailable` at once. A breaker keeps requests from queueing at a dead broker, a limit
on the publishes in flight keeps them from starving the reads.
"""

import asyncio
import logging
from typing import Any, Final

import pybreaker

from infra import kafka
from infra.breaker import Breaker, watch
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
from schemas.errors import BrokerUnavailable, DeadlineExceeded, InvalidInput
from schemas.positions import Position
from schemas.topics import CORRELATION_HEADER, INTERACTIONS

CONNECT_BACKOFF: Final = Backoff(0.5, 0.5)
CONNECT_SECONDS_MAX: Final = 1.0
CLOSE_SECONDS_MAX: Final = 1.0
DEADLINE_SHARE: Final = 0.9
"""Of the request's deadline: so that the answer to a slow broker is ours."""
IN_FLIGHT_MAX: Final = 256

_UNSURE: Final = (
    "It may still be accepted. Send it again with the same eventId: it is counted once."
)
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
            asyncio.create_task(watch(self.breaker, self.ping, self._settings.ping_seconds)),
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
        self, key: bytes, value: bytes, time_ms: int, correlation: str | None = None
    ) -> Position:
        """Append to `interactions`; returns when the brokers have it, with its position.

        `correlation` is the id of the request that it comes from, and goes along as a header.

        Raises `BrokerUnavailable` and `DeadlineExceeded`: their advice says whether nothing was
        accepted, or that this is not known. `InvalidInput` when the broker refuses this record.
        """
        if self._in_flight >= IN_FLIGHT_MAX:
            raise BrokerUnavailable
        self._in_flight += 1
        try:
            return await self.breaker.call(lambda: self._publish(key, value, time_ms, correlation))
        except pybreaker.CircuitBreakerError:
            raise BrokerUnavailable from None
        finally:
            self._in_flight -= 1

    async def _publish(
        self, key: bytes, value: bytes, time_ms: int, correlation: str | None
    ) -> Position:
        producer = await self._ready()
        seconds = self._settings.request_seconds_max * DEADLINE_SHARE
        sending = None
        try:
            async with asyncio.timeout(seconds):
                sending = await producer.send(
                    INTERACTIONS.name,
                    value,
                    key=key,
                    timestamp_ms=time_ms,
                    headers=[(CORRELATION_HEADER, correlation.encode())] if correlation else None,
                )
                written = await sending
        except TimeoutError:
            raise DeadlineExceeded(
                "The broker has not acknowledged in time.", hint=_UNSURE
            ) from None
        except MessageSizeTooLargeError:
            raise InvalidInput("$", "is larger than the broker accepts") from None
        except (KafkaError, OSError) as error:
            if not getattr(error, "retriable", False) and producer is self._producer:
                # An idempotent producer that lost its sequence refuses everything from then on.
                self._connected.clear()
                self._broken.set()
            if sending is None or isinstance(error, _REFUSED):
                raise BrokerUnavailable from error
            raise BrokerUnavailable(hint=_UNSURE) from error
        return Position(written.topic, written.partition, written.offset)

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
