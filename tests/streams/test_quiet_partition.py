"""A quiet partition never stands still: what Faust dropped on its way is read again by itself.

Found by a stranger's week: after a worker was killed, a partition whose last fetch had been dropped
in the rebalance waited 60 to 80 s, until the watchdog ended the survivor or an event came.

TEST_QUIET_ROUNDS=100 pytest tests/streams/test_quiet_partition.py is the long form.
"""

import os
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from infra.settings import Settings
from schemas.topics import JOURNAL
from stores.positions import Held, Positions
from streams.batching import BatchLoop
from tests.pipeline import Pipeline, message

ROUNDS = int(os.environ.get("TEST_QUIET_ROUNDS", "2"))
SESSION_SECONDS = 6.0
"""The shortest that Kafka allows: so long the dead worker's partitions are nobody's."""
VIEWS_SECONDS_MAX = 15.0
"""Measured from the survivor's claim. On a quiet machine it takes 1 to 2 s; without a look it took
60 and more, so a busy machine may take its time."""
TOPIC = "interactions"


async def ready() -> None:
    """There is no ledger to compare with."""


class Consumer:
    def __init__(self, ends: dict[int, int]) -> None:
        self.ends = ends
        self.sought: list[dict[TP, int]] = []

    def assignment(self) -> set[TP]:
        return {TP(TOPIC, partition) for partition in self.ends}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.ends[tp.partition] for tp in tps}

    async def links(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        self.sought.append(partitions)


def loop_over(consumer: Consumer, nexts: dict[int, int]) -> BatchLoop:
    positions = Positions(TOPIC)
    positions.held = {p: Held(p, at, 1, 0) for p, at in nexts.items()}

    async def as_known() -> bool:
        return True

    step: Any = SimpleNamespace(positions=positions, as_known=as_known, stopped={}, in_doubt=False)
    app = SimpleNamespace(consumer_generation_id=1, consumer=consumer, rebalancing=False)
    loop = BatchLoop(app, step, Settings(), 1000, ready)
    loop._checked = dict.fromkeys(nexts, 0)
    return loop


async def test_lag_without_movement_from_look_to_look_is_sought() -> None:
    consumer = Consumer({0: 12, 1: 12, 2: 12})
    loop = loop_over(consumer, {0: 10, 1: 10, 2: 12})
    await loop._look(idle=True)
    assert consumer.sought == []
    loop.positions.held[1].next = 11
    await loop._look(idle=True)
    assert consumer.sought == [{TP(TOPIC, 0): 10}]


async def test_what_is_queued_or_was_busy_is_left_alone() -> None:
    consumer = Consumer({0: 12})
    loop = loop_over(consumer, {0: 10})
    await loop._look(idle=True)
    await loop._look(idle=False)
    await loop._look(idle=True)
    assert consumer.sought == []


@pytest.mark.parametrize("turn", range(ROUNDS))
async def test_the_last_batch_before_silence_is_in_the_views_soon_after_a_kill(
    pipeline: Pipeline, turn: int
) -> None:
    survivor = pipeline.start_worker(session_seconds=SESSION_SECONDS)
    doomed = pipeline.start_worker(session_seconds=SESSION_SECONDS)
    await pipeline.claimed()

    async def shared() -> bool:
        said = [worker.said('"claimed"') for worker in (survivor, doomed)]
        return all(said)

    await pipeline.wait_for(shared)
    await pipeline.publish(*(message(f"fan{n}", n) for n in range(200)))
    doomed.kill()
    await pipeline.publish(*(message(f"fan{n}", 1000 + n) for n in range(20)))
    before = survivor.said('"claimed"')

    async def taken_over() -> bool:
        return survivor.said('"claimed"') >= before + 2

    await pipeline.wait_for(taken_over)
    began = time.monotonic()

    async def all_there() -> bool:
        found = await pipeline.fetch(
            "SELECT sum(applied)::bigint AS n FROM position WHERE topic = $1", JOURNAL.name
        )
        return bool(found[0]["n"] == 220)

    await pipeline.wait_for(all_there, VIEWS_SECONDS_MAX, pipeline.lag)
    print(f"round {turn}: {time.monotonic() - began:.1f} s")
    assert survivor.alive
