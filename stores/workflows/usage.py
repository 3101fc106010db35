"""Budgets and calls: each call is written, with the most that it can cost, before it is made.

In one transaction the budgets of user and creator, by day and month (UTC), are raised by one
conditional UPDATE, and the call is written as `reserved`. Where one of the budgets would be
exceeded nothing is written, and no call is made. What the call took in truth replaces what was
reserved, whatever has become of its workflow meanwhile. A call whose answer nobody has got costs
what was reserved, and is `unknown`.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.postgres import Connection, Pool, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from schemas.errors import BudgetExceeded
from schemas.usage import Usage
from schemas.workflows import TraceEvent
from stores import wall
from stores.workflows import campaigns, telling
from stores.workflows.rows import Workflow, lock, own

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_usage.sql")

LOST_SECONDS: Final = 180.0
"""A call that is still reserved has ended by then: no provider has more than a minute."""
WARNED_SHARE: Final = Decimal("0.8")


class Call(NamedTuple):
    """A call that is to be made."""

    provider: str
    model: str
    money: Decimal
    """US dollars that it can cost at the most."""
    tokens: int
    """That it can use at the most."""
    price_version: str


class Spent(NamedTuple):
    """What a call took."""

    usage: Usage
    cost: Decimal
    model: str
    outcome: str
    """`ok`, or the class of what went wrong."""
    duration_ms: int
    price_version: str
    unknown: bool = False
    cache_hit: bool = False


class Made(NamedTuple):
    """A call of this workflow that was made already."""

    provider: str
    outcome: str | None
    """None: nobody has got its answer."""


class Costs(NamedTuple):
    """What calls cost together, by one kind of sum."""

    name: str
    calls: int
    tokens: int
    cost: Decimal
    unknown: int
    """Calls of which only the most that they can have cost is known."""


class Accounts:
    """Reserves and settles."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        money = (
            settings.budget_user_day,
            settings.budget_user_month,
            settings.budget_creator_day,
            settings.budget_creator_month,
        )
        tokens = (settings.budget_tokens_day, settings.budget_tokens_month) * 2
        self._limits = list(money), list(tokens)

    async def reserve(self, workflow: Workflow, call: Call, event: TraceEvent) -> int:
        """Write a call of a workflow that the caller has claimed; returns its number, from 1 on.

        Raises `BudgetExceeded`, and `Fenced`.
        """
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, workflow.workflow, workflow.epoch)
            await self._raise_budgets(connection, row, call)
            if await campaigns.reserve(connection, row, call.money, call.tokens):
                await telling.trace(connection, row, "budget_warning", scope="campaign")
            number: int = await connection.fetchval(
                _QUERIES.add_call,
                row.workflow,
                call.provider,
                call.model,
                row.type,
                row.creator_id,
                row.user_id,
                row.subject,
                row.trace_id,
                call.money,
                call.tokens,
                call.price_version,
            )
            await telling.trace(connection, row, event, attempt=number, model=call.model)
        return number

    async def _raise_budgets(self, connection: Connection, row: Workflow, call: Call) -> None:
        names = [*(("user", row.user_id),) * 2, *(("creator", row.creator_id),) * 2]
        scopes, ids = map(list, zip(*names, strict=True))
        periods = ["day", "month"] * 2
        await connection.execute(_QUERIES.begin_budgets, scopes, ids, periods)
        await connection.execute(_QUERIES.lock_budgets, scopes, ids, periods)
        raised = await connection.fetch(
            _QUERIES.raise_budgets, scopes, ids, periods, *self._limits, call.money, call.tokens
        )
        had = {(one["scope"], one["period"]) for one in raised}
        for budget in zip(scopes, periods, strict=True):
            if budget not in had:
                raise BudgetExceeded(*budget)
        for one in raised:
            if one["share"] >= WARNED_SHARE and not one["warned"]:
                where = (one["scope"], one["id"], one["period"], one["starts"])
                await connection.execute(_QUERIES.warned, *where)
                await telling.trace(
                    connection, row, "budget_warning", scope=one["scope"], period=one["period"]
                )

    async def settle(
        self, workflow: bytes, number: int, spent: Spent, event: TraceEvent, **data: Any
    ) -> bool:
        """Write what a call took; False when that was written before."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, workflow, None)
            settled = await _settle(connection, row, number, spent)
            if settled:
                await telling.trace(
                    connection,
                    row,
                    event,
                    attempt=number,
                    tokens=spent.usage.total,
                    cost=telling.money(spent.cost),
                    duration=spent.duration_ms,
                    model=spent.model,
                    outcome=spent.outcome,
                    **data,
                )
        return settled

    async def made(self, workflow: bytes) -> list[Made]:
        """The calls since it was begun, or begun again, in order."""
        async with database_errors():
            return [Made(*row) for row in await self._pool.fetch(_QUERIES.made_calls, workflow)]

    async def settle_lost(self) -> int:
        """Calls whose worker has ended without a word; returns how many."""
        settled = 0
        async with database_errors(), self._pool.acquire() as connection:
            for row in await connection.fetch(_QUERIES.lost_calls, LOST_SECONDS):
                async with connection.transaction():
                    workflow = await lock(connection, row["workflow"], None)
                    settled += await settle_lost_of(connection, workflow)
        return settled

    async def costs(
        self, creator_id: str, since: datetime, until: datetime
    ) -> dict[str, list[Costs]]:
        """A creator's costs: in all, by type, by provider, by fan (their subjects, in hex), and by
        campaign (its id, in hex)."""
        async with database_errors():
            rows = await wall.fetch(
                self._pool, _QUERIES.costs, creator_id, creator_id, since, until
            )
        kinds = ("total", "type", "provider", "fan", "campaign")
        found: dict[str, list[Costs]] = {kind: [] for kind in kinds}
        for kind, *rest in rows:
            found[kind].append(Costs(*rest))
        return found


async def settle_lost_of(connection: Connection, workflow: Workflow) -> int:
    """The workflow's calls that nobody has got the answer of, while its row is locked."""
    rows = await connection.fetch(_QUERIES.reserved_calls, workflow.workflow)
    for row in rows:
        # What it used is not known: all that it can have been counts as asked.
        usage = Usage(input=row["reserved_tokens"], estimated=True)
        spent = Spent(
            usage, row["reserved"], row["model"], "lost", row["ms"], row["price_version"], True
        )
        if await _settle(connection, workflow, row["call"], spent):
            await telling.trace(connection, workflow, "cost_tracking_failed", attempt=row["call"])
    return len(rows)


async def _settle(connection: Connection, workflow: Workflow, number: int, spent: Spent) -> bool:
    usage = spent.usage
    row = await connection.fetchrow(
        _QUERIES.settle_call,
        workflow.workflow,
        number,
        "unknown" if spent.unknown else "settled",
        spent.outcome,
        spent.cost,
        usage.input,
        usage.cached,
        usage.output,
        usage.reasoning,
        usage.estimated,
        spent.cache_hit,
        spent.price_version,
        spent.duration_ms,
        spent.model,
    )
    if row is None:
        return False
    scopes = ["user", "user", "creator", "creator"]
    ids: Sequence[str] = (row["user_id"], row["user_id"], row["creator_id"], row["creator_id"])
    await connection.execute(_QUERIES.lock_budgets_of, scopes, ids, row["began_at"])
    more = spent.cost - row["reserved"], usage.total - row["reserved_tokens"]
    await connection.execute(
        _QUERIES.correct_budgets,
        scopes,
        ids,
        row["began_at"],
        *more,
    )
    await campaigns.correct(connection, workflow, *more)
    await telling.usage(connection, row)
    return True


class Warned(NamedTuple):
    """Budgets of this day or month that are spent to `WARNED_SHARE`, of one scope."""

    scope: str
    period: str
    budgets: int


async def warned(pool: Pool) -> list[Warned]:
    """By scope and period; also those of which there are none."""
    async with database_errors():
        return [Warned(*row) for row in await pool.fetch(_QUERIES.warned_budgets)]


async def put_limit(
    connection: Connection, scope: str, id: str, period: str, money: Decimal, tokens: int
) -> None:
    """Give a user or a creator a budget of their own, for each day or month."""
    await connection.execute(_QUERIES.put_limit, scope, id, period, money, tokens)
