"""Postgres: connections, and which of its errors a retry can mend.

Subjects travel as 16 raw bytes: the uuid codec of asyncpg would make an object of each.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from schemas.errors import DatabaseUnavailable

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
    asyncpg.InsufficientResourcesError,  # the disk is full, too many connections
    asyncpg.PostgresSystemError,  # the disk does not read or write
    asyncpg.ReadOnlySQLTransactionError,  # a standby not yet promoted, a provider's full disk
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""Errors after which a retry can succeed: once somebody has mended the server, at the latest."""


def new_pool(
    url: str,
    *,
    size_max: int = 4,
    command_timeout: float = 60.0,
    idle_transaction_seconds_max: float = 0.0,
    statement_seconds_max: float = 0.0,
) -> Any:
    """A pool that connects when it is first needed, so that starting needs no Postgres.

    To be awaited once, in the event loop that uses it. Postgres ends a connection that lets an
    open transaction wait longer than `idle_transaction_seconds_max`, and a statement that takes
    longer than `statement_seconds_max`; 0: never.
    """
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size_max,
        timeout=5,
        command_timeout=command_timeout,
        init=_prepare,
        server_settings={
            "idle_in_transaction_session_timeout": str(int(idle_transaction_seconds_max * 1000)),
            "statement_timeout": str(int(statement_seconds_max * 1000)),
        },
        # A killed server leaves connections behind: forget idle ones soon.
        max_inactive_connection_lifetime=60,
    )


async def open_pool(
    url: str,
    *,
    size_max: int = 4,
    command_timeout: float = 60.0,
    statement_seconds_max: float = 0.0,
) -> Any:
    """`new_pool`, opened."""
    return await new_pool(
        url,
        size_max=size_max,
        command_timeout=command_timeout,
        statement_seconds_max=statement_seconds_max,
    )


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
async def database_errors() -> AsyncIterator[None]:
    """Say `DatabaseUnavailable` for whatever a retry can help with."""
    try:
        yield
    except UNAVAILABLE as error:
        raise DatabaseUnavailable from error
