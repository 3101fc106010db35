"""A system at rest that has seen everything which verify tells apart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from ops.services import Endpoints
from schemas.positions import parse_position
from schemas.topics import JOURNAL
from tests import services as helpers
from tests.pipeline import Pipeline, fill, message, mixed, vouch_on

FANS = 24
EVENTS = 600
DUPLICATES = 12
WARM = 8
"""Fans whose memory is cached."""


@asynccontextmanager
async def quiet_pipeline(
    services: Endpoints, template_database: str, data: Path
) -> AsyncIterator[Pipeline]:
    """A system with fans, duplicates, a repeat, quarantined records and an erased fan, at rest."""
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, data, kafka=True)
        made = Pipeline(settings, data)
        try:
            worker = made.start_worker()
            events = mixed(FANS, EVENTS)
            await made.publish(*events, *events[:DUPLICATES], message("erased", 999))
            await made.drained()
            (erased,) = await made.fetch("SELECT subject FROM subject WHERE fan_id = 'erased'")
            records = await made.records(JOURNAL.name)
            first = next(one for one in records if one.key != erased["subject"].bytes)
            frame = msgspec.msgpack.decode(first.value)
            frame[1], frame[2] = await _two_accepted_places(made)
            frame[4] = b"x" * 40
            forged = msgspec.msgpack.encode(frame)
            async with made.producer() as producer:
                for key, value in (
                    (first.key, first.value),
                    (b"short", b"nonsense"),
                    (first.key, forged),
                ):
                    await producer.send_and_wait(
                        JOURNAL.name, value, key=key, partition=first.partition
                    )
            await projected(made)
            await erase(made, "erased")
            await warm(made)
            worker.stop()
            await vouch_on(made)
            yield made
        finally:
            made.stop_workers()


async def _two_accepted_places(pipeline: Pipeline) -> tuple[int, int]:
    """Two records of `interactions` that ingest has counted as accepted, as far as it says.

    They stand for two records of the journal that went bad after ingest had written them. Returns
    the place of the first.
    """
    await pipeline.publish(b"bad", b"bad")
    await pipeline.drained()
    bad = sorted(parse_position(one.source) for one, _ in await pipeline.dead_letters())
    for position in bad:
        await pipeline.fetch(
            "UPDATE position SET accepted = accepted + 1, dead_letters = dead_letters - 1"
            " WHERE topic = 'interactions' AND partition = $1",
            position.partition,
        )
    return bad[0].partition, bad[0].offset


async def projected(pipeline: Pipeline) -> None:
    async def reached() -> bool:
        return (await pipeline.lag())[JOURNAL.name] == 0

    await pipeline.wait_for(reached)


async def warm(pipeline: Pipeline) -> None:
    """Cache some fans, as the API does after a miss."""
    await pipeline.vouched()

    async def filled() -> bool:
        async with pipeline.stores() as (cache, store):
            for number in range(WARM):
                await fill(cache, store, "creator", f"fan{number}")
            pairs = [("creator", f"fan{number}") for number in range(WARM)]
            return None not in await cache.stored(pairs)

    await pipeline.wait_for(filled)


async def cached_key(pipeline: Pipeline, fan: str) -> bytes:
    """Of a fan's entry in Redis."""
    async with pipeline.stores() as (cache, _):
        return cache.prefix + b"c:" + cache.name("creator", fan)


async def erase(pipeline: Pipeline, fan: str) -> None:
    """What an erasure does to the tables."""
    (row,) = await pipeline.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    for statement in (
        "DELETE FROM subject WHERE subject = $1",
        "DELETE FROM g1.fan_state WHERE subject = $1",
        "DELETE FROM interaction WHERE subject = $1",
    ):
        await pipeline.fetch(statement, row["subject"])
    await pipeline.fetch(
        "UPDATE position SET erasures = erasures + 1 WHERE generation = 1 AND partition = $1",
        int.from_bytes(row["subject"].bytes[:4], "big") % pipeline.settings.journal_partitions,
    )
