"""Two owners of one partition: the fence decides, and the counts stay exact.

A paused worker is stopped at a chosen place by a lock on what it needs next in Postgres, so that
these tests don't depend on luck.
"""

import signal

import pytest

from schemas.topics import INTERACTIONS, JOURNAL
from tests.pipeline import Pipeline, Worker, message, mixed


async def epochs(pipeline: Pipeline, topic: str) -> dict[int, int]:
    rows = await pipeline.fetch("SELECT partition, epoch FROM position WHERE topic = $1", topic)
    return {row["partition"]: row["epoch"] for row in rows}


async def taken_over(pipeline: Pipeline, before: dict[int, int]) -> None:
    """Until every journal partition has been claimed again."""

    async def claimed() -> bool:
        now = await epochs(pipeline, JOURNAL.name)
        return all(now[partition] > epoch for partition, epoch in before.items())

    await pipeline.wait_for(claimed, 45)


async def paused_while_it_waits_for(pipeline: Pipeline, first: Worker, table: str) -> Worker:
    """Pause the worker while it asks for `table`, and let another take everything over."""
    before = await epochs(pipeline, JOURNAL.name)
    async with pipeline.locked(table):
        await pipeline.publish(*mixed(fans=8, events=200))
        await pipeline.lock_awaited(table)
        first.signal(signal.SIGSTOP)
    second = pipeline.start_worker()
    await taken_over(pipeline, before)
    return second


@pytest.mark.parametrize(
    ("table", "noticed"),
    [
        # Before its transaction: it wakes up, begins one, and finds the partition taken.
        ("subject", "fenced"),
        # Within: it would hold the rows for as long as it sleeps, so the next owner ends it.
        ("interaction", "waiting for"),
    ],
)
async def test_a_worker_that_slept_through_its_session_changes_nothing(
    pipeline: Pipeline, table: str, noticed: str
) -> None:
    first = pipeline.start_worker()
    await pipeline.claimed()
    await paused_while_it_waits_for(pipeline, first, table)
    await pipeline.publish(*mixed(fans=8, events=200, first=200))
    before = await pipeline.drained()
    assert before.applied == 400
    first.signal(signal.SIGCONT)

    async def rejected() -> bool:
        return first.said(noticed) > 0

    await pipeline.wait_for(rejected)
    await pipeline.publish(*mixed(fans=8, events=100, first=400))
    after = await pipeline.drained()
    assert (after.applied, after.duplicates) == (500, 0)
    assert sum((await pipeline.history()).values()) == 500
    assert all(worker.alive for worker in pipeline.workers)


async def test_a_claim_in_the_middle_of_a_batch_fences_it(pipeline: Pipeline) -> None:
    worker = pipeline.start_worker()
    await pipeline.claimed()
    for first, topic in ((0, INTERACTIONS.name), (20, JOURNAL.name)):
        async with pipeline.locked("position") as connection:
            await pipeline.publish(*(message("fan", first + i) for i in range(20)))
            await pipeline.lock_awaited("position")
            # What another owner's claim does, while this owner's batch is under way.
            await connection.execute(
                "UPDATE position SET epoch = epoch + 1 WHERE topic = $1", topic
            )

        async def fenced(topic: str = topic) -> bool:
            # By its commit, or a moment sooner by its look at the positions once a second.
            return any(
                line["message"] in ("fenced", "positions moved without us")
                and line.get("topic") == topic
                for line in worker.lines()
            )

        await pipeline.wait_for(fenced)
    # Nobody else is there, so it claims again and goes on; what it had produced is recognised.
    after = await pipeline.caught_up()
    assert after.applied == 40
    assert (await pipeline.history()) == {"fan": 40}
