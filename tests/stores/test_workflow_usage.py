"""Budgets and calls on a real Postgres: every cent is accounted for, and none beyond the budget."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from infra.postgres import open_pool
from infra.settings import Settings
from schemas.errors import BudgetExceeded
from stores.workflows.usage import Call, put_limit
from tests.stores.workflows import CALL, OPERATOR, Desk, spent


@pytest.fixture
async def desk(store_settings: Settings) -> AsyncIterator[Desk]:
    pool = await open_pool(store_settings.postgres_url, size_max=50)
    yield Desk(store_settings, pool)
    await pool.close()


async def money(desk: Desk) -> dict[tuple[str, str], Decimal]:
    rows = await desk.pool.fetch("SELECT scope, period, sum(money) AS m FROM budget GROUP BY 1, 2")
    return {(row["scope"], row["period"]): row["m"] for row in rows}


async def test_50_callers_never_exceed_one_budget(desk: Desk) -> None:
    """Of 0.10 a day, calls of up to 0.01: ten, whoever asks first."""
    desk = desk.using(budget_user_day=Decimal("0.10"), user_workflows_max=50)
    for number in range(50):
        await desk.intend(f"i{number}", type="content_planning")
    claimed = await desk.queue.claim(50)
    assert len(claimed) == 50
    got = await asyncio.gather(
        *(desk.accounts.reserve(one, CALL, "template_execution_started") for one in claimed),
        return_exceptions=True,
    )
    assert [one for one in got if isinstance(one, int)] == [1] * 10
    assert {type(one) for one in got if not isinstance(one, int)} == {BudgetExceeded}
    assert set((await money(desk)).values()) == {Decimal("0.10")}
    warnings = [one for one in await desk.events() if one == "budget_warning"]
    assert len(warnings) == 1


async def test_what_a_call_took_replaces_what_was_reserved(desk: Desk) -> None:
    id = await desk.intend(type="content_planning")
    claimed = await desk.claim()
    number = await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    assert set((await money(desk)).values()) == {Decimal("0.01")}
    assert await desk.accounts.settle(id, number, spent("0.0025"), "template_execution_completed")
    assert not await desk.accounts.settle(id, number, spent("9"), "template_execution_completed")
    assert set((await money(desk)).values()) == {Decimal("0.0025")}
    await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    assert await desk.pool.fetchval("SELECT max(call) FROM usage") == 2
    (told,) = await desk.told("llm-usage")
    assert (told["cost"], told["tokens"], told["unknown"]) == ("0.0025", 100, False)
    assert await desk.accounts.made(id) == [("template", "ok"), ("template", None)]


async def test_tokens_are_a_budget_of_their_own(desk: Desk) -> None:
    desk = desk.using(budget_tokens_month=1_500)
    await desk.intend(type="content_planning")
    claimed = await desk.claim()
    await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    with pytest.raises(BudgetExceeded):
        await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    async with desk.pool.acquire() as connection:
        for scope, id in (("user", OPERATOR), ("creator", "creator")):
            await put_limit(connection, scope, id, "month", Decimal(1), 5_000)
    await desk.accounts.reserve(claimed, CALL, "template_execution_started")


async def test_a_call_whose_worker_died_costs_what_was_reserved(desk: Desk) -> None:
    await desk.intend(type="content_planning")
    claimed = await desk.claim()
    await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    assert await desk.accounts.settle_lost() == 0
    await desk.time_passes(31)
    # Whoever claims the workflow next knows at once.
    await desk.composing.begin(await desk.claim())
    (told,) = await desk.told("llm-usage")
    assert (told["cost"], told["unknown"], told["outcome"]) == ("0.01", True, "lost")
    assert "cost_tracking_failed" in await desk.events()
    await desk.approvals.cancel("creator", claimed.workflow, OPERATOR)
    assert set((await money(desk)).values()) == {Decimal("0.01")}


async def test_a_lost_call_of_a_workflow_that_has_ended_is_found_too(desk: Desk) -> None:
    await desk.intend(type="content_planning")
    claimed = await desk.claim()
    await desk.accounts.reserve(claimed, CALL, "template_execution_started")
    await desk.approvals.cancel("creator", claimed.workflow, OPERATOR)
    await desk.time_passes(200)
    assert await desk.accounts.settle_lost() == 1
    assert await desk.accounts.settle_lost() == 0


async def test_usage_that_was_told_adds_up_to_the_table_to_the_last_digit(desk: Desk) -> None:
    for number, cost in enumerate(("0.0000001", "0.1234567890123", "0")):
        id = await desk.intend(f"i{number}", type="content_planning", creatorId=f"c{number % 2}")
        claimed = await desk.claim()
        call = Call("template", "m", Decimal(1), 10, "p")
        made = await desk.accounts.reserve(claimed, call, "template_execution_started")
        await desk.accounts.settle(id, made, spent(cost), "template_execution_completed")
        await desk.composing.fail(claimed, "done")
    told = sum(Decimal(one["cost"]) for one in await desk.told("llm-usage"))
    assert told == await desk.pool.fetchval("SELECT sum(cost) FROM usage")
    now = datetime.now(UTC)
    day = timedelta(days=1)
    costs = await desk.accounts.costs("c0", now - day, now + day)
    assert costs["total"][0].cost == Decimal("0.0000001")
    assert costs["type"][0].calls == 2
    assert costs["campaign"] == []
    campaign = b"c" * 16
    await desk.pool.execute("UPDATE workflow SET campaign = $1 WHERE creator_id = 'c1'", campaign)
    costs = await desk.accounts.costs("c1", now - day, now + day)
    (whole,) = costs["campaign"]
    assert (whole.name, whole.cost) == (campaign.hex(), costs["total"][0].cost)
    results = await desk.told("intent-results")
    assert sum(Decimal(one["costInfo"]["cost"]) for one in results) == told
