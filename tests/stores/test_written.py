"""What a write leaves in Redis for its fan's readers."""

from collections.abc import AsyncIterator

import pytest

from schemas.positions import Position
from stores.cache import Cache
from tests.stores.fans import PARTITION, Fan, cache_at, fill, speak

FIRST, SECOND = Position("interactions", 3, 41), Position("interactions", 3, 42)
LONG = 60.0


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Cache]:
    made = cache_at(redis_url)
    await speak(made)
    yield made
    await made.close()


async def test_readers_of_a_cold_fan_are_told_and_nobody_else(cache: Cache) -> None:
    await cache.written([(("c", "fan"), FIRST)], LONG)
    assert await cache.look("c", "fan") == (None, FIRST)
    assert await cache.look("c", "other") == (None, None)
    assert await cache.look("c2", "fan") == (None, None)
    assert await cache.read("c", "fan") is None


async def test_a_cached_fan_is_told_with_what_is_not_in_it_until_it_is(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    await cache.written([(fan.who, FIRST)], LONG)
    for messages in (True, False):
        found, pending = await cache.look(*fan.who, messages=messages)
        assert found is not None
        assert pending == FIRST
    assert await cache.look_at_several("c", ["fan", "other"]) == [
        (fan.truth(), FIRST),
        (None, None),
    ]
    await cache.adopt(1, PARTITION, 0, {3: 40}, seconds=600)
    assert (await cache.look(*fan.who)).pending == FIRST
    await cache.adopt(1, PARTITION, 0, {3: 41}, seconds=600)
    assert await cache.look(*fan.who) == (fan.truth(), None)


async def test_the_furthest_of_several_writes_stays_in_whatever_order_they_come(
    cache: Cache,
) -> None:
    who = "c", "fan"
    for writes in ([(who, FIRST)], [(who, SECOND)], [(who, FIRST)]):
        await cache.written(writes, LONG)
    assert (await cache.look(*who)).pending == SECOND
    await cache.written([(who, FIRST), (("c", "other"), SECOND), (who, FIRST)], LONG)
    assert [pending for _, pending in await cache.look_at_several("c", ["fan", "other"])] == [
        SECOND,
        SECOND,
    ]
    # Another partition's: the topic has been given more of them.
    elsewhere = Position("interactions", 7, 2)
    await cache.written([(who, elsewhere)], LONG)
    assert (await cache.look(*who)).pending == elsewhere


async def test_it_is_forgotten_by_itself(cache: Cache) -> None:
    await cache.written([(("c", "fan"), FIRST)], 0.001)
    while (await cache.look("c", "fan")).pending is not None:
        pass
    # And a push or a drop of the fan does not take it away.
    fan = Fan()
    await cache.written([(fan.who, FIRST)], LONG)
    await cache.push(1, [fan.says(1)])
    await cache.drop([fan.who])
    assert (await cache.look(*fan.who)).pending == FIRST
