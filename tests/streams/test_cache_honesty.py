"""The cache never tells what Postgres does not, whatever was lost between the two."""

import signal
from typing import Any

import pytest
import redis.asyncio

from schemas.positions import Position
from schemas.topics import INTERACTIONS
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


async def test_a_cache_that_goes_back_under_living_connections_tells_nothing_old(
    pipeline: Pipeline, worker: Worker
) -> None:
    """A failover behind a proxy or a managed endpoint."""
    await pipeline.publish(message("fan", 1))
    await pipeline.drained()
    await warm(pipeline, "fan")
    client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
    async with pipeline.stores() as (cache, _):
        former = {key: await client.dump(key) for key in await client.keys("*")}
        await pipeline.publish(message("fan", 2))
        await pipeline.drained()
        position = (await pipeline.ends(INTERACTIONS.name)).items()
        await honest(pipeline, "fan")
        back = client.pipeline(transaction=True).flushall()
        for key, dump in former.items():
            back.restore(key, 0, dump)
        await back.execute()
        for partition, end in position:
            if end:
                assert not await cache.reached(
                    "creator", "fan", Position(INTERACTIONS.name, partition, end - 1)
                )
    await client.aclose()
    await honest(pipeline, "fan")
    assert worker.said("the whole cache is dropped")
    await warm(pipeline, "fan")
    await honest(pipeline, "fan")


async def test_a_full_cache_tells_nothing_old(pipeline: Pipeline, worker: Worker) -> None:
    await pipeline.publish(message("moved", 1), message("still", 1))
    await pipeline.drained()
    await warm(pipeline, "moved")
    await warm(pipeline, "still")
    client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
    former = await client.config_get("maxmemory*")
    try:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
        await pipeline.publish(message("moved", 2))
        await pipeline.drained()
        await honest(pipeline, "moved")
        # What did not move is answered on, and the worker goes on vouching for it.
        cached, stored = await told(pipeline, "still")
        assert cached == stored
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            await client.config_set(name, former[name])
        await client.aclose()
    await warm(pipeline, "moved")
    assert worker.alive


async def test_a_worker_that_stopped_is_not_believed_for_long(
    pipeline: Pipeline, worker: Worker
) -> None:
    await pipeline.publish(message("fan", 1))
    await pipeline.drained()
    await warm(pipeline, "fan")
    worker.signal(signal.SIGSTOP)
    try:
        async with pipeline.stores() as (cache, _):

            async def unanswered() -> bool:
                return await cache.read("creator", "fan") is None

            await pipeline.wait_for(unanswered)
    finally:
        worker.signal(signal.SIGCONT)
    await warm(pipeline, "fan")


@pytest.fixture
async def worker(pipeline: Pipeline) -> Worker:
    """One that vouches for every partition."""
    one = pipeline.start_worker()
    await pipeline.vouched()
    return one
