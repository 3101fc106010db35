"""FanMemory on real stores: where a read is answered from, and what it survives."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from infra.postgres import open_pool
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.errors import DeadlineExceeded, FanNotFound, InvalidInput
from schemas.positions import Position
from stores.cache import open_cache
from stores.reader import FanMemory
from stores.store import Store
from stores.written import MOMENTS_MAX

FANS = [("c1", f"f{number}") for number in range(20)]
REACHED = Position("interactions", 0, 0)


@pytest.fixture
async def memory(store_settings: Settings) -> AsyncIterator[FanMemory]:
    await seed(store_settings, {pair: interactions(60, n) for n, pair in enumerate(FANS)})
    keyring = Keyring.of(store_settings)
    pool = await open_pool(store_settings.postgres_url)
    cache = open_cache(store_settings, keyring)
    store = Store(pool, keyring, store_settings.journal_partitions)
    settings = store_settings.model_copy(update={"cache_fills_max": 4})
    memory = FanMemory(cache, store, keyring, settings)
    yield memory
    await memory.close()
    await cache.close()
    pool.terminate()


async def settled(memory: FanMemory) -> None:
    while memory._misses.fills:
        await asyncio.gather(*memory._misses.fills)


async def test_a_miss_is_kept_for_the_next_read(memory: FanMemory) -> None:
    first = await memory.context("c1", "f1")
    await settled(memory)
    second = await memory.context("c1", "f1")
    assert second.recent_messages == first.recent_messages
    assert (memory.counts.cache_requests, memory.counts.cache_hits) == (2, 1)
    assert memory.counts.store_reads == 1


async def test_an_unknown_fan_is_not_found(memory: FanMemory) -> None:
    with pytest.raises(FanNotFound):
        await memory.context("c1", "nobody")
    with pytest.raises(FanNotFound):
        await memory.score("c2", "f1")


async def test_a_hundred_equal_misses_read_once(memory: FanMemory) -> None:
    contexts = await asyncio.gather(*(memory.context("c1", "f1") for _ in range(100)))
    assert len(contexts) == 100
    assert memory.counts.store_reads == 1
    assert memory.counts.shared_reads == 99


async def test_a_reader_that_hangs_up_does_not_take_the_read_from_the_others(
    memory: FanMemory,
) -> None:
    first = asyncio.create_task(memory.context("c1", "f1"))
    others = [asyncio.create_task(memory.context("c1", "f1")) for _ in range(3)]
    while not memory._misses.flights:
        await asyncio.sleep(0)
    first.cancel()
    contexts = await asyncio.gather(*others)
    assert {context.fan_id for context in contexts} == {"f1"}
    assert memory.counts.store_reads == 1


async def test_more_fills_than_allowed_at_once_are_dropped_and_the_reads_answered(
    memory: FanMemory,
) -> None:
    contexts = await asyncio.gather(*(memory.context(*pair) for pair in FANS))
    assert [context.fan_id for context in contexts] == [fan for _, fan in FANS]
    await settled(memory)
    counts = memory.counts
    assert counts.fills + counts.fills_dropped == len(FANS)
    assert counts.fills >= 4


async def test_a_cached_memory_that_was_altered_is_read_from_postgres(
    memory: FanMemory, store_settings: Settings
) -> None:
    before = await memory.context("c1", "f1")
    await settled(memory)
    client: Any = redis.asyncio.from_url(store_settings.redis_url)
    (key,) = [key async for key in client.scan_iter(match="*:c:*")]
    block = await client.hget(key, "b")
    await client.hset(key, "b", block[:-1] + bytes([block[-1] ^ 1]))
    await client.aclose()
    after = await memory.context("c1", "f1")
    assert after.recent_messages == before.recent_messages
    assert memory.counts.cache_errors == 1
    assert memory.breakers()["cache"].failures == 0  # Redis did answer
    await settled(memory)
    assert (await memory.context("c1", "f1")).recent_messages == before.recent_messages
    assert memory.counts.cache_errors == 1  # the altered one was replaced


async def test_what_the_views_have_reached_is_told_by_the_cache_if_it_knows_the_fan(
    memory: FanMemory,
) -> None:
    assert await memory.wait_until("c1", "f1", REACHED, 1) == "store"
    await memory.context("c1", "f1")
    await settled(memory)
    assert await memory.wait_until("c1", "f1", REACHED, 1) == "cache"


async def test_a_read_at_least_as_new_as_a_position_skips_a_cache_that_does_not_know(
    memory: FanMemory,
) -> None:
    await memory.context("c1", "f1", at_least=REACHED)
    assert memory.counts.cache_requests == 0
    assert memory.counts.store_reads == 1


async def test_waiting_ends_with_its_own_deadline(memory: FanMemory) -> None:
    with pytest.raises(DeadlineExceeded):
        await memory.wait_until("c1", "f1", Position("interactions", 0, 10**9), 0.1)
    with pytest.raises(DeadlineExceeded):
        await memory.wait_until("c1", "nobody", REACHED, 0.1)


async def test_what_can_hold_nothing_of_a_fan_can_not_be_waited_for(memory: FanMemory) -> None:
    """Other topics, and partitions of the journal that are not the fan's, wherever that is."""
    theirs = await memory._store.partition_of(("c1", "f1"))
    assert theirs is not None
    for wrong in (Position("intents", 0, 0), Position("journal", theirs + 1, 0)):
        with pytest.raises(InvalidInput, match="minPosition"):
            await memory.wait_until("c1", "f1", wrong, 1)


async def test_no_more_than_so_many_wait_for_what_was_written_lately(memory: FanMemory) -> None:
    """While the views lag behind, waiting must not multiply what every read costs."""
    far = Position("interactions", 0, 10**9)
    waiting = [
        asyncio.create_task(memory.written.a_moment("c1", {"f1": far}, 60.0))
        for _ in range(MOMENTS_MAX)
    ]
    await asyncio.sleep(0)
    assert await memory.written.a_moment("c1", {"f2": REACHED}, 60.0) == {}
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await memory.written.a_moment("c1", {"f2": REACHED}, 60.0) == {"f2": "store"}
