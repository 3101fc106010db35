"""What can't be written, for now or for good, stops nobody else and loses nothing."""

import asyncio
import base64
import json
import os
import time

import asyncpg
import pytest

from admin import topics
from admin.accounting import Account
from admin.preflight import preflight
from infra import kafka
from infra.postgres import connect, url_of
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import Misconfigured
from schemas.journal import JournalEntry
from schemas.topics import DEAD_LETTERS, JOURNAL, MEMORY_UPDATES, Topic
from schemas.updates import decode_update
from tests.pipeline import WAIT_SECONDS_MAX, Pipeline, message, mixed
from tests.streams.test_journal import Forger


async def test_a_read_only_database_is_waited_out(pipeline: Pipeline) -> None:
    """A standby not yet promoted, or what a provider does to a full disk."""
    worker = pipeline.start_worker()
    await pipeline.claimed()
    await pipeline.publish(*mixed(5, 20))
    await pipeline.drained()
    await _set_read_only(pipeline, "on")
    await pipeline.publish(*mixed(5, 20, first=20))

    async def waits() -> bool:
        # The first, second and fourth attempt say so.
        return worker.said("waiting for DatabaseUnavailable") > 2 or not worker.alive

    await pipeline.wait_for(waits)
    assert worker.alive
    await _set_read_only(pipeline, "off")
    account = await pipeline.drained()
    assert (account.applied, account.quarantined) == (40, 0)
    assert account.repeats == 0  # what the journal had acknowledged was not produced again
    assert worker.alive


async def _set_read_only(pipeline: Pipeline, value: str) -> None:
    """For every session of this test's database: the present ones are ended."""
    connection = await asyncpg.connect(url_of(pipeline.settings, "owner"))
    try:
        await connection.execute("SET default_transaction_read_only = off")
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'
        )
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND pid <> pg_backend_pid()",
            name,
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("topic", [MEMORY_UPDATES, DEAD_LETTERS])
async def test_a_side_topic_that_is_gone_stops_nobody(pipeline: Pipeline, topic: Topic) -> None:
    """Neither a worker that runs nor one that starts."""
    await _delete_topic(pipeline.settings, topic)
    worker = pipeline.start_worker()
    await pipeline.claimed()
    for number in range(0, 21, 7):
        await pipeline.publish(*(message(f"fan{n % 7}", n) for n in range(number, number + 7)))
        await pipeline.publish(b"bad")
        await pipeline.drained()
    worker.kill()
    await pipeline.forget_dead_workers()
    again = pipeline.start_worker()
    await pipeline.publish(*mixed(7, 30, first=100))
    account = await pipeline.drained()
    assert (account.applied, account.dead_letters) == (51, 3)
    assert again.alive
    async with pipeline.stores() as (_, store):

        async def only_one_waits() -> bool:
            waiting = [(one.topic, one.waiting) for one in await store.untold() if one.waiting]
            return [name for name, _ in waiting] == [topic.name] and waiting[0][1] >= 3

        await pipeline.wait_for(only_one_waits, instead=store.untold)
    await topics.create(pipeline.settings)
    letters = {letter.source for letter, _ in await pipeline.dead_letters()}
    assert len(letters) == 3
    # In order per fan, and each told.
    newest: dict[bytes, int] = {}
    for one in await pipeline.records(MEMORY_UPDATES.name):
        version = int(decode_update(one.value).version.rpartition(":")[2])
        assert version >= newest.get(one.key, 0)
        newest[one.key] = version
    assert len(newest) == 7
    assert again.alive


async def test_a_fan_whose_key_is_missing_stops_nobody(pipeline: Pipeline) -> None:
    """As when a newer worker wraps under a key that this one's ring does not have yet."""
    text = pipeline.settings.keyring.get_secret_value()
    newer = "newer:" + base64.b64encode(os.urandom(32)).decode() + "," + text
    worker = pipeline.start_worker()
    await pipeline.publish(message("before", 1))
    await pipeline.drained()
    connection = await connect(pipeline.settings.postgres_url)
    who = ("creator", "locked")
    subject = (await Subjects(Keyring.parse(newer), 10).resolve(connection, [who]))[who]
    await connection.close()
    # One record that a newer worker journalled, and an event for this one to take in.
    forge = Forger(pipeline, subject)
    await forge.write(forge.record(JournalEntry("e1", "like", 1_731_412_800_000)))
    await pipeline.publish(message("before", 2), message("locked", 3), message("after", 4))

    async def settled() -> Account | None:
        found = await pipeline.accounting()
        return found if (found.applied, found.quarantined) == (3, 1) else None

    account = await pipeline.wait_for(settled, instead=pipeline.accounting)
    assert worker.alive
    assert account.dead_letters == 1
    ((letter, opened),) = await pipeline.dead_letters()
    assert "key" in letter.reason
    assert json.loads(opened or b"")["fanId"] == "locked"
    rows = await pipeline.fetch("SELECT subject, reason FROM quarantine")
    assert [row["reason"] for row in rows] == [letter.reason.partition(": ")[2]]
    # The next start says what is missing, and goes on when it is told to.
    with pytest.raises(Misconfigured, match="lacks key newer"):
        await preflight(pipeline.settings)
    await preflight(pipeline.settings.model_copy(update={"accept_missing_keys": True}))


async def test_what_the_journal_never_takes_becomes_a_dead_letter(pipeline: Pipeline) -> None:
    limit = {"max.message.bytes": "6000"}
    async with kafka.admin(pipeline.settings) as client:
        await client.alter_configs(
            [kafka.ConfigResource(kafka.ConfigResourceType.TOPIC, JOURNAL.name, configs=limit)]
        )
    events = [message(f"fan{number % 3}", number) for number in range(30)]
    for number in (4, 17):
        events[number]["content"] = base64.b64encode(os.urandom(6_000)).decode()
    await pipeline.publish(*events)
    worker = pipeline.start_worker()
    account = await pipeline.drained()
    assert (account.applied, account.dead_letters, account.repeats) == (28, 2, 0)
    letters = await pipeline.dead_letters()
    assert {letter.reason for letter, _ in letters} == {
        "the journal refuses it: MessageSizeTooLargeError"
    }
    assert {json.loads(opened or b"")["eventId"] for _, opened in letters} == {"e4", "e17"}
    assert worker.alive


async def _delete_topic(settings: Settings, topic: Topic) -> None:
    async with kafka.admin(settings) as client:
        await client.delete_topics([topic.name])
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while topic.name in await client.list_topics():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
