"""A suppressed fan's events are counted and dropped: no copy anywhere, and nothing else is lost."""

import json
from typing import Any

from admin.verify import verify
from lab.chaos.backwards import recreate_topic
from privacy.seal import open_entry
from privacy.subjects import Subjects
from schemas.journal import decode_record
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL, MEMORY_UPDATES
from stores import suppression
from stores.opened import open_stores
from tests.pipeline import Pipeline, message

WHO = ("creator", "asked-for-it")
WORDS = "words that nobody may keep"


def said(number: int, **more: Any) -> dict[str, Any]:
    return message(WHO[1], number, content=f"{WORDS} {number}", **more)


async def change(pipeline: Pipeline, do: Any) -> Any:
    async with open_stores(pipeline.settings) as stores:
        return await do(stores.pool, pipeline.keyring, WHO)


async def kept(pipeline: Pipeline) -> list[str]:
    """What is kept of the fan's words in the journal, opened, and in the clear elsewhere."""
    found = []
    async with open_stores(pipeline.settings) as stores, stores.pool.acquire() as connection:
        records = await pipeline.records(JOURNAL.name)
        subjects = await Subjects(pipeline.keyring, 100).lookup(
            connection, {bytes(record.key) for record in records}
        )
    for record in records:
        subject, entry = subjects[record.key], decode_record(record.value)
        opened = open_entry(subject.cipher, subject.id, entry.event_key, entry.sealed)
        found += [opened.content or ""] if WORDS in (opened.content or "") else []
    found += [json.dumps(str(value)) for _, value in await pipeline.dead_letters()]
    return found


async def test_nothing_of_a_suppressed_fan_is_kept_and_every_event_is_accounted_for(
    pipeline: Pipeline,
) -> None:
    # A worker dies between journal and commit; the fan is suppressed before the next one comes.
    await pipeline.publish(said(0))
    pipeline.start_worker(fail_at="ingest.after_produce").process.wait(60)
    await change(pipeline, suppression.put)
    await pipeline.forget_dead_workers()
    bad = said(1, amount=-5) | {"type": "tip"}
    noted = said(3) | {"type": "note", "sender": "creator"}
    stranger = {"creatorId": WHO[0], "content": WORDS}
    await pipeline.publish(
        *(said(2), bad, noted, message("other", 1), message("other", 4)),
        said(5) | {"creatorId": "another creator"},
    )
    worker = pipeline.start_worker()
    account = await pipeline.drained()
    assert (account.accepted, account.dead_letters, account.suppressed) == (3, 0, 4)
    assert account.read == sum((await pipeline.ends(INTERACTIONS.name)).values()) == 7
    assert sorted(await kept(pipeline)) == [f"{WORDS} 0", f"{WORDS} 5"]
    assert await pipeline.records(DEAD_LETTERS.name) == []
    told = [json.loads(one.value) for one in await pipeline.records(MEMORY_UPDATES.name)]
    assert sum((one["creatorId"], one["fanId"]) == WHO for one in told) <= 1
    report = await verify(pipeline.settings, processes=1)
    assert report.differences == ()
    assert report.intake.suppressed == 4

    # What names nobody is a dead letter as ever, and a fan who comes back is remembered again.
    assert await change(pipeline, suppression.lift)
    await pipeline.publish(said(6), json.dumps(stranger).encode())
    account = await pipeline.drained()
    assert (account.accepted, account.dead_letters, account.suppressed) == (4, 1, 4)
    assert f"{WORDS} 6" in await kept(pipeline)
    worker.stop()
    report = await verify(pipeline.settings, processes=1)
    assert report.differences == ()

    # What was dropped is not remembered either when the journal is lost, and all is read again.
    before = set(await kept(pipeline))
    lost = {partition for partition, end in (await pipeline.ends(JOURNAL.name)).items() if end}
    await recreate_topic(pipeline.settings, JOURNAL.name)
    pipeline.start_worker()

    await pipeline.written_again(lost)
    assert set(await kept(pipeline)) == before - {f"{WORDS} 0"}
    report = await verify(pipeline.settings, processes=1)
    assert report.differences == ()
