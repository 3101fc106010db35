"""Workflows on a real Postgres: each intent once, each draft judged by what is known when it is."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest

from infra.clock import now_ms
from infra.postgres import open_pool
from infra.settings import Settings
from schemas.details import Details, Kind
from schemas.errors import DraftStale, Fenced, InvalidInput, WorkflowConflict, WorkflowNotFound
from schemas.intents import parse_intent
from schemas.journal import JournalEntry
from schemas.times import DAY_MS, HOUR_MS, render_time
from schemas.workflows import ENDED, STATES
from stores import erasure
from stores.erasure import Names
from stores.workflows import holds
from stores.workflows.approving import Named, distance
from stores.workflows.composing import FAILURES_MAX, Draft
from stores.workflows.erasing import erase
from stores.workflows.intake import Intake, workflow_id
from stores.workflows.rows import MOVES
from stores.workflows.spending import Paid
from tests.stores.workflows import CALL, OPERATOR, Desk, body, spent


@pytest.fixture
async def desk(store_settings: Settings) -> AsyncIterator[Desk]:
    pool = await open_pool(store_settings.postgres_url, size_max=16)
    made = Desk(store_settings, pool)
    yield made
    await pool.close()


def test_nothing_leads_away_from_what_was_sent_and_nothing_unapproved_to_sending() -> None:
    assert MOVES["sent"] == frozenset()
    assert {state for state in STATES if "sending" in MOVES[state]} == {"approved"}
    assert {state for state in STATES if "sent" in MOVES[state]} == {"sending", "unknown"}
    assert {state for state in ENDED if MOVES[state]} == {"failed", "expired"}


async def test_an_intent_that_comes_again_is_the_workflow_that_is_there(desk: Desk) -> None:
    await desk.fan()
    first = await desk.intend()
    assert await desk.intend() == first
    assert await desk.intend(creatorId="other") != first
    (claimed,) = await desk.queue.claim(1)
    await desk.composing.fail(claimed, "test")
    assert await desk.intend() == first
    assert (await desk.row(first)).state == "failed"


async def test_two_claims_never_get_the_same_and_a_lost_lease_comes_back(desk: Desk) -> None:
    await desk.fan()
    for number in range(20):
        await desk.intend(f"i{number}", type="content_planning", userId=f"u{number}")
    got = await asyncio.gather(*(desk.queue.claim(5) for _ in range(8)))
    ids = [one.workflow for claimed in got for one in claimed]
    assert len(ids) == len(set(ids)) == 20
    await desk.time_passes(31)
    again = await desk.queue.claim(50)
    assert {one.workflow for one in again} == set(ids)
    assert {one.failures for one in again} == {1}
    with pytest.raises(Fenced):
        await desk.composing.fail(got[0][0], "too late")


async def test_a_workflow_whose_workers_all_die_fails_in_the_end(desk: Desk) -> None:
    id = await desk.intend(type="content_planning")
    for _ in range(FAILURES_MAX + 1):
        assert await desk.composing.begin(await desk.claim()) is not None
        await desk.time_passes(31)
    assert await desk.composing.begin(await desk.claim()) is None
    row = await desk.row(id)
    assert (row.state, row.reason) == ("failed", "attempts")
    (told,) = await desk.told("intent-results")
    assert (told["state"], told["metadata"]["success"]) == ("failed", False)


async def test_what_a_fan_pays_is_known_when_a_reply_is_composed(desk: Desk) -> None:
    fan = await desk.fan()
    yen = Details(currency="JPY")
    payments: list[tuple[Kind, int, int, Details | None]] = [
        ("tip", 15_000, 2 * HOUR_MS, None),
        ("purchase", 10_000, 3 * HOUR_MS, yen),
        ("subscription", 3_000, 2 * DAY_MS, None),
        ("tip", 6_000, 20 * DAY_MS, None),
        ("refund", 9_000, HOUR_MS, None),
        ("tip", 99_000, 40 * DAY_MS, None),
    ]
    for kind, amount, ago, details in payments:
        time = now_ms() - ago
        entry = JournalEntry(kind + str(ago), kind, time, amount=amount, details=details)
        await desk.happens(fan, entry)
    await desk.intend()
    begun = await desk.composing.begin(await desk.claim())
    assert begun is not None
    assert begun.paid == Paid(last_day=Decimal("216.00"), usual_day=Decimal("3.00"))


async def test_low_goes_before_what_is_critical_a_minute_later(desk: Desk) -> None:
    low = await desk.intend("low", type="content_planning", priority="low")
    await desk.time_passes(61)
    for number in range(3):
        await desk.intend(f"c{number}", type="content_planning", priority="critical")
    assert (await desk.claim()).workflow == low
    soon = await desk.intend("low2", type="content_planning", priority="low")
    assert soon not in [one.workflow for one in await desk.queue.claim(3)]


async def test_a_user_has_no_more_under_way_than_allowed_whoever_claims(desk: Desk) -> None:
    desk = desk.using(user_workflows_max=3)
    for number in range(10):
        await desk.intend(f"i{number}", type="content_planning")
        await desk.intend(f"j{number}", type="content_planning", userId="other")
    got = await asyncio.gather(*(desk.queue.claim(4) for _ in range(6)))
    users = [one.user_id for claimed in got for one in claimed]
    assert sorted(users) == [OPERATOR] * 3 + ["other"] * 3
    await desk.composing.fail(got[0][0], "done")
    assert [one.user_id for one in await desk.queue.claim(9)] == [got[0][0].user_id]


async def test_a_user_begins_no_more_a_minute_than_allowed(desk: Desk) -> None:
    desk = desk.using(user_workflows_per_minute=2)
    for number in range(4):
        await desk.intend(f"i{number}", type="content_planning")
    for claimed in await desk.queue.claim(9):
        await desk.composing.fail(claimed, "done")
    assert await desk.queue.claim(9) == []
    await desk.time_passes(61)
    assert len(await desk.queue.claim(9)) == 2


async def test_an_unknown_fan_fails_without_a_trace_of_who_that_was(desk: Desk) -> None:
    id = await desk.intend(recipientId="stranger")
    assert await desk.composing.begin(await desk.claim()) is None
    row = await desk.row(id)
    assert (row.state, row.reason, row.intent, row.subject) == ("failed", "fan_unknown", None, None)


async def test_a_fan_whose_first_message_comes_behind_the_intent_is_known_then(desk: Desk) -> None:
    id = await desk.intend()
    fan = await desk.fan()
    begun = await desk.composing.begin(await desk.claim())
    assert begun is not None
    assert begun.subject == fan.id == (await desk.row(id)).subject


async def test_a_reply_waits_for_silence_and_no_longer_than_the_longest(desk: Desk) -> None:
    quiet = desk.using(reply_quiet_seconds=8.0)
    fan = await quiet.fan()
    id = await quiet.intend()
    assert await quiet.queue.claim(1) == []
    await quiet.time_passes(9)
    await quiet.says(fan, "and another thing")
    assert await quiet.composing.begin(await quiet.claim()) is None
    assert (await quiet.row(id)).waits_for == "quiet"
    await quiet.time_passes(22)
    await quiet.says(fan, "and one more")
    assert await quiet.composing.begin(await quiet.claim()) is not None


async def test_a_newer_reply_supersedes_and_keeps_the_time_of_the_first(desk: Desk) -> None:
    await desk.fan()
    first = await desk.intend("first")
    await desk.time_passes(20)
    second = await desk.intend("second")
    old, new = await desk.row(first), await desk.row(second)
    assert (old.state, old.reason) == ("superseded", "newer_intent")
    assert new.waiting_since == old.waiting_since
    assert "workflow_superseded" in await desk.events()
    assert [one["state"] for one in await desk.told("intent-results")] == ["superseded"]


async def test_a_reply_that_is_being_composed_is_superseded_and_its_worker_fenced(
    desk: Desk,
) -> None:
    await desk.fan()
    first = await desk.intend("first")
    claimed = await desk.claim()
    await desk.composing.begin(claimed)
    number = await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    await desk.intend("second")
    with pytest.raises(Fenced):
        await desk.composing.propose(claimed, Draft(body(), (), 0))
    assert await desk.accounts.settle(first, number, spent(), "template_execution_completed")
    assert (await desk.told("llm-usage"))[0]["cost"] == "0.002"


async def test_a_person_who_wrote_keeps_the_ai_silent_until_released(desk: Desk) -> None:
    fan = await desk.fan()
    await desk.says(fan, "I am here myself", sender="creator", author="chatter", ago=3_600_000)
    id = await desk.intend()
    assert await desk.composing.begin(await desk.claim()) is None
    assert (await desk.row(id)).reason == "silent_person"
    async with desk.pool.acquire() as connection:
        await holds.release(connection, fan.id, OPERATOR)
    await desk.proposed("again")
    await desk.says(fan, "and again", sender="creator")
    await desk.intend("third")
    assert await desk.composing.begin(await desk.claim()) is None


async def test_nobody_is_held_whose_erasure_is_under_way(desk: Desk) -> None:
    """By hand, between the look for the fan and the hold: no row of the erased is left."""
    fan, other = await desk.fan(), await desk.fan("another")
    for put in (holds.hold, holds.release):
        async with desk.pool.acquire() as connection:
            assert await put(connection, other.id, OPERATOR)
    async with desk.pool.acquire() as eraser, desk.pool.acquire() as connection:
        async with eraser.transaction():
            await eraser.execute("DELETE FROM subject WHERE subject = $1", fan.id)
            holding = asyncio.create_task(holds.hold(connection, fan.id, OPERATOR))
            await erase(eraser, [fan.id])
        assert await holding is False
    found = await desk.pool.fetch("SELECT subject FROM hold")
    assert [row["subject"] for row in found] == [other.id]


async def test_a_draft_is_approved_by_version_and_only_once(desk: Desk) -> None:
    await desk.fan()
    id = await desk.proposed()
    with pytest.raises(WorkflowNotFound):
        await desk.approvals.approve("other", Named(id, 1), OPERATOR)
    with pytest.raises(DraftStale):
        await desk.approvals.approve("creator", Named(id, 2), OPERATOR)
    both = await asyncio.gather(
        *(desk.approvals.approve("creator", Named(id, 1), OPERATOR) for _ in range(5))
    )
    assert {one.state for one in both} == {"approved"}
    assert await desk.pool.fetchval("SELECT count(*) FROM decision WHERE kind = 'approve'") == 1
    edited = await desk.proposed("second")
    await desk.approvals.edit("creator", Named(edited, 1), OPERATOR, ["Hello there"])
    with pytest.raises(DraftStale):
        await desk.approvals.approve("creator", Named(edited, 1), OPERATOR)
    approved = await desk.approvals.approve("creator", Named(edited, 2), OPERATOR)
    assert approved.approved == 2


async def test_a_stale_draft_is_refused_with_what_is_new(desk: Desk) -> None:
    fan = await desk.fan()
    id = await desk.proposed()
    await desk.says(fan, "a like of ours", sender="creator", author="ai")
    await desk.says(fan, "never mind, I found it")
    with pytest.raises(DraftStale) as refusal:
        await desk.approvals.approve("creator", Named(id, 1), OPERATOR)
    assert len(refusal.value.fresh) == 1
    await desk.approvals.edit("creator", Named(id, 1), OPERATOR, ["Great!"], 10_000)
    assert (await desk.approvals.approve("creator", Named(id, 2), OPERATOR)).state == "approved"


async def test_what_could_not_be_sent_is_refused_before_it_is_approved(desk: Desk) -> None:
    fan = await desk.fan()
    id = await desk.proposed()
    async with desk.pool.acquire() as connection:
        await holds.halt(connection, "creator", OPERATOR)
        with pytest.raises(WorkflowConflict, match="stand still"):
            await desk.approvals.approve("creator", Named(id, 1), OPERATOR)
        await holds.resume(connection, "creator")
        await holds.hold(connection, fan.id, OPERATOR)
        with pytest.raises(WorkflowConflict, match="silent"):
            await desk.approvals.approve("creator", Named(id, 1), OPERATOR)
        await holds.release(connection, fan.id, OPERATOR)
    assert (await desk.approvals.approve("creator", Named(id, 1), OPERATOR)).state == "approved"


async def test_in_bulk_each_is_judged_alone(desk: Desk) -> None:
    await desk.fan("fan")
    await desk.fan("fan2")
    good = await desk.proposed("good")
    other = await desk.proposed("other", recipientId="fan2")
    found = await desk.approvals.approve_several(
        "creator", [Named(b"?" * 16, 1), Named(good, 1), Named(other, 7)], OPERATOR
    )
    assert [type(one).__name__ for one in found] == ["WorkflowNotFound", "Workflow", "DraftStale"]


async def test_rejecting_needs_a_reason(desk: Desk) -> None:
    await desk.fan()
    id = await desk.proposed()
    for reason, text in (("", None), ("because", None), ("other", " ")):
        with pytest.raises(InvalidInput):
            await desk.approvals.reject("creator", Named(id, 1), OPERATOR, reason, text)
    await desk.approvals.reject("creator", Named(id, 1), OPERATOR, "wrong_tone", "too cold")
    whole = await desk.reading.whole("creator", id)
    assert whole.row.state == "cancelled"
    assert [(one.kind, one.reason, one.text) for one in whole.decisions] == [
        ("reject", "wrong_tone", "too cold")
    ]


async def test_a_rule_approves_only_what_has_no_flag_and_where_the_platform_lets_it(
    desk: Desk,
) -> None:
    for name in ("a", "b", "c"):
        await desk.fan(name)
    await desk.pool.execute(
        "INSERT INTO creator_rule (creator_id, auto_approve, user_id)"
        " VALUES ('creator', '{message_generation}', 'boss')"
    )
    own = await desk.proposed("own", recipientId="a", platforms=["generic"])
    theirs = await desk.proposed("theirs", recipientId="b")
    flagged = await desk.proposed("flagged", recipientId="c", platforms=["generic"], flags=["link"])
    states = [(await desk.row(id)).state for id in (own, theirs, flagged)]
    assert states == ["approved", "awaiting_approval", "awaiting_approval"]
    (decision,) = (await desk.reading.whole("creator", own)).decisions
    assert (decision.kind, decision.user_id) == ("auto_approve", "boss")


async def test_a_deadline_ends_whatever_waits(desk: Desk) -> None:
    await desk.fan()
    soon = render_time(now_ms() + 60_000)
    id = await desk.proposed(deadline=soon)
    assert (await desk.row(id)).due is not None
    await desk.time_passes(61)
    with pytest.raises(WorkflowConflict, match="deadline"):
        await desk.approvals.approve("creator", Named(id, 1), OPERATOR)
    assert (await desk.claim()).workflow == id


async def test_retry_composes_again_and_cancel_ends(desk: Desk) -> None:
    await desk.fan()
    id = await desk.proposed()
    await desk.approvals.retry("creator", id, OPERATOR)
    claimed = await desk.claim()
    assert await desk.composing.begin(claimed) is not None
    await desk.approvals.cancel("creator", id, OPERATOR)
    with pytest.raises(Fenced):
        await desk.composing.propose(claimed, Draft(body(), (), 0))
    assert (await desk.row(id)).state == "cancelled"
    with pytest.raises(WorkflowConflict):
        await desk.approvals.retry("creator", id, OPERATOR)


async def test_a_page_has_no_texts_and_leads_to_the_next(desk: Desk) -> None:
    await desk.fan()
    await desk.intend("p1", type="content_planning")
    await desk.intend("p2", type="content_planning")
    id = await desk.intend("p3")
    first, cursor = await desk.reading.page("creator", count=2)
    assert first[0].recipient_id == "fan"
    assert first[0].workflow_id == id.hex()
    rest, end = await desk.reading.page("creator", cursor=cursor, count=2)
    assert (len(rest), end) == (1, None)
    assert await desk.reading.page("other") == ([], None)
    with pytest.raises(InvalidInput):
        await desk.reading.page("creator", cursor="nonsense")


async def test_erasing_leaves_costs_and_ids_and_nothing_of_the_fan(desk: Desk) -> None:
    fan = await desk.fan()
    await desk.says(fan, "hello")
    id = await desk.intend()
    claimed = await desk.claim()
    await desk.composing.begin(claimed)
    number = await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    async with desk.pool.acquire() as connection, connection.transaction():
        assert await erase(connection, [fan.id]) == 1
        await connection.execute("DELETE FROM subject WHERE subject = $1", fan.id)
    with pytest.raises(Fenced):
        await desk.composing.propose(claimed, Draft(body(), (), 0))
    assert await desk.accounts.settle(id, number, spent(), "template_execution_completed")
    for table in ("workflow", "usage", "hold", "send_slot"):
        left = f"SELECT count(*) FROM {table} WHERE subject = $1"
        assert await desk.pool.fetchval(left, fan.id) == 0
    await desk.fan()
    assert await desk.intend() == id
    assert (await desk.row(id)).state == "cancelled"
    assert await desk.queue.claim(9) == []


def test_the_distance_of_an_edit_counts_characters() -> None:
    assert distance("abc", "abc") == 0
    assert distance("abc", "abXc") == 1
    assert distance("", "abc") == 3


async def test_an_intent_that_is_written_while_its_fan_is_erased_leaves_nothing(
    desk: Desk,
) -> None:
    """Its transaction is still open when the erasure has looked at everything it would delete."""
    fan = await desk.fan()
    asked = {"type": "message_generation", "userId": OPERATOR, "creatorId": "creator", "data": {}}
    intent = parse_intent(
        msgspec.json.encode(asked | {"recipientId": "fan", "intentId": "late"}), now_ms()
    )
    who = (fan.creator_id, fan.fan_id)
    async with desk.pool.acquire() as connection:
        async with connection.transaction():
            await Intake(desk.settings, desk.vault).write(connection, [intent])
            erasing = asyncio.create_task(erasure.erase(desk.pool, Names(desk.keyring), 4, who))
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while not erasing.done() and not await desk.pool.fetchval(waits):
                await asyncio.sleep(0.01)
        await erasing
    row = await desk.row(workflow_id("creator", "late"))
    assert (row.state, row.subject) == ("cancelled", None)
    assert await desk.pool.fetchval("SELECT count(*) FROM workflow WHERE intent IS NOT NULL") == 0
