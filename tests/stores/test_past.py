"""Reads of whole histories: in turns, weighed first, and out of everybody else's way."""

import asyncio
import threading
from collections.abc import AsyncIterator

import asyncpg
import pytest

from infra.postgres import open_pool
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.errors import DatabaseUnavailable, FanNotFound, InvalidInput, Overloaded
from stores.cache import open_cache
from stores.past import TURNS, WAITING_MAX, History, Past, open_past
from stores.reader import FanMemory
from stores.store import Store

CREATORS = [f"c{number}" for number in range(8)]
HOT = 30_000


@pytest.fixture
async def settings(store_settings: Settings) -> Settings:
    """Eight creators, each with a fan of ten interactions."""
    await seed(store_settings, {(c, "fan"): interactions(10, n) for n, c in enumerate(CREATORS)})
    return store_settings


@pytest.fixture
async def past(settings: Settings) -> AsyncIterator[Past]:
    made = await open_past(settings, Keyring.of(settings))
    yield made
    await made.close()


@pytest.fixture
async def hurried(settings: Settings) -> AsyncIterator[Past]:
    """Reads that give up soon."""
    shorter = settings.model_copy(update={"history_seconds_max": 0.3})
    made = await open_past(shorter, Keyring.of(settings))
    yield made
    await made.close()


@pytest.fixture
async def memory(settings: Settings) -> AsyncIterator[FanMemory]:
    keyring = Keyring.of(settings)
    pool = await open_pool(settings.postgres_url, size_max=8)
    cache = open_cache(settings, keyring)
    made = FanMemory(cache, Store(pool, keyring, settings.journal_partitions), keyring, settings)
    yield made
    await made.close()
    await cache.close()
    pool.terminate()


class Held:
    """A fold that lasts until it is let go; counts those that are at it."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, history: History) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(20)
        with self._lock:
            self.now -= 1
        return len(history)

    async def begun(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.now < count:
                await asyncio.sleep(0.005)


async def test_a_history_is_folded_in_the_order_of_the_log(past: Past) -> None:
    offsets = await past.fold("c1", "fan", lambda history: [offset for offset, _ in history])
    assert len(offsets) == 10
    assert offsets == sorted(offsets)
    with pytest.raises(FanNotFound):
        await past.fold("c1", "nobody", len)


async def test_only_so_many_are_folded_at_once_and_the_others_wait(
    past: Past, memory: FanMemory
) -> None:
    held = Held()
    folds = [asyncio.create_task(past.fold(creator, "fan", held)) for creator in CREATORS]
    await held.begun(TURNS)
    for creator in CREATORS:  # ordinary reads feel nothing of it
        assert (await memory.context(creator, "fan")).creator_id == creator
    held.go.set()
    assert await asyncio.gather(*folds) == [10] * len(CREATORS)
    assert held.most == TURNS


async def test_one_creator_has_one_turn_and_a_bounded_queue(past: Past) -> None:
    held = Held()
    first = [asyncio.create_task(past.fold("c1", "fan", held)) for _ in range(1 + WAITING_MAX)]
    await held.begun(1)
    with pytest.raises(Overloaded):
        await past.fold("c1", "fan", held)
    other = asyncio.create_task(past.fold("c2", "fan", held))
    await held.begun(2)  # another creator still has a turn
    held.go.set()
    assert await asyncio.gather(*first, other) == [10] * (2 + WAITING_MAX)
    assert not past._queues


async def test_a_turn_lasts_until_its_thread_has_ended_even_if_its_client_hangs_up(
    past: Past,
) -> None:
    held = Held()
    folds = [asyncio.create_task(past.fold(creator, "fan", held)) for creator in ("c1", "c2")]
    await held.begun(TURNS)
    for fold in folds:
        fold.cancel()
    await asyncio.wait(folds)
    late = asyncio.create_task(past.fold("c3", "fan", held))
    waiting = asyncio.create_task(past.fold("c1", "fan", held))
    await asyncio.sleep(0.05)
    assert held.now == TURNS  # neither has begun
    waiting.cancel()
    held.go.set()
    assert await late == 10
    assert held.most == TURNS


async def test_five_readers_of_a_long_history_are_refused_before_it_is_read(
    settings: Settings, past: Past, memory: FanMemory
) -> None:
    connection = await asyncpg.connect(settings.postgres_url)
    await connection.execute(
        'INSERT INTO interaction (subject, event_key, partition, "offset", time, message, body)'
        " SELECT subject, uuid_send(gen_random_uuid()), 0, 1000 + n, n, true,"
        "   decode(repeat('ab', 1000), 'hex')"
        " FROM subject, generate_series(1, $1) n WHERE creator_id = 'c0'",
        HOT,
    )
    await connection.close()
    folds = [past.fold("c0", "fan", len) for _ in range(1 + WAITING_MAX)]
    answers = await asyncio.gather(*folds, return_exceptions=True)
    assert [type(answer) for answer in answers] == [InvalidInput] * 5
    assert past.guard.breaker.state == "CLOSED"
    assert (await memory.context("c1", "fan")).fan_id == "fan"
    assert memory.store_guard.breaker.stats().failures == 0


async def test_a_history_of_too_many_bytes_is_refused(settings: Settings) -> None:
    keyring = Keyring.of(settings)
    small = await open_past(settings.model_copy(update={"history_bytes_max": 1024}), keyring)
    with pytest.raises(InvalidInput, match="1024 bytes"):
        await small.fold("c1", "fan", len)
    await small.close()


async def test_histories_that_time_out_open_their_own_circuit_only(
    settings: Settings, hurried: Past, memory: FanMemory
) -> None:
    connection = await asyncpg.connect(settings.postgres_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE interaction IN ACCESS EXCLUSIVE MODE")
        for number in range(settings.database_failures_max):
            with pytest.raises(DatabaseUnavailable):
                await hurried.fold(CREATORS[number], "fan", len)
    await connection.close()
    assert hurried.guard.breaker.state == "OPEN"
    with pytest.raises(DatabaseUnavailable):
        await hurried.fold("c1", "fan", len)
    assert memory.store_guard.breaker.state == "CLOSED"
    assert (await memory.context("c1", "fan")).fan_id == "fan"
