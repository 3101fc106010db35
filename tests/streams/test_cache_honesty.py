"""The cache never tells what Postgres does not, whatever was lost between the two."""

from collections.abc import AsyncIterator

import pytest

from stores.cached import Remembered
from tests.pipeline import Pipeline, Worker, fill, message, purchase, truth


async def warm(pipeline: Pipeline, fan: str) -> Remembered:
    """Put a fan's memory into the cache, as a read does; the worker has said that it is pushed."""
    async with pipeline.stores() as (cache, store):

        async def filled() -> Remembered | None:
            await fill(cache, store, "creator", fan)
            found = await cache.read("creator", fan)
            if found is None:
                return None
            said = await cache.published(found.partition)
            return found if said is not None and said.next >= found.version else None

        found = await pipeline.wait_for(filled)
        assert isinstance(found, Remembered)
        return found


async def told(pipeline: Pipeline, fan: str) -> tuple[int | None, int]:
    """The version in the cache, if any, and the one in Postgres."""
    async with pipeline.stores() as (cache, store):
        cached = await cache.read("creator", fan)
        stored = await truth(pipeline, store, "creator", fan)
        if cached is not None and cached.version == stored.version:
            assert cached == stored
        return (None if cached is None else cached.version), stored.version


async def honest(pipeline: Pipeline, fan: str) -> None:
    """Until the cache says nothing of the fan, or the truth."""

    async def agreed() -> bool:
        cached, stored = await told(pipeline, fan)
        return cached is None or cached == stored

    await pipeline.wait_for(agreed, instead=lambda: told(pipeline, fan))


@pytest.mark.parametrize("point", ["projection.after_commit", "projection.after_push"])
async def test_a_crash_around_the_push_leaves_nothing_stale(pipeline: Pipeline, point: str) -> None:
    first = pipeline.start_worker()
    await pipeline.publish(message("fan", 1))
    await pipeline.drained()
    before = await warm(pipeline, "fan")
    first.kill()
    await pipeline.forget_dead_workers()
    crashing = pipeline.start_worker(fail_at=point)
    await pipeline.publish(message("fan", 2))
    assert crashing.process.wait(30) == -9
    await pipeline.forget_dead_workers()
    cached, stored = await told(pipeline, "fan")
    if point == "projection.after_commit":
        # The window: Postgres has moved and the cache has not heard of it.
        assert cached in (None, before.version) and before.version < stored
    pipeline.start_worker()
    await pipeline.drained()
    await honest(pipeline, "fan")
    cached, stored = await told(pipeline, "fan")
    assert stored > before.version
    assert (await pipeline.state("fan")).engagement.messages == 2


async def test_a_cache_that_forgot_everything_takes_no_fill_until_the_worker_speaks(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.start_worker()
    await pipeline.publish(message("fan", 1))
    await pipeline.drained()
    await warm(pipeline, "fan")
    worker.kill()
    await pipeline.forget_dead_workers()
    async with pipeline.stores() as (cache, store):
        await cache._call("FLUSHALL")
        assert not await fill(cache, store, "creator", "fan")
        assert await cache.read("creator", "fan") is None
    pipeline.start_worker()
    await warm(pipeline, "fan")


async def test_what_moved_while_the_cache_was_away_is_dropped_from_it(
    pipeline: Pipeline, worker: Worker
) -> None:
    await pipeline.publish(message("moved", 1), message("still", 1))
    await pipeline.drained()
    async with pipeline.stores() as (cache, _):

        async def all_published() -> bool:
            """Before, the cache of a new worker is dropped as a whole: nobody vouches for it."""
            partitions = range(pipeline.settings.journal_partitions)
            return None not in [await cache.published(partition) for partition in partitions]

        await pipeline.wait_for(all_published)
        await warm(pipeline, "moved")
        await warm(pipeline, "still")
        # Redis hangs, as it does when its host swaps: nothing reaches it, nothing is lost in it.
        await cache._call("CLIENT", "PAUSE", 3000, "ALL")
    await pipeline.publish(message("moved", 2), purchase("moved", 3, 5))
    await pipeline.drained()
    await honest(pipeline, "moved")
    cached, stored = await told(pipeline, "still")
    assert cached == stored  # it did not move, so it may stay
    assert worker.alive
    await warm(pipeline, "moved")


@pytest.fixture
async def worker(pipeline: Pipeline) -> AsyncIterator[Worker]:
    one = pipeline.start_worker()
    await pipeline.claimed()
    yield one
