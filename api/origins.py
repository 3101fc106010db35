"""Origins: whose interaction stands at a position of `interactions`.

A read that waits for a position waits for an event of its own fan. For another fan's position, or
that of an event that was refused, it would wait in vain, or be answered by chance, when something
later has come through. So the record itself is asked: its contents say whose it is, by the same
check that ingest makes. One fetch of 1 to 2 ms, 0.4 of them CPU; none for what this process has
written itself, or has looked up in the last minute.

When the brokers don't say it in time the read is not held up: it waits for the views alone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from infra import kafka
from infra.retry import Backoff, retried
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, InvalidInput
from schemas.events import parse_interaction
from schemas.positions import Position, refused_position
from schemas.relationship import Relationship, named_in
from schemas.topics import INTERACTIONS, JOURNAL

KEPT_MAX: Final = 10_000
KEPT_SECONDS: Final = 60.0
"""A topic that is recreated has other records at the same places."""
LOOK_SECONDS_MAX: Final = 1.0
POLL_MS: Final = 100
"""The brokers answer this much later for a place where nothing has been written yet."""
WAITING_MAX: Final = 32
RECONNECT_BACKOFF: Final = Backoff(0.5, 0.5)


class Refusal(NamedTuple):
    """What stands there is refused."""

    who: Relationship | None
    """Whom it names, as far as that can be read."""
    field: str
    reason: str


Origin = Relationship | Refusal
"""Whose event it is."""


class Origins:
    """Belongs to one event loop; `start` it and `close` it there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[Position, tuple[float, Origin]] = {}
        self._consumer: Any = None
        self._broken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, again whenever the consumer breaks."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    def remember(self, position: Position, origin: Origin) -> None:
        """Note whose event was written there, so that it need not be asked for."""
        if len(self._known) >= KEPT_MAX:
            for old in list(self._known)[: KEPT_MAX // 2]:
                del self._known[old]
        self._known[position] = (time.monotonic(), origin)

    def forget(self, who: Relationship) -> None:
        """Let go of what is remembered of a fan who was erased."""
        self._known = {at: known for at, known in self._known.items() if _of(known[1]) != who}

    async def check(self, position: Position, who: Relationship, field: str) -> None:
        """Raise `InvalidInput` naming `field` when what stands there is not an event of theirs.

        A place in the journal says nothing about whose it is: the views do.
        """
        if position.topic == JOURNAL.name:
            return
        if position.topic != INTERACTIONS.name:
            raise InvalidInput(field, f"must be a position in {INTERACTIONS.name}, or a version")
        try:
            origin = self._remembered(position)
        except LookupError:
            try:
                origin = await self._look(position)
            except LookupError:
                return  # it can't be told now
        if isinstance(origin, Refusal):
            if origin.who == who:
                raise refused_position(field, origin.field, origin.reason)
            if origin.who is None:
                raise InvalidInput(field, "is the position of an event that was refused")
        if origin != who:
            raise InvalidInput(field, "is not a position of this fan")

    def _remembered(self, position: Position) -> Origin:
        """Raises `LookupError` for one that is not remembered."""
        since, origin = self._known[position]
        if time.monotonic() - since > KEPT_SECONDS:
            raise LookupError
        return origin

    async def record_at(self, position: Position) -> Any:
        """What stands there in `interactions`. Raises `LookupError` when that can't be told now."""
        async with self._looking():
            return await self._record(position)

    async def _look(self, position: Position) -> Origin:
        """Raises `LookupError` when that can't be told now."""
        async with self._looking():
            with contextlib.suppress(LookupError):
                return self._remembered(position)  # somebody else has just asked for it
            origin = _origin(await self._record(position), self._settings.currency)
        self.remember(position, origin)
        return origin

    @contextlib.asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        if self._consumer is None or self._waiting >= WAITING_MAX:
            raise LookupError
        self._waiting += 1
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX), self._turn:
                yield
        except TimeoutError:
            raise LookupError from None
        finally:
            self._waiting -= 1

    async def _record(self, position: Position) -> Any:
        consumer = self._consumer
        if consumer is None:
            raise LookupError
        place = kafka.TopicPartition(position.topic, position.partition)
        try:
            consumer.assign([place])
            consumer.seek(place, position.offset)
            while True:
                found = await consumer.getmany(place, timeout_ms=POLL_MS, max_records=1)
                for record in found.get(place, ()):
                    if record.offset == position.offset:
                        return record
                    raise LookupError  # it has left the log
                end = consumer.highwater(place)
                if end is not None and end <= position.offset:
                    raise LookupError  # nothing has been written there yet
        except kafka.OffsetOutOfRangeError:
            raise LookupError from None  # far beyond the end, or before the beginning
        except kafka.ERRORS:
            self._broken.set()
            raise LookupError from None

    async def _keep_connected(self) -> None:
        while True:
            self._broken.clear()
            self._consumer = await retried(self._connect, RECONNECT_BACKOFF, on=BrokerUnavailable)
            await self._broken.wait()
            await self._disconnect()

    async def _connect(self) -> Any:
        consumer = kafka.reader(
            self._settings,
            client_id="fanmemory-api-origins",
            auto_offset_reset="none",
            request_timeout_ms=5_000,
            max_partition_fetch_bytes=1 << 20,
            fetch_max_wait_ms=POLL_MS,
        )
        await kafka.connect(consumer)
        return consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await kafka.disconnect(consumer)


def _of(origin: Origin) -> Relationship | None:
    return origin.who if isinstance(origin, Refusal) else origin


def _origin(record: Any, currency: str) -> Origin:
    """What ingest makes of it: an event of somebody's, or one to be refused."""
    try:
        event = parse_interaction(record.value or b"", record.timestamp, currency)
    except InvalidInput as error:
        return Refusal(named_in(record.value), error.field, error.reason)
    return event.creator_id, event.fan_id
