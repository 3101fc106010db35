"""Bring a database up to date: our migrations under one lock, then generation 1 of the views.

Views of another version are left as they are: changing a fold is a rebuild, never an edit in place.
Until that is done, processes of this code refuse to start (`check`).
"""

from pathlib import Path
from typing import Final

from infra import migrations
from infra.postgres import Connection, InsufficientPrivilegeError, connecting, database_errors
from schemas.errors import Misconfigured
from stores import generations, roles, wall
from views.state import VIEW_VERSION

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x66616E6D656D  # "fanmem": one migration at a time in a database


async def migrate(url: str) -> list[str]:
    """Apply what a database lacks, as its owner; returns the names of what was applied.

    Raises `Misconfigured` when an applied migration was edited afterwards, when the database is
    newer than this code, or when the role is not the owner; `DatabaseUnavailable`.
    """
    async with (
        database_errors(),
        connecting(url, timeout=10, command_timeout=300) as connection,
    ):
        await connection.execute(migrations.SQL.lock, _LOCK)
        try:
            applied = await migrations.apply(connection, MIGRATIONS)
            await generations.ensure_live(connection)
            await roles.grant(connection)
            await wall.build(connection)
        except InsufficientPrivilegeError:
            raise Misconfigured(
                "The role of this connection may not change the database's tables.",
                hint="Name their owner's URL with FANMEMORY_POSTGRES_OWNER_URL.",
            ) from None
    return applied


async def views_fit(url: str) -> bool:
    """Whether the live views of a migrated database are what this code folds."""
    async with database_errors(), connecting(url, timeout=10, command_timeout=10) as connection:
        found = await generations.live(connection)
    return found is not None and found.view_version == VIEW_VERSION


async def check(connection: Connection) -> None:
    """Raise `Misconfigured` unless the database is what this code expects."""
    await migrations.check(connection, MIGRATIONS)
    generations.require_version(await generations.live(connection))
