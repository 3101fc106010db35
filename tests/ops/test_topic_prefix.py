"""A shared cluster: every topic under a prefix, and nothing of ours beside them."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from admin import topics
from admin.accounting import wait_until_folded
from admin.dead_letters import read_newest
from admin.log_state import ahead
from admin.rebuild import rebuild
from admin.verify import verify
from infra.kafka import client_options, group, named
from infra.postgres import connecting
from infra.settings import Settings
from ops.services import Endpoints
from schemas.topics import INTERACTIONS, TOPICS
from tests import services as helpers
from tests.live import CREATOR, PATIENT, Live, api_process
from tests.pipeline import Pipeline, message

PREFIX = "team-a.fans_"
FAN = "fan_1"


@pytest.fixture
async def live(services: Endpoints, template_database: str, tmp_path: Path) -> AsyncIterator[Live]:
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, tmp_path, kafka=True)
        settings = settings.model_copy(update=PATIENT | {"kafka_topic_prefix": PREFIX})
        await topics.create(settings)
        pipeline = Pipeline(settings, tmp_path)
        try:
            pipeline.start_worker()
            await pipeline.claimed()
            await pipeline.vouched()
            async with api_process(settings, tmp_path) as url:
                yield Live(url, pipeline)
        finally:
            await pipeline.end()
            async with kafka_admin(settings) as client:
                await client.delete_topics([named(settings, topic.name) for topic in TOPICS])


@contextlib.asynccontextmanager
async def kafka_admin(settings: Settings) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(**client_options(settings))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def test_all_of_it_works_under_a_prefix_and_beside_it_nothing_is_written(live: Live) -> None:
    pipeline = live.pipeline
    settings = pipeline.settings
    headers = {"Authorization": f"Bearer {live.token()}"}
    about = {"creatorId": CREATOR, "fanId": FAN}
    async with aiohttp.ClientSession(f"{live.url}/api/of-memory/", headers=headers) as api:
        # Over HTTP, and by a producer; positions have the names that everybody knows.
        sent = message(FAN, 1) | about
        async with api.post("interaction", json=sent) as answer:
            position = (await answer.json())["position"]
        assert position.startswith(f"{INTERACTIONS.name}-")
        await pipeline.publish(message(FAN, 2) | about, message(FAN, 3) | about | {"type": "odd"})
        async with api.get("context", params=about | {"minPosition": position}) as answer:
            assert answer.status == 200
            version = (await answer.json())["data"]["version"]
        assert version.startswith("journal-")
        async with pipeline.stores() as (_, store):
            account = await wait_until_folded(store, settings, 3, 30)
        assert (account.applied, account.dead_letters) == (2, 1)

        # What looks at the logs.
        (letter,), held = await read_newest(settings, 10)
        assert (letter.field, held) == ("type", 1)
        async with connecting(settings.postgres_url) as connection:
            assert await ahead(connection, settings) == {}
        for state in await topics.check(settings):
            assert state.topic.name.startswith(PREFIX)
            assert not state.differences
        assert (await rebuild(settings, processes=1)).records == 2
        assert (await verify(settings, processes=1)).found == 0
        assert sum((await topics.trim(settings, {0: 1, 1: 1, 2: 1, 3: 1})).values()) > 0

        # What tells: updates as a stream, and an erasure, which is done when all topics have it.
        async with api.get("stream", params=about) as stream:
            async with api.delete("clear", params=about) as answer:
                assert answer.status in (200, 202)
            async for line in stream.content:
                if line.startswith(b"event: erased"):
                    break

    assert await pipeline.ends(INTERACTIONS.name)
    beside = Pipeline(settings.model_copy(update={"kafka_topic_prefix": ""}), pipeline.logs)
    for topic in TOPICS:
        assert not any((await beside.ends(topic.name)).values()), topic.name
    async with kafka_admin(settings) as client:
        groups = [name for name, _ in await client.list_consumer_groups()]
    assert group(settings) == f"{PREFIX}fanmemory"
    assert group(settings) in groups
    assert group(settings.model_copy(update={"kafka_group": "ours"})) == "ours"


@pytest.mark.parametrize("wrong", ["team a", "team/", "é", "x" * 101])
def test_a_prefix_that_kafka_would_refuse_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match="kafka_topic_prefix"):
        Settings(kafka_topic_prefix=wrong)
