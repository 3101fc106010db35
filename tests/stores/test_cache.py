"""The rules that keep the cache honest, on a real Valkey."""

import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ops.services.ports import free_port
from privacy.keys import Keyring, new_key
from privacy.seal import event_key, seal
from schemas.errors import CacheUnavailable, SealBroken
from schemas.journal import JournalEntry, encode_entry
from schemas.positions import Position
from schemas.topics import JOURNAL
from stores.cache import Cache, Pushed
from stores.snapshot import Fragment, SealedSnapshot
from tests.views.interactions import NOON, message
from views.state import FanState, encode, fold

PARTITION = 2
KEYRING = Keyring.parse("k:" + base64.b64encode(os.urandom(32)).decode())


class Fan:
    """One fan whose memory grows, as Postgres would have it."""

    def __init__(self, name: str = "fan") -> None:
        self.name = name
        self.subject, self.key = os.urandom(16), new_key()
        self.kek, self.wrapped_key = KEYRING.wrap(self.subject, ("c", name), self.key)
        self.state: FanState | None = None
        self.version = 0
        self.entries: list[JournalEntry] = []
        self.fragments: list[Fragment] = []

    def says(self, offset: int, time: int | None = None) -> Pushed:
        """Takes one message in, at a journal offset; returns the move for the cache."""
        base = self.version
        entry = message(NOON + offset if time is None else time, event_id=f"e{offset}")
        self.state = fold(self.state, entry, offset)
        self.version = offset + 1
        identity = event_key(self.key, entry.event_id)
        body = seal(
            AESGCM(self.key), encode_entry(entry), JOURNAL.name.encode(), self.subject, identity
        )
        fragment = Fragment(entry.time, offset, identity, body)
        self.fragments = sorted([*self.fragments, fragment], key=lambda f: (f.time, f.offset))[-50:]
        return Pushed("c", self.name, base, self.version, encode(self.state), [fragment])

    def stored(self, generation: int = 1) -> SealedSnapshot:
        """What a read of Postgres gives now."""
        assert self.state is not None
        return SealedSnapshot(
            self.subject,
            self.kek,
            self.wrapped_key,
            PARTITION,
            generation,
            self.version,
            encode(self.state),
            list(self.fragments),
        )


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Cache]:
    """A cache for which the owner of the partition has spoken."""
    made = Cache(redis_url, KEYRING, ttl_seconds=600)
    await made.publish(1, PARTITION, 0, {})
    yield made
    await made.close()


async def ids(cache: Cache, fan: Fan) -> list[str] | None:
    read = await cache.read("c", fan.name)
    return None if read is None else [entry.event_id for entry in read.entries]


async def test_what_was_filled_is_read(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    assert await cache.read("c", "fan") is None
    assert await cache.fill("c", "fan", fan.stored())
    read = await cache.read("c", "fan")
    assert read is not None
    assert (read.subject, read.partition, read.generation) == (fan.subject, PARTITION, 1)
    assert (read.version, read.state) == (fan.version, fan.state)
    assert await cache.read("c", "other") is None
    assert await cache.read("c2", "fan") is None


async def test_an_entry_copied_to_another_fans_name_opens_nothing(
    cache: Cache, redis_url: str
) -> None:
    fan, other = Fan(), Fan("other")
    for one in (fan, other):
        one.says(1)
        assert await cache.fill("c", one.name, one.stored())
    connection: Any = redis.asyncio.Redis.from_url(redis_url)
    name, copied = cache._name("c", "fan"), cache._name("c", "other")
    for key in await connection.keys():
        if name in key:
            await connection.copy(key, key.replace(name, copied), replace=True)
    await connection.aclose()
    assert await ids(cache, fan) == ["e1"]
    with pytest.raises(SealBroken):
        await cache.read("c", "other")


async def test_a_push_moves_what_is_cached_and_nothing_else(cache: Cache) -> None:
    warm, cold = Fan("warm"), Fan("cold")
    warm.says(1)
    await cache.fill("c", "warm", warm.stored())
    await cache.push(1, [warm.says(5), cold.says(6)])
    assert await ids(cache, warm) == ["e1", "e5"]
    assert await ids(cache, cold) is None


async def test_the_newest_fifty_messages_by_time_are_kept(cache: Cache) -> None:
    fan = Fan()
    for offset in range(48):
        fan.says(offset)
    await cache.fill("c", "fan", fan.stored())
    late = fan.says(48, NOON - 1_000_000)  # the oldest of all
    await cache.push(1, [late])
    for offset in range(49, 60):
        await cache.push(1, [fan.says(offset)])
    assert await ids(cache, fan) == [f"e{offset}" for offset in range(60) if offset != 48][-50:]


async def test_a_gap_in_the_pushes_makes_a_fan_cold(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await cache.fill("c", "fan", fan.stored())
    lost = fan.says(2)
    await cache.push(1, [fan.says(3)])
    assert await ids(cache, fan) is None
    await cache.push(1, [lost])  # late, and older than what is known by now
    assert await ids(cache, fan) is None
    assert await cache.fill("c", "fan", fan.stored())
    assert await ids(cache, fan) == ["e1", "e2", "e3"]


async def test_a_push_that_comes_twice_changes_nothing(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await cache.fill("c", "fan", fan.stored())
    move = fan.says(2)
    await cache.push(1, [move])
    await cache.push(1, [move])
    assert await ids(cache, fan) == ["e1", "e2"]


async def test_a_fill_never_brings_an_older_version_back(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    slow = fan.stored()  # a reader took this from Postgres, and takes its time
    await cache.push(1, [fan.says(2)])
    assert not await cache.fill("c", "fan", slow)
    assert await cache.fill("c", "fan", fan.stored())
    assert not await cache.fill("c", "fan", slow)
    assert await ids(cache, fan) == ["e1", "e2"]


async def test_what_was_dropped_takes_no_fill_from_before(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    slow = fan.stored()
    await cache.fill("c", "fan", slow)
    fan.says(9)
    await cache.drop(1, fan.version, [("c", "fan"), ("c", "unknown")])
    assert await ids(cache, fan) is None
    assert not await cache.fill("c", "fan", slow)
    assert await cache.fill("c", "fan", fan.stored())


async def test_nothing_is_filled_before_the_partitions_owner_has_spoken(redis_url: str) -> None:
    cache, fan = Cache(redis_url, KEYRING, ttl_seconds=600), Fan()
    fan.says(1)
    assert not await cache.fill("c", "fan", fan.stored())
    await cache.publish(1, PARTITION + 1, 0, {})
    assert not await cache.fill("c", "fan", fan.stored())
    await cache.publish(1, PARTITION, 0, {})
    assert await cache.fill("c", "fan", fan.stored())
    await cache.close()


async def test_versions_are_compared_as_numbers(cache: Cache) -> None:
    """As texts 10 would be older than 9."""
    for older, newer in ((8, 9), (9, 10), (99, 100), (10**9, 10**12)):
        fan = Fan(f"fan{newer}")
        fan.says(older - 1)
        slow = fan.stored()
        await cache.push(1, [fan.says(newer - 1)])
        assert not await cache.fill("c", fan.name, slow)
        assert await cache.fill("c", fan.name, fan.stored())


async def test_another_generation_takes_over_at_once(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    await cache.fill("c", "fan", fan.stored())
    await cache.publish(2, PARTITION, 0, {})
    assert await ids(cache, fan) is None
    assert not await cache.fill("c", "fan", fan.stored(generation=1))
    # Who still works for the former one is not heard any more.
    await cache.publish(1, PARTITION, 99, {})
    assert await cache.published(1, PARTITION) is None
    assert await cache.published(2, PARTITION) == 0
    assert await cache.fill("c", "fan", fan.stored(generation=2))


async def test_a_published_position_never_goes_back(cache: Cache) -> None:
    await cache.publish(1, PARTITION, 50, {0: 7})
    await cache.publish(1, PARTITION, 40, {0: 5})
    assert await cache.published(1, PARTITION) == 50


async def test_a_write_is_visible_once_its_source_position_is_published(cache: Cache) -> None:
    fan = Fan()
    fan.says(1)
    assert await cache.reached("c", "fan", Position("interactions", 3, 7)) is None
    await cache.fill("c", "fan", fan.stored())
    assert not await cache.reached("c", "fan", Position("interactions", 3, 7))
    await cache.publish(1, PARTITION, 2, {3: 7})
    assert await cache.reached("c", "fan", Position("interactions", 3, 7))
    assert not await cache.reached("c", "fan", Position("interactions", 3, 8))
    assert not await cache.reached("c", "fan", Position("interactions", 2, 1))
    assert not await cache.reached("c", "fan", Position("journal", 3, 1))


async def test_everything_can_be_dropped(cache: Cache) -> None:
    fans = [Fan(f"fan{number}") for number in range(300)]
    for fan in fans:
        fan.says(1)
        await cache.fill("c", fan.name, fan.stored())
    await cache.drop_all()
    assert not any([await ids(cache, fan) for fan in fans])
    assert await cache.published(1, PARTITION) == 0


async def test_cached_memory_expires(cache: Cache, redis_url: str) -> None:
    fan, client = Fan(), redis.asyncio.from_url(redis_url)
    fan.says(1)
    await cache.fill("c", "fan", fan.stored())
    await cache.push(1, [fan.says(2)])
    keys = [key async for key in client.scan_iter("[cmv]:*")]
    assert len(keys) == 2
    for key in keys:
        assert 0 < await client.ttl(key) <= 600
    await client.aclose()


async def test_the_cache_shows_nobody(cache: Cache, redis_url: str) -> None:
    fan, client = Fan("secret-fan"), redis.asyncio.from_url(redis_url)
    fan.says(1)
    await cache.fill("c", fan.name, fan.stored())
    for key in await client.keys("*"):
        assert b"secret-fan" not in key
        kind: Any = await client.type(key)
        shown = {
            b"hash": lambda key=key: client.hgetall(key),
            b"zset": lambda key=key: client.zrange(key, 0, -1),
            b"string": lambda key=key: client.get(key),
        }[kind]()
        value = repr(await shown)
        assert "secret-fan" not in value
        assert "content" not in value
    await client.aclose()


async def test_a_redis_that_was_emptied_is_used_again(cache: Cache, redis_url: str) -> None:
    fan, client = Fan(), redis.asyncio.from_url(redis_url)
    fan.says(1)
    await client.flushall()
    await client.execute_command("FUNCTION", "FLUSH")
    await cache.publish(1, PARTITION, 0, {})
    assert await cache.fill("c", "fan", fan.stored())
    await client.aclose()


async def test_a_redis_that_is_not_there_is_told_so() -> None:
    cache = Cache(f"redis://127.0.0.1:{free_port()}/0", KEYRING, ttl_seconds=1, timeout=0.5)
    for call in (cache.ping(), cache.read("c", "f"), cache.drop_all(), cache.published(1, 0)):
        with pytest.raises(CacheUnavailable):
            await call
    await cache.close()
