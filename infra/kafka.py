"""Kafka: the one place that makes clients, so that TLS and SASL are said once.

    async with admin(settings) as client: ...
    async with reading(settings, "journal") as consumer: ...

`producer` and `reader` are for those who keep a client for long and connect it again themselves.
What a client raises is translated by `broker_errors`. Nobody else imports aiokafka, but for
`streams.transport`, which stands inside Faust's driver.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import ConnectionGroup
from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CorruptRecordException,
    DuplicateSequenceNumber,
    IllegalStateError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.record.memory_records import MemoryRecords

from infra import kafka_connections, tls
from infra.kafka_names import NamedProducer, NamedReader
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, FanMemoryError, Misconfigured

__all__ = [
    "ERRORS",
    "FORGOTTEN",
    "ClusterAuthorizationFailedError",
    "ConfigResource",
    "ConfigResourceType",
    "CorruptRecordException",
    "IllegalStateError",
    "InvalidTimestampError",
    "InvalidTopicError",
    "KafkaConnectionError",
    "KafkaError",
    "Link",
    "MemoryRecords",
    "MessageSizeTooLargeError",
    "NewTopic",
    "OffsetOutOfRangeError",
    "RecordListTooLargeError",
    "RecordsToDelete",
    "TopicAlreadyExistsError",
    "TopicAuthorizationFailedError",
    "TopicPartition",
    "UnknownTopicOrPartitionError",
    "admin",
    "broker_errors",
    "client_options",
    "connect",
    "disconnect",
    "faust_options",
    "for_code",
    "group",
    "link",
    "link_leaders",
    "named",
    "partition_of",
    "producer",
    "reader",
    "reading",
    "relationship_key",
]

kafka_connections.mend()

ERRORS: Final = (KafkaError, OSError, TimeoutError)
"""What a client raises while the brokers are away or say no."""
FORGOTTEN: Final = (
    DuplicateSequenceNumber,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    UnknownProducerId,
)
"""The broker's log does not continue what it has had of an idempotent producer, as after it was
cut: a new producer goes on."""
START_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 2.0
LINK_SECONDS_MAX: Final = 3.0
ADMIN_MS_MAX: Final = 15_000
DIAGNOSIS_MS_MAX: Final = 3_000
KNOWN_END_WAIT_MS: Final = 10
"""The `fetch_max_wait_ms` of who reads to ends that it knows. The brokers answer one fetch at a
time: that of partitions without more to give holds up the next, by half a second if not told."""

logging.getLogger("aiokafka.conn").addFilter(
    # At every connection, of what the settings say: PLAIN without TLS, as on a loopback port.
    lambda record: record.msg != "Sending username and password in the clear"
)

GROUP: Final = "fanmemory"
PREFIX: Final = "FANMEMORY_KAFKA"
SERVER: Final = "Kafka"
SWITCH: Final = f"{PREFIX}_SECURITY"


def client_options(settings: Settings) -> dict[str, Any]:
    """What every client is told: where the brokers are, and how they let us in.

    Raises `Misconfigured` for a file that can't be used or a user without a name.
    """
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka_url} | _security(settings)
    return options


def _security(settings: Settings) -> dict[str, Any]:
    protocol = settings.kafka_security
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = tls.client_context(
            tls.Files(
                PREFIX,
                settings.kafka_ca_file,
                settings.kafka_cert_file,
                settings.kafka_key_file,
                settings.kafka_key_password.get_secret_value(),
            )
        )
    if protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
        if not settings.kafka_user:
            raise Misconfigured(
                f"{SWITCH} is {protocol}, and {PREFIX}_USER is empty.",
                hint=f"Set {PREFIX}_USER, and {PREFIX}_PASSWORD or {PREFIX}_PASSWORD_FILE.",
            )
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


def faust_options(settings: Settings, scheme: str) -> dict[str, Any]:
    """The same for a Faust app, whose transport is chosen by the scheme of its URLs."""
    import faust  # half a second, which only a worker has to spend

    servers = settings.kafka_url.split(",")
    options: dict[str, Any] = {"broker": [f"{scheme}://{server.strip()}" for server in servers]}
    security = _security(settings)
    context = security.get("ssl_context")
    if "sasl_mechanism" in security:
        options["broker_credentials"] = faust.SASLCredentials(
            username=security["sasl_plain_username"],
            password=security["sasl_plain_password"],
            mechanism=security["sasl_mechanism"],
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = faust.SSLCredentials(context)
    return options


def named(settings: Settings, topic: str) -> str:
    """What the cluster calls a topic of ours."""
    return settings.kafka_topic_prefix + topic


def group(settings: Settings) -> str:
    """The consumer group of the workers: systems that share a cluster must not share it."""
    return settings.kafka_group or named(settings, GROUP)


def producer(settings: Settings, **options: Any) -> Any:
    """A producer, not yet connected: idempotent, acknowledged by all in-sync replicas."""
    client = AIOKafkaProducer(
        **client_options(settings), **{"acks": "all", "enable_idempotence": True} | options
    )
    prefix = settings.kafka_topic_prefix
    return NamedProducer(client, prefix) if prefix else client


def reader(settings: Settings, *topics: str, **options: Any) -> Any:
    """A consumer of no group, not yet connected: it commits nothing and causes no rebalance."""
    chosen = {"group_id": None, "enable_auto_commit": False} | options
    there = [named(settings, topic) for topic in topics]
    client = AIOKafkaConsumer(*there, **client_options(settings), **chosen)
    prefix = settings.kafka_topic_prefix
    return NamedReader(client, prefix) if prefix else client


@asynccontextmanager
async def reading(
    settings: Settings, *topics: str, seconds_max: float = START_SECONDS_MAX, **options: Any
) -> AsyncIterator[Any]:
    """A connected `reader`; raises `BrokerUnavailable`, or `Misconfigured` when it is refused."""
    consumer = reader(settings, *topics, **options)
    try:
        await connect(consumer, seconds_max)
    except BrokerUnavailable as error:
        raise await _explained(settings, error) from error
    try:
        yield consumer
    finally:
        await disconnect(consumer)


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[Any]:
    """A connected admin client; raises `BrokerUnavailable`, `Misconfigured` when it is refused."""
    client = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=ADMIN_MS_MAX)
    try:
        await client.start()
        yield client
    except (KafkaConnectionError, OSError) as error:
        raise await _explained(settings, error) from error
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka answers {type(error).__name__}.") from error
    finally:
        await client.close()


async def connect(client: Any, seconds_max: float = START_SECONDS_MAX) -> None:
    """Start a producer or reader; when that fails nothing of it is left. `BrokerUnavailable`."""
    try:
        async with broker_errors(), asyncio.timeout(seconds_max):
            await client.start()
            # Its tasks must have begun: stopping cancels them, and one that never ran, us with it.
            await asyncio.sleep(0)
    except BaseException:
        await disconnect(client)
        raise


async def disconnect(client: Any, seconds_max: float = STOP_SECONDS_MAX) -> bool:
    """Let go of a client that may be unable to deliver what it holds; whether it went quietly."""
    with contextlib.suppress(*ERRORS):
        async with asyncio.timeout(seconds_max):
            await client.stop()
        return True
    return False


class Link(NamedTuple):
    """How a client reaches a partition's leader: as long as that stays the same, the partition's
    log can't have lost what the leader once had, because a broker loses it only by its end."""

    leader: int | None
    connection: Any
    """None: not connected."""


def link(client: Any, topic: str, partition: int) -> Link:
    """By which link what came last from, or went to, this partition has come or gone."""
    leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
    connection = client._conns.get((leader, ConnectionGroup.DEFAULT))
    alive = connection is not None and connection.connected()
    return Link(leader, connection if alive else None)


async def link_leaders(client: Any, topic: str, partitions: Iterable[int]) -> None:
    """Connect to the leaders of these partitions, where that is possible now."""
    leaders = {
        client.cluster.leader_for_partition(TopicPartition(topic, partition))
        for partition in partitions
    }
    with contextlib.suppress(*ERRORS):
        async with asyncio.timeout(LINK_SECONDS_MAX):
            for leader in leaders - {None, -1}:
                await client.ready(leader)


@asynccontextmanager
async def broker_errors() -> AsyncIterator[None]:
    """Say `BrokerUnavailable` for whatever a client raises while the brokers don't do as asked."""
    try:
        yield
    except ERRORS as error:
        raise BrokerUnavailable from error


def partition_of(key: bytes, partitions: int) -> int:
    """As Kafka's default partitioner (murmur2, made positive): consumers may rely on it."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: bytes) -> int:
    """As aiokafka's, which goes byte by byte and takes 2.5 times as long: each update needs one."""
    whole = len(key) // 4
    hash = 0x9747B28C ^ len(key)
    for word in struct.unpack_from(f"<{whole}I", key):
        word = word * 0x5BD1E995 & 0xFFFFFFFF
        hash = (hash * 0x5BD1E995 & 0xFFFFFFFF) ^ ((word ^ word >> 24) * 0x5BD1E995 & 0xFFFFFFFF)
    if rest := key[4 * whole :]:
        hash = (hash ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    hash = (hash ^ hash >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return hash ^ hash >> 15


def relationship_key(creator_id: str, fan_id: str) -> bytes:
    """The key of a relationship's records on topics that other services read and write."""
    return f"{creator_id}:{fan_id}".encode()


def refusal(error: BaseException) -> Misconfigured | None:
    """What it means when a broker answers but does not let us in; None for anything else."""
    for cause in tls.causes(error):
        name = type(cause).__name__
        if name in ("SaslAuthenticationFailed", "AuthenticationFailedError"):
            return Misconfigured(
                f"Kafka refused the user of {PREFIX}_USER, or the password.",
                hint=f"Check {PREFIX}_USER, {PREFIX}_PASSWORD (or _PASSWORD_FILE) and"
                f" {PREFIX}_SASL_MECHANISM: a SCRAM user is made for one mechanism.",
            )
        if name in ("UnsupportedSaslMechanismError", "IllegalSaslStateError"):
            return Misconfigured(
                f"Kafka does not take {PREFIX}_SASL_MECHANISM at this address.",
                hint=f"Set {PREFIX}_SASL_MECHANISM to one that the listener offers.",
            )
        found = tls.refusal(cause, PREFIX, SERVER, SWITCH)
        if found is not None:
            return found
    return None


async def _explained(settings: Settings, error: BaseException) -> FanMemoryError:
    """Why no broker lets us in. aiokafka keeps that to its log: one connection is made to see."""
    answered = ""
    for server in settings.kafka_url.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal():
            return Misconfigured(
                f"{PREFIX}_URL is no list of host:port.", hint="For example broker-1:9092."
            )
        try:
            connection = await create_conn(
                host, int(port), request_timeout_ms=DIAGNOSIS_MS_MAX, **_security(settings)
            )
        except (ConnectionRefusedError, TimeoutError, socket.gaierror):
            continue
        except ERRORS as seen:
            refused = refusal(seen)
            if refused is not None:
                return refused
        else:
            connection.close()
        answered = server.strip()
    if not answered:
        return BrokerUnavailable(f"No Kafka broker answers at {settings.kafka_url}.")
    # Also what a broker does that is just stopping: so this is no reason not to start.
    return BrokerUnavailable(
        f"What listens at {answered} closes the connection.",
        hint=f"Check that {SWITCH}, now {settings.kafka_security}, is what this port speaks.",
    )
