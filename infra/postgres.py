"""Postgres: its address, connections, and after which of its errors a retry can succeed.

What the settings say about TLS, client certificate and password is written into the URL once, by
`address`; connecting needs nothing but that URL.

Subjects travel as 16 raw bytes: the uuid codec of asyncpg would make an object of each.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import asyncpg
from asyncpg import (
    InsufficientPrivilegeError,
    InvalidSchemaNameError,
    LockNotAvailableError,
    Record,
    SerializationError,
    UndefinedTableError,
)

from infra import tls
from infra.settings import Settings
from schemas.errors import DatabaseUnavailable, Misconfigured

__all__ = [
    "REFUSALS",
    "UNAVAILABLE",
    "Connection",
    "Executor",
    "InsufficientPrivilegeError",
    "InvalidSchemaNameError",
    "LockNotAvailableError",
    "Pool",
    "Record",
    "Role",
    "SerializationError",
    "UndefinedTableError",
    "address",
    "connect",
    "connecting",
    "database_errors",
    "new_pool",
    "open_pool",
    "refusal",
    "url_of",
]

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[Record]
    Connection: TypeAlias = asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]
    Executor: TypeAlias = Connection | Pool
    """For one statement by itself: a pool will do."""
else:
    Pool, Connection, Executor = asyncpg.Pool, asyncpg.Connection, object

Role = Literal["owner", "writer", "reader"]
"""As whom a connection is made: who may change tables, who writes rows, who reads a creator's."""

PREFIX: Final = "FANMEMORY_POSTGRES"
SERVER: Final = "PostgreSQL"
SWITCH: Final = f"{PREFIX}_TLS"

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


def url_of(settings: Settings, role: Role) -> str:
    """Where a role connects, by settings that have every URL: its own, else the one URL."""
    own = {"owner": settings.postgres_owner_url, "reader": settings.postgres_reader_url}
    return own.get(role) or settings.postgres_url


def address(settings: Settings, role: Role = "writer") -> str:
    """The URL of a role with password and TLS in it; empty when none is set.

    Raises `Misconfigured` for a file that can't be used. Done twice it changes nothing more.
    """
    url, secret = {
        "writer": (settings.postgres_url, settings.postgres_password),
        "owner": (settings.postgres_owner_url, settings.postgres_owner_password),
        "reader": (settings.postgres_reader_url, settings.postgres_reader_password),
    }[role]
    if not url:
        return ""
    parts = urlsplit(url)
    password = secret.get_secret_value()
    if password:
        credentials, _, hosts = parts.netloc.rpartition("@")
        user = credentials.partition(":")[0]
        parts = parts._replace(netloc=f"{user}:{quote(password, safe='')}@{hosts}")
    if settings.postgres_tls:
        files = tls.Files(
            PREFIX,
            settings.postgres_ca_file or ssl.get_default_verify_paths().cafile or "",
            settings.postgres_cert_file,
            settings.postgres_key_file,
            settings.postgres_key_password.get_secret_value(),
        )
        tls.client_context(files)  # a bad file is to be named now
        chosen = {
            "sslmode": "verify-full",
            "sslrootcert": files.ca,
            "sslcert": files.certificate,
            "sslkey": files.key or files.certificate,
            "sslpassword": files.password,
        }
        query = dict(parse_qsl(parts.query)) | {name: v for name, v in chosen.items() if v}
        parts = parts._replace(query=urlencode(query, quote_via=quote))
    return parts.geturl()


REFUSALS: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What `refusal` explains beside failed TLS: errors that a person has to mend."""


def refusal(error: BaseException) -> Misconfigured | None:
    """What it means when the server answers but does not let us in; None for anything else."""
    for cause in tls.causes(error):
        if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
            return Misconfigured(
                f"PostgreSQL refused the user of {PREFIX}_URL, or the password.",
                hint=f"Check the URL, {PREFIX}_PASSWORD (or _PASSWORD_FILE), and the server's"
                " pg_hba.conf: does it want TLS or a client certificate?",
            )
        if isinstance(cause, asyncpg.InvalidCatalogNameError):
            return Misconfigured(
                f"PostgreSQL has no database of the name in {PREFIX}_URL.",
                hint="Create it, or name another.",
            )
        if isinstance(cause, ConnectionError) and "rejected SSL" in str(cause):
            return Misconfigured(
                "PostgreSQL speaks no TLS at the address in " + f"{PREFIX}_URL.",
                hint=f"Set ssl=on in the server, or {SWITCH}=0.",
            )
        found = tls.refusal(cause, PREFIX, SERVER, SWITCH)
        if found is not None:
            return found
    return None


def new_pool(
    url: str,
    *,
    size_max: int = 4,
    command_timeout: float = 60.0,
    idle_transaction_seconds_max: float = 0.0,
    statement_seconds_max: float = 0.0,
) -> Pool:
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
) -> Pool:
    """`new_pool`, opened."""
    pool = new_pool(
        url,
        size_max=size_max,
        command_timeout=command_timeout,
        statement_seconds_max=statement_seconds_max,
    )
    await pool
    return pool


async def connect(
    url: str, *, timeout: float = 5.0, command_timeout: float = 60.0
) -> "asyncpg.Connection[Record]":
    """One connection of its own, with the same codec."""
    connection = await asyncpg.connect(url, timeout=timeout, command_timeout=command_timeout)
    await _prepare(connection)
    return connection


@asynccontextmanager
async def connecting(
    url: str, *, timeout: float = 5.0, command_timeout: float = 60.0
) -> AsyncIterator["asyncpg.Connection[Record]"]:
    """`connect`, and close it afterwards."""
    connection = await connect(url, timeout=timeout, command_timeout=command_timeout)
    try:
        yield connection
    finally:
        await connection.close()


async def _prepare(connection: Connection) -> None:
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
