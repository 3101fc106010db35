"""Kafka, PostgreSQL and Valkey in containers of their official images, for tests of the stores.

With `--containers` they take the place of the embedded services, so that the same tests say whether
the stores hold on the servers that compose.yml runs.
"""

import asyncio
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from infra import kafka
from infra.postgres import UNAVAILABLE, connecting
from infra.redis import Redis
from infra.retry import Backoff, retried
from infra.settings import Settings
from ops.services import Endpoints
from ops.services.ports import free_port
from schemas.errors import BrokerUnavailable, CacheUnavailable
from tests.containers import images

READY_SECONDS_MAX = 120.0
NAME = "fanmemory"
NODE = {
    "NODE_ID": "1",
    "PROCESS_ROLES": "broker,controller",
    "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
    "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "LOG_DIRS": "/var/lib/kafka/data",
    "AUTO_CREATE_TOPICS_ENABLE": "false",
    "OFFSETS_TOPIC_NUM_PARTITIONS": "4",
    "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "HEAP_OPTS": "-Xms96m -Xmx512m",
}
INITDB = "--locale-provider=builtin --builtin-locale=C.UTF-8 --data-checksums"


def endpoints() -> Iterator[Endpoints]:
    """Addresses of three running containers, which are removed afterwards."""
    # It cleans up after a test run that was killed, but is an image of its own to be pulled.
    testcontainers_config.ryuk_disabled = True
    images.ensure(images.KAFKA, images.POSTGRES, images.VALKEY)
    with ExitStack() as running:
        database, password = _postgres()
        cache = DockerContainer(images.VALKEY).with_exposed_ports(6379)
        cache.with_command(f"valkey-server --requirepass {password} --save '' --appendonly no")
        for container in (database, cache):
            running.enter_context(container)
        # Where containers are found is known of a running one, and a broker has to say it itself.
        broker, broker_at = _kafka(database.get_container_host_ip())
        running.enter_context(broker)
        address = f"{NAME}:{password}@{_published(database, 5432)}"
        found = Endpoints(
            broker_at,
            f"postgresql://{address}/{NAME}",
            f"redis://:{password}@{_published(cache, 6379)}/0",
        )
        with ThreadPoolExecutor(1) as apart:  # from the event loop of the tests
            apart.submit(asyncio.run, _answers(found)).result()
        yield found


def _kafka(host: str) -> tuple[DockerContainer, str]:
    """Its port is the same inside and outside."""
    container = DockerContainer(images.KAFKA)
    port = free_port()
    at = f"{host}:{port}"
    listeners = {
        "LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://{at}",
    }
    for name, value in (NODE | listeners).items():
        container.with_env(f"KAFKA_{name}", value)
    return container.with_bind_ports(port, port), at


def _postgres() -> tuple[DockerContainer, str]:
    password = secrets.token_hex(16)
    container = DockerContainer(images.POSTGRES).with_exposed_ports(5432)
    container.with_env("POSTGRES_USER", NAME).with_env("POSTGRES_DB", NAME)
    container.with_env("POSTGRES_PASSWORD", password).with_env("POSTGRES_INITDB_ARGS", INITDB)
    return container, password


def _published(container: DockerContainer, port: int) -> str:
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"


async def _answers(at: Endpoints) -> None:
    """Raises what the last of them says when one does not answer in time."""
    settings = Settings().model_copy(update={"kafka_url": at.kafka})

    async def ask() -> None:
        async with connecting(at.postgres_url) as connection:
            await connection.execute("SELECT")
        cache = Redis(at.redis_url, timeout=1.0)
        try:
            await cache.call("PING")
        finally:
            await cache.close()
        async with kafka.admin(settings) as client:
            await client.describe_cluster()

    async with asyncio.timeout(READY_SECONDS_MAX):
        await retried(
            ask, Backoff(0.25, 1.0), on=(*UNAVAILABLE, BrokerUnavailable, CacheUnavailable)
        )
