"""Real services for tests, and cheap isolation on top of them.

One Kafka, one PostgreSQL and one Valkey per test session, started on first use; or those of
`FANMEMORY_KAFKA_URL`, `FANMEMORY_POSTGRES_URL` and `FANMEMORY_REDIS_URL` when all three are set.
A test that kills services takes `own_services`.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import redis.asyncio

from admin import topics
from infra.settings import Settings
from ops.secrets import make_secrets, with_secrets
from ops.services import EmbeddedServices, Endpoints
from ops.system import environment
from stores.migrate import migrate

TEMPLATE_DATABASE = "fanmemory_template"
SESSION_SECONDS = 4.0
"""How long the partitions of a worker that a test killed stand still; other brokers than ours
allow 6 at the least, so with those the settings' own is kept."""


def others_run_them(settings: Settings) -> bool:
    """Whether the environment names services to be used instead of embedded ones."""
    return bool(settings.kafka_url and settings.postgres_url and settings.redis_url)


def session_endpoints(data: Path) -> Iterator[Endpoints]:
    """The session's services: the environment's, or embedded ones below `data`."""
    settings = Settings()
    if others_run_them(settings):
        yield Endpoints(settings.kafka_url, settings.postgres_url, settings.redis_url)
        return
    with EmbeddedServices(data) as services:
        yield services.endpoints


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def make_template(endpoints: Endpoints) -> str:
    """Make a database with the whole schema, once per session, for `fresh_database` to copy."""
    connection = await asyncpg.connect(endpoints.postgres_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE_DATABASE}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{TEMPLATE_DATABASE}"')
    finally:
        await connection.close()
    await migrate(with_database(endpoints.postgres_url, TEMPLATE_DATABASE))
    return TEMPLATE_DATABASE


@asynccontextmanager
async def fresh_database(endpoints: Endpoints, template: str) -> AsyncIterator[str]:
    """The URL of a database that only this test knows; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(endpoints.postgres_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield with_database(endpoints.postgres_url, name)
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def flush_redis(endpoints: Endpoints) -> None:
    """Empty the cache."""
    client = redis.asyncio.from_url(endpoints.redis_url)
    try:
        await client.flushall()
    finally:
        await client.aclose()


def kafka_variables(settings: Settings) -> dict[str, str]:
    """The variables from which a process knows how to reach this Kafka."""
    given = environment(settings)
    return {name: text for name, text in given.items() if name.startswith("FANMEMORY_KAFKA_")}


def with_new_secrets(settings: Settings, data: Path, endpoints: Endpoints) -> Settings:
    """Settings of services that a test runs, with secrets that `data` keeps."""
    located = settings.model_copy(update={"postgres_url": endpoints.postgres_url})
    # A test asks as one user, as fast as it can, and a busy machine is no slow cache; tests of
    # the limits and of overtaking set their own.
    located = located.model_copy(
        update={
            "user_requests_per_minute": 0,
            "creator_requests_per_minute": 0,
            "cache_overtaken_seconds": 5.0,
        }
    )
    make_secrets(located, data)
    return with_secrets(located, data, endpoints)


async def fresh_settings(
    endpoints: Endpoints, postgres_url: str, data: Path, *, kafka: bool
) -> Settings:
    """Settings of an empty system on shared services; `kafka` makes all topics anew (0.3 s)."""
    own = Settings()
    if not others_run_them(own):
        own = own.model_copy(update={"session_seconds": SESSION_SECONDS})
    settings = with_new_secrets(own, data, replace(endpoints, postgres_url=postgres_url))
    await flush_redis(endpoints)
    if kafka:
        await topics.recreate(settings)
    return settings
