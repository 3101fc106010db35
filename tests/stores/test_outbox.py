"""The outbox on a real Postgres and a real Kafka: in order, each topic by itself, never lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.consumer import fetcher

from admin.accounting import wait_until_told
from infra.postgres import open_pool
from infra.settings import Settings
from ops.services.ports import free_port
from privacy.keys import Keyring
from privacy.subjects import Subject, Subjects
from schemas.topics import DEAD_LETTERS, MEMORY_UPDATES, Topic
from schemas.updates import decode_update
from stores import outbox
from stores.relay import Relay
from tests.pipeline import Pipeline

TOLD_SECONDS_MAX = 30.0


class Told:
    """An outbox, and its relays."""

    def __init__(self, settings: Settings, pool: Any, folder: Path) -> None:
        self.settings = settings
        self.pool = pool
        self.pipeline = Pipeline(settings, folder)

    async def subject(self, fan: str) -> Subject:
        who = ("creator", fan)
        return (await Subjects(self.pipeline.keyring, 10).resolve(self.pool, [who]))[who]

    @asynccontextmanager
    async def relays(self, count: int = 1, topics: Sequence[Topic] = (MEMORY_UPDATES,)) -> Any:
        made = [
            Relay(self.settings, self.pool, Subjects(self.pipeline.keyring, 10), topics)
            for _ in range(count)
        ]
        running = [asyncio.create_task(relay.run()) for relay in made]
        try:
            yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for relay in made:
                await relay.stop()

    async def all(self) -> None:
        async with self.pipeline.stores() as (_, store):
            await wait_until_told(store, TOLD_SECONDS_MAX)


@pytest.fixture
async def told(settings: Settings, tmp_path: Path) -> AsyncIterator[Told]:
    pool = await open_pool(settings.postgres_url, size_max=8)
    yield Told(settings, pool, tmp_path)
    await pool.close()


def letter(number: int) -> outbox.Outgoing:
    return outbox.Outgoing(DEAD_LETTERS.name, None, b"key", b"%d" % number, 1)


async def test_relays_that_run_side_by_side_publish_each_row_once_and_in_order(
    told: Told,
) -> None:
    async with told.relays(4, [DEAD_LETTERS]) as relays:
        for start in range(0, 500, 50):
            await outbox.write(told.pool, [letter(n) for n in range(start, start + 50)])
            for relay in relays:
                relay.wake(DEAD_LETTERS.name)
            await asyncio.sleep(0)
        await told.all()
    records = await told.pipeline.records(DEAD_LETTERS.name)
    assert [(r.partition, r.key, r.value) for r in records] == [
        (1, b"key", b"%d" % number) for number in range(500)
    ]


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """How the batches that are read were compressed: 0 for not at all."""
    seen: set[int] = set()

    class Spied(fetcher.MemoryRecords):  # type: ignore[misc]
        def next_batch(self) -> Any:
            batch = super().next_batch()
            seen.add(batch.compression_type)
            return batch

    monkeypatch.setattr(fetcher, "MemoryRecords", Spied)
    return seen


async def test_a_row_about_a_fan_gets_its_names_when_it_is_published(
    told: Told, packings: set[int]
) -> None:
    subject = await told.subject("fan")
    row = outbox.moved(subject.id, 3, 18, ("preferences",), 0.5, 1_731_412_800_000)
    assert b"fan" not in row.value.replace(b"fanmemory", b"")
    gone = outbox.moved(os.urandom(16), 3, 19, ("preferences",), 0.5, 1_731_412_800_000)
    await outbox.write(told.pool, [gone, row])
    async with told.relays():
        await told.all()
    (record,) = await told.pipeline.records(MEMORY_UPDATES.name)
    update = decode_update(record.value)
    assert packings == {0}  # not every client can read what is compressed
    assert record.key == b"creator:fan"
    assert (update.creator_id, update.fan_id) == ("creator", "fan")
    assert (update.views, update.version) == (("preferences",), "journal-3:17")


async def test_what_the_first_release_left_is_published(told: Told) -> None:
    """Its rows are taken over with the partition, and the others left to their owner."""
    subject = await told.subject("fan")
    moves = [(subject.id, n, ("preferences",), 0.5, 1_731_412_800_000) for n in (5, 6)]
    for partition, next in ((0, 7), (1, 7)):
        packed = msgspec.msgpack.encode([moves[0], moves[1]])
        await told.pool.execute("INSERT INTO outbox VALUES ($1, $2, $3)", partition, next, packed)
    await outbox.adopt_former(told.pool, [1])
    async with told.relays():
        await told.all()
    records = await told.pipeline.records(MEMORY_UPDATES.name)
    versions = [decode_update(record.value).version for record in records]
    assert versions == ["journal-1:4", "journal-1:5"]
    assert await told.pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_the_records_of_a_commit_share_few_rows(told: Told) -> None:
    large = [letter(n)._replace(value=bytes(1000)) for n in range(600)]
    await outbox.write(told.pool, large)
    rows = await told.pool.fetch("SELECT records, length(value) AS bytes FROM outbox_pack")
    assert sum(row["records"] for row in rows) == 600
    assert 1 < len(rows) <= 1 + 600_000 // outbox.PACK_BYTES_MAX
    assert all(row["bytes"] < 1.1 * outbox.PACK_BYTES_MAX for row in rows)
    (waiting,) = await outbox.waiting(told.pool)
    assert (waiting.waiting, waiting.refused) == (600, 0)
    async with told.relays(1, [DEAD_LETTERS]):
        await told.all()
    assert len(await told.pipeline.records(DEAD_LETTERS.name)) == 600


async def test_nothing_is_let_go_of_while_the_broker_is_away(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    await outbox.write(told.pool, [letter(1), letter(2)])
    right, told.settings = (
        told.settings,
        told.settings.model_copy(update={"kafka_url": f"127.0.0.1:{free_port()}"}),
    )
    async with told.relays(1, [DEAD_LETTERS]):
        async with asyncio.timeout(TOLD_SECONDS_MAX):
            while "the outbox waits for BrokerUnavailable" not in caplog.text:
                await asyncio.sleep(0.02)
    (waiting,) = await outbox.waiting(told.pool)
    assert waiting.waiting == 2
    told.settings = right
    async with told.relays(1, [DEAD_LETTERS]):
        await told.all()
    assert [r.value for r in await told.pipeline.records(DEAD_LETTERS.name)] == [b"1", b"2"]


async def test_of_a_pack_only_what_the_broker_lacks_is_left(told: Told) -> None:
    """One of its partitions takes records, the other none yet."""
    await outbox.write(told.pool, [letter(n)._replace(partition=n % 2) for n in range(10)])
    (pack,) = await outbox.read(told.pool, DEAD_LETTERS.name, 1)
    await outbox.settle(
        told.pool,
        DEAD_LETTERS.name,
        [],
        {pack.id: pack.records[1::2]},
        [(pack.id, pack.records[0], "MessageSizeTooLargeError")],
    )
    (left,) = await outbox.read(told.pool, DEAD_LETTERS.name, 1)
    assert (left.id, left.records) == (pack.id, pack.records[1::2])
    (waiting,) = await outbox.waiting(told.pool)
    assert (waiting.waiting, waiting.refused) == (5, 1)
    async with told.relays(1, [DEAD_LETTERS]):
        await told.all()
    records = await told.pipeline.records(DEAD_LETTERS.name)
    assert [(r.partition, r.value) for r in records] == [(1, b"%d" % n) for n in range(1, 10, 2)]


async def test_what_the_broker_refused_is_published_once_an_operator_says_so(told: Told) -> None:
    """So is what a worker of the former release leaves: it, too, stands by itself."""
    await told.pool.execute(
        "INSERT INTO outbox_record (topic, key, value, partition, refused)"
        " VALUES ($1, 'k', '1', 1, 'reason'), ($1, 'k', '2', 1, NULL)",
        DEAD_LETTERS.name,
    )
    async with told.relays(1, [DEAD_LETTERS]):
        await told.all()
        assert [r.value for r in await told.pipeline.records(DEAD_LETTERS.name)] == [b"2"]
        await told.pool.execute("UPDATE outbox_record SET refused = NULL")
        await told.all()
    assert [r.value for r in await told.pipeline.records(DEAD_LETTERS.name)] == [b"2", b"1"]


async def test_a_row_that_the_broker_never_takes_is_kept_and_passed_over(told: Told) -> None:
    huge = letter(2)._replace(value=os.urandom(DEAD_LETTERS.message_bytes_max + 1000))
    await outbox.write(told.pool, [letter(1), huge, letter(3)])
    async with told.relays(1, [DEAD_LETTERS]):
        await told.all()
        records = await told.pipeline.records(DEAD_LETTERS.name)
        assert [record.value for record in records] == [b"1", b"3"]
        (waiting,) = await outbox.waiting(told.pool)
        assert (waiting.waiting, waiting.refused) == (0, 1)
    row = await told.pool.fetchrow("SELECT refused, value FROM outbox_record")
    assert (row["refused"], row["value"]) == ("MessageSizeTooLargeError", huge.value)


async def test_rows_older_than_their_topic_keeps_records_are_let_go_of(told: Told) -> None:
    await outbox.write(told.pool, [letter(1)])
    await told.pool.execute("UPDATE outbox_pack SET created_at = now() - interval '15 days'")
    await outbox.write(told.pool, [letter(2)])
    async with told.relays(1, [DEAD_LETTERS]):
        await told.all()
    assert [r.value for r in await told.pipeline.records(DEAD_LETTERS.name)] == [b"2"]


async def test_a_fan_whose_key_is_missing_does_not_stop_the_relay(told: Told) -> None:
    newer = Keyring.parse("newer:" + "A" * 43 + "=")
    who = ("creator", "locked")
    locked = (await Subjects(newer, 10).resolve(told.pool, [who]))[who]
    open_ = await told.subject("fan")
    for subject in (locked, open_):
        row = outbox.moved(subject.id, 0, 1, ("preferences",), 0.5, 1_731_412_800_000)
        await outbox.write(told.pool, [row])
    async with told.relays():
        await told.all()
    (record,) = await told.pipeline.records(MEMORY_UPDATES.name)
    assert record.key == b"creator:fan"
    (waiting,) = await outbox.waiting(told.pool)
    assert waiting.refused == 1
