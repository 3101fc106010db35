"""Every mutation of what is kept, made by hand on the real stores: verify names each of them."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest
import redis.asyncio

from admin.verify import Report, verify
from ops.services import Endpoints
from schemas.topics import INTERACTIONS
from tests.admin.quiet import WARM, cached_key, quiet_pipeline
from tests.documents import change_state, with_revenue
from tests.pipeline import Pipeline, message, mixed

CACHED, COLD = "fan1", f"fan{WARM}"
"""One fan whose memory is in the cache, and one whose memory is not."""


@pytest.fixture(scope="module")
async def quiet(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    data = tmp_path_factory.mktemp("mutations")
    async with quiet_pipeline(services, template_database, data) as made:
        yield made


TABLES = (
    "subject",
    "interaction",
    "position",
    "generation",
    "quarantine",
    "outbox",
    "g1.fan_state",
)


WRITTEN = """
SELECT string_agg(format('%I', attname), ', ') FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
"""The columns that are not generated."""


@asynccontextmanager
async def kept(pipeline: Pipeline) -> AsyncIterator[None]:
    """Put every table and the whole cache back afterwards, whatever is done to them."""
    client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
    connection = await asyncpg.connect(pipeline.settings.postgres_url)
    try:
        for number, table in enumerate(TABLES):
            await connection.execute(f"CREATE TEMP TABLE kept_{number} AS TABLE {table}")
        dumps = {key: await client.dump(key) for key in await client.keys("*")}
        yield
        for number, table in enumerate(TABLES):
            await connection.execute(f"DELETE FROM {table}")
            written = await connection.fetchval(WRITTEN, table)
            await connection.execute(
                f"INSERT INTO {table} ({written}) SELECT {written} FROM kept_{number}"
            )
        await client.flushall()
        for key, dump in dumps.items():
            await client.restore(key, 0, dump)
    finally:
        await connection.close()
        await client.aclose()


class Mutation(NamedTuple):
    """What is done by hand, and where verify has to see it."""

    name: str
    make: Callable[[Pipeline], Awaitable[Any]]
    where: str
    field: str
    """Part of the difference's field."""


def sql(*statements: str) -> Callable[[Pipeline], Awaitable[None]]:
    """`$fan` in a statement is a cold fan's subject."""

    async def make(pipeline: Pipeline) -> None:
        subject = await subject_of(pipeline, COLD)
        for statement in statements:
            await pipeline.fetch(statement.replace("$fan", f"'{subject}'"))

    return make


def resealed(how: Callable[[bytes], bytes]) -> Callable[[Pipeline], Awaitable[None]]:
    """A cold fan's state in another's hands, who has the keyring."""

    async def make(pipeline: Pipeline) -> None:
        await change_state(pipeline, pipeline.keyring, ("creator", COLD), how)

    return make


async def subject_of(pipeline: Pipeline, fan: str) -> uuid.UUID:
    (row,) = await pipeline.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    found: uuid.UUID = row["subject"]
    return found


async def lose_a_fan(pipeline: Pipeline, *, erasures: bool) -> None:
    """A whole fan, in a partition with or without an erasure; nothing of it is in the cache."""
    sign = ">" if erasures else "="
    rows = await pipeline.fetch(
        "SELECT subject, fan_id FROM subject JOIN position ON partition ="
        " ('x' || encode(substr(uuid_send(subject), 1, 4), 'hex'))::bit(32)::bigint % 4"
        f" WHERE generation = 1 AND erasures {sign} 0 ORDER BY subject"
    )
    subject = rows[0]["subject"]
    client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
    await client.flushall()
    await client.aclose()
    for table in ("subject", "interaction", "g1.fan_state"):
        await pipeline.fetch(f"DELETE FROM {table} WHERE subject = $1", subject)


async def lose_a_fan_beside_an_erasure(pipeline: Pipeline) -> None:
    await lose_a_fan(pipeline, erasures=True)


async def lose_a_fan_without_erasures(pipeline: Pipeline) -> None:
    await lose_a_fan(pipeline, erasures=False)


async def swap_two_fans(pipeline: Pipeline) -> None:
    await pipeline.fetch("UPDATE subject SET fan_id = 'aside' WHERE fan_id = 'fan20'")
    await pipeline.fetch("UPDATE subject SET fan_id = 'fan20' WHERE fan_id = 'fan21'")
    await pipeline.fetch("UPDATE subject SET fan_id = 'fan21' WHERE fan_id = 'aside'")


async def skip_events_before_the_journal(pipeline: Pipeline) -> None:
    """Ten events that ingest says it has read, and has not."""
    before = await pipeline.ends(INTERACTIONS.name)
    await pipeline.publish(*mixed(5, 10, first=5_000))
    for partition, end in (await pipeline.ends(INTERACTIONS.name)).items():
        await pipeline.fetch(
            "UPDATE position SET next = next + $1 WHERE topic = 'interactions' AND partition = $2",
            end - before[partition],
            partition,
        )


def published_as(beginning: bytes, value: int) -> Callable[[Pipeline], Awaitable[None]]:
    """Something else in one field of what the owner of partition 0 has said."""

    async def make(pipeline: Pipeline) -> None:
        client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
        async with pipeline.stores() as (cache, _):
            key = cache.prefix + b"p:0"
            field = next(one for one in await client.hkeys(key) if one.startswith(beginning))
            assert await client.hset(key, field, value) == 0
        await client.aclose()

    return make


async def cache_another_fan(pipeline: Pipeline) -> None:
    """The entry of one fan under the name of another."""
    client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
    one, other = [await cached_key(pipeline, fan) for fan in ("fan1", "fan2")]
    await client.copy(one, other, replace=True)
    await client.aclose()


MUTATIONS: Sequence[Mutation] = (
    # What was caught before.
    Mutation(
        "a byte of a state",
        sql("UPDATE g1.fan_state SET state = state || ' '::bytea WHERE subject = $fan"),
        "state",
        "can't be opened",
    ),
    Mutation(
        "a state that nothing was folded to",
        resealed(lambda document: with_revenue(document, 1)),
        "state",
        "engagement.revenue",
    ),
    Mutation(
        "a byte in a state",
        resealed(lambda document: document + b" "),
        "state",
        "other bytes",
    ),
    *(
        Mutation(
            f"the column {column} of a state altered",
            sql(f"UPDATE g1.fan_state SET {column} = {value} WHERE subject = $fan"),
            "state",
            column,
        )
        for column, value in (
            ("creator_hash", "creator_hash + 1"),
            ("rank", "rank + 1e-9"),
            ("revenue", "revenue + 1"),
            ("last_interaction", "0"),
            ("traits", "traits # 1"),
            ("waiting_since", "waiting_since + 1"),
        )
    ),
    Mutation("a state deleted", sql("DELETE FROM g1.fan_state WHERE subject = $fan"), "state", "v"),
    Mutation(
        "a state added",
        sql("INSERT INTO g1.fan_state VALUES (gen_random_uuid(), 1, '{}')"),
        "state",
        "not in the journal",
    ),
    Mutation(
        "a history row deleted",
        sql(
            "DELETE FROM interaction WHERE ctid ="
            " (SELECT ctid FROM interaction WHERE subject = $fan LIMIT 1)"
        ),
        "history",
        "rows",
    ),
    Mutation(
        "a history row moved",
        sql(
            'UPDATE interaction SET "offset" = 99999 WHERE ctid ='
            " (SELECT ctid FROM interaction WHERE subject = $fan LIMIT 1)"
        ),
        "history",
        "digest",
    ),
    Mutation("a subject row lost", sql("DELETE FROM subject WHERE subject = $fan"), "subject", ""),
    Mutation(
        "a whole fan lost, where nobody was erased",
        lose_a_fan_without_erasures,
        "subject",
        "neither remembered nor erased",
    ),
    Mutation(
        "the journal's position moved back",
        sql("UPDATE position SET next = next - 10 WHERE generation = 1 AND partition = 0"),
        "history",
        "",
    ),
    Mutation(
        "the journal's position beyond the end",
        sql("UPDATE position SET next = next + 10 WHERE generation = 1 AND partition = 0"),
        "position",
        "next",
    ),
    # What was missed, or ended the run.
    Mutation(
        "a subject's wrapped key altered",
        sql(
            "UPDATE subject SET wrapped_key = wrapped_key || '1'::bytea WHERE subject = $fan",
        ),
        "subject",
        "key does not open",
    ),
    Mutation(
        "a whole fan lost, in a partition that has had an erasure",
        lose_a_fan_beside_an_erasure,
        "subject",
        "neither remembered nor erased",
    ),
    Mutation("the ids of two subjects swapped", swap_two_fans, "subject", "key does not open"),
    Mutation(
        "a creator renamed",
        sql("UPDATE subject SET creator_id = 'another' WHERE subject = $fan"),
        "subject",
        "key does not open",
    ),
    Mutation(
        "ingest's position beyond the end",
        sql("UPDATE position SET next = next + 100 WHERE topic = 'interactions' AND partition = 0"),
        "intake",
        "next",
    ),
    Mutation(
        "accepted events that never reached the journal",
        sql(
            "UPDATE position SET accepted = accepted + 50"
            " WHERE topic = 'interactions' AND partition = 0"
        ),
        "accounting",
        "accepted",
    ),
    Mutation(
        "events skipped between interactions and journal",
        skip_events_before_the_journal,
        "intake",
        "in neither the journal nor the dead letters",
    ),
    Mutation(
        "a place that nobody has pushed published in the cache",
        published_as(b"s", 999_999),
        "cache",
        "published.sources",
    ),
    Mutation(
        "a position that nobody has pushed published in the cache",
        published_as(b"n", 999_999),
        "cache",
        "published.next",
    ),
    Mutation("another fan's memory in the cache", cache_another_fan, "cache", "another subject"),
    Mutation(
        "epochs lowered",
        sql("UPDATE position SET epoch = epoch - 1 WHERE generation = 1"),
        "position",
        "epoch",
    ),
    Mutation(
        "ingest's epochs lowered",
        sql("UPDATE position SET epoch = 0 WHERE generation = 0"),
        "intake",
        "epoch",
    ),
    Mutation(
        "the generation's partition count changed",
        sql("UPDATE generation SET journal_partitions = journal_partitions + 1"),
        "generation",
        "journal_partitions",
    ),
    Mutation(
        "a counter below zero",
        sql("UPDATE position SET repeats = -1 WHERE generation = 1 AND partition = 0"),
        "position",
        "repeats",
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
async def test_a_mutation_is_named(quiet: Pipeline, mutation: Mutation) -> None:
    async with kept(quiet):
        await mutation.make(quiet)
        report = await verify(quiet.settings, processes=1)
    found = [(one.where, one.field) for one in report.differences]
    assert any(where == mutation.where and mutation.field in field for where, field in found), (
        found,
        report.not_compared,
    )


async def test_columns_that_a_former_release_left_behind_are_counted_and_no_fault(
    quiet: Pipeline,
) -> None:
    async with kept(quiet):
        await sql(
            "UPDATE g1.fan_state SET indexed_version = indexed_version - 1, rank = 0"
            " WHERE subject = $fan"
        )(quiet)
        report = await verify(quiet.settings, processes=1)
    assert (report.unindexed, report.found) == (1, 0), report.differences


async def test_everything_is_as_it_was_after_the_mutations(quiet: Pipeline) -> None:
    report: Report = await verify(quiet.settings, processes=1)
    assert report.found == 0, report.differences


async def test_a_row_of_the_outbox_that_was_lost_is_named(quiet: Pipeline) -> None:
    """The last here: a worker commits, and dies before its relay has told anybody."""
    crashing = quiet.start_worker(fail_at="outbox.before_send")
    await quiet.publish(message("fan1", 9_999))
    assert crashing.process.wait(60) == -9
    owed: Report = await verify(quiet.settings, processes=1)
    assert owed.found == 0, owed.differences
    lost = await quiet.fetch("DELETE FROM outbox_pack RETURNING value")
    report: Report = await verify(quiet.settings, processes=1)
    subjects = [subject for row in lost for subject, *_ in msgspec.msgpack.decode(row["value"])]
    assert subjects
    assert {(one.where, one.subject) for one in report.differences} == {
        ("outbox", str(uuid.UUID(bytes=subject))) for subject in subjects
    }
