"""Faults of logs that go backwards: cut short, made again, or grown again with something else.

What is lost of `interactions` has been read, and what is lost of the journal still is in
`interactions`: then all of it can be healed, and must be.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

from admin.accounting import wait_until_folded
from infra import kafka
from infra.postgres import connecting
from infra.settings import Settings
from infra.sql import load_queries
from lab.chaos.backwards import cut_log, recreate_topic
from lab.chaos.fault import FLOW, HEALED_SECONDS_MAX, Fault, Stage
from lab.chaos.progress import behind, wait_for
from lab.chaos.topic import read_topic
from schemas.errors import DeadlineExceeded
from schemas.topics import INTERACTIONS, JOURNAL, Topic

_QUERIES: Final = load_queries(Path(__file__).with_suffix(".sql"))
LOST_EVENTS: Final = 300
TWICE: Final = 5
GROWTH_EVENTS: Final = 6 * LOST_EVENTS
"""Enough for the partition that gets the fewest to grow beyond what it had."""
READ_SECONDS_MAX: Final = 180.0
LOSING_SECONDS_MAX: Final = 300.0
BLIND_SECONDS: Final = 10.0
"""For so long after it was healed an answer may still be of before."""


class _Backwards(Fault):
    """Base: `_lose` takes something away; it must be found, and be back before this ends."""

    topic: Topic
    reserve = LOST_EVENTS
    _found = 0
    _stopped = 0
    _healed = False

    async def inject(self, stage: Stage) -> None:
        stage.excused.went_back = True
        stage.reader.forget(LOSING_SECONDS_MAX)
        try:
            before, _ = await self._breaks(stage)
            reached, ends = await self._lose(stage)
            lost = {partition for partition, end in ends.items() if end < reached[partition]}
            stage.reader.forget(2 * HEALED_SECONDS_MAX)
            self._healed = await self._found_all(stage, before, lost) and await self._all_back(
                stage, reached
            )
            _, self._stopped = await self._breaks(stage)
        finally:
            stage.reader.forget(BLIND_SECONDS)
        stage.tell(f"{self.name}: {self._found} partitions, {self._stopped} stopped")

    async def seen(self, stage: Stage) -> bool:
        return self._healed and not self._stopped

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        """Returns how far each partition had been read, and where its log ends now."""
        raise NotImplementedError

    async def _all_back(self, stage: Stage, reached: dict[int, int]) -> bool:
        return await stage.all_back(reached if self.topic is JOURNAL else {})

    async def _found_all(self, stage: Stage, before: dict[int, int], lost: set[int]) -> bool:
        """Wait until every partition that lost something was seen to have."""
        for _ in range(int(HEALED_SECONDS_MAX)):
            stage.emitter.burst(FLOW)
            await asyncio.sleep(1.0)
            after, _ = await self._breaks(stage)
            found = {one for one in lost if after.get(one, 0) > before.get(one, 0)}
            self._found = len(found)
            if found == lost:
                return bool(lost)
        return False

    async def _breaks(self, stage: Stage) -> tuple[dict[int, int], int]:
        """How often each partition's reader found a break, and how many stand still."""
        async with connecting(stage.settings.postgres_url) as connection:
            rows = await connection.fetch(_QUERIES.breaks, self.topic.name)
        return {row["partition"]: row["found"] for row in rows}, sum(r["stopped"] for r in rows)


class JournalCut(_Backwards):
    name = "journal cut"
    topic = JOURNAL

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        keep = stage.progress.of(JOURNAL.name)
        await stage.folded_more(LOST_EVENTS)
        reached = stage.progress.of(JOURNAL.name)
        return reached, await asyncio.to_thread(cut_log, stage.services, JOURNAL.name, keep)


class InteractionsCut(_Backwards):
    name = "interactions cut"
    topic = INTERACTIONS

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        keep = stage.emitter.ends()
        await stage.folded_more(LOST_EVENTS)
        async with stage.emitter.silent():
            reached = stage.emitter.ends()
            await _all_read(stage, reached)
            ends = await asyncio.to_thread(cut_log, stage.services, INTERACTIONS.name, keep)
            await stage.emitter.lost(ends)
        return reached, ends


class _Level(_Backwards):
    """Base: what is written again may be shorter, since repeats are not written again. So all is
    back when both positions are at the ends of their logs."""

    async def _all_back(self, stage: Stage, reached: dict[int, int]) -> bool:
        try:
            await wait_until_folded(stage.store, stage.settings, 0, HEALED_SECONDS_MAX)
        except DeadlineExceeded as late:
            stage.tell(f"{self.name}: {late}")
            return False
        return True


class JournalRecreated(_Level):
    """Deleted and created again: ingest writes everything again."""

    name = "journal recreated"
    topic = JOURNAL

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        await stage.folded_more(LOST_EVENTS)
        reached = stage.progress.of(JOURNAL.name)
        await recreate_topic(stage.settings, JOURNAL.name)
        return reached, dict.fromkeys(reached, 0)


class InteractionsRecreated(_Level):
    """Deleted and created again, when all of it was read."""

    name = "interactions recreated"
    topic = INTERACTIONS

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        await stage.folded_more(LOST_EVENTS)
        async with stage.emitter.silent():
            reached = stage.emitter.ends()
            await _all_read(stage, reached)
            await recreate_topic(stage.settings, INTERACTIONS.name)
            ends = dict.fromkeys(reached, 0)
            await stage.emitter.lost(ends)
        return reached, ends


class JournalRegrown(_Level):
    """While no worker looks the journal is cut, and grows beyond its former end with the same
    records in another order, as from a mirror: where there were records, there are others."""

    name = "journal regrown"
    topic = JOURNAL

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        keep = stage.progress.of(JOURNAL.name)
        await stage.folded_more(LOST_EVENTS)
        async with stage.fleet.asleep():
            before = await _stored(stage.settings, JOURNAL.name)
            reached = stage.progress.of(JOURNAL.name)
            ends = await asyncio.to_thread(cut_log, stage.services, JOURNAL.name, keep)
            lost = {
                partition: [one for one in records if one.offset >= ends[partition]]
                for partition, records in before.items()
            }
            await _append(stage.settings, JOURNAL.name, lost)
        return reached, ends


class InteractionsRegrown(_Level):
    """While no worker looks, what was read is cut off, and new events take its place."""

    name = "interactions regrown"
    topic = INTERACTIONS
    reserve = 2 * LOST_EVENTS + GROWTH_EVENTS

    async def _lose(self, stage: Stage) -> tuple[dict[int, int], dict[int, int]]:
        keep = stage.emitter.ends()
        await stage.folded_more(LOST_EVENTS)
        async with stage.emitter.silent():
            if stage.emitter.left < GROWTH_EVENTS:
                raise TimeoutError  # before anything is taken away
            reached = stage.emitter.ends()
            await _all_read(stage, reached)
            async with stage.fleet.asleep():
                ends = await asyncio.to_thread(cut_log, stage.services, INTERACTIONS.name, keep)
                await stage.emitter.lost(ends)
                await stage.emitter.grow(reached)
        return reached, ends


async def _stored(settings: Settings, topic: str) -> dict[int, list[Any]]:
    """All that a topic holds, by partition."""
    found: dict[int, list[Any]] = {}
    async for record in read_topic(settings, topic):
        found.setdefault(record.partition, []).append(record)
    return found


async def _append(settings: Settings, topic: str, lost: dict[int, list[Any]]) -> None:
    """The records again, but the first one last, and some twice."""
    producer = kafka.producer(settings)
    await kafka.connect(producer)
    try:
        for partition, records in lost.items():
            for one in (*records[1:], *records[:1], *records[:TWICE]):
                await producer.send(topic, one.value, key=one.key, partition=partition)
        await producer.flush()
    finally:
        await kafka.disconnect(producer)


async def _all_read(stage: Stage, ends: dict[int, int]) -> None:
    """Until ingest has read all that was sent; raises `TimeoutError`, and nothing is taken away."""
    if not await wait_for(
        lambda: not behind(stage.progress.of(INTERACTIONS.name), ends), READ_SECONDS_MAX
    ):
        raise TimeoutError
