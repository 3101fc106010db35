"""What an event is known by, across releases: former ones had one key for all types."""

from admin.rebuild import rebuild
from admin.verify import verify
from infra.postgres import connecting
from privacy.seal import former_event_key, seal_entry
from privacy.subjects import Subjects, journal_partition
from schemas.journal import FORMAT, JournalEntry, JournalRecord, encode_record
from schemas.topics import INTERACTIONS, JOURNAL
from tests.pipeline import Event, Pipeline, message, purchase

NOON = 1_731_412_800_000


async def as_a_former_release(pipeline: Pipeline, event: Event) -> None:
    """Publish a tip, journalled already by a worker that was replaced before it could say so."""
    await pipeline.publish(event)
    source = max(await pipeline.records(INTERACTIONS.name), key=lambda one: one.timestamp)
    pair = event["creatorId"], event["fanId"]
    async with connecting(pipeline.settings.postgres_url) as connection:
        subject = (await Subjects(pipeline.keyring, 10).resolve(connection, [pair]))[pair]
    entry = JournalEntry(
        event["eventId"],
        event["type"],
        NOON,
        amount=round(event["amount"] * 100),
        source_partition=source.partition,
        source_offset=source.offset,
    )
    key = former_event_key(subject.key, entry.event_id)
    sealed = seal_entry(subject.cipher, subject.id, key, entry)
    record = JournalRecord(FORMAT, source.partition, source.offset, key, sealed)
    partition = journal_partition(subject.id, pipeline.settings.journal_partitions)
    async with pipeline.producer() as producer:
        await producer.send_and_wait(
            JOURNAL.name, encode_record(record), key=subject.id, partition=partition
        )


async def at_rest(pipeline: Pipeline) -> None:
    async def reached() -> bool:
        return sum((await pipeline.lag()).values()) == 0

    await pipeline.wait_for(reached, instead=pipeline.lag)


async def assert_whole(pipeline: Pipeline, history: int, revenue: int) -> None:
    """Live, refolded and by plain sums the same."""
    assert (await pipeline.history())["fan"] == history
    assert (await pipeline.state("fan")).engagement.revenue == revenue
    report = await verify(pipeline.settings, processes=1)
    assert report.found == 0, report.differences
    assert report.referenced == 1


async def test_what_another_release_journalled_counts_once(pipeline: Pipeline) -> None:
    tips = {
        name: purchase("fan", 0, amount, type="tip", eventId=name)
        for name, amount in (("before", 5.0), ("shared", 25.0), ("after", 1.0))
    }
    worker = pipeline.start_worker()
    await pipeline.publish(message("fan", 1, eventId="shared"), tips["after"])
    await at_rest(pipeline)
    worker.stop()
    # One that a former release brought, and one again that we had before.
    await as_a_former_release(pipeline, tips["before"])
    await as_a_former_release(pipeline, tips["after"])
    worker = pipeline.start_worker()
    await at_rest(pipeline)
    await assert_whole(pipeline, 3, 600)
    # All of them again, and the tip of a message that has the same id.
    await pipeline.publish(*tips.values())
    await pipeline.publish(*tips.values(), message("fan", 1, eventId="shared"))
    await at_rest(pipeline)
    await assert_whole(pipeline, 4, 3100)
    worker.stop()
    await rebuild(pipeline.settings, processes=1)
    await assert_whole(pipeline, 4, 3100)
