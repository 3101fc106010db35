"""Create and check the topics of `schemas.topics` on a cluster, embedded or not."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.kafka import (
    ConfigResource,
    ConfigResourceType,
    KafkaError,
    NewTopic,
    RecordsToDelete,
    TopicAlreadyExistsError,
    TopicPartition,
    admin,
    broker_errors,
    for_code,
    named,
    reading,
)
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, Misconfigured
from schemas.topics import INTERACTIONS, SEGMENTS, TOPICS, UNLIMITED, Topic

# The controller answers before every broker has heard of a change.
SETTLED_SECONDS_MAX = 15.0
CREATION_SECONDS_MAX = 5.0  # brokers that are just starting can't take replicas yet
POLL_SECONDS = 0.05
SET_OF_THE_TOPIC = 1
"""Kafka's DYNAMIC_TOPIC_CONFIG, as the source of a value."""
ADVISED = (
    "message.timestamp.type",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "segment.ms",
)
"""Without these a topic works, and loses more than it must when something goes wrong."""


@dataclass(frozen=True)
class Difference:
    """One way in which a topic of the cluster is not as `schemas.topics` has it."""

    topic: str
    what: str
    is_: str
    should_be: str
    advice: str


@dataclass(frozen=True)
class TopicState:
    """A topic as the cluster has it; `partitions` is 0 when it is missing."""

    topic: Topic
    partitions: int
    replicas: int
    differences: tuple[Difference, ...]


def named_topics(settings: Settings) -> tuple[Topic, ...]:
    """All topics, under the names that they have on the cluster."""
    return tuple(replace(topic, name=named(settings, topic.name)) for topic in TOPICS)


def partitions_of(topic: Topic, settings: Settings) -> int:
    """How many partitions the topic has to have."""
    return int(getattr(settings, topic.partitions))


def configuration(topic: Topic, replication_factor: int = 1) -> dict[str, str]:
    """The topic's own configuration, in Kafka's words.

    With fewer than two replicas in sync an acknowledged record may be on one disk alone, and an
    unclean election throws away what the others did not have: the log would go backwards.
    """
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": "-1",
        "max.message.bytes": str(topic.message_bytes_max),
        "message.timestamp.type": topic.timestamps,
        "min.insync.replicas": "2" if replication_factor >= 3 else "1",
        "unclean.leader.election.enable": "false",
    }
    if topic.retention_ms != UNLIMITED:
        # A segment is deleted when its newest record is old enough. At Kafka's 7 days for a segment
        # that would keep 3 days for 10; like this a record stays at most a part of its time longer.
        wanted["segment.ms"] = str(topic.retention_ms // SEGMENTS)
    return wanted


async def create(settings: Settings) -> list[str]:
    """Create the topics that are missing; returns their names. Never changes one that exists.

    What a former release did not set yet (`ADVISED`) is no reason to refuse an update: `check`
    names it, and `repair` sets it.

    Raises Misconfigured when an existing topic differs, BrokerUnavailable, or KafkaError.
    """
    async with admin(settings) as client:
        created = await _create(client, named_topics(settings), settings)
        states = await _settled(client, settings)
    differences = [
        difference
        for state in states
        for difference in state.differences
        if difference.what not in ADVISED
    ]
    if differences:
        first = differences[0]
        raise Misconfigured(
            f"Topic {first.topic}: {first.what} is {first.is_}, should be {first.should_be}.",
            hint=first.advice,
        )
    return created


async def check(settings: Settings) -> list[TopicState]:
    """Every topic as the cluster has it, with what differs."""
    async with admin(settings) as client:
        return await _states(client, settings)


async def repair(settings: Settings) -> list[Difference]:
    """Set what differs in the configuration of topics that exist; returns what was set.

    What else somebody has set of a topic stays. No partition count is changed, and nothing created.
    Raises Misconfigured when the cluster refuses, BrokerUnavailable.
    """
    async with admin(settings) as client:
        found = await _states(client, settings)
        differing = {
            state.topic: [one for one in state.differences if one.what in _settable(state.topic)]
            for state in found
        }
        own = await _own_configuration(client, [topic.name for topic, d in differing.items() if d])
        for topic, differences in differing.items():
            if not differences:
                continue
            # The only form that the client has replaces the whole configuration.
            wanted = own[topic.name] | configuration(topic, settings.replication_factor)
            resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, wanted)
            for response in await client.alter_configs([resource]):
                for code, message, *_ in response.resources:
                    if code:
                        raise Misconfigured(
                            f"Topic {topic.name} could not be changed:"
                            f" {message or for_code(code).__name__}",
                            hint="Check the rights of this client: it needs AlterConfigs.",
                        )
        await _as_wanted(client, settings)
    return [difference for differences in differing.values() for difference in differences]


def _settable(topic: Topic) -> set[str]:
    return set(configuration(topic))


async def _own_configuration(client: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What was set of each topic itself, and not of the cluster."""
    if not names:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    return {
        name: {
            entry[0]: entry[1] for entry in entries if entry[3] == SET_OF_THE_TOPIC and not entry[4]
        }
        for response in await client.describe_configs(wanted)
        for _, _, _, name, entries in response.resources
    }


async def _as_wanted(client: Any, settings: Settings) -> None:
    """Wait until every broker that is asked has heard of the change."""
    deadline = asyncio.get_running_loop().time() + SETTLED_SECONDS_MAX
    while any(
        difference.what in _settable(state.topic)
        for state in await _states(client, settings)
        for difference in state.differences
    ):
        if asyncio.get_running_loop().time() > deadline:
            raise BrokerUnavailable("The topics have not changed yet.")
        await asyncio.sleep(POLL_SECONDS)


async def trim(settings: Settings, nexts: Mapping[int, int]) -> dict[int, int]:
    """Delete of `interactions` what lies below these offsets, by partition, before its retention
    does; returns how many records that were. Raises `BrokerUnavailable`, or KafkaError.

    What is deleted can't be written again, should the journal lose its tail.
    """
    async with reading(settings) as consumer, admin(settings) as client:
        places = {TopicPartition(INTERACTIONS.name, p): next for p, next in nexts.items()}
        async with broker_errors():
            firsts = await consumer.beginning_offsets(list(places))
            ends = await consumer.end_offsets(list(places))
        wanted = {
            place: RecordsToDelete(before_offset=min(next, ends[place]))
            for place, next in places.items()
            if min(next, ends[place]) > firsts[place]
        }
        if wanted:
            name = named(settings, INTERACTIONS.name)
            await client.delete_records(
                {TopicPartition(name, place.partition): one for place, one in wanted.items()}
            )
    return {place.partition: one.before_offset - firsts[place] for place, one in wanted.items()}


async def recreate(settings: Settings) -> None:
    """Delete every topic of ours and create it again. Destroys the log: for tests and benches."""
    async with admin(settings) as client:
        ours = {topic.name for topic in named_topics(settings)}
        present = set(await client.list_topics()) & ours
        if present:
            response = await client.delete_topics(sorted(present))
            for _, code in response.topic_error_codes:
                if code:
                    raise for_code(code)
            await _gone(client, present)
        await _create(client, named_topics(settings), settings)
        await _settled(client, settings)


async def _gone(client: Any, names: set[str]) -> None:
    deadline = asyncio.get_running_loop().time() + SETTLED_SECONDS_MAX
    while names & set(await client.list_topics()):
        if asyncio.get_running_loop().time() > deadline:
            raise BrokerUnavailable("The topics were not deleted in time.")
        await asyncio.sleep(POLL_SECONDS)


async def _create(client: Any, topics: Sequence[Topic], settings: Settings) -> list[str]:
    """Ask for all of them: what exists answers so. Returns the names of the new ones."""
    deadline = asyncio.get_running_loop().time() + CREATION_SECONDS_MAX
    created = []
    wanted = {topic.name: topic for topic in topics}
    while wanted:
        response = await client.create_topics(
            [
                NewTopic(
                    name=topic.name,
                    num_partitions=partitions_of(topic, settings),
                    replication_factor=settings.replication_factor,
                    topic_configs=configuration(topic, settings.replication_factor),
                )
                for topic in wanted.values()
            ]
        )
        for name, code, *message in response.topic_errors:
            if code in (0, TopicAlreadyExistsError.errno):
                del wanted[name]
                created += [name] if code == 0 else []
            elif asyncio.get_running_loop().time() > deadline:
                raise _creation_error(name, code, message)
        if wanted:
            await asyncio.sleep(POLL_SECONDS)
    return created


def _creation_error(name: str, code: int, message: Sequence[str]) -> Exception:
    kind: type[KafkaError] = for_code(code)
    detail = message[0] if message and message[0] else kind.__name__
    return Misconfigured(
        f"Topic {name} could not be created: {detail}",
        hint="Check FANMEMORY_REPLICATION_FACTOR and the rights of this client.",
    )


async def _settled(client: Any, settings: Settings) -> list[TopicState]:
    """The states once every topic is visible with all its leaders."""
    deadline = asyncio.get_running_loop().time() + SETTLED_SECONDS_MAX
    names = {topic.name for topic in named_topics(settings)}
    while True:
        found = [
            topic
            for topic in await client.describe_topics(sorted(names))
            if topic["error_code"] == 0 and all(p["leader"] >= 0 for p in topic["partitions"])
        ]
        if len(found) == len(names):
            return await _states(client, settings)
        if asyncio.get_running_loop().time() > deadline:
            raise BrokerUnavailable("The topics have no leaders yet.")
        await asyncio.sleep(POLL_SECONDS)


async def _states(client: Any, settings: Settings) -> list[TopicState]:
    topics = named_topics(settings)
    present = set(await client.list_topics())
    names = [topic.name for topic in topics if topic.name in present]
    described = {}
    configured: dict[str, dict[str, str]] = {}
    if names:
        described = {topic["topic"]: topic for topic in await client.describe_topics(names)}
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        for response in await client.describe_configs(wanted):
            for _, _, _, name, entries in response.resources:
                configured[name] = {entry[0]: entry[1] for entry in entries}
    return [
        _state(topic, settings, described.get(topic.name), configured.get(topic.name, {}))
        for topic in topics
    ]


def _state(
    topic: Topic, settings: Settings, described: Any, configured: dict[str, str]
) -> TopicState:
    if described is None:
        missing = Difference(
            topic.name, "the topic", "missing", "there", "Run `fanmemory topics create`."
        )
        return TopicState(topic, 0, 0, (missing,))
    differences = []
    partitions = len(described["partitions"])
    should_be = partitions_of(topic, settings)
    if partitions != should_be:
        differences.append(
            Difference(
                topic.name, "partitions", str(partitions), str(should_be), _repartition(topic)
            )
        )
    differences += [
        Difference(
            topic.name, key, str(configured.get(key)), value, _reconfigure(topic, key, value)
        )
        for key, value in configuration(topic, settings.replication_factor).items()
        if configured.get(key) != value
    ]
    replicas = min((len(p["replicas"]) for p in described["partitions"]), default=0)
    return TopicState(topic, partitions, replicas, tuple(differences))


def _repartition(topic: Topic) -> str:
    return (
        "A live topic keeps its partition count: a key would move to another partition while its"
        " older records stay behind, and its order would be lost. Set"
        f" FANMEMORY_{topic.partitions.upper()} to what the topic has; to have more, build a new"
        " system with new topics and replay into it."
    )


def _reconfigure(topic: Topic, key: str, value: str) -> str:
    return (
        "Run `fanmemory topics repair`, or Kafka's own tool:"
        " `kafka-configs.sh --alter --entity-type topics"
        f" --entity-name {topic.name} --add-config {key}={value}`."
    )
