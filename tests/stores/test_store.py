"""What readers get from Postgres: one version, the live generation, the newest messages."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from infra.postgres import open_pool, url_of
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services.ports import free_port
from privacy.keys import Keyring, is_bound
from privacy.subjects import journal_partition
from schemas.errors import DatabaseUnavailable, InvalidInput, SealBroken
from schemas.journal import JournalEntry
from schemas.positions import Position
from stores import history
from stores.folding import OpenedRecord
from stores.history import HistoryRow
from stores.snapshot import open_snapshot
from stores.store import Store
from tests.documents import opened_states, put_state
from tests.views.interactions import NOON, message, purchase, remember

HISTORY = [*(message(NOON + i, event_id=f"e{i}") for i in range(60)), purchase(NOON + 60)]


@pytest.fixture
async def pool(store_settings: Settings) -> AsyncIterator[Any]:
    made = await open_pool(url_of(store_settings, "owner"))
    yield made
    await made.close()


@pytest.fixture
async def store(store_settings: Settings, pool: Any) -> Store:
    await seed(store_settings, {("creator", "fan"): HISTORY, ("other", "fan"): HISTORY[:1]})
    keyring = Keyring.of(store_settings)
    return Store(pool, keyring, store_settings.journal_partitions)


async def test_a_fan_is_read_as_one_version(store: Store) -> None:
    read = await store.read("creator", "fan")
    assert read is not None
    assert read.state.engagement == remember(*HISTORY).engagement
    assert [entry.event_id for entry in read.entries] == [f"e{i}" for i in range(10, 60)]
    assert read.version == read.state.position + 1


async def test_no_creator_sees_anothers_fan(store: Store) -> None:
    other = await store.read("other", "fan")
    assert other is not None
    assert other.state.engagement.messages == 1
    assert await store.read("creator", "nobody") is None
    assert await store.read("nobody", "fan") is None


async def test_the_history_is_in_the_order_of_the_log(store: Store) -> None:
    history = await store.history("creator", "fan", 1000)
    assert [entry.event_id for _, entry in history] == [entry.event_id for entry in HISTORY]
    assert [offset for offset, _ in history] == sorted(offset for offset, _ in history)
    assert len(await store.history("creator", "fan", 61)) == 61
    with pytest.raises(InvalidInput, match="more than 60"):
        await store.history("creator", "fan", 60)
    assert await store.history("creator", "nobody", 5) == []


async def test_another_keyring_opens_nothing(store: Store, pool: Any) -> None:
    wrong = Keyring.parse("other:" + base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(SealBroken, match="keyring lacks"):
        await Store(pool, wrong, 4).read("creator", "fan")


async def test_a_fan_whose_name_was_swapped_or_changed_opens_for_nobody(
    store: Store, pool: Any
) -> None:
    await pool.execute("UPDATE subject SET creator_id = creator_id || '2'")
    for creator in ("creator2", "other2"):
        with pytest.raises(SealBroken):
            await store.read(creator, "fan")
        with pytest.raises(SealBroken):
            await store.history(creator, "fan", 1000)
    assert await store.read("creator", "fan") is None


async def test_a_fan_of_the_former_release_is_read_and_leaves_the_database_bound(
    store_settings: Settings, pool: Any
) -> None:
    await pool.execute("UPDATE key_binding SET state = 'unbound'")
    pair = ("creator", "fan")
    await seed(store_settings, {pair: HISTORY})
    keyring = Keyring.of(store_settings)
    store = Store(pool, keyring, store_settings.journal_partitions)
    assert not is_bound(await pool.fetchval("SELECT wrapped_key FROM subject"))
    stored = await store.stored(*pair)
    assert stored is not None
    assert is_bound(stored.wrapped_key)
    opened = open_snapshot(stored, pair, keyring)
    assert opened is not None
    assert len(opened.entries) == 50
    assert len(await store.history(*pair, 1000)) == len(HISTORY)


async def test_a_body_moved_to_another_event_is_noticed(store: Store, pool: Any) -> None:
    await pool.execute(
        "UPDATE interaction SET body = (SELECT body FROM interaction ORDER BY time LIMIT 1)"
    )
    with pytest.raises(SealBroken):
        await store.read("creator", "fan")


async def test_readers_follow_a_switch_of_generations(
    store: Store, pool: Any, store_settings: Settings
) -> None:
    assert await store.read("creator", "fan") is not None
    of = (await opened_states(pool, Keyring.of(store_settings)))["creator", "fan"]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE generation SET status = 'former'")
        await connection.execute(
            "INSERT INTO generation (generation, view_version, status)"
            " SELECT 2, view_version, 'live' FROM generation"
        )
        await connection.execute("ALTER SCHEMA g1 RENAME TO g2")
        await put_state(connection, of, of.document, generation=2)
    read = await store.read("creator", "fan")
    assert read is not None
    assert read.generation == 2


async def test_a_position_is_reached_when_its_source_was_folded(store: Store, pool: Any) -> None:
    await pool.execute("UPDATE position SET sources = '{5,-1}' WHERE topic = 'journal'")
    assert await store.reached("creator", "fan", Position("interactions", 0, 5))
    assert not await store.reached("creator", "fan", Position("interactions", 0, 6))
    assert not await store.reached("creator", "fan", Position("interactions", 1, 0))
    assert not await store.reached("creator", "fan", Position("interactions", 2, 0))


async def test_a_place_in_the_journal_is_reached_in_the_fans_own_partition(
    store: Store, pool: Any, store_settings: Settings
) -> None:
    subject = await pool.fetchval("SELECT subject FROM subject WHERE creator_id = 'creator'")
    own = journal_partition(subject, store_settings.journal_partitions)
    await pool.execute("UPDATE position SET next = 7 WHERE topic = 'journal'")
    for partition in range(store_settings.journal_partitions):
        for offset in (0, 6, 7):
            reached = await store.reached("creator", "fan", Position("journal", partition, offset))
            assert reached == (partition == own and offset < 7)


async def switch(pool: Any) -> None:
    """What a rebuild and a `--drop-old` leave: another generation, and nothing of the former."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE generation SET status = 'former'")
        await connection.execute(
            "INSERT INTO generation (generation, view_version, status)"
            " SELECT 2, view_version, 'live' FROM generation"
        )
        await connection.execute("ALTER SCHEMA g1 RENAME TO g2")
        await connection.execute(
            "INSERT INTO position (generation, topic, partition, next, sources)"
            " SELECT 2, topic, partition, next, '{5,-1}' FROM position WHERE topic = 'journal'"
        )


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_position_is_looked_for_in_the_generation_that_is_live_now(
    store: Store, pool: Any, dropped: bool
) -> None:
    """Also by a process that has asked the former one and has not missed since."""
    await pool.execute("UPDATE position SET sources = '{4,-1}' WHERE topic = 'journal'")
    assert not await store.reached("creator", "fan", Position("interactions", 0, 5))
    await switch(pool)
    if dropped:
        await pool.execute("DELETE FROM position WHERE generation = 1")
        await pool.execute("DELETE FROM generation WHERE generation = 1")
    assert await store.reached("creator", "fan", Position("interactions", 0, 5))
    assert not await store.reached("creator", "nobody", Position("interactions", 0, 5))


async def test_a_newest_place_stays_the_only_live_generation(pool: Any) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.execute(
            "INSERT INTO generation (generation, view_version, status) VALUES (7, 'x', 'live')"
        )


async def test_history_returns_exactly_the_duplicates(pool: Any) -> None:
    """The statement that decides what counts once; also twice within one batch."""
    subject = os.urandom(16)
    keys = [os.urandom(16) for _ in range(3)]

    async def insert(*wanted: bytes) -> list[bytes]:
        rows = [
            HistoryRow(subject, key, 0, offset, 0, True, b"body")
            for offset, key in enumerate(wanted)
        ]
        return sorted(key for _, key in await history.insert(pool, rows))

    assert await insert(keys[0], keys[1]) == []
    assert await insert(keys[1], keys[2]) == [keys[1]]
    assert await insert(*keys) == sorted(keys)
    fresh = os.urandom(16)
    assert await insert(fresh, fresh) == [fresh]


async def test_history_tells_and_removes_what_another_release_named(pool: Any) -> None:
    """Of what stands under the other key: never a message, which only shares the id."""
    subject = os.urandom(16)
    tip, talk, early = (os.urandom(16) for _ in range(3))
    rows = [
        HistoryRow(subject, tip, 0, 7, 0, False, b"tip"),
        HistoryRow(subject, talk, 0, 8, 0, True, b"message"),
        HistoryRow(subject, early, 0, 3, 0, False, b"early"),
    ]
    await history.insert(pool, sorted(rows))
    entry = JournalEntry("id", "tip", 0, amount=1)
    again = [
        OpenedRecord(0, 5, subject, os.urandom(16), b"again", entry, other)
        for other in (tip, talk, early, os.urandom(16), None)
    ]

    async def known() -> list[tuple[bytes, int, bytes]]:
        found = await history.known_before(pool, again)
        return sorted((one.event_key, one.offset, one.body) for one in found)

    assert await known() == sorted([(tip, 7, b"tip"), (early, 3, b"early")])
    await history.remove_later(pool, again)
    assert await known() == [(early, 3, b"early")]
    # The message stands: it is told as a duplicate.
    assert await history.insert(pool, [rows[1]]) == {(subject, talk)}
    assert await history.known_before(pool, again[-1:]) == []


async def test_a_database_that_is_not_there_is_told_so() -> None:
    keyring = Keyring.parse("k:" + base64.b64encode(os.urandom(32)).decode())
    pool = await open_pool(f"postgresql://nobody:x@127.0.0.1:{free_port()}/nothing")
    store = Store(pool, keyring, 4)
    for read in (store.read("c", "f"), store.history("c", "f", 1), store.positions()):
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(read, 10)
    await pool.close()
