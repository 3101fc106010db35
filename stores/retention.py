"""Retention: how long a creator keeps a fan of whom nothing is heard, and the events of the others.

By default for ever.
"""

from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection, Executor, database_errors
from infra.sql import load_queries
from stores import wall

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "retention.sql")
_LOCK: Final = 0x66616E7377  # "fansw": one sweep at a time in a database
DAYS_MAX: Final = 36_500


class Rule(NamedTuple):
    """Of one creator."""

    creator_id: str
    silent_days: int | None
    """A fan without events for so long is erased; None: nobody is."""
    history_days: int | None
    """An event that is older is forgotten; None: none is."""


async def find(executor: Executor, creator_id: str) -> Rule:
    async with database_errors():
        row = await wall.fetchrow(executor, _QUERIES.find, creator_id, creator_id)
        return Rule(creator_id, *((None, None) if row is None else row))


async def put_silent(executor: Executor, creator_id: str, days: int | None) -> None:
    """None: silent fans are kept."""
    async with database_errors():
        if days is None:
            await executor.execute(_QUERIES.remove_silent, creator_id)
        else:
            await executor.execute(_QUERIES.put_silent, creator_id, days)


async def put_history(executor: Executor, creator_id: str, days: int | None) -> None:
    """None: old events are kept."""
    async with database_errors():
        if days is None:
            await executor.execute(_QUERIES.remove_history, creator_id)
        else:
            await executor.execute(_QUERIES.put_history, creator_id, days)


async def rules(executor: Executor) -> list[Rule]:
    async with database_errors():
        return [Rule(*row) for row in await executor.fetch(_QUERIES.rules)]


async def silent(
    executor: Executor, creator_id: str, since: int, after: str, count: int
) -> list[str]:
    """The next fans, in the order of their ids, of whom nothing has happened since then (ms)."""
    async with database_errors():
        rows = await executor.fetch(_QUERIES.silent, creator_id, since, after, count)
        return [row["fan_id"] for row in rows]


async def older(
    executor: Executor, creator_id: str, before: int, after: str, count: int
) -> list[str]:
    """The next fans, in the order of their ids, of whom something happened before then (ms)."""
    async with database_errors():
        rows = await executor.fetch(_QUERIES.older, creator_id, before, after, count)
        return [row["fan_id"] for row in rows]


async def lock(connection: Connection) -> bool:
    """Whether this connection is the one that may sweep; it is until it ends."""
    async with database_errors():
        return bool(await connection.fetchval(_QUERIES.lock, _LOCK))
