"""All logs are compared with the positions now and then: beside the work, which does not wait."""

import asyncio
import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from infra.settings import Settings
from schemas.errors import BrokerUnavailable
from stores.positions import Batch, Held, Positions
from streams import batching
from streams.batching import BatchLoop
from streams.counts import Counts
from tests.streams.test_holes import ASSIGNMENT, PARTITION, TOPIC, Consumer, fetched, ready


class Step:
    """A step that keeps what it was asked for, in order."""

    in_doubt = False
    stopped: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.positions = Positions(TOPIC)
        self.positions.held = {PARTITION: Held(PARTITION, 100, 1, 0)}
        self.counts = Counts()
        self.done: asyncio.Queue[object] = asyncio.Queue()
        self.found: asyncio.Queue[set[int] | Exception] = asyncio.Queue()

    async def as_known(self) -> bool:
        return True

    async def claim(self, partitions: Sequence[int]) -> None:
        """Nothing that moves."""

    async def apply(self, batches: Sequence[Batch]) -> None:
        self.done.put_nowait(batches[0].until)

    async def check(self, partitions: Sequence[int]) -> None:
        self.done.put_nowait(list(partitions))

    async def doubtful(self) -> set[int]:
        found = await self.found.get()
        if isinstance(found, Exception):
            raise found
        return found


class Log(Consumer):
    def assignment(self) -> set[Any]:
        return set()

    async def highwaters(self, *_: Any) -> dict[Any, int]:
        return {}

    async def commit_advisory(self, *_: Any) -> None:
        """For lag tools."""


def loop_of(step: Step, monkeypatch: pytest.MonkeyPatch) -> BatchLoop:
    """A loop over this step that compares all the time."""
    monkeypatch.setattr(batching, "COMPARE_SECONDS", 0.0)
    app = SimpleNamespace(consumer_generation_id=ASSIGNMENT, consumer=Log(), rebalancing=False)
    asked: Any = step
    return BatchLoop(app, asked, Settings(), 1000, ready)


async def test_what_is_compared_beside_the_work_is_checked_before_what_comes_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Step()
    loop = loop_of(step, monkeypatch)
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(loop.compare())]
    try:
        async with asyncio.timeout(30):
            await loop._queue.put(fetched(100, 110, range(0)))
            assert await step.done.get() == 110  # though the comparison is not done yet
            await step.found.put(BrokerUnavailable())
            await step.found.put({PARTITION})
            while not loop._suspects:
                await asyncio.sleep(0)
            await loop._queue.put(fetched(110, 120, range(0)))
            assert await step.done.get() == [PARTITION]
            assert await step.done.get() == 120
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


async def test_what_a_claim_wants_checked_is_not_lost_to_a_comparison_that_was_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Step()
    loop = loop_of(step, monkeypatch)
    comparing = asyncio.create_task(loop.compare())
    try:
        while not step.found._getters:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        await loop.claim([PARTITION])
        await step.found.put(set())
        await step.found.put(set())
        while not step.found.empty():
            await asyncio.sleep(0)
        assert loop._suspects == {PARTITION}
    finally:
        comparing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await comparing
