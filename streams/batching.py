"""Batching: from Faust's fetches to one unit of work at a time, tried until it is done.

The steps of a unit, and what a crash between any two of them costs:

1. Gather what is queued, up to a bound: small at low load, large in a backlog, and smaller again
   when units take long. (Nothing.)
2. Lay the fetches end to end from our position on (`streams.continuity`). (Nothing.)
3. `step.apply`: everything that matters, ending in one commit. (The unit is done again, and
   finds its records below the position or recognises them.)
4. Remember the new position; tell Kafka, for lag tools only. (Nothing: Postgres knows.)

Nothing is skipped. While Kafka or Postgres is unavailable the unit is retried without limit, with
backoff. If another worker now owns the partition, the unit is dropped and that worker processes it.
Any other error ends the process, because continuing would be wrong.

Once a second the loop also looks up: a partition that has lag, an empty queue and no movement is
sought again, and positions that moved in Postgres without us are read again. After each claim, and
when a log goes backwards, its partitions are checked before anything of theirs counts
(`streams.healing`).
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Any, Protocol, TypeVar

from faust.types import TP

from infra.exit_codes import FAILED
from infra.kafka import IllegalStateError, KafkaError
from infra.postgres import UNAVAILABLE
from infra.retry import outage, retried, worth_saying
from infra.settings import Settings
from schemas.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    FanMemoryError,
    Fenced,
)
from stores.positions import Batch, Positions
from streams.continuity import Fetched, plan

T = TypeVar("T")

log = logging.getLogger(__name__)

QUEUED_FETCHES_MAX = 8
FIRST_RECORDS = 1_000
"""Records of the first unit: how fast the stores are is not known yet."""
QUICK_SECONDS = 1.0
"""A unit that took less than this doubles the next, up to the configured size."""
SLOW_SECONDS = 5.0
"""One that took longer halves the next, down to a single fetch: with Postgres 100 times as slow a
full unit would take longer than the watchdog waits, and be begun again without end."""
ADVISORY_COMMIT_SECONDS = 1.0
RIVAL_SECONDS = 3.0
"""How long to wait, when fenced by another claim, for the rebalance that explains it: three
heartbeats. Without one the other was a worker that had been asleep; then we claim again."""

LOOK_SECONDS = 1.0
"""How often to look up from the work, and how long a partition may stand still with lag."""
LOOK_SECONDS_MAX = 5.0
RECHECK_SECONDS = 10.0
"""How often to see whether a stopped partition can continue after all."""

NOT_NOW = (*UNAVAILABLE, DatabaseUnavailable, BrokerUnavailable)


class Step(Protocol):
    """What is done with a unit of work: ingest or project."""

    positions: Positions

    async def claim(self, partitions: Sequence[int]) -> None:
        """Take the assigned partitions over in Postgres."""

    async def apply(self, batches: Sequence[Batch]) -> None:
        """Do the whole unit, or raise and have done nothing that a second try repeats."""

    async def reload(self, partitions: Sequence[int]) -> bool:
        """Read the positions again; False when another worker has claimed one of them."""

    async def as_known(self) -> bool:
        """Whether Postgres has our positions as we know them."""

    @property
    def stopped(self) -> Container[int]:
        """Partitions that wait for their operator: nothing of theirs is to be done."""

    async def check(self, partitions: Sequence[int]) -> None:
        """Compare the logs of these with what their positions remember, and mend or stop them."""


class BatchLoop:
    """Runs one step over one topic's fetches."""

    def __init__(self, app: Any, step: Step, settings: Settings, records_max: int) -> None:
        self._app = app
        self._step = step
        self._backoff = outage(settings.retry_seconds_max)
        self._records_max = records_max
        self._size = min(FIRST_RECORDS, records_max)
        self._queue: asyncio.Queue[Fetched] = asyncio.Queue(QUEUED_FETCHES_MAX)
        self._sought: dict[int, int] = {}
        self._looked_at = 0.0
        self._suspects: set[int] = set()
        """Partitions whose log has to be looked at before anything of theirs counts."""
        self._thrown: set[int] = set()
        """Of them, those whose consumer is somewhere else now."""
        self._ends: dict[int, int] = {}
        self._rechecked_at = 0.0
        self._stood: dict[int, int] = {}
        """Partition with lag -> its position at the last look."""
        self._committed_at = 0.0
        self._advisory: asyncio.Task[None] | None = None

    @property
    def positions(self) -> Positions:
        return self._step.positions

    @property
    def stopped(self) -> Container[int]:
        """Partitions that are not expected to move."""
        return self._step.stopped

    async def claim(self, partitions: list[int]) -> dict[int, int]:
        """The seek hook: claims, and says where to read on. Bounded by the transport."""
        try:
            await self._until_available("claim", lambda: self._step.claim(partitions))
        except Exception as error:
            _explain(error)
            raise
        self._sought.clear()
        self._ends.clear()
        self._suspects = set(self.positions.held)
        log.info("claimed", extra={"topic": self.positions.topic, "count": len(partitions)})
        return {partition: held.next for partition, held in self.positions.held.items()}

    async def feed(self, stream: Any) -> None:
        """The agent: passes fetches on. Never raises, never drops."""
        async for event in stream.events():
            message = event.message
            await self._queue.put(Fetched(message.partition, message.generation_id, event.value))

    async def run(self) -> None:
        """Work until cancelled. An error that a retry can't mend ends the process."""
        try:
            while True:
                fetched = await self._gather()
                if self._suspects:
                    await self._check()
                elif time.monotonic() - self._looked_at >= LOOK_SECONDS:
                    await self._look(idle=not fetched)
                if not fetched:
                    continue
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
            os._exit(FAILED)

    async def _gather(self) -> list[Fetched]:
        """What is queued, up to the size; nothing when nothing comes until the next look."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                fetched = [await self._queue.get()]
        except TimeoutError:
            return []
        records = len(fetched[0].records)
        while records < self._size and not self._queue.empty():
            fetched.append(self._queue.get_nowait())
            records += len(fetched[-1].records)
        return fetched

    async def _complete(self, fetched: list[Fetched]) -> None:
        in_doubt: list[int] = []

        async def attempt() -> None:
            nonlocal in_doubt
            if in_doubt:  # the last attempt failed, and may have been committed all the same
                await self._step.reload(in_doubt)
                in_doubt = []
            while batches := await self._trim(fetched):
                partitions = [batch.partition for batch in batches]
                try:
                    await self._step.apply(batches)
                except Fenced:
                    log.warning("fenced", extra={"topic": self.positions.topic})
                    await self._after_fence(partitions)
                except NOT_NOW:
                    in_doubt = partitions
                    raise
                else:
                    self.positions.moved(batches)
                    self._tell_kafka()
                    return

        await self._until_available("apply", attempt)

    async def _trim(self, fetched: list[Fetched]) -> list[Batch]:
        """What of it is still ours to do, in order, as one batch per partition."""
        assignment = self._app.consumer_generation_id
        stopped = self._step.stopped
        nexts = {p: held.next for p, held in self.positions.held.items() if p not in stopped}
        planned = plan(fetched, nexts, assignment, self._sought)
        for partition, (offset, seek) in planned.seeks.items():
            self._sought[partition] = seek
            await self._seek({partition: offset})
        for partition, seek in planned.thrown_back.items():
            self._sought[partition] = seek
            self._suspects.add(partition)
            self._thrown.add(partition)
        cut = {p for p, (at, _) in planned.holes.items() if not await self._reaches_back(p, at)}
        self._suspects |= cut
        if self._app.consumer_generation_id != assignment:
            return []  # claimed again while we asked: these are other positions
        held = self.positions.held
        return [
            batch
            for batch in planned.batches
            if batch.partition in held
            and held[batch.partition].next == batch.base
            and batch.partition not in cut
        ]

    async def _seek(self, offsets: dict[int, int]) -> None:
        """Read on from there: what was under way was dropped, or is not what we need."""
        if not offsets:
            return
        try:
            await self._app.consumer.seek_wait(
                {TP(self.positions.topic, partition): at for partition, at in offsets.items()}
            )
        except IllegalStateError:
            log.debug("not ours any more: the next to claim it reads from there")

    async def _look(self, *, idle: bool) -> None:
        """Look up from the work, in its pauses only. What is not to be had now is seen later."""
        assignment = self._app.consumer_generation_id
        if not self.positions.held or self._app.rebalancing:
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                known = await self._step.as_known()
                ends = await self._read_ends()
        except (*NOT_NOW, KafkaError, TimeoutError) as error:
            log.debug("look: %s", type(error).__name__)
            return
        finally:
            self._looked_at = time.monotonic()
        if self._app.consumer_generation_id != assignment:
            return
        held = self.positions.held
        self._suspects |= {
            partition
            for partition, end in ends.items()
            if partition not in self._step.stopped
            and (end < self._ends.get(partition, 0) or end < held[partition].next)
        }
        self._ends = ends
        if time.monotonic() - self._rechecked_at > RECHECK_SECONDS:
            # Its operator may have brought the log back.
            self._rechecked_at = time.monotonic()
            self._suspects |= {p for p in held if p in self._step.stopped}
        if not known:
            await self._read_positions_again()
        elif idle and self._queue.empty():
            await self._seek_what_stands_still(ends)
        else:
            self._stood.clear()

    async def _read_ends(self) -> dict[int, int]:
        assigned = self._app.consumer.assignment()
        tps = [
            tp
            for partition in self.positions.held
            if (tp := TP(self.positions.topic, partition)) in assigned
        ]
        ends = await self._app.consumer.highwaters(*tps) if tps else {}
        return {tp.partition: end for tp, end in ends.items()}

    async def _read_positions_again(self) -> None:
        """Somebody moved our positions: the database was restored, a loss accepted, a log healed.

        Or another worker has claimed a partition, which the rebalance to come explains.
        """
        log.warning("positions moved without us", extra={"topic": self.positions.topic})
        await self._after_fence(sorted(self.positions.held))
        held = self.positions.held
        await self._seek({partition: one.next for partition, one in held.items()})

    async def _seek_what_stands_still(self, ends: dict[int, int]) -> None:
        """A fetch may be dropped on its way after we have counted it as read (`Records`).

        What comes behind it shows that. When nothing comes, the partition would stand still until
        the next event: with lag, an empty queue and the same position as a look ago it is sought.
        """
        held = self.positions.held
        lagging = {
            partition: held[partition].next
            for partition, end in ends.items()
            if partition in held
            and held[partition].next < end
            and partition not in self._step.stopped
        }
        still = {p: at for p, at in lagging.items() if self._stood.get(p) == at}
        self._stood = lagging
        if still:
            log.info(
                "reading again what stands still",
                extra={"topic": self.positions.topic, "count": len(still)},
            )
            await self._seek(still)
            self._stood = {}

    async def _reaches_back(self, partition: int, expected: int) -> bool:
        """The log was read from `expected` on, and had nothing for us at first: is that all?

        Transaction markers and aborted records leave such holes. So does a log whose beginning has
        moved past our position.
        """
        tp = TP(self.positions.topic, partition)
        earliest = await self._until_available(
            "check", lambda: self._app.consumer.earliest_offsets(tp), on=(KafkaError, TimeoutError)
        )
        return bool(earliest[tp] <= expected)

    async def _check(self) -> None:
        """Look at the logs of suspects, until each is found right, mended or stopped."""
        await self._until_available("check", self._check_suspects)

    async def _check_suspects(self) -> None:
        while self._suspects:
            assignment = self._app.consumer_generation_id
            suspects = sorted(self._suspects)
            held = self.positions.held
            before = {p: held[p].next for p in suspects if p in held and p not in self._thrown}
            try:
                await self._step.check(suspects)
            except Fenced:
                await self._after_fence(suspects)
                continue
            if self._app.consumer_generation_id != assignment:
                continue
            self._suspects -= set(suspects)
            self._thrown -= set(suspects)
            held = self.positions.held
            await self._seek(
                {p: held[p].next for p in suspects if p in held and before.get(p) != held[p].next}
            )

    async def _after_fence(self, partitions: Sequence[int]) -> None:
        """An erasure or a switch of generations: read again. Another claim: is it ours to do?"""
        assignment = self._app.consumer_generation_id
        if await self._reload(partitions):
            return
        await asyncio.sleep(RIVAL_SECONDS)
        if self._app.consumer_generation_id != assignment or self._app.rebalancing:
            return
        tps = self._app.consumer.assignment()
        ours = sorted(tp.partition for tp in tps if tp.topic == self.positions.topic)
        if ours and not set(ours) <= self.positions.held.keys():
            await self.claim(ours)

    async def _reload(self, partitions: Sequence[int]) -> bool:
        return await self._until_available("reload", lambda: self._step.reload(partitions))

    async def _until_available(
        self,
        name: str,
        operation: Callable[[], Awaitable[T]],
        on: tuple[type[Exception], ...] = NOT_NOW,
    ) -> T:
        def waits(attempt: int, error: BaseException) -> None:
            if worth_saying(attempt):
                log.warning(
                    "%s: waiting for %s",
                    name,
                    type(error).__name__,
                    extra={"topic": self.positions.topic, "attempt": attempt},
                )

        return await retried(operation, self._backoff, on=on, told=waits)

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
