"""The steps of a campaign, each one transaction of whoever has claimed it.

    previewing -> ready -> starting -> running <-> paused -> stopping -> ended

What a crash after each step costs is in brackets; the lease runs out, and another process goes on:

1. `preview`: members are counted, and five of them get a draft that is never sent. [done]
2. `start`: the members are written down; from here on nobody joins. [done]
3. `go_on`: some members become workflows, each by an id made of campaign and number, and are no
   rows of `campaign_member` any more. [done; before the commit: nothing was made]
4. `stop`: messages that have not ended end, some at a time. [the rest follows]
5. The end: the campaign's own workflow gets the counts into its data, and is due: its report is
   composed like any result. [done]

Nothing is made while a process composes, so the pace is `per_minute`, whoever does the work.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.settings import Settings
from privacy.creators import Sealer
from schemas.campaigns import CampaignOrder, CampaignState, message_data, order_of
from schemas.errors import Fenced, SealBroken
from schemas.intents import PRIORITIES, Intent
from stores.workflows.campaigns import (
    CAMPAIGN_QUERIES,
    Campaign,
    campaign_of,
    child_id,
    own,
    preview_id,
    save,
)
from stores.workflows.counting import counted
from stores.workflows.ending import end
from stores.workflows.rows import Workflow, wake
from stores.workflows.rows import lock as lock_workflow
from stores.workflows.rows import save as save_workflow
from stores.workflows.sealed import Vault, open_intent, seal_intent
from stores.workflows.telling import money

LEASE_SECONDS: Final = 60.0
"""Renewed while the members are looked for."""
FAILURES_MAX: Final = 5
FAILURE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 5.0
"""Between looks for what has ended; nothing but the end of a campaign waits for it."""
PREVIEW_SECONDS: Final = 1.0
TOGETHER_MAX: Final = 20
"""Workflows made in one transaction."""
STOPPED_TOGETHER: Final = 50


class Unopened(Exception):
    """What the campaign is about can't be opened any more."""


class Campaigning:
    """Writes for the process that has claimed a campaign. Every method raises `Fenced`."""

    def __init__(self, settings: Settings, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault
        self._per_minute = settings.campaign_per_minute
        self._open_max = settings.campaign_open_max

    async def claim(self) -> Campaign | None:
        """The campaign that has wanted attention longest."""
        async with database_errors():
            row = await self._pool.fetchrow(CAMPAIGN_QUERIES.claim_campaign, LEASE_SECONDS)
        return None if row is None else campaign_of(row)

    async def renew(self, claimed: Campaign) -> None:
        """Keep the lease; one that was lost stays lost."""
        async with database_errors():
            await self._pool.execute(
                CAMPAIGN_QUERIES.renew_campaign, claimed.campaign, claimed.epoch, LEASE_SECONDS
            )

    async def order(self, claimed: Campaign) -> CampaignOrder:
        """What it is about. Raises `Unopened`."""
        async with database_errors(), self._pool.acquire() as connection:
            _, intent = await self._intent(connection, claimed)
        return order_of(msgspec.json.decode(intent.data))

    async def _intent(self, connection: Connection, claimed: Campaign) -> tuple[Workflow, Intent]:
        row = await lock_workflow(connection, claimed.campaign, None)
        try:
            sealer = await self._vault.sealer(connection, row.creator_id, None)
            if sealer is None or row.intent is None:
                raise Unopened
            return row, open_intent(sealer, row.workflow, row.intent)
        except SealBroken:
            raise Unopened from None

    async def preview(self, claimed: Campaign, members: int, fans: Sequence[str]) -> None:
        """So many members there are now; these of them get a draft."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                CAMPAIGN_QUERIES.keep_fans, claimed.creator_id, list(fans)
            )
            row = await own(connection, claimed)
            parent, intent = await self._intent(connection, row)
            for number, one in enumerate(rows, 1):
                id = preview_id(row.campaign, number)
                await self._child(connection, row, parent, intent, id, one["subject"], None)
            await wake(connection)
            looked = row.moved("previewing", estimate=members)
            await save(connection, looked, due_in=PREVIEW_SECONDS)
            fail_point("campaign.before_preview")

    async def look(self, claimed: Campaign) -> None:
        """Whether the drafts of the preview are there."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed)
            if await connection.fetchval(CAMPAIGN_QUERIES.open_previews, row.campaign):
                await save(connection, row.moved("previewing"), due_in=PREVIEW_SECONDS)
            else:
                await save(connection, row.moved("ready"))

    async def start(self, claimed: Campaign, fans: Sequence[str]) -> None:
        """These are its members, and nobody else will be."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                CAMPAIGN_QUERIES.keep_fans, claimed.creator_id, list(fans)
            )
            row = await own(connection, claimed)
            subjects = [one["subject"] for one in rows]
            await connection.execute(CAMPAIGN_QUERIES.add_members, row.campaign, subjects)
            now = await connection.fetchval(CAMPAIGN_QUERIES.campaign_now)
            started = row.moved("running", members=len(subjects), next_at=now)
            await save(connection, started, due_in=0.0)
            fail_point("campaign.before_start")

    async def go_on(self, claimed: Campaign) -> None:
        """Begin the next messages, as far as pace and open ones allow, or end."""
        async with database_errors(), self._pool.acquire() as connection:
            now = await connection.fetchval(CAMPAIGN_QUERIES.campaign_now)
            if claimed.deadline is not None and claimed.deadline <= now:
                await self._to(connection, claimed, "stopping", "deadline")
                return
            if await connection.fetchval(CAMPAIGN_QUERIES.wake_children, claimed.campaign):
                await wake(connection)
            left = await connection.fetchval(CAMPAIGN_QUERIES.open_children, claimed.campaign)
            if claimed.waiting == 0 and left == 0:
                await self._close(connection, claimed, "done")
                return
            async with connection.transaction():
                made = await self._make(connection, claimed, now, left)
                fail_point("campaign.before_children")
        if made:
            fail_point("campaign.after_children")

    def _room(self, claimed: Campaign, now: datetime, left: int) -> tuple[int, datetime]:
        """How many may be begun now, and when the next one may."""
        pause = timedelta(seconds=60 / min(claimed.per_minute, self._per_minute))
        # Time in which nothing was begun is not made up for, but for one batch.
        first = max(claimed.next_at, now - (TOGETHER_MAX - 1) * pause)
        paced = 0 if first > now else int((now - first) / pause) + 1
        count = max(0, min(paced, TOGETHER_MAX, self._open_max - left, claimed.waiting))
        return count, first + count * pause

    async def _make(
        self, connection: Connection, claimed: Campaign, now: datetime, left: int
    ) -> int:
        """Returns how many were begun; `left` have not ended."""
        count, next_at = self._room(claimed, now, left)
        chosen = await connection.fetch(CAMPAIGN_QUERIES.next_members, claimed.campaign, count)
        row = await own(connection, claimed)
        if row.state != "running":
            raise Fenced("The campaign is not to go on.")
        numbers = [one["number"] for one in chosen]
        taken = await connection.fetch(CAMPAIGN_QUERIES.take_members, row.campaign, numbers)
        if taken:
            parent, intent = await self._intent(connection, row)
            for one in taken:
                id = child_id(row.campaign, one["number"])
                await self._child(
                    connection, row, parent, intent, id, one["subject"], one["number"]
                )
            await wake(connection)
        more = row.moved("running", made=row.made + len(taken), next_at=next_at)
        if more.waiting and left + len(taken) < self._open_max:
            await save(connection, more, due=next_at)
        else:  # the end of a message makes room, or is the last
            await save(connection, more, due_in=LOOK_SECONDS)
        return len(taken)

    async def _child(
        self,
        connection: Connection,
        row: Campaign,
        parent: Workflow,
        intent: Intent,
        id: bytes,
        subject: bytes,
        member: int | None,
    ) -> None:
        found = await self._vault.subject(connection, subject)
        if found is None:  # its row is locked: it is there
            raise Fenced("The fan was erased.")
        data = message_data(msgspec.json.decode(intent.data))
        message = msgspec.structs.replace(
            intent,
            type="message_generation",
            data=msgspec.json.encode(data),
            intent_id=id.hex(),
            recipient_id=found.fan_id,
            send=row.send and member is not None,
        )
        await connection.execute(
            CAMPAIGN_QUERIES.insert_child,
            id,
            row.creator_id,
            row.user_id,
            subject,
            PRIORITIES.index(intent.priority),
            message.send,
            parent.platform,
            row.deadline,
            parent.not_before,
            parent.trace_id,
            seal_intent(Sealer.of(found), id, message),
            row.campaign,
            member,
        )

    async def put_off(self, claimed: Campaign) -> None:
        """Nothing was wrong with it, but what it needs is not there now."""
        async with database_errors(), self._pool.acquire() as connection:
            await self._to(connection, claimed, claimed.state, claimed.reason, LOOK_SECONDS)

    async def expire(self, claimed: Campaign) -> None:
        """Its deadline has come while it waited for a person; then it stops."""
        async with database_errors(), self._pool.acquire() as connection:
            await self._to(connection, claimed, "stopping", "deadline")

    async def stop(self, claimed: Campaign) -> None:
        """End what has not ended, some at a time; then the campaign."""
        async with database_errors(), self._pool.acquire() as connection:
            found = await connection.fetch(
                CAMPAIGN_QUERIES.children_to_stop, claimed.campaign, STOPPED_TOGETHER
            )
            for one in found:
                async with connection.transaction():
                    row = await lock_workflow(connection, one["workflow"], None)
                    if not row.ended and row.state not in ("sending", "unknown"):
                        await end(connection, self._vault, row, "cancelled", "stopped")
            if found:
                await self._to(connection, claimed, "stopping", claimed.reason, 0.0)
            elif await connection.fetchval(CAMPAIGN_QUERIES.sending_children, claimed.campaign):
                await self._to(connection, claimed, "stopping", claimed.reason, PREVIEW_SECONDS)
            else:
                await self._close(connection, claimed, claimed.reason or "stopped")

    async def _to(
        self,
        connection: Connection,
        claimed: Campaign,
        state: CampaignState,
        reason: str | None,
        seconds: float = 0.0,
    ) -> None:
        async with connection.transaction():
            row = await own(connection, claimed)
            await save(connection, row.moved(state, reason), due_in=seconds)

    async def _close(self, connection: Connection, claimed: Campaign, reason: str) -> None:
        async with connection.transaction():
            row = await own(connection, claimed)
            dropped = await connection.fetchval(CAMPAIGN_QUERIES.drop_members, row.campaign)
            ended = row.moved("ended", reason, dropped=row.dropped + dropped)
            await save(connection, ended)
            parent, intent = await self._intent(connection, ended)
            counts = (await counted(connection, [row.campaign], None))[row.campaign].counts
            sealer = await self._vault.sealer(connection, row.creator_id, None)
            if parent.ended or sealer is None:
                return
            data = msgspec.json.decode(intent.data) | {
                "members": counts.members,
                "sent": counts.sent,
                "failed": counts.failed,
                "skipped": counts.skipped_all,
                "written": counts.written,
                "unknown": counts.unknown,
                "skippedBy": counts.skipped,
                "endedBy": reason,
                "cost": money(row.money),
            }
            told = msgspec.structs.replace(intent, data=msgspec.json.encode(data))
            sealed = seal_intent(sealer, parent.workflow, told)
            await save_workflow(connection, parent.moved("received", intent=sealed), due_in=0.0)
            fail_point("campaign.before_close")

    async def failed_once(self, claimed: Campaign, reason: str | None = None) -> None:
        """A step ended without an outcome: another one, or, with a reason, the end of it all."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed)
            failures = row.failures + 1
            if reason is None and failures <= FAILURES_MAX:
                again = replace(row, failures=failures)
                await save(connection, again, due_in=FAILURE_SECONDS * failures)
                return
            why = reason or "attempts"
            if row.state == "running":
                await save(connection, row.moved("stopping", why), due_in=0.0)
                return
            dropped = await connection.fetchval(CAMPAIGN_QUERIES.drop_members, row.campaign)
            ended = row.moved("ended", why, dropped=row.dropped + dropped)
            await save(connection, ended)
            parent = await lock_workflow(connection, row.campaign, None)
            if not parent.ended:
                await end(connection, self._vault, parent, "failed", why)


async def insert(
    connection: Connection, id: bytes, intent: Intent, settings: Settings, deadline: datetime | None
) -> None:
    """Write the campaign of an intent, in the transaction that wrote its workflow."""
    order = order_of(msgspec.json.decode(intent.data))
    budget = order.budget
    await connection.execute(
        CAMPAIGN_QUERIES.insert_campaign,
        id,
        intent.creator_id,
        intent.user_id,
        "previewing" if order.preview else "starting",
        intent.send,
        order.per_minute or settings.campaign_per_minute,
        deadline,
        None if budget is None else budget.money,
        None if budget is None else budget.tokens,
    )
