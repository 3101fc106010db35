"""The whole way, from `interactions` to the views, with one real worker."""

import json
import secrets
import time
from typing import Any

import pytest

from admin.accounting import wait_until_told
from admin.verify import verify
from schemas.journal import decode_record
from schemas.positions import Position
from schemas.topics import INTERACTIONS, JOURNAL, MEMORY_UPDATES
from schemas.updates import decode_update
from tests.pipeline import (
    WAIT_SECONDS_MAX,
    Pipeline,
    fill,
    message,
    mixed,
    purchase,
    record,
    revenue,
    truth,
)
from views.context import render_context
from views.state import decode


@pytest.fixture
def fan() -> str:
    """A fan whom no other test of the module knows."""
    return f"fan-{secrets.token_hex(4)}"


async def test_what_was_published_is_remembered(running: Pipeline) -> None:
    events = mixed(fans=20, events=1000)
    before = await running.accounting()
    await running.publish(*events)
    after = await running.drained()
    assert after.applied - before.applied == len(events)
    assert after.duplicates == before.duplicates
    assert after.dead_letters == before.dead_letters
    history = await running.history()
    for fan in {event["fanId"] for event in events}:
        own = [event for event in events if event["fanId"] == fan]
        engagement = (await running.state(fan)).engagement
        assert history[fan] == len(own)
        assert engagement.messages == sum(event["type"] == "message" for event in own)
        assert engagement.revenue == revenue(events, fan)
    assert sum((await running.lag()).values()) == 0


async def test_cache_and_database_tell_the_same(running: Pipeline, fan: str) -> None:
    await running.publish(*(message(fan, number) for number in range(60)))
    await running.drained()
    async with running.stores() as (cache, store):
        assert await cache.read("creator", fan) is None  # nobody had asked for this fan
        assert await fill(cache, store, "creator", fan)
        await running.publish(purchase(fan, 60, 12.5), message(fan, 61))
        await running.drained()

        async def pushed() -> bool:
            cached = await cache.read("creator", fan)
            return cached is not None and decode(cached.state).engagement.messages == 61

        await running.wait_for(pushed)
        assert await cache.read("creator", fan) == await truth(running, store, "creator", fan)
        read = await store.read("creator", fan)
        assert read is not None
        assert len(read.entries) == 50
        now = int(time.time() * 1000)
        context = render_context("creator", fan, read.state, read.entries, now)
        assert context.recent_messages[-1].id == "e61"


async def test_what_was_offered_and_bought_is_told_to_readers(running: Pipeline, fan: str) -> None:
    sent: dict[str, Any] = {"sender": "creator", "price": 15, "metadata": {"offers": ["beach"]}}
    bought = purchase(fan, 2, 15) | {"refersTo": {"eventId": "e1", "type": "message"}}
    await running.publish(
        message(fan, 1, **sent), bought, message(fan, 3, price=9, sender="creator")
    )
    await running.drained()
    async with running.stores() as (_, store):
        read = await store.read("creator", fan)
    assert read is not None
    now = int(time.time() * 1000)
    offers = render_context("creator", fan, read.state, read.entries, now).offers or ()
    told = {one.status: (one.pitches, one.price, one.paid) for one in offers}
    assert told == {"bought": (1, 15.0, 15.0), "pitched": (1, 9.0, None)}
    assert (await verify(running.settings, processes=1)).found == 0


async def test_the_same_event_id_counts_once(running: Pipeline, fan: str) -> None:
    before = await running.accounting()
    first = message(fan, 1, content="the first is what counts")
    await running.publish(first, first, message(fan, 2))
    await running.drained()
    # The same id again in a later batch, with another content and another time.
    await running.publish(first | {"content": "the second"}, first, message(fan, 3))
    after = await running.drained()
    assert after.duplicates - before.duplicates == 2
    assert after.conflicts - before.conflicts == 1
    assert after.applied - before.applied == 3
    assert (await running.state(fan)).engagement.messages == 3
    async with running.stores() as (_, store):
        contents = [entry.content for _, entry in await store.history("creator", fan, 10)]
    assert contents[0] == "the first is what counts"
    assert "the second" not in contents


async def test_an_event_id_belongs_to_its_fan(running: Pipeline, fan: str) -> None:
    before = await running.accounting()
    await running.publish(
        message(fan, 1), message(fan + "-other", 1), message(fan, 1, creatorId="c2")
    )
    after = await running.drained()
    assert after.applied - before.applied == 3
    assert after.duplicates == before.duplicates


async def test_a_message_its_tip_and_its_like_may_share_an_id(running: Pipeline, fan: str) -> None:
    """As platforms give them: the tip that comes with a message has the message's id."""
    before = await running.accounting()
    events = [
        message(fan, 1),
        purchase(fan, 1, 25.0, type="tip"),
        message(fan, 1, type="like") | {"content": None, "sender": "fan"},
    ]
    await running.publish(*events)
    await running.drained()
    await running.publish(*events)
    await running.publish(*events, *events)
    after = await running.drained()
    assert after.applied - before.applied == 3
    assert after.duplicates - before.duplicates == 9
    engagement = (await running.state(fan)).engagement
    assert (engagement.messages, engagement.revenue) == (1, 2500)
    assert (await running.history())[fan] == 3


async def test_events_without_an_id_are_all_counted(running: Pipeline, fan: str) -> None:
    event = message(fan, 1)
    del event["eventId"]
    await running.publish(event, event)
    await running.drained()
    async with running.stores() as (_, store):
        entries = [entry for _, entry in await store.history("creator", fan, 10)]
    assert [entry.content for entry in entries] == [event["content"]] * 2
    # The source position is the id: two different ones, both on `interactions`.
    assert len({entry.event_id for entry in entries}) == 2
    assert all(entry.event_id.startswith("interactions-") for entry in entries)


async def test_a_producers_id_does_not_swallow_the_event_that_stands_there(
    running: Pipeline, fan: str
) -> None:
    event = message(fan, 0)
    del event["eventId"]
    key, value = record(event)
    async with running.producer() as producer:
        sent = await producer.send_and_wait(INTERACTIONS.name, value, key=key)
    next_place = f"{INTERACTIONS.name}-{sent.partition}:{sent.offset + 2}"
    await running.publish(message(fan, 1, eventId=next_place), event)
    running.sent += 1
    found = [
        f"{INTERACTIONS.name}-{one.partition}:{one.offset}"
        for one in await running.records(INTERACTIONS.name)
        if one.key == key
    ]
    assert found[-1] == next_place
    await running.drained()
    assert (await running.history())[fan] == 3


async def test_a_fans_events_are_folded_in_the_order_they_came(running: Pipeline, fan: str) -> None:
    others = mixed(fans=5, events=200, first=5000)
    own = [message(fan, number) for number in range(200)]
    await running.publish(*(event for pair in zip(own, others, strict=True) for event in pair))
    await running.drained()
    async with running.stores() as (_, store):
        history = await store.history("creator", fan, 500)
    assert [entry.event_id for _, entry in history] == [event["eventId"] for event in own]
    assert (await running.state(fan)).position == history[-1][0]


async def test_a_late_event_takes_its_place_in_time(running: Pipeline, fan: str) -> None:
    now = int(time.time() * 1000)
    day = 86_400_000
    await running.publish(
        *(message(fan, number, at=now - number * day) for number in (1, 2, 40, 3, 400))
    )
    await running.drained()
    async with running.stores() as (_, store):
        read = await store.read("creator", fan)
    assert read is not None
    assert [entry.event_id for entry in read.entries] == ["e400", "e40", "e3", "e2", "e1"]
    assert read.state.engagement.messages == 5


async def test_a_journal_record_produced_twice_counts_once(running: Pipeline, fan: str) -> None:
    """What a retry of ingest leaves: the same source position again, sealed anew or not."""
    event = message(fan, 1)
    del event["eventId"]
    await running.publish(event, message(fan, 2))
    before = await running.drained()
    (subject,) = [
        row["subject"].bytes
        for row in await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    ]
    own = [one for one in await running.records(JOURNAL.name) if one.key == subject]
    assert len(own) == 2
    async with running.producer() as producer:
        for one in own * 2:
            await producer.send_and_wait(
                JOURNAL.name, one.value, key=one.key, partition=one.partition
            )

    async def repeated() -> bool:
        return (await running.accounting()).repeats >= before.repeats + 4

    await running.wait_for(repeated)
    after = await running.accounting()
    assert after.repeats == before.repeats + 4
    assert (after.applied, after.duplicates) == (before.applied, before.duplicates)
    assert (await running.history())[fan] == 2


async def test_the_journal_says_where_a_record_came_from(running: Pipeline, fan: str) -> None:
    async with running.producer() as producer:
        key, value = record(message(fan, 1))
        sent = await producer.send_and_wait("interactions", value, key=key)
    running.sent += 1
    await running.drained()
    found = {
        (one.source_partition, one.source_offset)
        for one in (decode_record(raw.value) for raw in await running.records(JOURNAL.name))
    }
    assert (sent.partition, sent.offset) in found
    async with running.stores() as (_, store):
        assert await store.reached(
            "creator", fan, Position(sent.topic, sent.partition, sent.offset)
        )
        later = Position(sent.topic, sent.partition, sent.offset + 1)
        assert not await store.reached("creator", fan, later)


async def test_updates_say_that_a_fan_moved_and_nothing_of_what_was_said(
    running: Pipeline, fan: str
) -> None:
    secret = f"secret-{secrets.token_hex(8)}"
    await running.publish(message(fan, 1, content=secret), purchase(fan, 2, 77.77))
    await running.drained()
    key = f"creator:{fan}".encode()

    async def told() -> list[bytes]:
        records = await running.records(MEMORY_UPDATES.name)
        own = [one.value for one in records if one.key == key]
        views = {view for value in own for view in decode_update(value).views}
        return own if {"recentMessages", "preferences"} <= views else []

    updates = await running.wait_for(told)
    state = await running.state(fan)
    newest = max((decode_update(value) for value in updates), key=lambda one: one.version)
    assert newest.version.endswith(f":{state.position}")
    assert newest.version.startswith("journal-")
    assert (newest.creator_id, newest.fan_id) == ("creator", fan)
    assert 0 < newest.engagement_score < 1
    for value in updates:
        assert secret.encode() not in value
        assert b"7777" not in value
        assert b"77.77" not in value
        assert set(json.loads(value)) == {
            *("creatorId", "fanId", "views", "version", "engagementScore", "timestamp")
        }


async def test_published_updates_leave_the_outbox(running: Pipeline, fan: str) -> None:
    await running.publish(message(fan, 1))
    await running.drained()
    async with running.stores() as (_, store):
        await wait_until_told(store, WAIT_SECONDS_MAX)
    assert await running.fetch("SELECT FROM outbox_pack") == []
    assert await running.fetch("SELECT FROM outbox_record") == []


async def test_two_workers_share_the_partitions_and_count_everything_once(
    running: Pipeline,
) -> None:
    before = await running.accounting()
    held_before = await running.fetch("SELECT partition, epoch FROM position")
    second = running.start_worker()
    published = 0

    async def keep_publishing() -> bool:
        nonlocal published
        await running.publish(*mixed(fans=30, events=100, first=100_000 + published))
        published += 100
        rows = await running.fetch("SELECT partition, epoch FROM position")
        return sum(r["epoch"] for r in rows) > sum(r["epoch"] for r in held_before) + 7

    await running.wait_for(keep_publishing)
    second.stop()
    running.workers.remove(second)
    await running.publish(*mixed(fans=30, events=100, first=100_000 + published))
    published += 100
    after = await running.drained()
    assert after.applied - before.applied == published
    assert second.process.returncode == 0
