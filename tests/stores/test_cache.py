"""The rules that keep the cache honest, on a real Valkey."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from ops.services.ports import free_port
from privacy.keys import Keyring
from schemas.errors import CacheUnavailable, SealBroken
from schemas.positions import Position
from stores.cache import COMPACT_MIN, FRAGMENTS_MAX, Cache, Published, new_number
from stores.cached import version_of
from tests.stores.fans import (
    PARTITION,
    Fan,
    SlowReader,
    cache_at,
    fill,
    ids,
    speak,
)
from tests.views.interactions import NOON
from views.context import NOTHING

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Cache]:
    """A cache for which the owner of the partition has spoken."""
    made = cache_at(redis_url)
    await speak(made)
    yield made
    await made.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    """Somebody else's client: to look at what is kept, and to damage it."""
    made = redis.asyncio.from_url(redis_url)
    yield made
    await made.aclose()


async def key_of(cache: Cache, fan: Fan) -> bytes:
    return cache.prefix + b"c:" + cache.name(*fan.who)


async def test_what_was_filled_is_read(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    assert await cache.read("c", "fan") is None
    assert await fill(cache, fan)
    assert await cache.read("c", "fan") == fan.truth()
    assert await cache.read("c", "other") is None
    assert await cache.read("c2", "fan") is None


async def test_an_entry_copied_to_another_fans_name_opens_nothing(
    cache: Cache, client: Any
) -> None:
    fan, other = _grown("fan"), _grown("other")
    for one in (fan, other):
        await fill(cache, one)
    await client.copy(await key_of(cache, fan), await key_of(cache, other), replace=True)
    assert await cache.read(*fan.who) == fan.truth()
    for messages in (True, False):
        with pytest.raises(SealBroken):
            await cache.read(*other.who, messages=messages)


async def test_a_state_can_be_read_alone(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    read = await cache.read("c", "fan", messages=False)
    assert read is not None
    assert (read.version, read.state) == (fan.version, fan.truth().state)
    assert read.recent.decoded() == NOTHING


async def test_a_late_push_of_who_was_erased_moves_nobody_who_came_back(cache: Cache) -> None:
    """A worker that slept: its move may begin at the very version that the new subject has."""
    former, back = Fan("back"), Fan("back")
    former.says(1)
    back.says(1)
    await fill(cache, back)
    await cache.push(1, [former.says(5)._replace(partition=PARTITION + 1)])
    assert await cache.read(*back.who) is None  # doubted, so asked for again
    await fill(cache, back)
    await cache.push(1, [back.says(5)])
    assert await cache.read(*back.who) == back.truth()


async def test_a_push_moves_what_is_cached_and_nothing_else(cache: Cache) -> None:
    warm, cold = Fan("warm"), Fan("cold")
    warm.says(1)
    await fill(cache, warm)
    await cache.push(1, [warm.says(5), cold.says(6)])
    assert await cache.read(*warm.who) == warm.truth()
    assert await cache.read(*cold.who) is None


async def test_the_newest_fifty_messages_by_time_are_kept(cache: Cache) -> None:
    fan = Fan()
    for offset in range(48):
        fan.says(offset)
    await fill(cache, fan)
    await cache.push(1, [fan.says(48, NOON - 1_000_000)])  # the oldest of all
    await cache.push(1, [fan.says(49, NOON + 20)])  # at a time that is taken
    for offset in range(50, 60):
        await cache.push(1, [fan.says(offset)])
        assert await cache.read(*fan.who) == fan.truth()
    assert len(await ids(cache, fan) or ()) == 50


async def test_a_reader_makes_one_block_of_what_was_pushed(cache: Cache, client: Any) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    for offset in range(2, COMPACT_MIN + 2):
        await cache.push(1, [fan.says(offset)])
    key = await key_of(cache, fan)
    assert int(await client.hget(key, "k")) == COMPACT_MIN
    for _ in range(2):
        assert await cache.read(*fan.who) == fan.truth()
        assert await client.hmget(key, "k", "f") == [None, None]
    await cache.push(1, [fan.says(90)])
    assert await cache.read(*fan.who) == fan.truth()


async def test_a_block_of_a_version_that_has_passed_is_refused(cache: Cache) -> None:
    """The reader who made it was slow: a push came between."""
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    former = version_of(1, fan.version)
    await cache.push(1, [fan.says(2)])
    done = await cache._function("compact", cache.name(*fan.who), former, b"1", b"made of less")
    assert done == 0
    assert await cache.read(*fan.who) == fan.truth()


async def test_a_fan_nobody_reads_goes_cold_instead_of_growing(cache: Cache) -> None:
    fan = Fan()
    fan.says(0)
    await fill(cache, fan)
    for offset in range(1, FRAGMENTS_MAX + 1):
        await cache.push(1, [fan.says(offset)])
        assert await cache.holds(cache.name(*fan.who))
    await cache.push(1, [fan.says(FRAGMENTS_MAX + 1)])
    assert await cache.read(*fan.who) is None
    assert await fill(cache, fan)


async def test_a_gap_in_the_pushes_makes_a_fan_cold(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    lost = fan.says(2)
    await cache.push(1, [fan.says(3)])
    assert await ids(cache, fan) is None
    await cache.push(1, [lost])  # late, and older than what is known by now
    assert await ids(cache, fan) is None
    assert await fill(cache, fan)
    assert await ids(cache, fan) == ["e1", "e2", "e3"]


async def test_a_push_that_comes_twice_or_late_changes_nothing(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    first, second = fan.says(2), fan.says(3)
    for move in (first, second, second, first):
        await cache.push(1, [move])
    assert await cache.read(*fan.who) == fan.truth()


@pytest.mark.parametrize("by", ["push", "late push", "drop", "drop of all", "eviction", "flush"])
async def test_whatever_happens_to_a_fan_ends_the_lease_of_a_slow_reader(
    cache: Cache, client: Any, by: str
) -> None:
    """However long ago: a reader that was stopped for a minute is refused like one for 1 ms."""
    fan = Fan()
    early = fan.says(1)
    slow = await SlowReader.of(cache, fan)
    moved = fan.says(2)
    if by == "push":
        await cache.push(1, [moved])
    elif by == "late push":
        await cache.push(1, [moved])
        await cache.push(1, [early])  # of a worker that was put to sleep after its commit
    elif by == "drop":
        await cache.drop([fan.who])
    elif by == "drop of all":
        await cache.drop_all()
    elif by == "eviction":
        assert await client.delete(await key_of(cache, fan))
    else:
        await client.flushall()
        await speak(cache)
    assert not await slow.fill()
    assert await cache.read(*fan.who) is None
    assert await fill(cache, fan)
    assert await cache.read(*fan.who) == fan.truth()


async def test_a_push_ends_the_lease_even_where_a_newer_version_stands(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    lease = await cache.lease(*fan.who, unusable=True)
    assert lease is not None
    before = fan.stored(), fan.truth().recent
    move = fan.says(2)
    await cache.push(1, [move])
    assert not await cache.fill(lease, *fan.who, *before)
    assert await cache.read(*fan.who) == fan.truth()


async def test_readers_share_a_lease_and_the_first_of_them_fills(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    one, other = await SlowReader.of(cache, fan), await SlowReader.of(cache, fan)
    assert one.lease == other.lease is not None
    assert await one.fill()
    assert not await other.fill()
    assert await cache.lease(*fan.who) is None  # there is something to read
    assert await cache.read(*fan.who) == fan.truth()


async def test_what_a_reader_can_not_use_is_replaced(cache: Cache, client: Any) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    await client.hset(await key_of(cache, fan), "r", "a form of another release")
    with pytest.raises(SealBroken):
        await cache.read(*fan.who)
    lease = await cache.lease(*fan.who, unusable=True)
    assert lease is not None
    assert await cache.fill(lease, *fan.who, fan.stored(), fan.truth().recent)
    assert await cache.read(*fan.who) == fan.truth()


async def test_nothing_in_it_can_be_read_without_the_keyring(cache: Cache, client: Any) -> None:
    """Neither what was filled nor what was pushed since: names, texts and scores are sealed."""
    fan = Fan("a-name-of-somebody")
    fan.says(1)
    await fill(cache, fan)
    await cache.push(1, [fan.says(2)])
    key = await key_of(cache, fan)
    document, kept = fan.truth().state, await client.hgetall(key)
    assert b'"engagement"' in document
    told = key + b"".join(part for pair in kept.items() for part in pair)
    assert not [word for word in (b"engagement", b"sentiment", b"name-of") if word in told]
    assert document not in told


async def test_a_state_opens_as_its_version_of_its_fan_only(cache: Cache, client: Any) -> None:
    """Whoever may write to Redis can put nothing older, and nobody else's, in its place."""
    fan, other = Fan("one"), Fan("other")
    for one in (fan, other):
        one.says(1)
        await fill(cache, one)
    key = await key_of(cache, fan)
    former = await client.hget(key, "d")
    others = await client.hget(await key_of(cache, other), "d")
    await cache.push(1, [fan.says(2)])
    right = await client.hget(key, "d")
    for wrong in (former, others, right[:-1] + bytes([right[-1] ^ 1]), b"", fan.truth().state):
        await client.hset(key, "d", wrong)
        for messages in (True, False):
            with pytest.raises(SealBroken):
                await cache.read(*fan.who, messages=messages)
    await client.hset(key, "d", right)
    assert await cache.read(*fan.who) == fan.truth()


async def test_nothing_is_filled_before_the_partitions_owner_has_spoken(redis_url: str) -> None:
    cache, fan = cache_at(redis_url), Fan()
    fan.says(1)
    assert await cache.lease(*fan.who) is None
    await speak(cache, partition=PARTITION + 1)
    assert not await fill(cache, fan)
    await speak(cache)
    assert await fill(cache, fan)
    await cache.close()


async def test_what_nobody_vouches_for_any_more_is_not_told(cache: Cache) -> None:
    """A worker that died, or can't reach Redis: readers ask Postgres after seconds, not days."""
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    slow = await SlowReader.of(cache, other := _grown("other"))
    await cache.adopt(1, PARTITION, 2, {0: 9}, seconds=0)
    assert await cache.read(*fan.who) is None
    assert await cache.reached(*fan.who, Position("interactions", 0, 1)) is None
    assert await cache.stored([fan.who]) == [None]
    assert [pairs async for pairs in cache.subjects()] == [[]]
    assert not await slow.fill()
    await speak(cache, 2)
    assert await cache.read(*fan.who) == fan.truth()
    assert await cache.read(*other.who) is None


async def test_a_word_runs_out_by_itself(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    await cache.adopt(1, PARTITION, 2, {}, seconds=0.2)
    assert await cache.read(*fan.who) == fan.truth()
    async with asyncio.timeout(5):
        while await cache.read(*fan.who) is not None:
            pass


async def test_versions_are_compared_as_numbers(cache: Cache) -> None:
    """As texts 10 would be older than 9."""
    for older, newer in ((8, 9), (9, 10), (99, 100), (10**9, 10**12)):
        fan = Fan(f"fan{newer}")
        late = fan.says(older - 1)
        fan.says(newer - 1)
        await fill(cache, fan)
        await cache.push(1, [late])
        assert await cache.read(*fan.who) == fan.truth()


async def test_another_generation_takes_over_at_once(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    await cache.adopt(2, PARTITION, 0, {}, seconds=600)
    assert await ids(cache, fan) is None
    assert not await fill(cache, fan, generation=1)
    # Who still works for the former one finds another's word.
    assert not await cache.publish(Published(PARTITION, 1, 99, 0, new_number(), {}), b"its own")
    said = await cache.published(PARTITION)
    assert said is not None
    assert (said.generation, said.next) == (2, 0)
    assert await fill(cache, fan, generation=2)
    assert await cache.read(*fan.who) == fan.truth(generation=2)


async def test_a_publication_stands_only_in_the_place_of_the_one_its_owner_knows(
    redis_url: str, client: Any
) -> None:
    cache = cache_at(redis_url)
    first, second, third = (
        Published(PARTITION, 1, next, 3, new_number(), {0: 7}) for next in (50, 60, 40)
    )
    assert not await cache.publish(first, b"some other")
    assert await cache.publish(first, None)
    assert not await cache.publish(third, None)
    assert await cache.published(PARTITION) == first
    assert await cache.publish(second, first.number)
    assert not await cache.publish(third, first.number)
    assert await cache.published(PARTITION) == second
    await client.flushall()
    assert not await cache.publish(third, second.number)
    assert await cache.published(PARTITION) is None
    await cache.close()


async def test_a_write_is_visible_once_its_source_position_is_published(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    assert await cache.reached("c", "fan", Position("interactions", 3, 7)) is None
    await fill(cache, fan)
    assert await cache.reached("c", "fan", Position("interactions", 3, 7)) is False
    await cache.adopt(1, PARTITION, 2, {3: 7}, seconds=600)
    assert await cache.reached("c", "fan", Position("interactions", 3, 7)) is True
    assert await cache.reached("c", "fan", Position("interactions", 3, 8)) is False
    assert await cache.reached("c", "fan", Position("interactions", 2, 1)) is False
    assert await cache.reached("c", "fan", Position("journal", 3, 1)) is None


async def test_everything_can_be_dropped(cache: Cache) -> None:
    fans = [_grown(f"fan{number}") for number in range(300)]
    for fan in fans:
        await fill(cache, fan)
    assert sum([len(pairs) async for pairs in cache.subjects()]) >= 300
    await cache.drop_all()
    assert not any([await ids(cache, fan) for fan in fans])
    assert [pair async for pairs in cache.subjects() for pair in pairs] == []
    assert await cache.published(PARTITION) is not None
    assert await fill(cache, fans[0])


async def test_a_push_never_lands_on_what_is_left_of_a_former_era(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    await cache.drop_all()
    await cache.push(1, [fan.says(2)])
    assert await ids(cache, fan) is None
    assert await fill(cache, fan)
    assert await cache.read(*fan.who) == fan.truth()


async def test_another_keyring_shares_nothing(cache: Cache, redis_url: str) -> None:
    """The oldest key left the ring of one process: it must not count on the others' drops."""
    oldest = base64.b64encode(os.urandom(32)).decode()
    newest = base64.b64encode(os.urandom(32)).decode()
    both, rotated = (Keyring.parse(t) for t in (f"n:{newest},o:{oldest}", f"n:{newest}"))
    writer, reader = cache_at(redis_url, both), cache_at(redis_url, rotated)
    fan = Fan(keyring=both)
    fan.says(1)
    await speak(writer)
    assert await fill(writer, fan)
    assert await reader.read(*fan.who) is None
    assert await reader.lease(*fan.who) is None
    assert not await fill(reader, fan)  # nobody with this ring vouches for anything
    # A key in front of it changes no name.
    grown = cache_at(redis_url, Keyring.parse(f"x:{newest},o:{oldest}"))
    assert grown.prefix == writer.prefix
    for one in (writer, reader, grown):
        await one.close()


async def test_everything_cached_expires(cache: Cache, client: Any) -> None:
    fan = Fan()
    fan.says(1)
    await fill(cache, fan)
    await cache.push(1, [fan.says(2)])
    await cache.lease("c", "cold")
    keys = [key async for key in client.scan_iter("*:[cp]:*")]
    assert len(keys) == 3
    for key in keys:
        assert 0 < await client.ttl(key) <= 600


async def test_the_cache_shows_nobody(cache: Cache, client: Any) -> None:
    fan = Fan("secret-fan")
    fan.says(1)
    await fill(cache, fan)
    await cache.push(1, [fan.says(2)])
    keys = await client.keys("*")
    assert len(keys) == 3
    for key in keys:
        assert key.startswith(b"fanmemory:")
        assert b"secret-fan" not in key
        kind = await client.type(key)
        shown = await (client.get(key) if kind == b"string" else client.hgetall(key))
        assert "secret-fan" not in repr(shown)
        assert "content" not in repr(shown)


async def test_a_redis_that_was_emptied_is_used_again(cache: Cache, client: Any) -> None:
    fan = Fan()
    fan.says(1)
    await client.flushall()
    await client.execute_command("FUNCTION", "FLUSH")
    await speak(cache)
    assert await fill(cache, fan)


async def test_the_rights_that_the_documentation_names_are_enough(
    redis_url: str, client: Any
) -> None:
    rules = OPERATIONS.partition("An ACL user needs `")[2].partition("`")[0].split()
    await client.execute_command("ACL", "SETUSER", "fans", "on", ">secret", *rules)
    try:
        where = redis_url.rpartition("@")[2]
        cache, fan = cache_at(f"redis://fans:secret@{where}"), _grown("fan")
        await cache.ping()
        await speak(cache)
        assert await fill(cache, fan)
        for offset in range(2, COMPACT_MIN + 3):
            await cache.push(1, [fan.says(offset)])
        assert await cache.read(*fan.who) == fan.truth()
        assert await cache.reached(*fan.who, Position("interactions", 0, 0)) is False
        assert [pair async for pairs in cache.subjects() for pair in pairs]
        await cache.drop([fan.who])
        await cache.drop_all()
        with pytest.raises(CacheUnavailable, match="NOPERM"):
            await cache._call("GET", "of somebody else")
        await cache.close()
    finally:
        await client.execute_command("ACL", "DELUSER", "fans")


async def test_a_redis_that_is_not_there_is_told_so() -> None:
    cache = cache_at(f"redis://127.0.0.1:{free_port()}/0", timeout=0.5)
    for call in (cache.ping(), cache.read("c", "f"), cache.drop_all(), cache.published(0)):
        with pytest.raises(CacheUnavailable):
            await call
    await cache.close()


async def test_what_redis_refuses_is_told_without_repeating_it(cache: Cache, client: Any) -> None:
    await client.set(await key_of(cache, Fan("secret-fan")), "not a hash")
    with pytest.raises(CacheUnavailable) as refused:
        await cache.read("c", "secret-fan")
    assert "secret" not in repr(refused.value) + str(refused.value.__context__)


def _grown(name: str) -> Fan:
    fan = Fan(name)
    fan.says(1)
    return fan
