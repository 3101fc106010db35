"""Campaigns on a real Postgres: each member once for ever, and each in exactly one place."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from infra import failpoints
from infra.postgres import open_pool
from infra.settings import Settings
from schemas.campaigns import CampaignBudget, CampaignCounts
from schemas.errors import BudgetExceeded, Fenced, WorkflowConflict, WorkflowNotFound
from schemas.times import HOUR_MS
from stores import suppression
from stores.workflows import campaigning as campaigning_module
from stores.workflows import holds
from stores.workflows.approving import Named
from stores.workflows.campaigning import FAILURES_MAX, Campaigning
from stores.workflows.campaigns import Campaign, child_id, open_campaigns
from stores.workflows.erasing import erase, move
from stores.workflows.rows import Workflow
from stores.workflows.steering import Campaigns, Steering
from tests.stores.workflows import CALL, OPERATOR, Desk, body, spent

FANS = ("f1", "f2", "f3")


class Post(Desk):
    """A desk with campaigns."""

    def __init__(self, settings: Settings, pool: Any) -> None:
        super().__init__(settings.model_copy(update={"campaign_per_minute": 600}), pool)
        self.campaigning = Campaigning(self.settings, pool, self.vault)
        self.steering = Steering(pool)
        self.campaigns = Campaigns(pool, self.vault)

    async def campaign(self, id: str = "c", **data: Any) -> bytes:
        fields = {"segment": {}, "instruction": "Say hello."} | data
        return await self.intend(id, type="campaign_execution", sendToOnlyFans=True, data=fields)

    async def due(self) -> Campaign:
        await self.pool.execute("UPDATE campaign SET due = clock_timestamp() WHERE due IS NOT NULL")
        claimed = await self.campaigning.claim()
        assert claimed is not None
        return claimed

    async def started(self, *fans: str, **data: Any) -> bytes:
        """A campaign whose members are these."""
        for fan in fans or FANS:
            await self.fan(fan)
        made = await self.campaign(**data)
        await self.campaigning.start(await self.due(), fans or FANS)
        return made

    async def goes_on(self, campaign: bytes) -> list[Workflow]:
        """One step, as if its pace allowed for all; the messages that there are."""
        await self.pool.execute("UPDATE campaign SET next_at = '2000-01-01'")
        await self.campaigning.go_on(await self.due())
        return await self.children(campaign)

    async def children(self, campaign: bytes) -> list[Workflow]:
        rows = await self.pool.fetch(
            "SELECT workflow FROM workflow WHERE campaign = $1 ORDER BY member", campaign
        )
        return [await self.row(row["workflow"]) for row in rows]

    async def drafted(self, *children: Workflow) -> None:
        for one in children:
            claimed = await self.claim(one.workflow)
            assert await self.composing.begin(claimed) is not None
            await self.composing.propose(claimed, _draft(self._offset))

    async def counts(self, campaign: bytes) -> CampaignCounts:
        """Where the members are; they always add up."""
        counts = (await self.campaigns.summary(None, campaign)).counts
        found = msgspec.structs.asdict(counts)
        skipped = sum(found.pop("skipped").values())
        assert found.pop("members") == sum(found.values()) + skipped
        waiting = await self.pool.fetchval(
            "SELECT count(*) FROM campaign_member WHERE campaign = $1", campaign
        )
        assert counts.waiting == waiting
        return counts


def _draft(offset: int) -> Any:
    from stores.workflows.composing import Draft

    return Draft(body("Hi, how was your day?"), (), offset)


@pytest.fixture
async def post(store_settings: Settings) -> AsyncIterator[Post]:
    pool = await open_pool(store_settings.postgres_url, size_max=16)
    yield Post(store_settings, pool)
    await pool.close()


def of(counts: CampaignCounts) -> dict[str, Any]:
    """What is not nothing."""
    return {name: value for name, value in msgspec.structs.asdict(counts).items() if value}


async def test_a_campaign_is_a_message_for_each_member_and_then_a_report(post: Post) -> None:
    campaign = await post.started()
    assert of(await post.counts(campaign)) == {"members": 3, "waiting": 3}
    children = await post.goes_on(campaign)
    assert [one.workflow for one in children] == [child_id(campaign, n) for n in (1, 2, 3)]
    assert of(await post.counts(campaign)) == {"members": 3, "composing": 3}
    await post.drafted(*children)
    assert of(await post.counts(campaign)) == {"members": 3, "drafted": 3}
    named = [Named(one.workflow, 1) for one in children[:2]]
    await post.approvals.approve_several("creator", named, OPERATOR)
    assert of(await post.counts(campaign)) == {"members": 3, "approved": 2, "drafted": 1}
    await post.sent(children[0].workflow)
    await post.approvals.reject("creator", Named(children[2].workflow, 1), OPERATOR, "unsafe", None)
    found = {"members": 3, "approved": 1, "sent": 1, "skipped": {"rejected": 1}}
    assert of(await post.counts(campaign)) == found
    assert (await post.goes_on(campaign))[0].state == "sent"  # and one is still open
    await post.sent(children[1].workflow)
    await post.goes_on(campaign)

    parent = await post.claim(campaign)
    begun = await post.composing.begin(parent)
    assert begun is not None
    data = msgspec.json.decode(begun.intent.data)
    counted = {name: data[name] for name in ("members", "sent", "failed", "skipped")}
    assert counted == {"members": 3, "sent": 2, "failed": 0, "skipped": 1}
    assert (data["skippedBy"], data["endedBy"]) == ({"rejected": 1}, "done")
    await post.composing.complete(parent, _draft(0))
    told = [one["workflowId"] for one in await post.told("intent-results")]
    assert sorted(told) == sorted(one.name for one in (*children, parent))
    assert await post.campaigning.claim() is None


async def test_an_intent_that_comes_again_is_the_campaign_that_is_there(post: Post) -> None:
    campaign = await post.started()
    children = await post.goes_on(campaign)
    assert await post.campaign() == campaign
    assert (await post.campaigns.summary("creator", campaign)).counts.members == 3
    assert await post.children(campaign) == children


async def test_no_second_start_or_step_makes_a_second_message(post: Post) -> None:
    """Two processes with the same claim, and one whose lease ran out."""
    for fan in FANS:
        await post.fan(fan)
    campaign = await post.campaign()
    first = await post.due()
    again = await post.due()
    with pytest.raises(Fenced):
        await post.campaigning.start(first, FANS)
    await post.campaigning.start(again, FANS)
    with pytest.raises(Fenced):
        await post.campaigning.start(again, FANS)
    await post.pool.execute("UPDATE campaign SET next_at = '2000-01-01'")
    first, again = await post.due(), await post.due()
    done = await asyncio.gather(
        *(post.campaigning.go_on(one) for one in (first, again, again)), return_exceptions=True
    )
    assert [one for one in done if one is not None and not isinstance(one, Fenced)] == []
    assert len(await post.children(campaign)) == 3
    # The rows come back, as if that table alone was restored: there is one message each for ever.
    await post.pool.execute(
        "INSERT INTO campaign_member SELECT campaign, member, subject FROM workflow"
        " WHERE member IS NOT NULL"
    )
    await post.pool.execute("UPDATE campaign SET made = 0")
    assert len(await post.goes_on(campaign)) == 3


async def test_the_pace_and_the_number_of_open_messages_are_bounded(post: Post) -> None:
    fans = [f"f{number}" for number in range(9)]
    campaign = await post.started(*fans, perMinute=1)
    await post.campaigning.go_on(await post.due())
    assert len(await post.children(campaign)) == 1
    await post.campaigning.go_on(await post.due())
    assert len(await post.children(campaign)) == 1
    await post.pool.execute("UPDATE campaign SET next_at = next_at - interval '3 minutes'")
    await post.campaigning.go_on(await post.due())
    assert len(await post.children(campaign)) == 4
    post.campaigning = Campaigning(
        post.settings.model_copy(update={"campaign_open_max": 6}), post.pool, post.vault
    )
    children = await post.goes_on(campaign)
    assert len(children) == 6
    assert len(await post.goes_on(campaign)) == 6
    await post.drafted(children[0])
    await post.approvals.reject("creator", Named(children[0].workflow, 1), OPERATOR, "unsafe", None)
    assert len(await post.goes_on(campaign)) == 7


async def test_a_pause_keeps_back_what_would_be_begun_composed_approved_and_sent(
    post: Post,
) -> None:
    campaign = await post.started()
    first, second, third = await post.goes_on(campaign)
    await post.drafted(first, second)
    await post.approvals.approve("creator", Named(first.workflow, 1), OPERATOR)
    with pytest.raises(WorkflowNotFound):
        await post.steering.pause("other", campaign)
    await post.steering.pause("creator", campaign)
    await post.steering.pause("creator", campaign)
    assert await post.begins(first.workflow) is None
    with pytest.raises(WorkflowConflict, match="paused"):
        await post.approvals.approve("creator", Named(second.workflow, 1), OPERATOR)
    assert await post.composing.begin(await post.claim(third.workflow)) is None
    waiting = [await post.row(one.workflow) for one in (first, third)]
    assert [(one.state, one.waits_for, one.due) for one in waiting] == [
        ("approved", "campaign", None),
        ("received", "campaign", None),
    ]
    assert await post.campaigning.claim() is None
    await post.steering.resume("creator", campaign)
    await post.goes_on(campaign)
    await post.sent(first.workflow)
    await post.drafted(third)
    assert of(await post.counts(campaign)) == {"members": 3, "sent": 1, "drafted": 2}


async def test_a_stop_ends_what_is_not_being_sent_and_leaves_out_the_rest(post: Post) -> None:
    campaign = await post.started(*FANS, "f4", "f5", perMinute=1)
    await post.campaigning.go_on(await post.due())
    await post.pool.execute("UPDATE campaign SET next_at = next_at - interval '3 minutes'")
    await post.campaigning.go_on(await post.due())
    sending, drafted, *_ = await post.children(campaign)
    await post.drafted(sending, drafted)
    await post.approvals.approve("creator", Named(sending.workflow, 1), OPERATOR)
    part = await post.begins(sending.workflow)
    assert part is not None
    await post.steering.stop("creator", campaign)
    await post.steering.stop("creator", campaign)
    with pytest.raises(WorkflowConflict):
        await post.steering.resume("creator", campaign)
    with pytest.raises(WorkflowConflict, match="ended"):
        await post.approvals.approve("creator", Named(drafted.workflow, 1), OPERATOR)
    await post.campaigning.stop(await post.due())
    await post.campaigning.stop(await post.due())
    assert (await post.campaigns.summary("creator", campaign)).state == "stopping"
    await post.sending.finish(part, "sent")
    await post.campaigning.stop(await post.due())
    summary = await post.campaigns.summary("creator", campaign)
    assert (summary.state, summary.reason) == ("ended", "stopped")
    assert of(await post.counts(campaign)) == {"members": 5, "sent": 1, "skipped": {"stopped": 4}}
    assert await post.pool.fetchval("SELECT count(*) FROM campaign_member") == 0


async def test_a_deadline_stops_a_campaign_even_while_it_is_paused(post: Post) -> None:
    campaign = await post.started()
    await post.steering.pause("creator", campaign)
    await post.pool.execute(
        "UPDATE campaign SET deadline = clock_timestamp(), due = clock_timestamp()"
    )
    claimed = await post.due()
    assert claimed.state == "paused"
    await post.campaigning.expire(claimed)
    await post.campaigning.stop(await post.due())
    summary = await post.campaigns.summary("creator", campaign)
    assert (summary.state, summary.reason) == ("ended", "deadline")


async def test_a_spent_budget_pauses_the_campaign_and_loses_nobody(post: Post) -> None:
    campaign = await post.started(budget={"money": "0.015"})
    first, second, _ = await post.goes_on(campaign)
    for one in (first, second):
        claimed = await post.claim(one.workflow)
        assert await post.composing.begin(claimed) is not None
        if one is first:
            await post.accounts.reserve(claimed, CALL, "template_execution_started")
            await post.accounts.settle(
                one.workflow, 1, spent("0.008"), "template_execution_completed"
            )
            await post.composing.propose(claimed, _draft(0))
        else:
            with pytest.raises(BudgetExceeded) as refused:
                await post.accounts.reserve(claimed, CALL, "template_execution_started")
            await post.composing.out_of_budget(claimed, refused.value)
    summary = await post.campaigns.summary("creator", campaign)
    assert (summary.state, summary.reason) == ("paused", "budget")
    assert (summary.spent.money, summary.spent.tokens) == ("0.008", 100)
    assert of(await post.counts(campaign)) == {"members": 3, "drafted": 1, "composing": 2}
    assert (await post.row(second.workflow)).waits_for == "campaign"
    await post.steering.resume("creator", campaign, CampaignBudget(Decimal(1)))
    await post.goes_on(campaign)
    claimed = await post.claim(second.workflow)
    assert await post.composing.begin(claimed) is not None
    await post.accounts.reserve(claimed, CALL, "template_execution_started")


async def test_a_campaign_s_budget_is_never_exceeded_whoever_asks(post: Post) -> None:
    campaign = await post.started(*(f"f{n}" for n in range(12)), budget={"tokens": 5_000})
    children = await post.goes_on(campaign)
    claimed = {one.workflow: one for one in await post.queue.claim(20)}
    done = await asyncio.gather(
        *(
            post.accounts.reserve(claimed[one.workflow], CALL, "template_execution_started")
            for one in children
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, BudgetExceeded) for one in done) == 7
    summary = await post.campaigns.summary("creator", campaign)
    assert summary.spent.tokens == 5_000
    warnings = [
        one["data"] for one in await post.told("workflow-traces")
        if one["event"] == "budget_warning"
    ]  # fmt: skip
    assert warnings == [{"scope": "campaign"}]


async def test_each_member_is_looked_at_again_before_anything_is_composed(post: Post) -> None:
    campaign = await post.started(*FANS, "f4", "f5", "f6")
    names = ("held", "suppressed", "written_to", "answered", "asked", "free")
    children = dict(zip(names, await post.goes_on(campaign), strict=True))
    fans = {name: await post.fan(await who(post, one)) for name, one in children.items()}
    async with post.pool.acquire() as connection:
        await holds.hold(connection, fans["held"].id, OPERATOR)
    await suppression.put(post.pool, post.keyring, ("creator", fans["suppressed"].fan_id))
    await post.says(fans["written_to"], "Hello!", sender="creator", author="ai", ago=23 * HOUR_MS)
    await post.says(fans["answered"], "Hello!", sender="creator", ago=25 * HOUR_MS)
    await post.intend("reply", recipientId=fans["asked"].fan_id)
    ends = {}
    for name, one in children.items():
        if not (await post.row(one.workflow)).ended:
            claimed = await post.claim(one.workflow)
            begun = await post.composing.begin(claimed)
            if begun is not None:
                await post.composing.propose(claimed, _draft(post._offset))
        row = await post.row(one.workflow)
        ends[name] = (row.state, row.reason)
    assert ends == {
        "held": ("cancelled", "silent_hand"),
        "suppressed": ("cancelled", "suppressed"),
        "written_to": ("cancelled", "written_to"),
        "answered": ("awaiting_approval", None),
        "asked": ("superseded", "newer_intent"),
        "free": ("awaiting_approval", None),
    }
    assert (await post.counts(campaign)).skipped_all == 4


async def who(post: Post, child: Workflow) -> str:
    found: str = await post.pool.fetchval(
        "SELECT fan_id FROM subject WHERE subject = $1", child.subject
    )
    return found


async def test_each_send_is_looked_at_again(post: Post) -> None:
    campaign = await post.started(*FANS, "f4")
    children = await post.goes_on(campaign)
    await post.drafted(*children)
    fans = [await post.fan(await who(post, one)) for one in children]
    await post.approvals.approve_several(
        "creator", [Named(one.workflow, 1) for one in children], OPERATOR
    )
    held, suppressed, written, free = children
    async with post.pool.acquire() as connection:
        await holds.hold(connection, fans[0].id, OPERATOR)
    await suppression.put(post.pool, post.keyring, ("creator", fans[1].fan_id))
    await post.pool.execute(
        "INSERT INTO send_slot (subject, free_at) VALUES ($1, now() - interval '23 hours')",
        fans[2].id,
    )
    for one in (held, suppressed, written):
        assert await post.begins(one.workflow) is None
    assert await post.begins(free.workflow) is not None
    assert of(await post.counts(campaign)) == {
        "members": 4,
        "approved": 1,
        "skipped": {"silent_hand": 1, "suppressed": 1, "written_to": 1},
    }


async def test_a_campaign_never_takes_the_place_of_a_reply(post: Post) -> None:
    fan = await post.fan("f1")
    await post.says(fan, "Are you there?")
    reply = await post.proposed("reply", recipientId="f1")
    campaign = await post.started("f1")
    (child,) = await post.goes_on(campaign)
    assert await post.composing.begin(await post.claim(child.workflow)) is None
    assert (await post.row(child.workflow)).reason == "busy"
    assert (await post.row(reply)).state == "awaiting_approval"


async def test_of_two_campaigns_the_later_one_leaves_a_fan_to_the_earlier(post: Post) -> None:
    first = await post.started("f1")
    (one,) = await post.goes_on(first)
    second = await post.campaign("second")
    await post.pool.execute("UPDATE campaign SET due = NULL WHERE campaign = $1", first)
    await post.campaigning.start(await post.due(), ["f1"])
    (other,) = await post.goes_on(second)
    assert await post.composing.begin(await post.claim(other.workflow)) is None
    assert (await post.row(other.workflow)).reason == "busy"
    assert await post.composing.begin(await post.claim(one.workflow)) is not None


async def test_a_fan_who_is_erased_leaves_the_campaign(post: Post) -> None:
    campaign = await post.started(*FANS, "f4", perMinute=1)
    await post.campaigning.go_on(await post.due())
    (begun,) = await post.children(campaign)
    waiting = await post.pool.fetchval(
        "SELECT subject FROM campaign_member ORDER BY number DESC LIMIT 1"
    )
    async with post.pool.acquire() as connection, connection.transaction():
        await erase(connection, [begun.subject or b"", waiting])
    found = {"members": 4, "waiting": 2, "skipped": {"erased": 2}}
    assert of(await post.counts(campaign)) == found
    assert len(await post.goes_on(campaign)) == 3
    for table in ("workflow", "campaign_member"):
        rows = await post.pool.fetch(f"SELECT subject FROM {table}")
        assert not {waiting, begun.subject} & {row["subject"] for row in rows}


async def test_a_fan_who_stands_under_another_subject_stays_a_member(post: Post) -> None:
    campaign = await post.started()
    old = await post.pool.fetchval("SELECT subject FROM campaign_member WHERE number = 2")
    new = bytes(16)
    async with post.pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE subject SET subject = $2 WHERE subject = $1", old, new)
        await move(connection, old, new)
    rows = await post.pool.fetch("SELECT number FROM campaign_member WHERE subject = $1", new)
    assert [row["number"] for row in rows] == [2]
    assert of(await post.counts(campaign)) == {"members": 3, "waiting": 3}


async def test_erasures_and_steps_at_once_neither_wait_in_a_circle_nor_lose_count(
    post: Post,
) -> None:
    fans = [f"f{number}" for number in range(40)]
    campaign = await post.started(*fans)
    subjects = [(await post.fan(fan)).id for fan in fans[::4]]

    async def erased(subject: bytes) -> None:
        async with post.pool.acquire() as connection, connection.transaction():
            await connection.execute("DELETE FROM subject WHERE subject = $1", subject)
            await erase(connection, [subject])

    async def steps() -> None:
        for _ in range(4):
            await post.goes_on(campaign)

    await asyncio.wait_for(asyncio.gather(steps(), *map(erased, subjects)), 20)
    await post.goes_on(campaign)
    counts = await post.counts(campaign)
    assert (counts.skipped, counts.composing) == ({"erased": 10}, 30)


async def test_a_preview_makes_five_drafts_that_change_nothing_else(post: Post) -> None:
    fans = [f"f{number}" for number in range(6)]
    for fan in fans:
        await post.fan(fan)
    reply = await post.proposed("reply", recipientId="f0")
    campaign = await post.campaign(preview=True)
    await post.campaigning.preview(await post.due(), 6, fans[:5])
    await post.campaigning.look(await post.due())
    drafts = await post.children(campaign)
    assert [(one.send, one.member) for one in drafts] == [(False, None)] * 5
    for one in drafts:
        claimed = await post.claim(one.workflow)
        assert await post.composing.begin(claimed) is not None
        await post.accounts.reserve(claimed, CALL, "template_execution_started")
        await post.accounts.settle(one.workflow, 1, spent(), "template_execution_completed")
        if one is drafts[0]:
            await post.composing.hand_over(claimed, "handoff", body())
        else:
            await post.composing.complete(claimed, _draft(0))
    await post.campaigning.look(await post.due())
    whole = await post.campaigns.whole("creator", campaign)
    assert (whole.summary.state, whole.estimate, len(whole.previews)) == ("ready", 6, 5)
    assert whole.cost is not None
    assert (whole.cost.least, whole.cost.most) == ("0.012", "0.06")
    assert {one.fan_id for one in whole.previews} == set(fans[:5])
    assert of(await post.counts(campaign)) == {}
    assert (await post.row(reply)).state == "awaiting_approval"
    assert await post.pool.fetchval("SELECT count(*) FROM hold") == 0
    assert await post.campaigning.claim() is None
    with pytest.raises(WorkflowNotFound):
        await post.steering.start("other", campaign)
    await post.steering.start("creator", campaign)
    await post.campaigning.start(await post.due(), fans)
    await post.steering.start("creator", campaign)
    assert of(await post.counts(campaign)) == {"members": 6, "waiting": 6}


async def test_a_campaign_that_fails_again_and_again_ends_with_a_reason(post: Post) -> None:
    campaign = await post.campaign()
    for _ in range(FAILURES_MAX + 1):
        await post.campaigning.failed_once(await post.due())
    row = await post.row(campaign)
    assert (row.state, row.reason) == ("failed", "attempts")
    assert (await post.campaigns.summary(None, campaign)).reason == "attempts"


async def test_a_campaign_is_stopped_and_not_cancelled_like_a_message(post: Post) -> None:
    campaign = await post.started()
    with pytest.raises(WorkflowConflict, match="stop it"):
        await post.approvals.cancel("creator", campaign, OPERATOR)


async def test_campaigns_are_listed_for_their_creator_page_by_page(post: Post) -> None:
    ids = [await post.campaign(f"c{number}", name=f"No {number}") for number in range(3)]
    first, cursor = await post.campaigns.page("creator", None, 2)
    rest, none = await post.campaigns.page("creator", cursor, 2)
    assert [one.workflow_id for one in (*first, *rest)] == [id.hex() for id in reversed(ids)]
    assert (rest[0].name, none) == ("No 0", None)
    assert await post.campaigns.page("other") == ([], None)
    with pytest.raises(WorkflowNotFound):
        await post.campaigns.whole("other", ids[0])


class Killed(BaseException):
    """As if the process had ended there."""


@pytest.mark.parametrize(
    "point", ["before_start", "before_children", "after_children", "before_close"]
)
async def test_whatever_step_a_process_dies_in_nothing_is_lost_or_done_twice(
    post: Post, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    died: list[str] = []

    def killing(name: str) -> None:
        if name == f"campaign.{point}" and not died:
            died.append(name)
            raise Killed

    monkeypatch.setattr(campaigning_module, "fail_point", killing)
    assert f"campaign.{point}" in failpoints.CAMPAIGN
    for fan in FANS:
        await post.fan(fan)
    campaign = await post.campaign()
    for _ in range(9):
        await post.pool.execute("UPDATE campaign SET next_at = '2000-01-01'")
        claimed = await post.due()
        try:
            if claimed.state == "starting":
                await post.campaigning.start(claimed, FANS)
            else:
                await post.campaigning.go_on(claimed)
        except Killed:
            continue
        for one in await post.queue.claim(10):
            if one.campaign is not None:
                assert await post.composing.begin(one) is not None
                await post.composing.complete(one, _draft(0))
        if (await post.campaigns.summary(None, campaign)).state == "ended":
            break
    assert died
    assert [one.member for one in await post.children(campaign)] == [1, 2, 3]
    counts = await post.counts(campaign)
    assert (counts.members, counts.skipped) == (3, {"nothing": 3})
    assert (await post.row(campaign)).state in ("received", "composing")
    assert asdict(await post.row(campaign))["told"] is False


async def test_what_has_not_ended_is_counted_with_how_long_it_has_wanted_an_agent(
    post: Post,
) -> None:
    insert = (
        "INSERT INTO campaign (campaign, creator_id, user_id, state, reason, due, leased, send,"
        " per_minute, members, made, erased, dropped) VALUES (gen_random_uuid(), 'other', 'user',"
        " $1, $2, now() + $3 * interval '1 second', $4, true, 60, $5, $6, $7, $8)"
    )
    for row in (
        ("running", None, -300.0, False, 10, 4, 1, 0),
        ("running", None, -900.0, True, 5, 5, 0, 0),  # somebody has it
        ("running", None, 60.0, False, 3, 0, 0, 0),
        ("stopping", "hand", 60.0, False, 7, 5, 0, 2),
        ("ended", None, -900.0, False, 9, 0, 0, 0),
    ):
        await post.pool.execute(insert, *row)
    found = {(one.state, one.reason): one for one in await open_campaigns(post.pool)}
    assert found.keys() == {("running", ""), ("stopping", "hand")}
    running, stopping = found["running", ""], found["stopping", "hand"]
    assert (running.campaigns, running.waiting) == (3, 8)
    assert (stopping.campaigns, stopping.waiting) == (1, 0)
    assert 300 <= running.overdue_seconds < 900
    assert stopping.overdue_seconds == 0
