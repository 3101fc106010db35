"""Quarantine: records that could not be opened or folded, kept sealed with their reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.postgres import Connection
from infra.sql import load_queries
from stores.folding import Quarantined

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "quarantine.sql")


async def insert(connection: Connection, records: Sequence[Quarantined]) -> None:
    if records:
        await connection.executemany(_QUERIES.insert, records)


async def offsets(connection: Connection, partition: int, until: int) -> set[int]:
    """The places of the records below `until` that are quarantined."""
    rows = await connection.fetch(_QUERIES.offsets, partition, until)
    return {row["offset"] for row in rows}


async def release(connection: Connection, partition: int, released: Sequence[int]) -> None:
    """Let go of records that a newer fold could take."""
    await connection.execute(_QUERIES.release, partition, released)


async def delete(connection: Connection, subjects: Sequence[bytes]) -> dict[bytes, int]:
    """Everything of some subjects; returns how many rows each had who had one."""
    rows = await connection.fetch(_QUERIES.delete, subjects)
    return {row["subject"]: row["rows"] for row in rows}
