"""What the cache writer asks Postgres: who owns a partition, and which fans have moved since."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.postgres import Pool, database_errors
from infra.sql import load_queries
from schemas.topics import JOURNAL

_SQL: Final = load_queries(Path(__file__).parent / "sql" / "missed.sql")


async def owners(pool: Pool, generation: int, partitions: Sequence[int]) -> dict[int, int]:
    """Journal partition -> epoch of its owner; no worker owns one of a generation that is not live.

    Raises `DatabaseUnavailable`, as `folded_since` does.
    """
    async with database_errors(), pool.acquire() as connection:
        rows = await connection.fetch(_SQL.owners, generation, JOURNAL.name, list(partitions))
    return {row["partition"]: row["epoch"] for row in rows}


async def folded_since(
    pool: Pool, partition: int, offset: int, *, limit: int
) -> list[tuple[str, str]]:
    """Fans (creator, fan) of whom anything at or after a journal offset was folded; so many at
    most."""
    async with database_errors(), pool.acquire() as connection:
        rows = await connection.fetch(_SQL.folded_since, partition, offset, limit)
    return [(row["creator_id"], row["fan_id"]) for row in rows]
