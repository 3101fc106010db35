"""Bring a database up to date: our migrations under one lock, then generation 1 of the views.

A start with views of another version than the live generation's is refused: changing a fold is a
rebuild, never an edit in place.
"""

from pathlib import Path
from typing import Final

from infra import migrations
from infra.postgres import Connection, InsufficientPrivilegeError, connecting, database_errors
from schemas.errors import Misconfigured
from stores import generations, roles, wall

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x66616E6D656D  # "fanmem": one migration at a time in a database


async def migrate(url: str, *, for_rebuild: bool = False) -> list[str]:
    """Apply what a database lacks, as its owner; returns the names of what was applied.

    Raises `Misconfigured` when an applied migration was edited afterwards, when the database is
    newer than this code, when the role is not the owner, or when the live views have another
    version, unless it is `for_rebuild`, which is about to replace them; `DatabaseUnavailable`.
    """
    async with (
        database_errors(),
        connecting(url, timeout=10, command_timeout=300) as connection,
    ):
        await connection.execute(migrations.SQL.lock, _LOCK)
        try:
            applied = await migrations.apply(connection, MIGRATIONS)
            if not for_rebuild:
                await generations.ensure_live(connection)
            await roles.grant(connection)
            await wall.build(connection)
        except InsufficientPrivilegeError:
            raise Misconfigured(
                "The role of this connection may not change the database's tables.",
                hint="Name their owner's URL with FANMEMORY_POSTGRES_OWNER_URL.",
            ) from None
    return applied


async def check(connection: Connection) -> None:
    """Raise `Misconfigured` unless the database is what this code expects."""
    await migrations.check(connection, MIGRATIONS)
    generations.require_version(await generations.live(connection))
