"""Suppression: fans who asked that nothing more be remembered of them.

Ingest asks for each unit of work, and drops their events without a copy. The API refuses them from
a copy of the list, which is at most a second old: what slips through, ingest drops.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from infra.postgres import Connection, Executor, Pool, database_errors
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.suppression import new_suppression_key, open_suppression_key, suppression_hash
from schemas.errors import DatabaseUnavailable
from schemas.relationship import Relationship
from stores.watched_copy import WatchedCopy

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "suppression.sql")
KEPT_MAX: Final = 100_000
"""Suppressions that an API process knows, the newest: about 10 MB."""


async def put(pool: Pool, keyring: Keyring, who: Relationship) -> datetime:
    """Suppress a fan; returns since when: done twice it changes nothing."""
    async with database_errors():
        await pool.execute(_QUERIES.make_key, *new_suppression_key(keyring))
        key = await _key(pool, keyring)
        if key is None:
            raise DatabaseUnavailable("The suppression key vanished while it was made.")
        found: datetime = await pool.fetchval(_QUERIES.put, suppression_hash(key, who))
        return found


async def lift(pool: Pool, keyring: Keyring, who: Relationship) -> bool:
    """Whether the fan was suppressed; what comes from now on is remembered."""
    async with database_errors():
        key = await _key(pool, keyring)
        if key is None:
            return False
        return await pool.fetchval(_QUERIES.lift, suppression_hash(key, who)) is not None


async def since(executor: Executor, keyring: Keyring, who: Relationship) -> datetime | None:
    """When the fan was suppressed, or None."""
    async with database_errors():
        key = await _key(executor, keyring)
        if key is None:
            return None
        found: datetime | None = await executor.fetchval(_QUERIES.since, suppression_hash(key, who))
        return found


async def among(
    executor: Executor, keyring: Keyring, relationships: Iterable[Relationship]
) -> set[Relationship]:
    """Those of these who are suppressed now: one small statement while nobody ever was."""
    key = await _key(executor, keyring)
    if key is None:
        return set()
    hashes = {suppression_hash(key, who): who for who in set(relationships)}
    rows = await executor.fetch(_QUERIES.among, list(hashes))
    return {hashes[row["hash"]] for row in rows}


async def note_records(connection: Connection, places: Collection[tuple[int, int]]) -> None:
    """That these (partition, offset) of `interactions` were dropped, in the transaction that counts
    them."""
    if places:
        await connection.execute(_QUERIES.note_records, *map(list, zip(*places, strict=True)))


async def dropped(
    connection: Connection, places: Collection[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Those of these (partition, offset) of `interactions` that were dropped: whoever reads them
    once more is not to remember them, although their fan may not be suppressed any more."""
    if not places:
        return set()
    rows = await connection.fetch(_QUERIES.dropped, *map(list, zip(*places, strict=True)))
    return {(row["partition"], row["offset"]) for row in rows}


async def records(connection: Connection) -> list[tuple[int, int]]:
    """(partition, offset) of all that were dropped and may still stand in `interactions`."""
    return [(row["partition"], row["offset"]) for row in await connection.fetch(_QUERIES.records)]


async def forget_records(connection: Connection, kept_ms: int) -> None:
    """Of records that their topic has let go of by now."""
    await connection.execute(_QUERIES.forget_records, kept_ms)


async def _key(executor: Executor, keyring: Keyring) -> bytes | None:
    row = await executor.fetchrow(_QUERIES.key)
    return None if row is None else open_suppression_key(keyring, row["kek"], row["sealed"])


class Suppressed(WatchedCopy):
    """An API process's copy of the list."""

    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        super().__init__()
        self._pool = pool
        self._keyring = keyring
        self._key: bytes | None = None
        self._revision = -1
        self._hashes: frozenset[bytes] = frozenset()

    def __contains__(self, who: Relationship) -> bool:
        return bool(self._hashes) and suppression_hash(self._key or b"", who) in self._hashes

    async def look(self) -> None:
        async with database_errors():
            row = await self._pool.fetchrow(_QUERIES.key)
            if row is None:
                self._revision, self._hashes = -1, frozenset()
            elif row["revision"] != self._revision:
                key = open_suppression_key(self._keyring, row["kek"], row["sealed"])
                found = await self._pool.fetch(_QUERIES.newest, KEPT_MAX)
                self._key, self._revision = key, row["revision"]
                self._hashes = frozenset(one["hash"] for one in found)
