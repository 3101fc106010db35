"""Past every bound in time: what retention, vacuum and checkpoints do by and by, done now.

Nothing is deleted here that would not go by itself: `interactions`, `intents` and `memory-updates`
are kept for a second instead of days, the tables are cleaned as a worker does after an erasure,
and the checkpoint that comes every quarter of an hour comes at once.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from infra.kafka import ConfigResource, ConfigResourceType, admin, for_code
from infra.postgres import connecting
from infra.settings import Settings
from ops.services import EmbeddedServices, postgres
from ops.services.extra import FILE_NAME
from schemas.errors import DeadlineExceeded
from schemas.topics import INTENTS, INTERACTIONS, MEMORY_UPDATES
from stores.cleaning import clean
from stores.vacuum import vacuum

PLAIN: Final = (INTERACTIONS.name, INTENTS.name, MEMORY_UPDATES.name)
"""Topics that hold fans in clear, for as long as they are kept."""
GONE_SECONDS_MAX: Final = 60.0
_LOOK_MS: Final = 500
_KEPT: Final = {"retention.ms": "1000", "segment.ms": "1000", "file.delete.delay.ms": "0"}


def prepare(data: Path) -> None:
    """Before the services start: a broker that looks for what is too old twice a second."""
    home = data / "kafka"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = f"log.retention.check.interval.ms={_LOOK_MS}\nlog.initial.task.delay.ms={_LOOK_MS}\n"
    (home / FILE_NAME).write_text(line)


async def move_past(settings: Settings, services: EmbeddedServices) -> None:
    """Raises `DeadlineExceeded` when what is to be gone does not go."""
    await _retain_nothing(settings)
    await _cleaned(settings, services)
    await _gone(services.data / "kafka" / "log")


async def written_out(settings: Settings, services: EmbeddedServices) -> None:
    """Until what Postgres holds in memory is in its files."""
    url = postgres.superuser_url(settings.postgres_url, services.data / postgres.NAME)
    async with connecting(url) as connection:
        await connection.execute("CHECKPOINT")


async def _cleaned(settings: Settings, services: EmbeddedServices) -> None:
    """Until the worker's own account of it is that Postgres' files are clean of every erasure."""
    deadline = time.monotonic() + GONE_SECONDS_MAX
    url = postgres.superuser_url(settings.postgres_url, services.data / postgres.NAME)
    async with connecting(url) as connection:
        newest = await connection.fetchval("SELECT max(completed_at) FROM erasure")
        while (done := (await clean(connection)).log) is None or done <= newest:
            if time.monotonic() > deadline:
                raise DeadlineExceeded("PostgreSQL's files are not cleaned.")
            await asyncio.sleep(_LOOK_MS / 1000)
            await vacuum(settings, every_seconds=0)
            await connection.execute("CHECKPOINT")


async def _retain_nothing(settings: Settings) -> None:
    async with admin(settings) as client:
        for name in PLAIN:
            resource = ConfigResource(ConfigResourceType.TOPIC, name, _KEPT)
            for response in await client.alter_configs([resource]):
                for code, *_ in response.resources:
                    if code:
                        raise for_code(code)


async def _gone(log: Path) -> None:
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while held := await asyncio.to_thread(_held, log):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"Kafka still holds {held} bytes of what it is not to keep.")
        await asyncio.sleep(_LOOK_MS / 1000)


def _held(log: Path) -> int:
    return sum(
        path.stat().st_size
        for name in PLAIN
        for folder in log.glob(f"{name}-[0-9]*")
        for path in folder.glob("*.log*")
    )
