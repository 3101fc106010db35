"""One campaign as it stands, the fence, what it lets its messages do, and its budget.

A campaign is moved by two: the process that has claimed it, and people. Each locks the row, makes
the next `Campaign` of it, and saves it, which raises the epoch; so a step that was overtaken by a
word of a person's, or by another process, changes nothing.

Rows are locked in one order by everybody: fan, message, campaign, member.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from infra.postgres import Connection, Pool, database_errors
from infra.sql import load_queries
from schemas.campaigns import CampaignState
from schemas.errors import BudgetExceeded, Fenced, WorkflowNotFound
from stores.workflows.rows import Workflow

CAMPAIGN_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_campaigns.sql")

WARNED_SHARE: Final = Decimal("0.8")

Gate = Literal["go", "wait", "stop"]


@dataclass(frozen=True, slots=True)
class Campaign:
    """One row. `due` and `leased` are the queue's."""

    campaign: bytes
    creator_id: str
    user_id: str
    state: CampaignState
    reason: str | None
    due: datetime | None
    leased: bool
    epoch: int
    failures: int
    send: bool
    per_minute: int
    deadline: datetime | None
    estimate: int | None
    members: int
    made: int
    erased: int
    dropped: int
    next_at: datetime
    money_max: Decimal | None
    tokens_max: int | None
    money: Decimal
    tokens: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def name(self) -> str:
        """The id as it is told: 32 hexadecimal digits."""
        return self.campaign.hex()

    @property
    def waiting(self) -> int:
        """Members for whom nothing was begun yet."""
        return self.members - self.made - self.erased - self.dropped

    def moved(self, state: CampaignState, reason: str | None = None, **changes: Any) -> "Campaign":
        return replace(self, state=state, reason=reason, failures=0, **changes)

    def __repr__(self) -> str:
        return f"Campaign({self.state})"


_NAMES: Final = tuple(field.name for field in fields(Campaign))


def campaign_of(record: Any) -> Campaign:
    return Campaign(*(record[name] for name in _NAMES))


def child_id(campaign: bytes, member: int) -> bytes:
    """The id of a member's workflow: the same for ever, and no intent's."""
    return _id(campaign, b"member", member)


def preview_id(campaign: bytes, number: int) -> bytes:
    """The id of a preview's draft."""
    return _id(campaign, b"preview", number)


def _id(campaign: bytes, kind: bytes, number: int) -> bytes:
    text = campaign + kind + number.to_bytes(8, "big")
    return blake2b(text, digest_size=16, person=b"campaign").digest()


async def own(connection: Connection, claimed: Campaign) -> Campaign:
    """Lock the row that the caller has claimed; raises `Fenced` when it is not the caller's now."""
    row = await connection.fetchrow(CAMPAIGN_QUERIES.own_campaign, claimed.campaign, claimed.epoch)
    if row is None:
        raise Fenced("The campaign is not this worker's any more.")
    return campaign_of(row)


async def lock(connection: Connection, campaign: bytes, creator_id: str | None) -> Campaign:
    """Lock the row for whom it belongs to; an operator names no creator. Raises `WorkflowNotFound`,
    also for another creator's."""
    row = await connection.fetchrow(CAMPAIGN_QUERIES.lock_campaign, campaign, creator_id)
    if row is None:
        raise WorkflowNotFound("There is no such campaign.")
    return campaign_of(row)


async def save(
    connection: Connection,
    campaign: Campaign,
    *,
    due_in: float | None = None,
    due: datetime | None = None,
) -> None:
    """Write the row that the caller has locked, and let go of it.

    It wants attention in `due_in` seconds of Postgres' clock, or at `due`; at its deadline at the
    latest. Without any of them it waits for a person.
    """
    await connection.execute(
        CAMPAIGN_QUERIES.save_campaign,
        campaign.campaign,
        campaign.state,
        campaign.reason,
        campaign.failures,
        campaign.estimate,
        campaign.members,
        campaign.made,
        campaign.dropped,
        campaign.next_at,
        campaign.money_max,
        campaign.tokens_max,
        due,
        due_in,
    )


async def gate(connection: Connection, row: Workflow) -> Gate:
    """What a message of a campaign may do now: go on, wait for a word, or end."""
    state = await connection.fetchval(CAMPAIGN_QUERIES.state_of, row.campaign)
    if state in ("stopping", "ended"):
        return "stop"
    if row.member is None or state == "running":
        return "go"
    return "wait"


async def is_busy(connection: Connection, row: Workflow) -> bool:
    """Whether something else is under way for the same fan, which goes before it."""
    asked = (row.subject, row.workflow, row.created_at)
    return bool(await connection.fetchval(CAMPAIGN_QUERIES.is_busy, *asked))


async def reserve(connection: Connection, row: Workflow, money: Decimal, tokens: int) -> bool:
    """Raise what a message's campaign has spent; whether 80 % of it were reached just now.

    Raises `BudgetExceeded`, and then nothing was raised.
    """
    if row.campaign is None:
        return False
    raised = await connection.fetchrow(CAMPAIGN_QUERIES.raise_spent, row.campaign, money, tokens)
    if raised is None:
        raise BudgetExceeded("campaign")
    if raised["warned"] or raised["share"] is None or raised["share"] < WARNED_SHARE:
        return False
    await connection.execute(CAMPAIGN_QUERIES.campaign_warned, row.campaign)
    return True


async def correct(connection: Connection, row: Workflow, money: Decimal, tokens: int) -> None:
    """What a call took in truth, less what was reserved for it."""
    if row.campaign is not None:
        await connection.execute(CAMPAIGN_QUERIES.correct_spent, row.campaign, money, tokens)


async def pause_for_budget(connection: Connection, row: Workflow) -> None:
    """A call of a member's message was refused: so would be all others."""
    await connection.execute(CAMPAIGN_QUERIES.pause_for_budget, row.campaign)


class OpenCampaigns(NamedTuple):
    """Those of one state and reason."""

    state: CampaignState
    reason: str
    """Of a pause or a stop; empty for the others."""
    campaigns: int
    waiting: int
    """Members for whom nothing was begun yet."""
    overdue_seconds: float
    """Since the oldest that wants an agent wanted it."""


async def open_campaigns(pool: Pool) -> list[OpenCampaigns]:
    """What has not ended, for metrics."""
    async with database_errors():
        return [OpenCampaigns(*row) for row in await pool.fetch(CAMPAIGN_QUERIES.open_campaigns)]


async def leave(connection: Connection, subjects: Sequence[bytes]) -> None:
    """Fans who are erased are no members any more."""
    await connection.execute(CAMPAIGN_QUERIES.lock_campaigns_of, subjects)
    await connection.execute(CAMPAIGN_QUERIES.leave_campaigns, subjects)


async def move(connection: Connection, old: bytes, new: bytes) -> None:
    """A fan who stands under another subject stays a member."""
    await connection.execute(CAMPAIGN_QUERIES.lock_campaigns_of, [old])
    await connection.execute(CAMPAIGN_QUERIES.move_members_of, old, new)
