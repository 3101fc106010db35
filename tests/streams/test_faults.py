"""Services killed while events flow: nothing is lost, nothing counts twice, the worker goes on."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from admin import topics
from infra.postgres import url_of
from infra.settings import Settings
from ops.services import EmbeddedServices
from schemas.errors import DatabaseUnavailable
from stores.migrate import migrate
from stores.reader import FanMemory
from tests.pipeline import Flow, Pipeline, Worker, fill, message, truth
from tests.services import with_new_secrets

GOES_ON_SECONDS_MAX = 30.0
"""From a service's return until new events are applied, on a machine that does other things too."""


@pytest.fixture(scope="module")
async def pipeline(
    own_services: EmbeddedServices, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """A system on services that may be killed, with one worker."""
    data: Path = tmp_path_factory.mktemp("faults")
    settings = with_new_secrets(Settings(), data, own_services.endpoints)
    await topics.create(settings)
    await migrate(url_of(settings, "owner"))
    made = Pipeline(settings, data)
    made.start_worker()
    try:
        await made.claimed()
        yield made
    finally:
        await made.end()


@pytest.fixture
def worker(pipeline: Pipeline) -> Worker:
    (one,) = pipeline.workers
    return one


@pytest.mark.parametrize("name", ["postgres", "valkey", "kafka"])
async def test_a_killed_service_costs_time_only(
    own_services: EmbeddedServices, pipeline: Pipeline, worker: Worker, name: str
) -> None:
    pid = worker.pid
    async with Flow(pipeline, name) as flow:
        await flow.more()
        own_services.kill(name, signal.SIGKILL)
        own_services.start_one(name)
        await flow.more(GOES_ON_SECONDS_MAX)
        await flow.more(GOES_ON_SECONDS_MAX)
    await flow.check()
    assert worker.alive
    assert worker.pid == pid


async def test_flushing_the_cache_costs_time_only(pipeline: Pipeline, worker: Worker) -> None:
    client = redis.asyncio.from_url(pipeline.settings.redis_url)
    async with pipeline.stores() as (cache, store), Flow(pipeline, "flush") as flow:
        await flow.more()
        await client.flushall()
        await client.execute_command("FUNCTION", "FLUSH")
        await flow.more(GOES_ON_SECONDS_MAX)

        async def cached_again() -> bool:
            """Fills are taken again once the worker has published its positions anew."""
            return await fill(cache, store, "creator", "flush-fan0")

        await pipeline.wait_for(cached_again)
    await client.aclose()
    await flow.check()
    async with pipeline.stores() as (cache, store):
        cached = await cache.read("creator", "flush-fan0")
        assert cached in (None, await truth(pipeline, store, "creator", "flush-fan0"))
    assert worker.alive


async def test_cached_memory_answers_while_postgres_is_down(
    own_services: EmbeddedServices, pipeline: Pipeline
) -> None:
    await pipeline.publish(message("warm", 1), message("cold", 1))
    await pipeline.caught_up()
    async with pipeline.stores() as (cache, store):
        memory = FanMemory(cache, store, pipeline.keyring, pipeline.settings)

        async def warmed() -> bool:
            await memory.context("creator", "warm")
            return await cache.read("creator", "warm") is not None

        await pipeline.wait_for(warmed)
        own_services.kill("postgres", signal.SIGKILL)
        try:
            context = await memory.context("creator", "warm")
            assert [one.id for one in context.recent_messages] == ["e1"]
            with pytest.raises(DatabaseUnavailable):
                await memory.context("creator", "cold")
        finally:
            await memory.close()
            own_services.start_one("postgres")
    async with Flow(pipeline, "after") as flow:
        await flow.more(GOES_ON_SECONDS_MAX)
    await flow.check()
