"""Traffic: every event into `interactions` once, and what was sent, to be compared with it."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from infra import kafka
from infra.settings import Settings
from lab.load import Event
from schemas.topics import INTERACTIONS

TICK_SECONDS: Final = 0.05
OUTAGE_SECONDS_MAX: Final = 300.0
"""How long the broker may be away before the run is given up."""


class Traffic:
    """One idempotent producer, which repeats a record for as long as it takes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None
        self.sent: list[Event] = []
        """What the broker has acknowledged."""

    async def __aenter__(self) -> "Traffic":
        self._producer = kafka.producer(
            self._settings,
            client_id="fanmemory-erasing",
            request_timeout_ms=int(OUTAGE_SECONDS_MAX * 1000),
            retry_backoff_ms=50,
            linger_ms=2,
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, events: Iterable[Event]) -> None:
        """In order for each fan; returns when the broker has them all."""
        asked = []
        for event in events:
            key = kafka.relationship_key(*event.relationship)
            partition = kafka.partition_of(key, self._settings.interactions_partitions)
            asked.append(
                (
                    event,
                    await self._producer.send(
                        INTERACTIONS.name, event.value, key=key, partition=partition
                    ),
                )
            )
        for event, acknowledged in asked:
            await acknowledged
            self.sent.append(event)

    async def flow(self, events: Iterator[Event], rate: float) -> None:
        """So many a second, until cancelled between two ticks."""
        due, last = 0.0, time.monotonic()
        while True:
            now = time.monotonic()
            due += rate * min(now - last, 10 * TICK_SECONDS)
            last = now
            count, due = int(due), due - int(due)
            # What was begun is ended: it would be in the topic, and nobody would know.
            await asyncio.shield(self.send([next(events) for _ in range(count)]))
            await asyncio.sleep(TICK_SECONDS)
