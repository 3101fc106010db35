"""Whoever holds a partition keeps its word in the cache, and notices when something went back."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.postgres import Pool, open_pool
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.topics import JOURNAL
from stores.cache import Cache, Published, new_number, open_cache
from stores.generations import FIRST_GENERATION
from stores.positions import Batch, Positions
from stores.store import Store
from streams import cache_writer
from streams.cache_writer import CacheWriter
from tests.pipeline import fill

WHO = ("creator", "fan")


class Holder:
    """One worker that holds every partition, and one fan who is cached."""

    def __init__(self, pool: Pool, cache: Cache, store: Store, partitions: int) -> None:
        self.pool, self.cache, self.store, self.partitions = pool, cache, store, partitions
        self.positions = Positions(JOURNAL.name)
        self.writer = CacheWriter(pool, cache)
        self.partition = -1

    async def claim(self) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await self.positions.claim(connection, FIRST_GENERATION, [*range(self.partitions)])
        await self.writer.doubt(self.positions)

    async def warm(self) -> None:
        await fill(self.cache, self.store, *WHO)
        found = await self.cache.read(*WHO)
        assert found is not None
        self.partition = found.partition

    async def said(self) -> Published | None:
        return await self.cache.published(self.partition)


@pytest.fixture
async def holder(store_settings: Settings) -> AsyncIterator[Holder]:
    await seed(store_settings, {WHO: interactions(20, 1)})
    keyring = Keyring.of(store_settings)
    pool = await open_pool(store_settings.postgres_url)
    cache = open_cache(store_settings, keyring)
    store = Store(pool, keyring, store_settings.journal_partitions)
    made = Holder(pool, cache, store, store_settings.journal_partitions)
    await made.claim()
    await made.writer.refresh()
    await made.warm()
    yield made
    await cache.close()
    pool.terminate()


async def test_a_word_is_repeated_and_what_is_cached_stays(holder: Holder) -> None:
    before = await holder.said()
    await holder.writer.refresh()
    after = await holder.said()
    assert before is not None
    assert after is not None
    assert (before.next, before.sources) == (after.next, after.sources)
    assert before.number != after.number
    assert await holder.cache.read(*WHO) is not None


async def test_a_claim_takes_over_what_the_former_owner_left(holder: Holder) -> None:
    await holder.claim()
    await holder.writer.refresh()
    assert await holder.cache.read(*WHO) is not None


async def test_a_cache_that_was_emptied_begins_anew(holder: Holder) -> None:
    await holder.cache._call("FLUSHALL")
    await holder.writer.refresh()
    assert await holder.said() is not None
    await holder.warm()


async def test_an_older_word_than_the_acknowledged_one_drops_everything(holder: Holder) -> None:
    """Redis went back: to before a drop, perhaps, of a fan who was erased."""
    older = await holder.said()
    assert older is not None
    await holder.writer.refresh()
    now = await holder.said()
    assert now is not None
    assert await holder.cache.publish(older, now.number)
    assert await holder.cache.read(*WHO) is not None
    await holder.writer.refresh()
    assert await holder.cache.read(*WHO) is None
    await holder.warm()


async def test_a_word_whose_acknowledgement_was_lost_is_ours(holder: Holder) -> None:
    said = await holder.said()
    assert said is not None
    mine = said._replace(number=new_number())
    assert await holder.cache.publish(mine, said.number)
    holder.writer._held[holder.partition].attempted.add(mine.number)
    await holder.writer.refresh()
    assert await holder.cache.read(*WHO) is not None


async def test_an_erasure_that_the_former_owner_did_not_know_drops_everything(
    holder: Holder,
) -> None:
    await holder.pool.execute("UPDATE position SET erasures = erasures + 1 WHERE generation = 1")
    holder.writer = CacheWriter(holder.pool, holder.cache)  # another worker
    await holder.claim()
    await holder.writer.refresh()
    assert await holder.cache.read(*WHO) is None
    await holder.warm()


@pytest.mark.parametrize("worker", ["the same", "another"])
async def test_a_database_that_went_back_drops_everything(holder: Holder, worker: str) -> None:
    """What is cached may be of a time that never was."""
    await holder.pool.execute("UPDATE position SET next = next - 1 WHERE generation = 1 AND next>0")
    if worker == "another":
        holder.writer = CacheWriter(holder.pool, holder.cache)
        await holder.claim()
    else:
        async with holder.pool.acquire() as connection:
            assert await holder.positions.reload(connection, range(holder.partitions))
        await holder.writer.doubt(holder.positions)
    await holder.writer.refresh()
    assert await holder.cache.read(*WHO) is None


async def test_what_is_anothers_by_now_is_let_go_of(holder: Holder) -> None:
    """A worker that was asleep, or is cut off from Kafka: its successor may not reach Redis."""
    before = await holder.said()
    await holder.pool.execute("UPDATE position SET epoch = epoch + 1 WHERE generation = 1")
    await holder.writer.refresh()
    assert await holder.said() == before
    await holder.claim()
    await holder.writer.refresh()
    assert await holder.said() != before


async def test_what_was_asked_before_a_claim_lets_go_of_nothing(holder: Holder) -> None:
    await holder.writer._ask_owners()
    await holder.claim()
    holder.writer._let_go()
    assert holder.writer._held.keys() == holder.positions.held.keys()


async def test_no_batch_waits_behind_the_question_whose_a_partition_is(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_writer, "OWNERS_SECONDS_MAX", 60.0)
    at = holder.positions.held[holder.partition].next
    async with holder.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE position")
        refreshing = asyncio.create_task(holder.writer.refresh())
        while holder.writer._asking is None:
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await holder.writer.push([Batch(holder.partition, at, at, ())], [], {}, {})
        assert not refreshing.done()
    await refreshing


async def test_a_generation_that_is_not_live_any_more_is_let_go_of(holder: Holder) -> None:
    before = await holder.said()
    await holder.pool.execute("UPDATE generation SET status = 'former'")
    await holder.writer.refresh()
    assert await holder.said() == before


async def test_while_the_database_is_away_the_word_is_kept(holder: Holder) -> None:
    """What is cached is all that readers have, and nobody commits meanwhile."""
    before = await holder.said()
    holder.pool.terminate()
    await holder.writer.refresh()
    after = await holder.said()
    assert before is not None
    assert after is not None
    assert before.number != after.number
    assert await holder.cache.read(*WHO) is not None
