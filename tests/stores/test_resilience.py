"""FanMemory with stores that hang or are gone: the public API contract's numbers, to the second."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from infra.breaker import ATTEMPTS, BACKOFF, Breaker
from infra.postgres import open_pool
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.errors import DatabaseUnavailable, FanNotFound
from stores.cache import open_cache
from stores.reader import FanMemory
from stores.remarks import Remarks
from stores.store import Store
from tests.clock import Clock
from tests.proxy import Proxy, before

SOON = 30.0
"""Generous: a test that passes never waits for it."""


@dataclass
class System:
    memory: FanMemory
    redis: Proxy
    postgres: Proxy
    clock: Clock


@asynccontextmanager
async def system(settings: Settings, **changes: object) -> AsyncIterator[System]:
    """One reader, each of whose stores can be made to hang or to vanish."""
    async with before(settings.redis_url) as redis, before(settings.postgres_url) as postgres:
        located = {
            "redis_url": redis.url,
            "postgres_url": postgres.url,
            "cache_overtaken_seconds": 0.05,
        }
        settings = settings.model_copy(update=located | changes)
        keyring = Keyring.of(settings)
        pool = await open_pool(settings.postgres_url, command_timeout=60)
        cache = open_cache(settings, keyring, timeout=60)
        store = Store(pool, keyring, settings.journal_partitions)
        clock = Clock()
        memory = FanMemory(cache, store, keyring, settings, clock=clock)
        memory.start()
        try:
            yield System(memory, redis, postgres, clock)
        finally:
            await memory.close()
            await cache.close()
            pool.terminate()


@pytest.fixture
async def settings(store_settings: Settings) -> Settings:
    await seed(store_settings, {("c", f"f{number}"): interactions(60, 1) for number in range(3)})
    return store_settings


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.01)


async def cached(memory: FanMemory, fan: str = "f0") -> None:
    hits = memory.counts.cache_hits
    async with asyncio.timeout(SOON):
        while memory.counts.cache_hits == hits:
            await memory.context("c", fan)
            await asyncio.sleep(0.01)


async def fails(memory: FanMemory) -> None:
    with pytest.raises(DatabaseUnavailable):
        await memory.context("c", "f0")


def test_the_numbers_are_the_contracts() -> None:
    settings = Settings(_env_file=None)
    assert (settings.database_failures_max, settings.cache_failures_max) == (5, 3)
    assert (settings.database_window_seconds, settings.cache_window_seconds) == (10, 5)
    assert (settings.database_reset_seconds, settings.cache_reset_seconds) == (60, 30)
    assert (settings.database_seconds_max, settings.cache_seconds_max) == (5, 3)
    assert (ATTEMPTS, BACKOFF.first_seconds, BACKOFF.longest_seconds) == (3, 0.1, 2.0)
    assert (BACKOFF.low, BACKOFF.high) == (0.7, 1.3)
    assert settings.request_seconds_max == 5


async def test_without_pings_the_resets_hold_to_the_second(settings: Settings) -> None:
    async with system(settings, ping_seconds=0) as made:
        memory = made.memory
        database, cache = memory.store_guard.breaker, memory.cache_guard.breaker
        assert await memory.context("c", "f0")
        await made.redis.vanish()
        await made.postgres.vanish()
        await opened(made, database, 5, lambda: fails(memory))
        assert cache.stats().failures == 3
        assert not cache.closed

        made.clock.now += 29.999
        await fails(memory)
        assert (cache.stats().failures, database.stats().failures) == (3, 5)
        made.clock.now += 0.001
        await fails(memory)
        await until(lambda: cache.stats().failures == 4)  # the one probe
        assert (cache.state, database.stats().failures) == ("OPEN", 5)

        made.clock.now += 29.999
        await fails(memory)
        assert database.stats().failures == 5
        made.clock.now += 0.001
        await made.postgres.return_()
        await made.redis.return_()
        assert await memory.context("c", "f0")
        assert (database.state, database.stats().failures) == ("CLOSED", 5)
        await until(lambda: cache.state == "CLOSED")


async def opened(
    made: System, breaker: Breaker, failures: int, ask: Callable[[], Awaitable[None]]
) -> None:
    for number in range(failures):
        assert breaker.state == "CLOSED", number
        await ask()
        # What was overtaken is counted a moment after its read was answered.
        await until(lambda: not made.memory._overtaking.again)
    assert (breaker.state, breaker.stats().failures) == ("OPEN", failures)


async def test_with_pings_a_circuit_closes_without_anybodys_request_or_the_reset(
    settings: Settings,
) -> None:
    async with system(settings, ping_seconds=0.05) as made:
        memory = made.memory
        await made.redis.vanish()
        await made.postgres.vanish()
        await until_open(made)
        await made.redis.return_()
        await made.postgres.return_()
        await until(lambda: memory.store_guard.breaker.closed and memory.cache_guard.breaker.closed)
        assert await memory.context("c", "f0")


async def until_open(made: System) -> None:
    """Both circuits, however often that has to be asked."""
    memory = made.memory
    async with asyncio.timeout(SOON):
        while memory.store_guard.breaker.closed or memory.cache_guard.breaker.closed:
            await asyncio.gather(*(fails(memory) for _ in range(5)))


async def test_a_redis_that_hangs_is_overtaken_until_its_circuit_opens(
    settings: Settings,
) -> None:
    async with system(settings, cache_seconds_max=20.0) as made:
        await cached(made.memory)
        made.redis.hold()
        began = time.monotonic()
        assert await made.memory.context("c", "f0")
        read = await made.memory.contexts_to_send("c", ["f0", "f1", "nobody"])
        assert (set(read.found), read.errors) == ({"f0", "f1"}, {})
        assert time.monotonic() - began < 20, "it is Postgres that has answered"
        assert made.memory.counts.cache_overtaken == 4
        with pytest.raises(FanNotFound):
            await made.memory.context("c", "nobody")
    async with system(settings, cache_seconds_max=0.2, ping_seconds=0) as made:
        memory = made.memory
        await cached(memory)
        made.redis.hold()
        await opened(made, memory.cache_guard.breaker, 3, lambda: answered(memory))
        before = memory.counts.cache_overtaken
        await answered(memory)
        assert memory.counts.cache_overtaken == before, "nobody asks it any more"


async def answered(memory: FanMemory) -> None:
    assert await memory.context("c", "f0")


async def test_a_redis_that_is_slow_answers_while_postgres_hangs(settings: Settings) -> None:
    async with system(settings, cache_seconds_max=SOON, database_seconds_max=SOON) as made:
        memory = made.memory
        await cached(memory)
        await cached(memory, "f1")
        made.redis.hold()
        made.postgres.hold()
        asking = asyncio.gather(
            memory.context("c", "f0"), memory.contexts_to_send("c", ["f0", "f1"])
        )
        await until(lambda: len(memory._overtaking.again) == 2)
        made.redis.go_on()
        _, several = await asyncio.wait_for(asking, SOON - 5)
        assert set(several.found) == {"f0", "f1"}
        made.postgres.go_on()


async def test_a_postgres_that_hangs_is_counted_although_every_client_has_hung_up(
    settings: Settings,
) -> None:
    async with system(settings, database_seconds_max=0.3, ping_seconds=0) as made:
        memory = made.memory
        made.postgres.hold()
        asking = [
            *(asyncio.create_task(memory.context("c", f"f{number}")) for number in range(3)),
            *(asyncio.create_task(memory.contexts_to_send("c", ["f0"])) for _ in range(2)),
        ]
        await until(lambda: len(memory._misses.reads) + len(memory._several.reads) == 5)
        for one in asking:
            one.cancel()
        await until(lambda: memory.store_guard.breaker.state == "OPEN")
        made.postgres.go_on()


async def test_what_is_cached_is_marked_while_the_databases_circuit_is_open(
    settings: Settings,
) -> None:
    async with system(settings, ping_seconds=0) as made:
        memory = made.memory
        await cached(memory)
        remarks = Remarks()
        await memory.recall("c", "f0", remarks=remarks)
        assert remarks.degraded is None
        await made.postgres.vanish()
        async with asyncio.timeout(SOON):
            while memory.store_guard.breaker.closed:
                await asyncio.gather(*(memory.contexts_to_send("c", ["f2"]) for _ in range(5)))
        await memory.recall("c", "f0", remarks=remarks)
        assert remarks.degraded == "cache"
        several = await memory.contexts_to_send("c", ["f0", "f2"], strict=False)
        assert several.degraded == "cache"
        assert (set(several.found), set(several.errors)) == ({"f0"}, {"f2"})
        assert memory.minimal("c", "f2", strict=False) is None, "Redis answers"
        assert memory.counts.degraded_cache == 2


async def test_without_memories_only_those_are_answered_who_can_do_without(
    settings: Settings,
) -> None:
    async with system(settings, ping_seconds=0) as made:
        memory = made.memory
        assert memory.minimal("c", "f0", strict=False) is None
        await made.redis.vanish()
        await made.postgres.vanish()
        await until_open(made)
        minimal = memory.minimal("c", "f0", strict=False)
        assert minimal is not None
        assert (minimal.degraded, minimal.recent_messages) == ("minimal", ())
        assert memory.minimal("c", "f0", strict=True) is None
        await fails(memory)  # agents are told the truth
        several = await memory.contexts_to_send("c", ["f0", "f1"], strict=False)
        assert (set(several.found), several.degraded) == ({"f0", "f1"}, "minimal")
        several = await memory.contexts_to_send("c", ["f0", "f1"])
        assert (several.found, set(several.errors)) == ({}, {"f0", "f1"})
    async with system(settings, ping_seconds=0, degraded_reads="refuse") as made:
        await made.redis.vanish()
        await made.postgres.vanish()
        await until_open(made)
        assert made.memory.minimal("c", "f0", strict=False) is None
