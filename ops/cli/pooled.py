"""What a command asks Postgres, on a few connections that it opens for that."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from infra import migrations
from infra.postgres import Pool, database_errors, open_pool
from infra.settings import Settings
from ops.secrets import with_secrets
from stores.migrate import MIGRATIONS

T = TypeVar("T")


def run(data: Path, do: Callable[[Settings, Pool], Awaitable[T]]) -> T:
    """What `do` answers, with the settings of the system in `data`.

    Raises `DatabaseUnavailable`, and `Misconfigured` where the schema is not of this code.
    """
    settings = with_secrets(Settings(), data)

    async def asked() -> T:
        async with database_errors():
            pool = await open_pool(settings.postgres_url, size_max=2)
            try:
                async with pool.acquire() as connection:
                    await migrations.check(connection, MIGRATIONS)
                return await do(settings, pool)
            finally:
                await pool.close()

    return asyncio.run(asked())
