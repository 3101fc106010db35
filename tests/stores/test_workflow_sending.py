"""Sends on a real Postgres: nothing twice, nothing unapproved, 45 s apart, in order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from infra.clock import now_ms
from infra.postgres import open_pool
from infra.settings import Settings
from schemas.errors import Fenced, WorkflowConflict
from schemas.times import render_time
from stores import suppression
from stores.workflows import holds
from stores.workflows.approving import Named
from tests.stores.workflows import OPERATOR, Desk


@pytest.fixture
async def desk(store_settings: Settings) -> AsyncIterator[Desk]:
    pool = await open_pool(store_settings.postgres_url, size_max=16)
    made = Desk(store_settings, pool)
    await made.fan()
    yield made
    await pool.close()


async def test_what_was_sent_is_told_once_and_comes_back_as_an_interaction(desk: Desk) -> None:
    id = await desk.approved("i1", "Good morning!")
    part = await desk.sent()
    assert (part.fan_id, part.text, part.key) == ("fan", "Good morning!", f"{id.hex()}-0")
    (event,) = await desk.told("interactions")
    assert (event["author"], event["sender"]) == ("ai", "creator")
    assert event["metadata"]["approvedBy"] == OPERATOR
    (result,) = await desk.told("intent-results")
    assert (result["state"], result["content"]) == ("sent", "Good morning!")
    with pytest.raises(Fenced):
        await desk.sending.finish(part, "sent")
    assert len(await desk.told("interactions")) == 1


async def test_a_draft_that_nobody_approved_can_not_be_begun(desk: Desk) -> None:
    id = await desk.proposed()
    await desk.pool.execute(
        "UPDATE workflow SET state = 'approved', due = now() WHERE workflow = $1", id
    )
    with pytest.raises(Fenced):
        await desk.begins()
    await desk.pool.execute(
        "UPDATE workflow SET approved = 1, draft = 2, place = 1, leased = false, due = now()"
    )
    with pytest.raises(Fenced):
        await desk.begins()


async def test_messages_to_one_recipient_are_45_seconds_apart_and_in_order(desk: Desk) -> None:
    ids = [await desk.approved(f"i{number}", f"text {number}") for number in range(3)]
    got = await asyncio.gather(*(desk.queue.claim(5) for _ in range(4)))
    claimed = {one.workflow: one for batch in got for one in batch}
    # Whatever looks first: only the first of the line begins.
    begun = [await desk.sending.begin(claimed[id]) for id in reversed(ids)]
    assert begun[:2] == [None, None]
    first = begun[2]
    assert first is not None
    assert first.text == "text 0"
    await desk.sending.finish(first, "sent")
    times = []
    for number in (1, 2):
        await desk.time_passes(44.5)
        assert await desk.queue.claim(9) == []
        await desk.time_passes(0.6)
        part = await desk.sent(ids[number])
        assert part.text == f"text {number}"
        times.append(part.began)
    free_at = await desk.pool.fetchval("SELECT free_at FROM send_slot")
    now = await desk.pool.fetchval("SELECT clock_timestamp()")
    assert timedelta(seconds=44) < free_at - now <= timedelta(seconds=45)


async def test_nothing_is_drafted_for_a_suppressed_fan_and_nothing_approved_is_sent(
    desk: Desk,
) -> None:
    approved = await desk.approved("i1", "Good morning!")
    await suppression.put(desk.pool, desk.keyring, ("creator", "fan"))
    assert await desk.begins() is None
    row = await desk.row(approved)
    assert (row.state, row.reason) == ("cancelled", "suppressed")
    assert await desk.told("interactions") == []
    asked = await desk.intend("i2")
    assert await desk.composing.begin(await desk.claim()) is None
    row = await desk.row(asked)
    assert (row.state, row.reason) == ("cancelled", "suppressed")


async def test_only_one_send_is_under_way_however_many_try(desk: Desk) -> None:
    for number in range(6):
        await desk.approved(f"i{number}", f"text {number}")
    claimed = await desk.queue.claim(6)
    begun = await asyncio.gather(*(desk.sending.begin(one) for one in claimed))
    assert len([part for part in begun if part is not None]) == 1


async def test_several_messages_of_one_draft_keep_the_distance_and_go_before_the_next_draft(
    desk: Desk,
) -> None:
    first = await desk.approved("first", "one", "two")
    second = await desk.approved("second", "three")
    texts = [(await desk.sent(first)).text]
    await desk.time_passes(46)
    claimed = await desk.queue.claim(9)
    parts = [await desk.sending.begin(one) for one in claimed]
    (part,) = [one for one in parts if one is not None]
    texts.append(part.text)
    await desk.sending.finish(part, "sent")
    await desk.time_passes(46)
    await desk.queue.mend()
    texts.append((await desk.sent(second)).text)
    assert texts == ["one", "two", "three"]
    assert (await desk.row(first)).state == "sent"


async def test_a_lost_lease_of_a_send_is_unknown_and_never_sent_again(desk: Desk) -> None:
    id = await desk.approved()
    part = await desk.begins()
    assert part is not None
    await desk.time_passes(61)
    await desk.sending.lost(await desk.claim())
    assert (await desk.row(id)).state == "unknown"
    for _ in range(12):
        await desk.time_passes(3_700)
        for claimed in await desk.queue.claim(9):
            assert claimed.state == "unknown"
            assert await desk.sending.look(claimed) is False
    with pytest.raises(WorkflowConflict):
        await desk.approvals.retry("creator", id, OPERATOR)
    with pytest.raises(WorkflowConflict):
        await desk.approvals.approve("creator", Named(id, 1), OPERATOR)
    await desk.sending.resolve("creator", id, OPERATOR, sent=True, text="I looked")
    assert (await desk.row(id)).state == "sent"
    assert len(await desk.told("interactions")) == 1


async def test_an_answer_that_comes_late_settles_what_was_unknown(desk: Desk) -> None:
    id = await desk.approved()
    part = await desk.begins()
    assert part is not None
    await desk.pool.execute("UPDATE workflow SET due = now()")
    await desk.sending.lost(await desk.claim())
    await desk.sending.finish(part, "sent")
    assert (await desk.row(id)).state == "sent"


async def test_a_message_that_comes_back_settles_what_was_unknown(desk: Desk) -> None:
    id = await desk.approved("i1", "Are you still there?")
    part = await desk.begins()
    assert part is not None
    await desk.sending.finish(part, "unknown", "timeout")
    await desk.time_passes(16)
    assert await desk.sending.look(await desk.claim()) is False
    await desk.says(await desk.fan(), "Are you still there?", sender="creator")
    await desk.time_passes(40)
    assert await desk.sending.look(await desk.claim()) is True
    assert (await desk.row(id)).state == "sent"
    assert await desk.told("interactions") == []


async def test_an_older_message_of_the_same_text_settles_nothing(desk: Desk) -> None:
    fan = await desk.fan()
    await desk.says(fan, "Hey", sender="creator", author="ai", ago=60_000)
    await desk.approved("i1", "Hey")
    part = await desk.begins()
    assert part is not None
    await desk.sending.finish(part, "unknown")
    await desk.pool.execute("UPDATE workflow SET due = now()")
    assert await desk.sending.look(await desk.claim()) is False


async def test_only_what_is_proven_unsent_is_tried_again_and_not_for_ever(desk: Desk) -> None:
    id = await desk.approved()
    keys = set()
    for _ in range(5):
        part = await desk.begins()
        assert part is not None
        keys.add(part.key)
        await desk.sending.finish(part, "unsent", "refused")
        await desk.time_passes(60)
    assert len(keys) == 1
    row = await desk.row(id)
    assert (row.state, row.reason) == ("failed", "refused")


@pytest.mark.parametrize("who", ["fan", "creator"])
async def test_what_was_written_after_the_approval_brings_the_draft_back(
    desk: Desk, who: str
) -> None:
    id = await desk.approved()
    await desk.says(await desk.fan(), "wait, something else", sender=who)
    assert await desk.begins() is None
    row = await desk.row(id)
    assert (row.state, row.reason, row.approved) == ("awaiting_approval", "stale", None)
    assert await desk.told("interactions") == []


async def test_what_we_sent_ourselves_brings_nothing_back(desk: Desk) -> None:
    first = await desk.approved("first", "Good morning!")
    second = await desk.approved("second", "Another thing")
    await desk.sent(first)
    # As the platform's webhook tells of it, which does not know that a program wrote it.
    await desk.says(await desk.fan(), "Good morning!", sender="creator")
    await desk.time_passes(46)
    assert (await desk.sent(second)).text == "Another thing"


async def test_a_halt_stops_all_sends_and_lets_them_go_on(desk: Desk) -> None:
    id = await desk.approved()
    async with desk.pool.acquire() as connection:
        await holds.halt(connection, "", OPERATOR)
        assert await desk.begins() is None
        assert (await desk.row(id)).waits_for == "halt"
        assert await desk.queue.claim(9) == []
        await holds.resume(connection, "")
    assert await desk.sent()


async def test_quiet_hours_and_not_before_make_a_send_wait_and_say_why(desk: Desk) -> None:
    now = await desk.pool.fetchval("SELECT now()")
    minute = now.hour * 60 + now.minute
    await desk.pool.execute(
        "INSERT INTO creator_rule (creator_id, quiet_from, quiet_until, user_id)"
        " VALUES ('creator', $1, $2, 'boss')",
        (minute - 5) % 1440,
        (minute + 30) % 1440,
    )
    id = await desk.approved("i1", notBefore=render_time(now_ms() + 7_200_000))
    assert await desk.begins() is None
    row = await desk.row(id)
    assert row.waits_for == "quiet_hours"
    assert row.due is not None
    await desk.pool.execute("DELETE FROM creator_rule")
    await desk.pool.execute("UPDATE workflow SET due = now()")
    assert await desk.begins() is None
    assert (await desk.row(id)).waits_for == "not_before"


async def test_a_send_that_waits_past_its_deadline_expires(desk: Desk) -> None:
    id = await desk.approved("i1", deadline=render_time(now_ms() + 60_000))
    await desk.time_passes(61)
    assert await desk.begins() is None
    row = await desk.row(id)
    assert (row.state, row.reason) == ("expired", "deadline")


async def test_a_line_goes_on_when_its_first_is_cancelled(desk: Desk) -> None:
    first = await desk.approved("first", "one")
    second = await desk.approved("second", "two")
    assert await desk.begins(second) is None
    assert (await desk.row(second)).waits_for == "line"
    await desk.approvals.cancel("creator", first, OPERATOR)
    assert (await desk.sent()).text == "two"


async def test_a_fan_who_is_erased_while_a_message_is_sent_leaves_nothing(desk: Desk) -> None:
    from stores.workflows.erasing import erase

    await desk.approved()
    part = await desk.begins()
    assert part is not None
    async with desk.pool.acquire() as connection, connection.transaction():
        await erase(connection, [(await desk.fan()).id])
    with pytest.raises(Fenced):
        await desk.sending.finish(part, "sent")
    assert await desk.told("interactions") == []
