"""Creating and checking topics on the real broker."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from admin import topics
from infra import kafka
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, Misconfigured
from schemas.topics import INTERACTIONS, JOURNAL, TOPICS, UNLIMITED

NAMES = [topic.name for topic in TOPICS]


async def delete(settings: Settings, names: list[str]) -> None:
    """Delete topics and wait until the broker has forgotten them."""
    async with kafka.admin(settings) as client:
        await client.delete_topics(names)
        async with asyncio.timeout(10):
            while set(names) & set(await client.list_topics()):
                await asyncio.sleep(0.02)


async def test_topics_are_as_the_table_has_them_after_creation(settings: Settings) -> None:
    states = await topics.check(settings)
    assert [state.topic for state in states] == list(TOPICS)
    assert all(state.differences == () for state in states)
    assert all(state.partitions == 4 and state.replicas == 1 for state in states)


async def test_creating_again_creates_nothing(settings: Settings) -> None:
    assert await topics.create(settings) == []


async def test_two_that_create_at_once_both_succeed(settings: Settings) -> None:
    await delete(settings, NAMES)
    created = await asyncio.gather(*(topics.create(settings) for _ in range(4)))
    assert set().union(*created) == set(NAMES)
    assert all(state.differences == () for state in await topics.check(settings))


async def test_what_is_missing_is_said_and_only_that_is_created(settings: Settings) -> None:
    await delete(settings, [JOURNAL.name])
    missing = [state for state in await topics.check(settings) if state.differences]
    assert [(state.topic, state.differences[0].is_) for state in missing] == [(JOURNAL, "missing")]
    assert await topics.create(settings) == [JOURNAL.name]


async def test_another_partition_count_of_a_live_topic_is_refused_with_the_reason(
    settings: Settings,
) -> None:
    wanted = settings.model_copy(update={"journal_partitions": 6})
    with pytest.raises(Misconfigured, match="partitions is 4, should be 6") as caught:
        await topics.create(wanted)
    assert "FANMEMORY_JOURNAL_PARTITIONS" in caught.value.advice
    (difference,) = [d for state in await topics.check(wanted) for d in state.differences]
    assert (difference.topic, difference.what) == (JOURNAL.name, "partitions")
    assert all(state.partitions == 4 for state in await topics.check(settings))


async def test_a_journal_that_would_forget_is_refused(settings: Settings) -> None:
    async with kafka.admin(settings) as client:
        await client.alter_configs(
            [
                ConfigResource(
                    ConfigResourceType.TOPIC,
                    JOURNAL.name,
                    topics.configuration(JOURNAL) | {"retention.ms": "1000"},
                )
            ]
        )
    async with asyncio.timeout(10):
        while not [d for state in await topics.check(settings) for d in state.differences]:
            await asyncio.sleep(0.02)
    with pytest.raises(Misconfigured, match=f"retention.ms is 1000, should be {UNLIMITED}"):
        await topics.create(settings)


async def test_topics_of_a_former_release_are_repaired_and_nothing_else_is_changed(
    settings: Settings,
) -> None:
    old = {"retention.ms": "604800000", "cleanup.policy": "compact", "segment.bytes": "1048576"}
    async with kafka.admin(settings) as client:
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, INTERACTIONS.name, old)]
        )
    async with asyncio.timeout(30):
        while not [d for state in await topics.check(settings) for d in state.differences]:
            await asyncio.sleep(0.02)
    with pytest.raises(Misconfigured) as caught:
        await topics.create(settings)
    assert "`fanmemory topics repair`" in caught.value.advice
    repaired = await topics.repair(settings)
    assert {"retention.ms", "cleanup.policy", "message.timestamp.type", "segment.ms"} <= {
        one.what for one in repaired
    }
    assert {one.topic for one in repaired} == {INTERACTIONS.name}
    assert all(state.differences == () for state in await topics.check(settings))
    async with kafka.admin(settings) as client:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, INTERACTIONS.name)]
        (response,) = await client.describe_configs(wanted)
    found = {entry[0]: entry[1] for entry in response.resources[0][4]}
    assert found["segment.bytes"] == "1048576"
    assert await topics.repair(settings) == []


async def test_what_former_releases_did_not_set_stops_no_update_and_is_repaired(
    settings: Settings,
) -> None:
    lacking = {
        key: value
        for key, value in topics.configuration(INTERACTIONS).items()
        if key not in topics.ADVISED
    }
    async with kafka.admin(settings) as client:
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, INTERACTIONS.name, lacking)]
        )
    async with asyncio.timeout(30):
        while not [d for state in await topics.check(settings) for d in state.differences]:
            await asyncio.sleep(0.02)
    assert await topics.create(settings) == []
    assert {one.what for one in await topics.repair(settings)} <= set(topics.ADVISED)
    assert all(state.differences == () for state in await topics.check(settings))


async def test_a_partition_count_is_left_by_a_repair(settings: Settings) -> None:
    wanted = settings.model_copy(update={"journal_partitions": 6})
    assert await topics.repair(wanted) == []
    assert [state.partitions for state in await topics.check(settings)] == [4] * len(TOPICS)


async def test_recreating_empties_every_topic(settings: Settings) -> None:
    producer = AIOKafkaProducer(**kafka.client_options(settings), acks="all")
    await producer.start()
    await producer.send_and_wait(JOURNAL.name, b"old", partition=0)
    await producer.stop()
    await topics.recreate(settings)
    producer = AIOKafkaProducer(**kafka.client_options(settings), acks="all")
    await producer.start()
    assert (await producer.send_and_wait(JOURNAL.name, b"new", partition=0)).offset == 0
    await producer.stop()


async def test_topics_of_others_are_left_alone(settings: Settings) -> None:
    async with kafka.admin(settings) as client:
        await client.create_topics([NewTopic("somebody-elses", 1, 1)])
    await topics.recreate(settings)
    async with kafka.admin(settings) as client:
        assert "somebody-elses" in await client.list_topics()
        await client.delete_topics(["somebody-elses"])


async def test_too_few_brokers_for_the_replicas_is_said(settings: Settings) -> None:
    await delete(settings, NAMES)
    with pytest.raises(Misconfigured, match="could not be created") as caught:
        await topics.create(settings.model_copy(update={"replication_factor": 3}))
    assert "FANMEMORY_REPLICATION_FACTOR" in caught.value.advice


async def test_no_broker_is_said_without_a_long_wait() -> None:
    async with asyncio.timeout(30):
        with pytest.raises(BrokerUnavailable):
            await topics.check(Settings(kafka_url="127.0.0.1:9"))


def test_an_acknowledged_record_is_on_two_disks_where_there_are_three_replicas() -> None:
    assert topics.configuration(JOURNAL, 3)["min.insync.replicas"] == "2"
    assert topics.configuration(JOURNAL, 2)["min.insync.replicas"] == "1"
    assert topics.configuration(JOURNAL, 1)["unclean.leader.election.enable"] == "false"


def test_three_days_are_three_days() -> None:
    """By Kafka's clock, and in segments that are much shorter."""
    wanted = topics.configuration(INTERACTIONS)
    assert wanted["message.timestamp.type"] == "LogAppendTime"
    assert int(wanted["segment.ms"]) * 24 == int(wanted["retention.ms"])
    assert "segment.ms" not in topics.configuration(JOURNAL)
