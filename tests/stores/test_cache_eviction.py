"""A cache without room, and one that is dropped while readers fill it: never a wrong answer."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from ops.services import EmbeddedServices
from schemas.errors import CacheFull
from stores.cache import Cache
from tests.stores.fans import Fan, SlowReader, cache_at, fill, speak

FANS = 250
MESSAGES = 30


@pytest.fixture
async def client(own_valkey: EmbeddedServices) -> AsyncIterator[Any]:
    """Of a Valkey of this module's own, whose limits are put back."""
    made: Any = redis.asyncio.from_url(own_valkey.endpoints.redis_url)
    await made.flushall()
    former = await made.config_get("maxmemory*")
    yield made
    for name in ("maxmemory", "maxmemory-policy"):
        await made.config_set(name, former[name])
    await made.aclose()


@pytest.fixture
async def cache(own_valkey: EmbeddedServices, client: Any) -> AsyncIterator[Cache]:
    made = cache_at(own_valkey.endpoints.redis_url)
    await speak(made)
    yield made
    await made.close()


async def used(client: Any) -> int:
    """Bytes of memory that Valkey counts against its limit."""
    return int((await client.info("memory"))["used_memory"])


def grown(count: int, messages: int = MESSAGES) -> list[Fan]:
    fans = [Fan(f"fan{number}") for number in range(count)]
    for place, fan in enumerate(fans):
        for number in range(messages):
            fan.says(number * count + place)
    return fans


async def told(cache: Cache, fan: Fan) -> bool:
    """Whether the fan was answered, which must be the truth; one that is cold is filled."""
    found = await cache.read(*fan.who)
    if found is None:
        await fill(cache, fan)
        return False
    assert found == fan.truth()
    return True


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_what_evicts_takes_a_fan_whole(cache: Cache, client: Any, policy: str) -> None:
    """`allkeys-random` takes the era and the publications, too."""
    fans, rng = grown(FANS), random.Random(7)
    empty = await used(client)
    for fan in fans:
        await told(cache, fan)
    needed = await used(client) - empty
    before = (await client.info("stats"))["evicted_keys"]
    await client.config_set("maxmemory-policy", policy)
    await client.config_set("maxmemory", empty + int(needed * 0.75))
    answered, offset = 0, FANS * MESSAGES
    for turn in range(1_500):
        if turn % 100 == 0:
            await speak(cache, offset)
        fan = fans[int(FANS * rng.random() ** 2)]
        if rng.random() < 0.2:
            await cache.push(1, [fan.says(offset)])
            offset += 1
        answered += await told(cache, fan)
    assert (await client.info("stats"))["evicted_keys"] - before > 100
    assert answered > 100


async def test_a_full_cache_refuses_what_is_new_and_lets_go_of_what_is_old(
    cache: Cache, client: Any, own_valkey: EmbeddedServices
) -> None:
    still, moving, cold = grown(3, 2)
    for fan in (still, moving):
        await fill(cache, fan)
    await client.config_set("maxmemory-policy", "noeviction")
    await client.config_set("maxmemory", 1)
    move = moving.says(100)
    with pytest.raises(CacheFull):
        await cache.push(1, [move])
    with pytest.raises(CacheFull):
        await cache.lease(*cold.who)
    await cache.drop([moving.who])
    await speak(cache, 101)
    assert await cache.read(*moving.who) is None
    late = cache_at(own_valkey.endpoints.redis_url)  # a process that starts meanwhile
    assert await late.read(*still.who) == still.truth()
    await late.close()
    await cache.drop_all()
    assert await cache.read(*still.who) is None


async def test_a_full_cache_still_answers_a_fan_with_many_pushed_messages(
    cache: Cache, client: Any
) -> None:
    """The reader would make one block of them, and can't."""
    (fan,) = grown(1, 2)
    await fill(cache, fan)
    for offset in range(10, 30):
        await cache.push(1, [fan.says(offset)])
    await client.config_set("maxmemory-policy", "noeviction")
    await client.config_set("maxmemory", 1)
    assert await cache.read(*fan.who) == fan.truth()


async def test_dropping_everything_beside_readers_that_fill_leaves_nothing_wrong(
    cache: Cache,
) -> None:
    fans, offset = grown(120, 3), 10_000
    for round_ in range(8):
        stopped = asyncio.Event()
        filled = 0

        async def read_on(seed: int, stopped: asyncio.Event = stopped) -> None:
            nonlocal filled
            rng = random.Random(seed)
            while not stopped.is_set():
                fan = rng.choice(fans)
                slow = await SlowReader.of(cache, fan)
                await asyncio.sleep(rng.choice((0, 0, 0.002)))
                filled += await slow.fill()

        readers = [asyncio.create_task(read_on(round_ * 8 + number)) for number in range(8)]
        for _ in range(30):
            moved = random.Random(offset).sample(fans, 10)
            moves = [fan.says(offset + place) for place, fan in enumerate(moved)]
            offset += len(moves)
            await asyncio.sleep(0)  # committed, and not pushed yet
            await cache.push(1, moves)
        await cache.drop_all()
        stopped.set()
        await asyncio.gather(*readers)
        for fan in fans:
            assert await cache.read(*fan.who) in (None, fan.truth())
        assert filled > 10
    await cache.drop_all()
    assert [await cache.read(*fan.who) for fan in fans] == [None] * len(fans)
