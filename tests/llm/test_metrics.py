"""What the agent tells Prometheus: calls as they end, and what waits, from Postgres."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast

import pytest

from infra.metrics import render
from infra.postgres import new_pool
from infra.settings import Settings
from llm.agent import Agent
from llm.metrics import OUTCOMES, AgentMetrics
from llm.prompts import VERSIONS
from ops.services.ports import free_port
from schemas.usage import Usage
from stores.workflows.usage import Spent
from tests.numbers import Numbers, scrape
from tests.stores.workflows import Desk

PROMPT = VERSIONS["message_generation"]


def spent(cost: str = "0.01", *, unknown: bool = False) -> Spent:
    return Spent(Usage(input=80, output=20), Decimal(cost), "m", "", 1_500, "1", unknown)


def told(metrics: AgentMetrics) -> Numbers:
    return Numbers(render(metrics.registry).decode())


def test_calls_are_counted_by_how_they_ended_and_retries_by_whether_they_helped() -> None:
    metrics = AgentMetrics(("openai",))
    assert told(metrics).sum("memory_llm_calls_total") == 0
    assert len([s for s in told(metrics).samples if s.name == "memory_llm_calls_total"]) == 4 * len(
        OUTCOMES
    )
    for outcome, again in (
        ("timeout", False),
        ("rate_limit", True),
        ("answered", True),
        ("content_filter", False),
        ("shared", False),
    ):
        metrics.called("message_generation", "openai", PROMPT, outcome, spent(), again=again)
    metrics.called(
        "message_generation", "openai", PROMPT, "timeout", spent(unknown=True), again=False
    )
    metrics.refused("content_planning")
    found = told(metrics)
    assert found.sum("memory_llm_calls_total", outcome="timeout") == 2
    assert found.sum("memory_llm_calls_total", outcome="shared") == 1
    assert found.sum("memory_llm_retries_total", helped="yes") == 1
    assert found.sum("memory_llm_retries_total", helped="no") == 1
    assert found.sum("memory_llm_filtered_total", prompt=PROMPT) == 1
    assert found.sum("memory_llm_unknown_costs_total") == 1
    assert found.sum("memory_llm_call_seconds_count") == 5  # another's call is not one more
    assert found.sum("memory_llm_tokens_total", direction="output") == 100
    assert found.sum("memory_llm_cost_dollars_total") == pytest.approx(0.05)
    assert found.sum("memory_budget_refusals_total", type="content_planning") == 1


@pytest.fixture
async def desk(store_settings: Settings) -> AsyncIterator[Desk]:
    pool = new_pool(store_settings.postgres_url, size_max=2)
    await pool
    yield Desk(store_settings, pool)
    pool.terminate()


async def test_an_agent_tells_what_it_did_what_waits_and_what_is_spent(
    store_settings: Settings, redis_url: str, desk: Desk
) -> None:
    port = free_port()
    settings = store_settings.model_copy(update={"metrics_port": port})
    agent = Agent(settings)
    running = asyncio.create_task(agent.run())
    try:
        made = await desk.intend(type="content_planning")
        async with asyncio.timeout(60):
            while (await desk.row(made)).state != "completed":
                await asyncio.sleep(0.05)
        found = await scrape(port)
        answered = {"provider": "template", "type": "content_planning", "outcome": "answered"}
        assert found.sum("memory_llm_calls_total", **answered) == 1
        assert found.sum("memory_llm_call_seconds_count", provider="template") == 1
        assert found.sum("memory_budgets_warned") == 0
        assert len([s for s in found.samples if s.name == "memory_budgets_warned"]) == 4
        closed = {"breaker": "provider-template", "state": "closed"}
        assert found.sum("memory_circuit_breaker_state", **closed) == 1
        assert found.sum("memory_provider_parked", provider="template") == 0

        fetched = desk.pool.execute
        await fetched("UPDATE budget SET warned = true WHERE scope = 'user' AND period = 'day'")
        await fetched("UPDATE budget SET starts = starts - 40 WHERE scope = 'creator'")
        await fetched(
            "UPDATE workflow SET state = 'awaiting_approval', due = NULL,"
            " changed_at = now() - interval '1 hour' WHERE workflow = $1",
            made,
        )
        found = await scrape(port)
        assert found.sum("memory_budgets_warned", scope="user", period="day") == 1
        assert found.sum("memory_budgets_warned") == 1
        assert found.sum("memory_workflows", state="awaiting_approval") == 1
        oldest = found.sum("memory_workflows_oldest_seconds", state="awaiting_approval")
        assert 3_600 <= oldest < 3_900
        assert found.sum("memory_campaigns") == 0
        await fetched(
            "INSERT INTO campaign (campaign, creator_id, user_id, state, reason, due, leased, send,"
            " per_minute, members, made, erased, dropped) VALUES"
            " (gen_random_uuid(), 'creator', 'operator', 'paused', 'budget', NULL, false, true,"
            "  60, 10, 4, 1, 0),"
            " (gen_random_uuid(), 'creator', 'operator', 'ended', NULL, NULL, false, true,"
            "  60, 9, 0, 0, 0)"
        )
        found = await scrape(port)
        assert found.sum("memory_campaigns") == 1
        assert found.sum("memory_campaigns", state="paused", reason="budget") == 1
        assert found.sum("memory_campaigns_waiting_members") == 5
        assert found.sum("memory_campaigns_overdue_seconds") == 0
        for secret in ("creator", "operator"):
            assert f'"{secret}"' not in found.text.replace('scope="creator"', "")
    finally:
        agent.stop()
        await running


async def test_without_the_database_what_the_process_knows_is_told_all_the_same() -> None:
    class Gone:
        async def waiting(self) -> None:
            raise TimeoutError

    metrics = AgentMetrics(("template",))
    exposition = metrics.exposition(
        Settings(metrics_port=free_port()), cast("Any", None), cast("Any", Gone()), dict, ""
    )
    await exposition.open()
    found = await scrape(exposition.port)
    await exposition.close()
    assert "memory_llm_calls_total" in found.names
    assert not [sample for sample in found.samples if sample.name == "memory_workflows"]
