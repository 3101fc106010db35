"""The process of the agent: what it hears, and what becomes of it when a part of it ends."""

import asyncio

import pytest

from infra.postgres import connecting, new_pool
from infra.settings import Settings
from llm import agent as agent_module
from llm.agent import Agent
from tests.stores.workflows import Desk


async def test_what_becomes_due_is_heard_and_not_waited_for(
    store_settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "POLL_SECONDS", 3_600.0)
    agent = Agent(store_settings)
    running = asyncio.create_task(agent.run())
    pool = new_pool(store_settings.postgres_url, size_max=2)
    await pool
    desk = Desk(store_settings, pool)
    async with connecting(store_settings.postgres_url) as connection, asyncio.timeout(30):
        listening = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%notify%$1%'"
        while not await connection.fetchval(listening):
            await asyncio.sleep(0.05)
        made = await desk.intend(type="content_planning")
        while (await desk.row(made)).state != "completed":
            await asyncio.sleep(0.05)
    agent.stop()
    await running
    pool.terminate()


async def test_an_agent_that_lost_a_part_of_itself_ends_with_what_ended_it(
    store_settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Agent) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Agent, "_listen", broken)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(30):
            await Agent(store_settings).run()
