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

Once a second the loop also looks up (`streams.lookout`): a partition that has lag, an empty queue
and no movement is read again from its position, and so are positions that moved in Postgres
without us. After each claim, and when a log goes backwards, its partitions are checked before
anything of theirs counts (`streams.healing`). Whether one did is also looked for beside the work.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Any, TypeVar

from infra.exit_codes import FAILED
from infra.kafka import IllegalStateError, KafkaError, broker_errors, named
from infra.retry import outage, retried, worth_saying
from infra.settings import Settings
from schemas.errors import FanMemoryError, Fenced
from stores.positions import Batch, Positions
from streams.advisory import AdvisoryCommit
from streams.continuity import Fetched, plan
from streams.counts import Counts
from streams.lookout import LOOK_SECONDS, LOOK_SECONDS_MAX, Lookout
from streams.partitions import Partitions
from streams.step import NOT_NOW, Step
from streams.unit_size import FIRST_RECORDS, next_size
from streams.unread import Unread

T = TypeVar("T")

log = logging.getLogger(__name__)

QUEUED_FETCHES_MAX = 8
COMPARE_SECONDS = 20.0
"""How often to compare all logs with the positions, whatever was seen: with a broker that knows
topics by name only, one that is deleted, made again and filled beyond our position within one look
may leave no other trace. Beside the work, because it takes a dozen reads of each log."""
RIVAL_SECONDS = 3.0
"""How long to wait, when fenced by another claim, for the rebalance that explains it: three
heartbeats. Without one the other was a worker that had been asleep; then we claim again."""


class BatchLoop:
    """Runs one step over one topic's fetches."""

    def __init__(
        self,
        app: Any,
        step: Step,
        settings: Settings,
        records_max: int,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        """`ready` is awaited before positions are claimed or read again."""
        self._app = app
        self._step = step
        self._ready = ready
        self._backoff = outage(settings.retry_seconds_max)
        self._records_max = records_max
        self._size = min(FIRST_RECORDS, records_max)
        self._queue: asyncio.Queue[Fetched] = asyncio.Queue(QUEUED_FETCHES_MAX)
        self._unread = Unread()
        self._sought: dict[int, int] = {}
        self._suspects: set[int] = set()
        """Partitions whose log has to be looked at before anything of theirs counts."""
        self._thrown: set[int] = set()
        """Of them, those whose consumer is somewhere else now, or whose fetches were dropped."""
        self._checked: dict[int, int] = {}
        """Partition -> link on which its log was last checked (`transport.Records.link`)."""
        self.partitions = Partitions(app, named(settings, step.positions.topic))
        self._lookout = Lookout(app, step, self.partitions)
        self._advisory = AdvisoryCommit(self.partitions)

    @property
    def positions(self) -> Positions:
        return self._step.positions

    @property
    def counts(self) -> Counts:
        """What was done since the start."""
        return self._step.counts

    def unread_since(self, partition: int) -> int | None:
        """Kafka's time, in ms, of the oldest fetched record that is not done; None without one."""
        held = self.positions.held.get(partition)
        return None if held is None else self._unread.since(partition, held.next)

    @property
    def stopped(self) -> Container[int]:
        """Partitions that are not expected to move."""
        return self._step.stopped

    async def claim(self, partitions: list[int]) -> dict[int, int]:
        """The seek hook: claims, and says where to read on. Bounded by the transport."""
        try:
            await self._until_available("ready", self._ready)
            await self._until_available("claim", lambda: self._step.claim(partitions))
        except Exception as error:
            _explain(error)
            raise
        self._sought.clear()
        self._checked.clear()
        self._lookout.claimed()
        self._suspects = set(self.positions.held)
        log.info("claimed", extra={"topic": self.positions.topic, "count": len(partitions)})
        return {partition: held.next for partition, held in self.positions.held.items()}

    async def feed(self, stream: Any) -> None:
        """The agent: passes fetches on. Never raises, never drops."""
        async for event in stream.events():
            message = event.message
            fetched = Fetched(message.partition, message.generation_id, event.value)
            await self._queue.put(fetched)
            self._unread.came(fetched)

    async def run(self) -> None:
        """Work until cancelled. An error that a retry can't mend ends the process."""
        try:
            while True:
                fetched = await self._gather()
                if self._suspects:
                    await self._check()
                elif self._lookout.due:
                    await self._look(idle=not fetched)
                if not fetched:
                    continue
                started = time.monotonic()
                await self._complete(fetched)
                self._unread.done(len(fetched))
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

    async def compare(self) -> None:
        """Beside the work, until cancelled: have checked what is not the log that we know."""
        # Not all loops of all workers that were started together at the same moment.
        await asyncio.sleep(random.uniform(0, COMPARE_SECONDS))
        while True:
            if self.positions.held and not self._app.rebalancing:
                try:
                    doubtful = await self._step.doubtful()
                    self._suspects |= doubtful  # what a claim has made of them meanwhile
                except NOT_NOW as error:
                    log.debug("compare: %s", type(error).__name__)
            await asyncio.sleep(COMPARE_SECONDS)

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
                began = time.perf_counter()
                try:
                    await self._step.apply(batches)
                except Fenced:
                    self._step.counts.fences += 1
                    log.warning("fenced", extra={"topic": self.positions.topic})
                    await self._after_fence(partitions)
                except NOT_NOW:
                    in_doubt = partitions
                    raise
                else:
                    counts = self._step.counts
                    counts.seconds.add(time.perf_counter() - began)
                    counts.records.add(sum(len(batch.records) for batch in batches))
                    self.positions.moved(batches)
                    self._advisory.tell(self.positions)
                    return

        await self._until_available("apply", attempt)

    async def _trim(self, fetched: list[Fetched]) -> list[Batch]:
        """What of it is still ours to do, in order, as one batch per partition."""
        assignment = self._app.consumer_generation_id
        stopped = self._step.stopped
        nexts = {p: held.next for p, held in self.positions.held.items() if p not in stopped}
        planned = plan(fetched, nexts, assignment, self._sought, self._checked)
        for partition, (offset, seek) in planned.seeks.items():
            self._sought[partition] = seek
            await self._seek({partition: offset})
        for partition, seek in (planned.thrown_back | planned.unchecked).items():
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
            await self.partitions.seek(offsets)
        except IllegalStateError:
            log.debug("not ours any more: the next to claim it reads from there")

    async def _look(self, *, idle: bool) -> None:
        """Look up from the work, in its pauses only."""
        seen = await self._lookout.look(self._checked)
        if seen is None:
            return
        self._suspects |= seen.suspects
        if not seen.known:
            await self._read_positions_again()
        elif idle and self._queue.empty():
            await self._seek_what_stands_still()
        else:
            self._lookout.working()

    async def _read_positions_again(self) -> None:
        """Somebody moved our positions: the database was restored, a loss accepted, a log healed.

        Or another worker has claimed a partition, which the rebalance to come explains.
        """
        log.warning("positions moved without us", extra={"topic": self.positions.topic})
        await self._after_fence(sorted(self.positions.held))
        held = self.positions.held
        await self._seek({partition: one.next for partition, one in held.items()})

    async def _seek_what_stands_still(self) -> None:
        still = self._lookout.standing_still()
        if still:
            log.info(
                "reading again what stands still",
                extra={"topic": self.positions.topic, "count": len(still)},
            )
            await self._seek(still)

    async def _reaches_back(self, partition: int, expected: int) -> bool:
        """The log was read from `expected` on, and had nothing for us at first: is that all?

        Transaction markers and aborted records leave such holes. So does a log whose beginning has
        moved past our position.
        """
        begin = await self._until_available(
            "check", lambda: self.partitions.begin(partition), on=(KafkaError, TimeoutError)
        )
        return begin <= expected

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
                # Taken before the check: a link that comes later shows in the fetches.
                links = await self._links(suspects)
                await self._step.check(suspects)
            except Fenced:
                await self._after_fence(suspects)
                continue
            if self._app.consumer_generation_id != assignment:
                continue
            self._suspects -= set(suspects)
            self._thrown -= set(suspects)
            held = self.positions.held
            moved = {p for p in suspects if p in held and before.get(p) != held[p].next}
            # What was fetched by an earlier link is not taken any more.
            moved |= {p for p in links if self._checked.get(p) != links[p] and p in held}
            self._checked |= links
            await self._seek({p: held[p].next for p in moved})

    async def _links(self, partitions: Sequence[int]) -> dict[int, int]:
        async with broker_errors(), asyncio.timeout(LOOK_SECONDS_MAX):
            return await self.partitions.links(partitions)

    async def _after_fence(self, partitions: Sequence[int]) -> None:
        """An erasure or a switch of generations: read again. Another claim: is it ours to do?"""
        assignment = self._app.consumer_generation_id
        if await self._reload(partitions):
            return
        await asyncio.sleep(RIVAL_SECONDS)
        if self._app.consumer_generation_id != assignment or self._app.rebalancing:
            return
        ours = sorted(self.partitions.assigned())
        if ours and not set(ours) <= self.positions.held.keys():
            await self.claim(ours)

    async def _reload(self, partitions: Sequence[int]) -> bool:
        await self._until_available("ready", self._ready)
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


def _explain(error: BaseException) -> None:
    """Before a worker ends, say what its operator should do: our own errors know."""
    if isinstance(error, FanMemoryError):
        log.critical("%s %s", error, error.advice)
