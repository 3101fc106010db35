"""Postgres: the truth. Connections, the queries by name, and the readers' side.

Subjects travel as 16 raw bytes: the uuid codec of asyncpg would make an object of each.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.keys import Keyring
from privacy.seal import unseal
from privacy.subjects import journal_partition
from schemas.errors import DatabaseUnavailable, Misconfigured
from schemas.journal import JournalEntry, decode_entry
from schemas.positions import Position
from schemas.sql import load_queries
from schemas.topics import INTERACTIONS, JOURNAL
from views.remembered import (
    JOURNAL_NAME,
    MESSAGES_MAX,
    Fragment,
    Remembered,
    Stored,
    open_stored,
)
from views.state import VIEW_VERSION

log = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent / "sql"
POSITIONS: Final = load_queries(_FOLDER / "positions.sql")
INTAKE_GENERATION: Final = 0
"""The generation of ingest's own positions: it serves every build of the views."""

UNAVAILABLE: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that dies between two messages of one statement
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What means «not now»: trying again can help."""


def schema_name(generation: int) -> str:
    return f"g{generation}"


@cache
def memory_queries(generation: int) -> SimpleNamespace:
    """The queries of `memory.sql` for one generation's tables."""
    return load_queries(_FOLDER / "memory.sql", generation=schema_name(generation))


def new_pool(
    url: str,
    *,
    size_max: int = 4,
    command_timeout: float = 60.0,
    idle_transaction_seconds_max: float = 0.0,
) -> Any:
    """A pool that connects when it is first needed, so that starting needs no Postgres.

    To be awaited once, in the event loop that uses it. Postgres ends a connection that lets an
    open transaction wait longer than `idle_transaction_seconds_max`; 0: never.
    """
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size_max,
        timeout=5,
        command_timeout=command_timeout,
        init=_prepare,
        server_settings={
            "idle_in_transaction_session_timeout": str(int(idle_transaction_seconds_max * 1000))
        },
        # A killed server leaves connections behind: forget idle ones soon.
        max_inactive_connection_lifetime=60,
    )


async def open_pool(url: str, *, size_max: int = 4, command_timeout: float = 60.0) -> Any:
    """`new_pool`, opened."""
    return await new_pool(url, size_max=size_max, command_timeout=command_timeout)


async def connect(url: str, *, command_timeout: float = 60.0) -> Any:
    """One connection of its own, with the same codec."""
    connection = await asyncpg.connect(url, timeout=5, command_timeout=command_timeout)
    await _prepare(connection)
    return connection


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Say `DatabaseUnavailable` for whatever a retry can help with."""
    try:
        yield
    except UNAVAILABLE as error:
        raise DatabaseUnavailable from error


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One position row, for people and metrics."""

    generation: int
    topic: str
    partition: int
    next: int
    sources: tuple[int, ...]
    accepted: int
    dead_letters: int
    applied: int
    duplicates: int
    repeats: int
    forgotten: int
    quarantined: int
    moved_ms: int
    """When the row last moved, ms since the epoch."""


class Store:
    """Reads from Postgres. Every method raises `DatabaseUnavailable` when it does not answer."""

    def __init__(self, pool: Any, keyring: Keyring, journal_partitions: int) -> None:
        self._pool = pool
        self._keyring = keyring
        self._partitions = journal_partitions
        self._generation = 0

    async def stored(self, creator_id: str, fan_id: str) -> Stored | None:
        """One consistent version of a fan's memory, sealed; None for an unknown fan."""
        async with translated():
            for _ in range(3):
                generation = self._generation or await self._choose_generation()
                try:
                    row = await self._pool.fetchrow(
                        memory_queries(generation).read_fan,
                        creator_id,
                        fan_id,
                        MESSAGES_MAX,
                        VIEW_VERSION,
                    )
                except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
                    row = {"readable": None}
                if row is not None and row["readable"] == generation:
                    return self._row(row, generation)
                # A rebuild has switched generations: read from the new one.
                if await self._choose_generation() == generation and row is None:
                    return None
        raise DatabaseUnavailable("The generation changed while reading.")

    async def read(self, creator_id: str, fan_id: str) -> Remembered | None:
        """The same, opened."""
        stored = await self.stored(creator_id, fan_id)
        return None if stored is None else open_stored(stored, self._keyring)

    async def live_generation(self) -> int:
        async with translated():
            row = await self._pool.fetchrow(POSITIONS.live_generation)
        if row is None:
            raise Misconfigured("No generation of the views is live.")
        return int(row["generation"])

    async def _choose_generation(self) -> int:
        """The generation that this code can read."""
        found = await self._pool.fetchrow(POSITIONS.readable_generation, VIEW_VERSION)
        if found is None:
            raise Misconfigured(
                f"There are no views of the version that this code reads ({VIEW_VERSION}).",
                hint="Run `fanmemory rebuild`: it builds them beside the live ones.",
            )
        if found["status"] != "live":
            log.error(
                "the live views are of another version than this code reads: it answers from the"
                " former ones, as they stood at the switch; replace it",
                extra={"operation": "readGeneration"},
            )
        self._generation = int(found["generation"])
        return self._generation

    async def reached(self, creator_id: str, fan_id: str, position: Position) -> bool:
        """Whether what was accepted at `position` is in this fan's views."""
        if position.topic != INTERACTIONS.name:
            return False
        async with translated():
            generation = self._generation or await self._choose_generation()
            row = await self._pool.fetchrow(
                memory_queries(generation).read_sources,
                creator_id,
                fan_id,
                JOURNAL.name,
                self._partitions,
                generation,
            )
        if row is None or len(row["sources"]) <= position.partition:
            return False
        return bool(row["sources"][position.partition] >= position.offset)

    async def positions(self) -> list[PartitionStatus]:
        """Every partition of ingest and of the live generation."""
        async with translated():
            rows = await self._pool.fetch(POSITIONS.statuses)
        return [PartitionStatus(**{**row, "sources": tuple(row["sources"])}) for row in rows]

    async def history(
        self, creator_id: str, fan_id: str, limit: int
    ) -> list[tuple[int, JournalEntry]]:
        """(journal offset, entry) of a fan's first `limit` applied interactions, in log order."""
        async with translated():
            rows = await self._pool.fetch(
                memory_queries(self._generation).read_history, creator_id, fan_id, limit
            )
        if not rows:
            return []
        subject = rows[0]["subject"]
        cipher = AESGCM(self._keyring.unwrap(subject, rows[0]["kek"], rows[0]["wrapped_key"]))
        return [
            (
                row["offset"],
                decode_entry(unseal(cipher, row["body"], JOURNAL_NAME, subject, row["event_key"])),
            )
            for row in rows
        ]

    def _row(self, row: Any, generation: int) -> Stored:
        fragments = [
            Fragment(time, offset, key, body)
            for time, offset, key, body in zip(
                row["times"] or (),
                row["offsets"] or (),
                row["event_keys"] or (),
                row["bodies"] or (),
                strict=True,
            )
        ]
        fragments.reverse()
        return Stored(
            row["subject"],
            row["kek"],
            row["wrapped_key"],
            journal_partition(row["subject"], self._partitions),
            generation,
            row["version"],
            row["state"],
            fragments,
        )
