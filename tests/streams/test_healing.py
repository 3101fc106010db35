"""What ingest writes again of a journal that lost its tail twice: read off the journal alone."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from infra.postgres import open_pool
from schemas.journal import FORMAT, JournalRecord, encode_record
from schemas.topics import INTERACTIONS, JOURNAL
from stores.generations import INTAKE_GENERATION
from stores.log_breaks import written_ahead
from stores.positions import Acknowledged, Positions, acknowledged_row
from streams.healing import IntakeHealer, _tail_of
from tests.pipeline import Pipeline

PARTITION = 3
READ = 40
"""Records of each partition of `interactions`."""

Look = Callable[..., Coroutine[Any, Any, tuple[int, ...]]]


async def write(pipeline: Pipeline, *places: int, source: int = 0) -> None:
    """Journal records of these places in a partition of `interactions`, in this order."""
    async with pipeline.producer() as producer:
        for place in places:
            record = JournalRecord(FORMAT, source, place, bytes(16), b"sealed")
            value = encode_record(record)
            await producer.send_and_wait(JOURNAL.name, value, key=bytes(16), partition=PARTITION)


@pytest.fixture
async def look(pipeline: Pipeline) -> AsyncIterator[Look]:
    """Let ingest find the journal as it is, when it had acknowledged up to these places in two
    partitions of `interactions`, at an end that it has not any more: from where it reads on."""
    async with pipeline.producer() as producer:
        for source in (0, 1):
            sends = [
                await producer.send(INTERACTIONS.name, b"{}", partition=source) for _ in range(READ)
            ]
            for one in sends:
                await one
    pool = await open_pool(pipeline.settings.postgres_url)

    async def looked(*acknowledged: int) -> tuple[int, ...]:
        positions = Positions(INTERACTIONS.name)
        sources = range(len(acknowledged))
        async with pool.acquire() as connection:
            await positions.claim(connection, INTAKE_GENERATION, list(sources))
            for source, place in enumerate(acknowledged):
                known = acknowledged_row({PARTITION: Acknowledged(1_000, place)})
                await connection.execute(
                    "UPDATE position SET next = $2, acknowledged = $3"
                    " WHERE topic = 'interactions' AND partition = $1",
                    *(source, place + 1, known),
                )
            await positions.reload(connection, list(sources))
        healer = IntakeHealer(pipeline.settings, pool, positions)
        before = dict(positions.held)
        doubted = await healer.doubtful()
        assert positions.held == before
        await healer.check(sources)
        assert {source for source in sources if positions.held[source] != before[source]} == doubted
        assert await healer.doubtful() == set()
        return tuple(positions.held[source].next for source in sources)

    yield looked
    await pool.close()


async def test_what_was_written_ahead_of_a_lost_tail_proves_nothing_when_it_is_lost_again(
    pipeline: Pipeline, look: Look
) -> None:
    await write(pipeline, *range(10), 20, 21, 22)  # 10 to 19 are lost, unnoticed until 22 is there
    assert await look(19) == (10,)
    assert await look(22) == (10,)  # written again, and lost with all else behind 22
    await write(pipeline, 7, source=1)
    assert await look(22) == (10,)  # the same, with another one's record behind it
    await write(pipeline, 10, 11, 12)
    assert await look(22) == (13,)  # this much of it was left
    await write(pipeline, *range(13, 23))
    assert await look(22) == (23,)


async def test_what_another_partition_wrote_behind_the_loss_of_one_is_there(
    pipeline: Pipeline, look: Look
) -> None:
    await write(pipeline, *range(10))
    await write(pipeline, *range(5), source=1)
    assert await look(19, 4) == (10, 5)  # only what is gone
    await write(pipeline, 10, 11)
    assert await look(19, 4) == (12, 5)


async def test_what_stands_in_the_place_of_what_was_lost_again_counts(
    pipeline: Pipeline, look: Look
) -> None:
    """A journal that was cut behind its beginning is grown anew over the places of before."""
    reason = _tail_of(0)
    await pipeline.fetch(
        "INSERT INTO log_break (topic, partition, reason, missing_from, missing_until, resume,"
        " status) VALUES ('journal', $1, $2, 4, 90, 80, 'healed'),"
        " ('journal', $1, $2, 0, 90, 1, 'healed')",
        PARTITION,
        reason,
    )
    pool = await open_pool(pipeline.settings.postgres_url)
    async with pool.acquire() as connection:
        assert await written_ahead(connection, JOURNAL.name, PARTITION, reason) == [(0, 1)]
    await pool.close()
    await write(pipeline, 30, *range(10))
    assert await look(19) == (10,)
