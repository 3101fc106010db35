"""A log that no longer has what the views need: refused loudly, never skipped in silence."""

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas.topics import JOURNAL
from tests.pipeline import Pipeline, mixed


async def delete_journal_below(pipeline: Pipeline, ends: dict[int, int]) -> None:
    """What retention does."""
    client = AIOKafkaAdminClient(bootstrap_servers=pipeline.settings.kafka_url)
    await client.start()
    try:
        await client.delete_records(
            {
                TopicPartition(JOURNAL.name, partition): RecordsToDelete(before_offset=end)
                for partition, end in ends.items()
            }
        )
    finally:
        await client.close()


async def test_a_log_cut_above_the_position_is_refused_until_the_operator_accepts_it(
    pipeline: Pipeline,
) -> None:
    first = pipeline.start_worker()
    # Subjects are random: of 80, none of 4 partitions stays empty (chance 4 · 0.75^80 = 4e-10).
    await pipeline.publish(*mixed(fans=80, events=400))
    await pipeline.drained()
    first.stop()
    # As if project had been away for longer than the log is kept.
    await pipeline.fetch(
        "UPDATE position SET next = 0, sources = '{}', applied = 0 WHERE topic = 'journal'"
    )
    await pipeline.fetch("TRUNCATE g1.fan_state, interaction, outbox_record")
    await delete_journal_below(
        pipeline,
        {partition: end - 1 for partition, end in (await pipeline.ends("journal")).items()},
    )
    refusing = pipeline.start_worker()
    assert refusing.process.wait(30) == 1
    assert refusing.said("FANMEMORY_ACCEPT_DATA_LOSS=1") >= 1
    assert (await pipeline.accounting()).applied == 0
    pipeline.start_worker(accept_data_loss=True)

    async def rest() -> bool:
        return (await pipeline.accounting()).applied == pipeline.settings.journal_partitions

    await pipeline.wait_for(rest, instead=pipeline.accounting)
    assert pipeline.workers[-1].said("no longer reaches back") >= 1


async def test_a_topic_made_anew_below_the_position_is_refused(pipeline: Pipeline) -> None:
    await pipeline.fetch(
        "INSERT INTO position (generation, topic, partition, next) VALUES (0, 'interactions', 0, 5)"
    )
    worker = pipeline.start_worker()
    assert worker.process.wait(30) == 1
    assert worker.said("ends before the position") >= 1
