"""What people say about a campaign, and what they see of it.

Each word takes effect at once, for whatever of the campaign would be composed or sent next: its
messages ask how it stands, in front of each call and each send. A creator sees their own only; an
operator names no creator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from infra.postgres import Connection, Pool, database_errors
from privacy.creators import creator_sealer
from schemas.campaigns import (
    CampaignBudget,
    CampaignSpent,
    CampaignState,
    CampaignSummary,
    CostRange,
)
from schemas.errors import SealBroken, WorkflowConflict, WorkflowNotFound
from schemas.times import from_datetime, render_time
from stores.workflows.campaigns import CAMPAIGN_QUERIES, Campaign, lock, save
from stores.workflows.counting import Counted, counted
from stores.workflows.reading import PAGE_MAX, Reading, Whole, cursor_of, fetch, place_in
from stores.workflows.sealed import Vault, open_intent
from stores.workflows.telling import money

_WAITING: Final[tuple[CampaignState, ...]] = ("previewing", "ready")


@dataclass(frozen=True, slots=True)
class Preview:
    """One draft of a preview."""

    fan_id: str | None
    """None: the fan was erased."""
    whole: Whole


@dataclass(frozen=True, slots=True)
class WholeCampaign:
    """A campaign with its preview."""

    summary: CampaignSummary
    data: dict[str, Any] | None
    """Of the intent; None when it can't be opened any more."""
    estimate: int | None
    """Members that the preview counted."""
    cost: CostRange | None
    """What the messages will cost, from the preview; None without one."""
    previews: list[Preview]


class Steering:
    """Words of people. Each raises `WorkflowNotFound`, also for another creator's, and
    `WorkflowConflict` for what the campaign's state does not allow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def start(self, creator_id: str | None, campaign: bytes) -> None:
        """Let it begin, with whoever is a member now. Done twice it changes nothing."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, campaign, creator_id)
            if row.state in ("starting", "running"):
                return
            self._require(row, _WAITING, "started")
            await save(connection, row.moved("starting"), due_in=0.0)

    async def pause(self, creator_id: str | None, campaign: bytes) -> None:
        """Begin, compose and send nothing more of it until `resume`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, campaign, creator_id)
            if row.state == "paused":
                return
            self._require(row, ("running",), "paused")
            await save(connection, row.moved("paused", "hand"))

    async def resume(
        self, creator_id: str | None, campaign: bytes, budget: CampaignBudget | None = None
    ) -> None:
        """Let it go on, with this budget from now on if one is given."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, campaign, creator_id)
            self._require(row, ("paused", "running"), "resumed")
            if budget is not None:
                row = replace(row, money_max=budget.money, tokens_max=budget.tokens)
            await save(connection, row.moved("running"), due_in=0.0)

    async def stop(self, creator_id: str | None, campaign: bytes) -> None:
        """End it: what is not being sent already is not sent. Done twice it changes nothing."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, campaign, creator_id)
            if row.state not in ("stopping", "ended"):
                await save(connection, row.moved("stopping", "stopped"), due_in=0.0)

    def _require(self, row: Campaign, states: Sequence[CampaignState], what: str) -> None:
        if row.state not in states:
            raise WorkflowConflict(f"The campaign is {row.state}: it can't be {what}.")


class Campaigns:
    """Reads for the API and the command line."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def page(
        self, creator_id: str | None, cursor: str | None = None, count: int = 50
    ) -> tuple[list[CampaignSummary], str | None]:
        """The newest first, and the cursor of the next page. Raises `InvalidInput`."""
        before = (None, None) if cursor is None else place_in(cursor)
        count = min(count, PAGE_MAX)
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            connection.transaction(),  # in which the first statement sets the creator
        ):
            rows = await fetch(
                connection, CAMPAIGN_QUERIES.list_campaigns, creator_id,
                creator_id, *before, count + 1,
            )  # fmt: skip
            ids = [row["campaign"] for row in rows[:count]]
            found = await counted(connection, ids, creator_id)
            shown = [(await self._opened(connection, found[id]))[0] for id in ids if id in found]
        if len(rows) <= count:
            return shown, None
        return shown, cursor_of(rows[count - 1]["created_at"], ids[-1])

    async def whole(self, creator_id: str | None, campaign: bytes) -> WholeCampaign:
        """One with the drafts of its preview. Raises `WorkflowNotFound`."""
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            connection.transaction(),
        ):
            found = await _counted(connection, campaign, creator_id)
            summary, data = await self._opened(connection, found)
            drafts = await fetch(connection, CAMPAIGN_QUERIES.previews, creator_id, campaign)
            (costs,) = await fetch(connection, CAMPAIGN_QUERIES.preview_costs, creator_id, campaign)
        reading = Reading(self._pool, self._vault)
        previews = [
            Preview(one["fan_id"], await reading.whole(creator_id, one["workflow"]))
            for one in drafts
        ]
        estimate = found.campaign.estimate
        cost = None
        if estimate is not None and costs["least"] is not None:
            cost = CostRange(money(costs["least"] * estimate), money(costs["most"] * estimate))
        return WholeCampaign(summary, data, estimate, cost, previews)

    async def summary(self, creator_id: str | None, campaign: bytes) -> CampaignSummary:
        """How one stands. Raises `WorkflowNotFound`."""
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            connection.transaction(),
        ):
            found = await _counted(connection, campaign, creator_id)
            return (await self._opened(connection, found))[0]

    async def _opened(
        self, connection: Connection, found: Counted
    ) -> tuple[CampaignSummary, dict[str, Any] | None]:
        row = found.campaign
        data: dict[str, Any] | None = None
        try:
            if found.intent is not None:
                sealer = await creator_sealer(connection, self._vault.keyring, row.creator_id)
                intent = open_intent(sealer, row.campaign, found.intent)
                data = msgspec.json.decode(intent.data)
        except SealBroken:
            data = None
        name = data.get("name") if data is not None else None
        return summary_of(found, name if isinstance(name, str) else None), data


async def _counted(connection: Connection, campaign: bytes, creator_id: str | None) -> Counted:
    found = (await counted(connection, [campaign], creator_id)).get(campaign)
    if found is None:
        raise WorkflowNotFound("There is no such campaign.")
    return found


def summary_of(found: Counted, name: str | None) -> CampaignSummary:
    row = found.campaign
    return CampaignSummary(
        workflow_id=row.name,
        name=name,
        state=row.state,
        reason=row.reason,
        user_id=row.user_id,
        send=row.send,
        per_minute=row.per_minute,
        counts=found.counts,
        budget=CampaignBudget(row.money_max, row.tokens_max),
        spent=CampaignSpent(money(row.money), row.tokens),
        deadline=_rendered(row.deadline),
        created_at=_rendered(row.created_at) or "",
        started_at=_rendered(row.started_at),
        ended_at=_rendered(row.ended_at),
    )


def _rendered(time: datetime | None) -> str | None:
    return None if time is None else render_time(from_datetime(time))
