"""Real services for tests, and cheap isolation on top of them.

One Kafka, one PostgreSQL and one Valkey per test session, started on first use; or those of
`FANMEMORY_KAFKA_URL`, `FANMEMORY_POSTGRES_URL` and `FANMEMORY_REDIS_URL` when all three are set.
A test that kills services takes `own_services`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import redis.asyncio

from admin import topics
from infra.postgres import url_of
from infra.settings import Settings
from ops.secrets import make_secrets, with_secrets
from ops.services import EmbeddedServices, Endpoints, extra, postgres
from ops.system import environment
from stores import roles
from stores.migrate import migrate

SUPERUSER = "tests_superuser"
TEMPLATE_DATABASE = "fanmemory_template"
SESSION_SECONDS = 4.0
"""How long the partitions of a worker that a test killed stand still; other brokers than ours
allow 6 at the least, so with those the settings' own is kept."""


NO_POWER_LOSS = "fsync=off\nfull_page_writes=off\n"
"""Nobody pulls the plug of the shared services: a database of a test's own costs a sixth so, a
commit no wait. What a test kills, with `own_services`, keeps its promises as always."""


def others_run_them(settings: Settings) -> bool:
    """Whether the environment names services to be used instead of embedded ones."""
    return bool(settings.kafka_url and settings.postgres_url and settings.redis_url)


def session_endpoints(data: Path) -> Iterator[Endpoints]:
    """The session's services: the environment's, or embedded ones below `data`."""
    settings = Settings()
    if others_run_them(settings):
        yield Endpoints(settings.kafka_url, settings.postgres_url, settings.redis_url)
        return
    home = data / postgres.NAME
    home.mkdir(parents=True)
    (home / extra.FILE_NAME).write_text(NO_POWER_LOSS)
    with embedded(data) as services:
        yield services.endpoints


@contextmanager
def embedded(data: Path) -> Iterator[EmbeddedServices]:
    """Services on which the owner may make a database for each test; elsewhere it makes none."""
    with EmbeddedServices(data) as services:
        with ThreadPoolExecutor(1) as apart:  # from the loop of the tests
            apart.submit(asyncio.run, _prepare(services)).result()
        yield services


async def _prepare(services: EmbeddedServices) -> None:
    home = services.data / postgres.NAME
    url = postgres.superuser_url(services.endpoints.postgres_url, home)
    password = urlsplit(services.endpoints.postgres_owner_url).password
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER ROLE fanmemory_owner CREATEDB")
        await connection.execute("GRANT pg_signal_backend, pg_read_all_stats TO fanmemory_owner")
        await connection.execute(f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN PASSWORD '{password}'")
    finally:
        await connection.close()


def superuser_url(settings: Settings) -> str:
    """For what no role of ours may do; on others' servers the one URL has to be one's."""
    if not settings.postgres_owner_url:
        return settings.postgres_url
    return settings.postgres_owner_url.replace(roles.NAMES["owner"], SUPERUSER, 1)


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}")) if url else ""


def in_database(endpoints: Endpoints, name: str) -> Endpoints:
    """The same services, another database, for every role."""
    return replace(
        endpoints,
        postgres_url=with_database(endpoints.postgres_url, name),
        postgres_owner_url=with_database(endpoints.postgres_owner_url, name),
        postgres_reader_url=with_database(endpoints.postgres_reader_url, name),
    )


def on_database(settings: Settings, url: str) -> Settings:
    """The same system with the database of this URL."""
    name = urlsplit(url).path.removeprefix("/")
    roles = ("postgres_url", "postgres_owner_url", "postgres_reader_url")
    urls = {role: with_database(getattr(settings, role), name) for role in roles}
    return settings.model_copy(update=urls)


def as_one_role(settings: Settings) -> Settings:
    """The same with the owner for everything, as on a server without roles of ours."""
    one = url_of(settings, "owner")
    return settings.model_copy(
        update={"postgres_url": one, "postgres_owner_url": "", "postgres_reader_url": ""}
    )


def owner_url(endpoints: Endpoints) -> str:
    """Where databases are made and migrated."""
    return endpoints.postgres_owner_url or endpoints.postgres_url


async def make_template(endpoints: Endpoints) -> str:
    """Make a database with the whole schema, once per session, for `fresh_database` to copy."""
    connection = await asyncpg.connect(owner_url(endpoints))
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE_DATABASE}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{TEMPLATE_DATABASE}"')
    finally:
        await connection.close()
    await migrate(with_database(owner_url(endpoints), TEMPLATE_DATABASE))
    return TEMPLATE_DATABASE


@asynccontextmanager
async def fresh_database(endpoints: Endpoints, template: str) -> AsyncIterator[str]:
    """The owner's URL of a database that only this test knows; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(owner_url(endpoints))
    try:
        hurried = await connection.fetchval("SHOW fsync") == "off"
        strategy = "STRATEGY FILE_COPY" if hurried else ""
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {strategy}')
        yield with_database(owner_url(endpoints), name)
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
    """Settings of an empty system on shared services; `kafka` makes all topics anew (0.3 s).

    Of `postgres_url` the database's name counts: each role has a URL of its own.
    """
    own = Settings()
    if not others_run_them(own):
        own = own.model_copy(update={"session_seconds": SESSION_SECONDS})
    database = urlsplit(postgres_url).path.removeprefix("/")
    settings = with_new_secrets(own, data, in_database(endpoints, database))
    await flush_redis(endpoints)
    if kafka:
        await topics.recreate(settings)
    return settings
