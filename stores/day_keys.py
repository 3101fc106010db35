"""Keys of a day: for dead letters that no known fan's key can seal.

Such a letter may hold anything: it named nobody, or nobody who was known. A key for each day, kept
as long as the letters' topic keeps them, makes them unreadable wherever a copy of them lies.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import Connection, Executor
from infra.sql import load_queries
from privacy.keys import Keyring, new_key
from schemas.errors import SealBroken
from schemas.times import DAY_MS
from schemas.topics import DEAD_LETTERS

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "day_keys.sql")
KEPT: Final = timedelta(days=DEAD_LETTERS.retention_ms // DAY_MS + 2)
"""Kafka deletes whole segments, some hours after their newest record's time."""


async def today(connection: Connection, keyring: Keyring) -> tuple[str, AESGCM]:
    """(name, cipher) of today's key, in the caller's transaction; with a new one those go that
    nothing is left of. Not kept: what is rolled back must not seal anything."""
    day = datetime.now(UTC).date()
    if await connection.fetchrow(_QUERIES.find, day) is None:
        kek, wrapped = keyring.seal(new_key(), _context(day))
        await connection.execute(_QUERIES.make, day, kek, wrapped)
        await connection.execute(_QUERIES.destroy, day - KEPT)
    return day.isoformat(), await find(connection, keyring, day)


async def find(connection: Executor, keyring: Keyring, day: date) -> AESGCM:
    """Raises `SealBroken` when it was destroyed, or the keyring lacks its key."""
    row = await connection.fetchrow(_QUERIES.find, day)
    if row is None:
        raise SealBroken("The key of that day was destroyed.")
    return AESGCM(keyring.open(row["kek"], row["wrapped_key"], _context(day)))


def rewrapped(keyring: Keyring, day: date, kek: str, wrapped: bytes) -> tuple[str, bytes]:
    """A day's key under the keyring's newest one. Raises `SealBroken`."""
    return keyring.seal(keyring.open(kek, wrapped, _context(day)), _context(day))


def _context(day: date) -> bytes:
    return b"day key\0" + day.isoformat().encode()
