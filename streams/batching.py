"""Batching: from Faust's fetches to one unit of work at a time, tried until it is done.

The steps of a unit, and what a crash between any two of them costs:

1. Gather what is queued, up to a bound: small at low load, large in a backlog, and smaller again
   when units take long. (Nothing.)
2. Drop fetches of an earlier assignment, trim what lies below our position. (Nothing.)
3. `step.apply`: everything that matters, ending in one commit. (The unit is done again, and
   finds its records below the position or recognises them.)
4. Remember the new position; tell Kafka, for lag tools only. (Nothing: Postgres knows.)

Nothing is skipped: while the outside is down a unit is tried again, for ever, with growing
pauses; when somebody else holds the partition it is dropped, for them to do; any other error ends
the process, because going on would be wrong.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from faust.types import TP

from infra.kafka import IllegalStateError, KafkaError
from infra.postgres import UNAVAILABLE
from infra.settings import Settings
from schemas.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    DataLost,
    FanMemoryError,
    Fenced,
)
from stores.positions import Batch, Positions
from streams.transport import Records

log = logging.getLogger(__name__)

QUEUED_FETCHES_MAX = 8
FIRST_RECORDS = 1_000
"""Records of the first unit: whether the outside is fast is not known yet."""
QUICK_SECONDS = 1.0
"""A unit that took less than this doubles the next, up to the configured size."""
SLOW_SECONDS = 5.0
"""One that took longer halves the next, down to a single fetch: with Postgres 100 times as slow a
full unit would take longer than the watchdog waits, and be begun again for ever."""
ADVISORY_COMMIT_SECONDS = 1.0
RIVAL_SECONDS = 3.0
"""How long to wait, when fenced by another claim, for the rebalance that explains it: three
heartbeats. Without one the other was a worker that had been asleep; then we claim again."""

NOT_NOW = (*UNAVAILABLE, DatabaseUnavailable, BrokerUnavailable)


class Step(Protocol):
    """What is done with a unit of work: ingest or project."""

    positions: Positions

    async def claim(self, partitions: Sequence[int]) -> None:
        """Take the assigned partitions over in Postgres."""

    async def apply(self, batches: Sequence[Batch]) -> None:
        """Do the whole unit, or raise and have done nothing that a second try repeats."""

    async def reload(self, partitions: Sequence[int]) -> bool:
        """Read the positions again; False when somebody else has claimed one of them."""


class _Fetched(NamedTuple):
    partition: int
    assignment: int
    records: Records
    """`streams.transport.Records`, with the stretch of the log that was read for them."""


class BatchLoop:
    """Runs one step over one topic's fetches."""

    def __init__(self, app: Any, step: Step, settings: Settings, records_max: int) -> None:
        self._app = app
        self._step = step
        self._settings = settings
        self._records_max = records_max
        self._size = min(FIRST_RECORDS, records_max)
        self._queue: asyncio.Queue[_Fetched] = asyncio.Queue(QUEUED_FETCHES_MAX)
        self._sought: dict[int, int] = {}
        self._committed_at = 0.0
        self._advisory: asyncio.Task[None] | None = None

    @property
    def positions(self) -> Positions:
        return self._step.positions

    async def claim(self, partitions: list[int]) -> dict[int, int]:
        """The seek hook: claims, and says where to read on. Bounded by the transport."""
        attempt = 0
        while True:
            try:
                await self._step.claim(partitions)
                break
            except NOT_NOW as error:
                attempt += 1
                await self._pause("claim", attempt, error)
            except Exception as error:
                _explain(error)
                raise
        self._sought.clear()
        try:
            await self._check_end(partitions)
        except DataLost as error:
            _explain(error)
            raise
        log.info("claimed", extra={"topic": self.positions.topic, "count": len(partitions)})
        return {partition: held.next for partition, held in self.positions.held.items()}

    async def feed(self, stream: Any) -> None:
        """The agent: passes fetches on. Never raises, never drops."""
        async for event in stream.events():
            message = event.message
            await self._queue.put(_Fetched(message.partition, message.generation_id, event.value))

    async def run(self) -> None:
        """Work until cancelled. An error that a retry can't mend ends the process."""
        try:
            while True:
                fetched = await self._gather()
                started = time.monotonic()
                await self._complete(fetched)
                self._size = next_size(
                    self._size, time.monotonic() - started, FIRST_RECORDS, self._records_max
                )
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            _explain(error)
            log.exception("the unit of work failed for good", extra={"topic": self.positions.topic})
            logging.shutdown()
            os._exit(1)

    async def _gather(self) -> list[_Fetched]:
        fetched = [await self._queue.get()]
        records = len(fetched[0].records)
        while records < self._size and not self._queue.empty():
            fetched.append(self._queue.get_nowait())
            records += len(fetched[-1].records)
        return fetched

    async def _complete(self, fetched: list[_Fetched]) -> None:
        attempt = 0
        while batches := await self._trim(fetched):
            try:
                await self._step.apply(batches)
            except Fenced:
                log.warning("fenced", extra={"topic": self.positions.topic})
                await self._after_fence(batches)
            except NOT_NOW as error:
                attempt += 1
                await self._pause("apply", attempt, error)
                await self._reload(batches)
            else:
                self.positions.moved(batches)
                self._tell_kafka()
                return

    async def _trim(self, fetched: list[_Fetched]) -> list[Batch]:
        """What of it is still ours to do, in order, as one batch per partition."""
        assignment = self._app.consumer_generation_id
        kept: dict[int, list[Any]] = {}
        reached: dict[int, int] = {}
        for partition, fetched_in, records in fetched:
            held = self.positions.held.get(partition)
            if held is None or fetched_in != assignment:
                continue
            expected = reached.get(partition, held.next)
            until = records.until
            if until <= expected:
                continue
            if records.start > expected:
                await self._read_again(partition, expected, records.seek)
                continue
            ours: Sequence[Any] = records
            if records and records[0].offset < expected:
                ours = [record for record in records if record.offset >= expected]
            first = ours[0].offset if ours else until
            if first > expected:
                await self._check_hole(partition, expected, first)
            kept.setdefault(partition, []).extend(ours)
            reached[partition] = until
        if self._app.consumer_generation_id != assignment:
            return []  # claimed anew while we asked: these are other positions
        held_now = self.positions.held
        return [
            Batch(partition, held_now[partition].next, reached[partition], records)
            for partition, records in kept.items()
            if partition in held_now
        ]

    async def _read_again(self, partition: int, expected: int, seek: int) -> None:
        """Go back: what was read from `expected` on was dropped on its way to us.

        Faust drops what comes while a rebalance begins or ends. Fetches that were under way when we
        went back follow the same seek as the one that made us; they are dropped without another.
        """
        if self._sought.get(partition) == seek:
            return
        self._sought[partition] = seek
        try:
            await self._app.consumer.seek_wait({TP(self.positions.topic, partition): expected})
        except IllegalStateError:
            log.debug("not ours any more: whoever claims it next reads from there")

    async def _check_hole(self, partition: int, expected: int, first: int) -> None:
        """The log was read from `expected` on, and had nothing for us before `first`: why?

        Transaction markers and aborted records leave such holes. So does a log that was cut off
        above our position. Raises `DataLost`, unless the operator takes the loss.
        """
        tp = TP(self.positions.topic, partition)
        attempt = 0
        while True:
            try:
                earliest = (await self._app.consumer.earliest_offsets(tp))[tp]
                break
            except (KafkaError, TimeoutError) as error:
                attempt += 1
                await self._pause("check", attempt, error)
        if earliest <= expected:
            return
        if not self._settings.accept_data_loss:
            raise DataLost
        log.error(
            "the log no longer reaches back to our position; going on as told",
            extra={"topic": tp.topic, "partition": partition, "count": first - expected},
        )

    async def _check_end(self, partitions: Sequence[int]) -> None:
        """A log that ends before our position was made anew: everything in it would be missed."""
        tps = [TP(self.positions.topic, partition) for partition in partitions]
        ends = await self._app.consumer.highwaters(*tps) if tps else {}
        for tp, end in ends.items():
            held = self.positions.held.get(tp.partition)
            if held is not None and end < held.next:
                raise DataLost(
                    f"Topic {tp.topic} ends before the position that Postgres knows.",
                    hint="The topic was made anew: restore it, or begin with a new database.",
                )

    async def _after_fence(self, batches: Sequence[Batch]) -> None:
        """An erasure or a switch of generations: read again. Another claim: is it ours to do?"""
        assignment = self._app.consumer_generation_id
        if await self._reload(batches):
            return
        await asyncio.sleep(RIVAL_SECONDS)
        if self._app.consumer_generation_id != assignment or self._app.rebalancing:
            return
        tps = self._app.consumer.assignment()
        ours = sorted(tp.partition for tp in tps if tp.topic == self.positions.topic)
        if ours and not set(ours) <= self.positions.held.keys():
            await self.claim(ours)

    async def _reload(self, batches: Sequence[Batch]) -> bool:
        attempt = 0
        while True:
            try:
                return await self._step.reload([batch.partition for batch in batches])
            except NOT_NOW as error:
                attempt += 1
                await self._pause("reload", attempt, error)

    async def _pause(self, operation: str, attempt: int, error: Exception) -> None:
        """Full jitter, growing to the configured maximum."""
        if attempt & (attempt - 1) == 0:
            log.warning(
                "%s: waiting for %s",
                operation,
                type(error).__name__,
                extra={"topic": self.positions.topic, "attempt": attempt},
            )
        longest = min(self._settings.retry_seconds_max, 0.05 * 2 ** min(attempt, 16))
        await asyncio.sleep(random.uniform(longest / 4, longest))

    def _tell_kafka(self) -> None:
        now = time.monotonic()
        if now - self._committed_at < ADVISORY_COMMIT_SECONDS:
            return
        if self._advisory is not None and not self._advisory.done():
            return
        self._committed_at = now
        offsets = {partition: held.next for partition, held in self.positions.held.items()}
        self._advisory = asyncio.create_task(self._commit_advisory(offsets))

    async def _commit_advisory(self, offsets: dict[int, int]) -> None:
        try:
            async with asyncio.timeout(10):
                await self._app.consumer.commit_advisory(self.positions.topic, offsets)
        except Exception as error:  # noqa: BLE001 # nothing depends on it, whatever it is
            log.debug("advisory commit: %s", type(error).__name__)


def next_size(size: int, seconds: float, least: int, most: int) -> int:
    """How many records the next unit may have, after one of up to `size` that took `seconds`."""
    if seconds > SLOW_SECONDS:
        size //= 2
    elif seconds < QUICK_SECONDS:
        size *= 2
    return max(min(least, most), min(size, most))


def _explain(error: BaseException) -> None:
    """Before a worker ends, say what its operator should do: our own errors know."""
    if isinstance(error, FanMemoryError):
        log.critical("%s %s", error, error.advice)
