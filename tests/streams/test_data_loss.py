"""What no other copy has: its partition stops and says so, until its operator accepts the loss."""

import asyncio

from admin.accept_loss import accept_loss
from admin.rebuild import rebuild
from admin.verify import verify
from infra.kafka import RecordsToDelete, TopicPartition, admin
from schemas.topics import INTERACTIONS, JOURNAL
from stores.log_breaks import Lost
from tests.pipeline import Pipeline, mixed


async def delete_below(pipeline: Pipeline, topic: str, ends: dict[int, int]) -> None:
    """What retention does."""
    async with admin(pipeline.settings) as client:
        await client.delete_records(
            {TopicPartition(topic, p): RecordsToDelete(before_offset=e) for p, e in ends.items()}
        )


async def stopped(pipeline: Pipeline) -> list[Lost]:
    rows = await pipeline.fetch(
        "SELECT topic, partition, reason, missing_from, missing_until, resume FROM log_break"
        " WHERE status = 'stopped' ORDER BY topic, partition"
    )
    return [Lost(*row) for row in rows]


async def test_a_partition_whose_log_was_deleted_unread_stops_until_the_loss_is_accepted(
    pipeline: Pipeline,
) -> None:
    partitions = pipeline.settings.journal_partitions
    first = pipeline.start_worker()
    # Subjects are random: of 80, none of 4 partitions stays empty (chance 4 · 0.75^80 = 4e-10).
    await pipeline.publish(*mixed(fans=80, events=400))
    await pipeline.drained()
    first.stop()
    ends = await pipeline.ends(JOURNAL.name)
    # As if project had been away for longer than the log is kept.
    await pipeline.fetch(
        "UPDATE position SET next = 0, sources = '{}', applied = 0, marks = '{}'"
        " WHERE topic = 'journal' AND partition > 0"
    )
    await delete_below(pipeline, JOURNAL.name, {p: end - 1 for p, end in ends.items()})
    worker = pipeline.start_worker()

    async def all_stopped() -> bool:
        return len(await stopped(pipeline)) == partitions - 1

    await pipeline.wait_for(all_stopped)
    assert [
        (one.partition, one.missing_from, one.missing_until) for one in await stopped(pipeline)
    ] == [(partition, 0, ends[partition] - 1) for partition in range(1, partitions)]
    assert worker.said("fanmemory accept-loss journal 1") >= 1
    # The one partition that lacks nothing goes on, and so does ingest.
    before = (await pipeline.accounting()).applied
    await pipeline.publish(*mixed(fans=80, events=80, first=400))

    async def the_other_goes_on() -> bool:
        return (await pipeline.accounting()).applied > before

    await pipeline.wait_for(the_other_goes_on, instead=pipeline.accounting)
    assert worker.alive
    for partition in range(1, partitions):
        (lost,) = await accept_loss(pipeline.settings, JOURNAL.name, partition, "me")
        assert lost.missing_until == ends[partition] - 1

    async def all_go_on() -> bool:
        return (await pipeline.lag())[JOURNAL.name] == 0

    await pipeline.wait_for(all_go_on, instead=pipeline.lag)
    assert worker.alive
    rows = await pipeline.fetch("SELECT status, settled_by FROM log_break")
    assert {(row["status"], row["settled_by"]) for row in rows} == {("accepted", "me")}


async def test_a_journal_that_can_not_be_written_again_stops_until_the_loss_is_accepted(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.start_worker()
    await pipeline.publish(*mixed(fans=80, events=400))
    await pipeline.caught_up()
    worker.stop()
    ends = await pipeline.ends(JOURNAL.name)
    # As if the journal had been longer and had ended with the event that ends it now, and as if
    # `interactions` no longer had what is lost of it.
    await pipeline.fetch(
        "UPDATE position SET next = next + 50, sources = ARRAY[999, 999, 999, 999],"
        " marks = '{}' WHERE topic = 'journal' AND partition = 1"
    )
    await pipeline.fetch(
        'UPDATE interaction SET "offset" = "offset" + 50 WHERE partition = 1 AND "offset" = $1',
        ends[1] - 1,
    )
    await delete_below(pipeline, INTERACTIONS.name, await pipeline.ends(INTERACTIONS.name))
    worker = pipeline.start_worker()

    async def it_stopped() -> bool:
        return bool(await stopped(pipeline))

    await pipeline.wait_for(it_stopped)
    (lost,) = await stopped(pipeline)
    assert (lost.topic, lost.partition) == (JOURNAL.name, 1)
    assert (lost.missing_from, lost.missing_until) == (ends[1] - 1, ends[1] + 50)
    fans = len(await pipeline.history())
    await accept_loss(pipeline.settings, JOURNAL.name, 1, "me")
    await pipeline.publish(*mixed(fans=80, events=80, first=400))

    async def goes_on() -> bool:
        return not any((await pipeline.lag()).values())

    await pipeline.wait_for(goes_on, instead=pipeline.lag)
    assert len(await pipeline.history()) == fans  # what the views know stays in them
    assert worker.alive


async def test_interactions_that_end_below_the_position_are_read_from_where_they_are(
    pipeline: Pipeline,
) -> None:
    await pipeline.fetch(
        "INSERT INTO position (generation, topic, partition, next)"
        " SELECT 0, 'interactions', p, 500 FROM generate_series(0, 3) AS p"
    )
    worker = pipeline.start_worker()
    await pipeline.publish(*mixed(fans=20, events=100))
    await pipeline.drained()
    assert (await verify(pipeline.settings, processes=1)).found == 0
    assert worker.said("Reading on from 0") >= 1


async def test_the_journals_lost_beginning_is_refused_by_a_rebuild_until_it_is_accepted(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.start_worker()
    await pipeline.publish(*mixed(fans=80, events=400))
    await pipeline.drained()
    worker.stop()
    await delete_below(pipeline, JOURNAL.name, {2: 5})
    await accept_loss(pipeline.settings, JOURNAL.name, 2, "me")
    await asyncio.wait_for(rebuild(pipeline.settings, processes=1), 60)
