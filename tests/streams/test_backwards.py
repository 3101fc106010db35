"""Logs that go backwards: recognised, healed from the other copy, or said and stopped."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from admin.accept_loss import accept_loss
from admin.verify import verify
from infra.postgres import connecting
from lab.chaos.backwards import cut_log, cut_logs, recreate_topic
from ops.services import EmbeddedServices
from privacy.seal import open_entry, seal_entry
from privacy.subjects import Subjects
from schemas.journal import decode_record, encode_record
from schemas.topics import INTENTS, INTERACTIONS, JOURNAL
from tests import services as helpers
from tests.pipeline import Event, Pipeline, fresh_pipeline, mixed

HEALED_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
async def template(own_services: EmbeddedServices) -> str:
    return await helpers.make_template(own_services.endpoints)


@pytest.fixture
async def pipeline(
    own_services: EmbeddedServices, template: str, tmp_path: Path
) -> AsyncIterator[Pipeline]:
    """An empty system on services whose files may be changed; without workers."""
    async with fresh_pipeline(own_services.endpoints, template, tmp_path) as made:
        yield made


def renamed(events: list[Event], name: str) -> list[Event]:
    """The same events of other fans, and of no id for every other one."""
    return [
        {k: v for k, v in event.items() if k != "eventId" or n % 2}
        | {"fanId": f"{name}-{event['fanId']}"}
        for n, event in enumerate(events)
    ]


async def complete(pipeline: Pipeline, events: list[Event]) -> None:
    """Every event is in the history, once."""
    fans = {event["fanId"] for event in events}
    wanted = {fan: sum(event["fanId"] == fan for event in events) for fan in fans}

    async def found() -> bool:
        history = await pipeline.history()
        return all(history.get(fan) == count for fan, count in wanted.items())

    async def instead() -> Any:
        history = await pipeline.history()
        rows = await pipeline.fetch("SELECT * FROM log_break")
        return (
            sum(wanted.values()),
            sum(history.get(fan, 0) for fan in wanted),
            [dict(row) for row in rows],
            await pipeline.accounting(),
        )

    await pipeline.wait_for(found, HEALED_SECONDS_MAX, instead)
    await level(pipeline)


async def level(pipeline: Pipeline) -> None:
    """Every position is at the end of its log."""

    async def settled() -> bool:
        return not any((await pipeline.lag()).values())

    await pipeline.wait_for(settled, HEALED_SECONDS_MAX, pipeline.lag)


async def settle(pipeline: Pipeline) -> None:
    """Nothing differs between journal, views and cache; no partition waits for anybody.

    A partition may be found to have gone back only after all others are whole again.
    """

    async def same() -> bool:
        return (await verify(pipeline.settings, processes=1)).differences == ()

    async def instead() -> Any:
        return (await verify(pipeline.settings, processes=1)).differences

    await pipeline.wait_for(same, HEALED_SECONDS_MAX, instead)
    assert await pipeline.fetch("SELECT FROM log_break WHERE status = 'stopped'") == []


async def write_sealed_again(pipeline: Pipeline, records: list[Any]) -> None:
    """The same events as other records, as ingest writes them again."""
    async with connecting(pipeline.settings.postgres_url) as connection:
        subjects = await Subjects(pipeline.keyring, 100).lookup(
            connection, {raw.key for raw in records}
        )
    async with pipeline.producer() as producer:
        sends = []
        for raw in records:
            record, subject = decode_record(raw.value), subjects[raw.key]
            at = subject.cipher, subject.id, record.event_key
            sealed = seal_entry(*at, open_entry(*at, record.sealed))
            again = encode_record(replace(record, sealed=sealed))
            sends.append(
                await producer.send(JOURNAL.name, again, key=raw.key, partition=raw.partition)
            )
        await asyncio.gather(*sends)


async def breaks(pipeline: Pipeline, topic: str) -> int:
    rows = await pipeline.fetch("SELECT FROM log_break WHERE topic = $1", topic)
    return len(rows)


@pytest.mark.parametrize("running", [True, False], ids=["under a worker", "between workers"])
@pytest.mark.parametrize("topic", [INTERACTIONS.name, JOURNAL.name])
async def test_a_log_that_was_cut(
    own_services: EmbeddedServices, pipeline: Pipeline, topic: str, running: bool
) -> None:
    first, second = renamed(mixed(40, 400), "a"), renamed(mixed(40, 400, first=400), "a")
    new = renamed(mixed(40, 200, first=800), "b")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    ends = await pipeline.ends(topic)
    await pipeline.publish(*second)
    await complete(pipeline, first + second)
    if not running:
        worker.stop()
    cut_log(own_services, topic, ends)
    assert await pipeline.ends(topic) == ends
    await pipeline.publish(*new)
    if not running:
        worker = pipeline.start_worker()
    await complete(pipeline, first + second + new)
    await settle(pipeline)
    assert await breaks(pipeline, topic) > 0
    assert worker.alive


@pytest.mark.parametrize("running", [True, False], ids=["under a worker", "between workers"])
@pytest.mark.parametrize("topic", [INTERACTIONS.name, JOURNAL.name])
async def test_a_log_that_was_made_again(pipeline: Pipeline, topic: str, running: bool) -> None:
    first = renamed(mixed(40, 400), "a")
    new = renamed(mixed(40, 600, first=800), "b")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    if not running:
        worker.stop()
    await recreate_topic(pipeline.settings, topic)
    await pipeline.publish(*new)  # it is longer than it was when anybody looks
    if not running:
        worker = pipeline.start_worker()
    await complete(pipeline, first + new)
    await settle(pipeline)
    assert await breaks(pipeline, topic) > 0


async def test_interactions_that_were_made_again_between_two_looks(pipeline: Pipeline) -> None:
    """The consumer's connection lives on, and the new log has records where it would read on."""
    first = renamed(mixed(40, 200), "a")
    new = renamed(mixed(40, 600, first=800), "b")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    reached = await pipeline.ends(INTERACTIONS.name)
    worker.signal(signal.SIGSTOP)
    await recreate_topic(pipeline.settings, INTERACTIONS.name)
    await pipeline.publish(*new)
    grown = await pipeline.ends(INTERACTIONS.name)
    assert all(grown[partition] > reached[partition] for partition in reached)
    worker.signal(signal.SIGCONT)
    await complete(pipeline, first + new)
    await settle(pipeline)
    assert await breaks(pipeline, INTERACTIONS.name) > 0
    assert worker.alive


@pytest.mark.parametrize("between", ["looks", "workers"])
async def test_intents_that_were_made_again(pipeline: Pipeline, between: str) -> None:
    """None is lost, and none is taken for the one that had its place."""
    worker = pipeline.start_worker()
    await send_intents(pipeline, range(40))
    await workflows(pipeline, 40)
    if between == "workers":
        worker.stop()
    else:
        worker.signal(signal.SIGSTOP)
    await recreate_topic(pipeline.settings, INTENTS.name)
    await send_intents(pipeline, range(40, 100))
    if between == "workers":
        worker = pipeline.start_worker()
    else:
        worker.signal(signal.SIGCONT)
    await workflows(pipeline, 100)
    assert await breaks(pipeline, INTENTS.name) > 0
    assert worker.alive


async def send_intents(pipeline: Pipeline, numbers: range) -> None:
    """Without ids of their own: each is known by its record's place."""
    async with pipeline.producer() as producer:
        for number in numbers:
            intent = {
                "type": "content_planning",
                "userId": "user_1",
                "creatorId": "creator",
                "data": {"goal": f"plan {number}"},
            }
            await producer.send_and_wait(INTENTS.name, json.dumps(intent).encode(), key=b"creator")


async def workflows(pipeline: Pipeline, wanted: int) -> None:
    async def count() -> int:
        (row,) = await pipeline.fetch("SELECT count(*) FROM workflow")
        return int(row["count"])

    async def there() -> bool:
        return await count() == wanted

    await pipeline.wait_for(there, HEALED_SECONDS_MAX, count)


async def test_a_journal_with_the_same_events_sealed_again(pipeline: Pipeline) -> None:
    """As ingest writes them again before projection looks: other records in the same places."""
    events = renamed(mixed(40, 400), "a")
    worker = pipeline.start_worker()
    await pipeline.publish(*events)
    await complete(pipeline, events)
    worker.stop()
    before = await pipeline.records(JOURNAL.name)
    await recreate_topic(pipeline.settings, JOURNAL.name)
    await write_sealed_again(pipeline, before)
    pipeline.start_worker()
    await complete(pipeline, events)
    await settle(pipeline)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "fetched"])
async def test_a_journal_that_was_regrown_between_two_looks(
    own_services: EmbeddedServices, pipeline: Pipeline, applied: bool
) -> None:
    """No look of the living worker failed, and no end was ever lower than one that it saw."""
    first, second = renamed(mixed(40, 200), "a"), renamed(mixed(40, 200, first=200), "a")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    ends = await pipeline.ends(JOURNAL.name)

    async def written() -> bool:
        return sum((await pipeline.ends(JOURNAL.name)).values()) >= 400

    async with contextlib.AsyncExitStack() as stack:
        if not applied:
            await stack.enter_async_context(pipeline.locked("interaction"))
        await pipeline.publish(*second)
        if applied:
            await complete(pipeline, first + second)
        else:
            await pipeline.wait_for(written)
            await pipeline.lock_awaited("interaction")
        worker.signal(signal.SIGSTOP)
        lost = [
            raw for raw in await pipeline.records(JOURNAL.name) if raw.offset >= ends[raw.partition]
        ]
        cut_log(own_services, JOURNAL.name, ends)
        await write_sealed_again(pipeline, [*lost, *lost])
        worker.signal(signal.SIGCONT)
    await complete(pipeline, first + second)
    await settle(pipeline)
    assert await breaks(pipeline, JOURNAL.name) > 0
    assert worker.alive


async def test_interactions_that_were_regrown_between_two_looks(
    own_services: EmbeddedServices, pipeline: Pipeline
) -> None:
    """The consumer lives on: it is never thrown back, and reads on in the midst of other events."""
    first, second = renamed(mixed(40, 200), "a"), renamed(mixed(40, 100, first=200), "a")
    new = renamed(mixed(40, 400, first=800), "b")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    ends = await pipeline.ends(INTERACTIONS.name)
    await pipeline.publish(*second)
    await complete(pipeline, first + second)
    reached = await pipeline.ends(INTERACTIONS.name)
    worker.signal(signal.SIGSTOP)
    cut_log(own_services, INTERACTIONS.name, ends)
    await pipeline.publish(*new)
    grown = await pipeline.ends(INTERACTIONS.name)
    assert all(grown[partition] > reached[partition] for partition in reached)
    worker.signal(signal.SIGCONT)
    await complete(pipeline, first + second + new)
    await settle(pipeline)
    assert await breaks(pipeline, INTERACTIONS.name) > 0
    assert worker.alive


async def test_a_journal_that_was_regrown_where_repeats_had_stood(
    own_services: EmbeddedServices, pipeline: Pipeline
) -> None:
    """Of records that changed nothing the history knows nothing: others may stand there now."""
    first, second = renamed(mixed(40, 200), "a"), renamed(mixed(40, 200, first=200), "a")
    first = [event for event in first if "eventId" in event]
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    ends = await pipeline.ends(JOURNAL.name)
    await pipeline.publish(*first)
    await level(pipeline)
    repeated = await pipeline.ends(JOURNAL.name)
    await pipeline.publish(*second)
    await complete(pipeline, first + second)
    worker.stop()
    lost = [
        raw for raw in await pipeline.records(JOURNAL.name) if raw.offset >= ends[raw.partition]
    ]
    new = [raw for raw in lost if raw.offset >= repeated[raw.partition]]
    cut_log(own_services, JOURNAL.name, ends)
    await write_sealed_again(pipeline, [*new, *lost])
    pipeline.start_worker()
    await complete(pipeline, first + second)
    await settle(pipeline)


async def test_a_journal_that_lost_what_projection_had_not_read(
    own_services: EmbeddedServices, pipeline: Pipeline
) -> None:
    first, second = renamed(mixed(40, 400), "a"), renamed(mixed(40, 200, first=400), "a")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    ends = await pipeline.ends(JOURNAL.name)
    async with pipeline.locked("interaction"):
        await pipeline.publish(*second)

        async def taken_in() -> bool:
            return bool((await pipeline.accounting()).accepted == 600)

        await pipeline.wait_for(taken_in)
        worker.kill()
    cut_log(own_services, JOURNAL.name, ends)
    pipeline.start_worker()
    await complete(pipeline, first + second)
    await settle(pipeline)


@pytest.mark.parametrize("regrown", [False, True], ids=["cut", "cut and regrown"])
async def test_what_neither_log_has_stays_in_the_views_until_the_loss_is_accepted(
    own_services: EmbeddedServices, pipeline: Pipeline, regrown: bool
) -> None:
    """Both logs lose the same events: views that went back would be the third to lose them."""
    first, second = renamed(mixed(40, 400), "a"), renamed(mixed(40, 200, first=400), "a")
    worker = pipeline.start_worker()
    await pipeline.publish(*first)
    await complete(pipeline, first)
    intake, journal = await pipeline.ends(INTERACTIONS.name), await pipeline.ends(JOURNAL.name)
    await pipeline.publish(*second)
    await complete(pipeline, first + second)
    worker.stop()
    cut_logs(own_services, {INTERACTIONS.name: intake, JOURNAL.name: journal})
    new = renamed(mixed(40, 400, first=800), "b") if regrown else []
    await pipeline.publish(*new)
    pipeline.start_worker()

    async def stopped() -> bool:
        rows = await pipeline.fetch(
            "SELECT FROM log_break WHERE topic = $1 AND status = 'stopped'", JOURNAL.name
        )
        return len(rows) == sum(moved > 0 for moved in moves)

    ends = dict.fromkeys(journal, 0) | journal
    positions = await pipeline.fetch(
        "SELECT partition, next FROM position WHERE topic = $1 AND generation > 0", JOURNAL.name
    )
    moves = [row["next"] - ends[row["partition"]] for row in positions]
    await pipeline.wait_for(stopped, HEALED_SECONDS_MAX)
    history = await pipeline.history()
    assert sum(history.get(fan, 0) for fan in {e["fanId"] for e in first}) == 600
    for row in positions:
        if row["next"] > ends[row["partition"]]:
            await accept_loss(pipeline.settings, JOURNAL.name, row["partition"], "a test")
    await complete(pipeline, first + second + new)
