"""Percentiles: the share of fans whose score is no higher, read now and then, never in the way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from infra.breaker import Breaker
from infra.postgres import Pool, open_pool, url_of
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.journal import JournalEntry
from schemas.segments import Segment
from stores import percentiles, wall
from stores.opened import open_stores
from stores.percentiles import FAILED_SECONDS, FRESH_SECONDS, PARTS, Percentiles
from stores.segments import Segments
from stores.store import Store
from tests.stores.test_segments import MOMENT, history
from tests.views.interactions import NOON, like, message
from views.segments import rank_of

CREATOR = "creator"
FANS = 70
LONG = 30.0


class Reading:
    """Percentiles by a clock of their own, and a pool that can be made to wait, or to fail."""

    def __init__(self, pool: Pool, store: Store) -> None:
        self.now = 1_000.0
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()
        self.breaker = Breaker(
            "memory-database", failures_max=1, window_seconds=9, reset_seconds=99
        )
        self._pool = pool
        self.percentiles = Percentiles(cast(Any, self), store, self.breaker, lambda: self.now)

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        self.asked += 1
        await self.go.wait()
        return await self._pool.fetch(statement, *arguments)

    async def of(self, creator: str = CREATOR, seconds: float = LONG) -> Any:
        return await self.percentiles.ranking(creator, seconds)

    async def asked_for(self, count: int) -> None:
        async with asyncio.timeout(LONG):
            while self.asked < count or self.percentiles._reading:
                await asyncio.sleep(0.005)


def others() -> dict[tuple[str, str], list[JournalEntry]]:
    creators_like = JournalEntry("l", "like", NOON, "creator")
    return {
        ("alone", "fan"): [message()],
        ("two", "one"): [message()],
        ("two", "other"): [message(), like()],
        ("quiet", "fan"): [creators_like],
    }


@pytest.fixture
async def reading(store_settings: Settings) -> AsyncIterator[Reading]:
    known = {(CREATOR, f"fan-{number}"): history(number) for number in range(FANS)}
    await seed(store_settings, known | others())
    pool = await open_pool(url_of(store_settings, "reader"), size_max=2)
    store = Store(pool, Keyring.of(store_settings), store_settings.journal_partitions)
    await store.generation()
    made = Reading(pool, store)
    yield made
    await made.percentiles.close()
    pool.terminate()


async def test_a_percentile_is_the_share_of_fans_whose_score_is_no_higher(
    reading: Reading, store_settings: Settings
) -> None:
    ranking = await reading.of()
    async with open_stores(store_settings) as stores:
        segments = Segments(stores.pool, stores.pool, stores.store, 12, store_settings.currency)
        page = await segments.page(CREATOR, Segment(), "score", MOMENT, 200, ranking=ranking)
        scores = {fan.fan_id: fan.engagement_score for fan in page.fans}
        assert len(scores) == FANS
        for fan in page.fans:
            lower = sum(score <= fan.engagement_score for score in scores.values())
            assert fan.engagement_percentile == pytest.approx(lower / FANS, abs=1 / PARTS)
            read = await stores.store.read(CREATOR, fan.fan_id)
            assert read is not None
            found = ranking.percentile(rank_of(read.state.engagement))
            assert found == fan.engagement_percentile
    assert page.fans[0].engagement_percentile == 1
    assert ranking.percentile(1e9) == 1
    assert ranking.percentile(-1e9) == 0


async def test_of_few_fans_and_of_nobody(reading: Reading) -> None:
    alone, two = await reading.of("alone"), await reading.of("two")
    assert alone.percentile(alone.ranks[0]) == 1
    assert [two.percentile(two.ranks[place]) for place in (0, -1)] == [0.5, 1]
    for creator in ("quiet", "nobody"):
        assert (await reading.of(creator)).percentile(5.0) == 0


async def test_it_is_read_once_for_all_who_ask_and_again_when_it_is_old(reading: Reading) -> None:
    found = await asyncio.gather(*(reading.of() for _ in range(20)))
    assert reading.asked == 1
    assert all(one is found[0] for one in found)
    reading.now += FRESH_SECONDS - 1
    assert await reading.of() is found[0]
    reading.now += 2
    reading.go.clear()
    assert await reading.of() is found[0], "nobody waits for a newer one"
    reading.go.set()
    await reading.asked_for(2)
    assert await reading.of() is not found[0]


async def test_who_can_not_wait_gets_none_and_later_what_was_read(reading: Reading) -> None:
    reading.go.clear()
    assert await reading.of(seconds=0) is None
    reading.go.set()
    await reading.asked_for(1)
    assert (await reading.of(seconds=0)).ranks
    assert reading.asked == 1


async def test_what_can_not_be_read_in_time_is_tried_again_after_a_rest(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(percentiles, "READ_SECONDS_MAX", 0.01)
    reading.go.clear()
    assert await reading.of() is None
    monkeypatch.undo()
    reading.go.set()
    assert await reading.of() is None, "it rests"
    assert reading.asked == 1
    reading.now += FAILED_SECONDS + 1
    assert (await reading.of()).ranks


async def test_nothing_is_asked_of_a_database_whose_circuit_is_open(reading: Reading) -> None:
    async def broken() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await reading.breaker.call(broken)
    assert not reading.breaker.closed
    assert await reading.of() is None
    assert reading.asked == 0


async def test_so_many_creators_are_kept(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(percentiles, "KEPT_MAX", 2)
    for creator in (CREATOR, "two", "alone"):
        await reading.of(creator)
    assert list(reading.percentiles._kept) == ["two", "alone"]


async def test_another_creators_fans_are_not_counted(reading: Reading) -> None:
    token = wall._let_in.set(frozenset(("two",)))
    try:
        assert await reading.of() is None
        assert await reading.of("two") is not None
    finally:
        wall._let_in.reset(token)
