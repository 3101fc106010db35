"""Connections: a creator's account on a platform whose webhooks are taken.

The secret that deliveries are checked with, and what their payloads do not say themselves, stand
sealed under the keyring. The seal is bound to connection, platform and creator: a row that is
swapped or renamed opens nothing, instead of filing one creator's fans under another.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.postgres import Executor, Record
from infra.sql import load_queries
from privacy.keys import Keyring
from stores import wall

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "connections.sql")
ID_BYTES: Final = 16
OWN_MAX: Final = 100
"""Connections that a creator may make; the command line has no limit."""
LISTED_MAX: Final = 1_000


class Ways(msgspec.Struct, frozen=True, rename="camel"):
    """What is sealed of a connection."""

    secret: str
    me: tuple[str, ...] = ()
    """The creator's own names or ids on the platform."""
    zone: str = "UTC"
    """Of times without one."""
    currency: str | None = None
    """Of amounts without one."""
    options: dict[str, str] = {}
    """The platform's own."""
    mapping: dict[str, Any] | None = None
    """Of `generic`."""


@dataclass(frozen=True, slots=True)
class PlatformConnection:
    """A connection as it stands in the database; `ways` opens what is sealed."""

    id: str
    platform: str
    creator_id: str
    kek: str
    sealed: bytes
    created_at: str

    def ways(self, keyring: Keyring) -> Ways:
        """Raises `SealBroken` when the keyring lacks the key, or the row was altered."""
        context = _context(self.id, self.platform, self.creator_id)
        return _decode(keyring.open(self.kek, self.sealed, context))

    def __repr__(self) -> str:
        return "PlatformConnection(…)"


async def add(
    connection: Executor, keyring: Keyring, platform: str, creator_id: str, ways: Ways
) -> str:
    """A new connection; returns its id, which is random and part of its address."""
    id = secrets.token_hex(ID_BYTES)
    kek, sealed = keyring.seal(_encode(ways), _context(id, platform, creator_id))
    await connection.execute(_QUERIES.add, id, platform, creator_id, kek, sealed)
    return id


async def put(
    connection: Executor, keyring: Keyring, id: str, platform: str, creator_id: str, ways: Ways
) -> PlatformConnection | None:
    """A connection under an id of the creator's choice, new or in the place of their own.

    None for an id that is another creator's, and when the creator has `OWN_MAX` already.
    """
    kek, sealed = keyring.seal(_encode(ways), _context(id, platform, creator_id))
    row = await connection.fetchrow(_QUERIES.put, id, platform, creator_id, kek, sealed, OWN_MAX)
    return None if row is None else _of(row)


async def find_own(connection: Executor, creator_id: str, id: str) -> PlatformConnection | None:
    row = await wall.fetchrow(connection, _QUERIES.find_own, creator_id, id, creator_id)
    return None if row is None else _of(row)


async def list_own(connection: Executor, creator_id: str) -> list[PlatformConnection]:
    """A creator's, oldest first."""
    rows = await wall.fetch(connection, _QUERIES.list_own, creator_id, creator_id, LISTED_MAX)
    return [_of(row) for row in rows]


async def remove_own(connection: Executor, creator_id: str, id: str) -> bool:
    """Whether there was one of this creator's."""
    return await connection.fetchval(_QUERIES.remove_own, id, creator_id) is not None


def resealed(keyring: Keyring, row: Record) -> tuple[str, bytes]:
    """What a row seals, under the keyring's newest key; raises `SealBroken`."""
    found = _of(row)
    context = _context(found.id, found.platform, found.creator_id)
    return keyring.seal(keyring.open(found.kek, found.sealed, context), context)


async def find(connection: Executor, platform: str, id: str) -> PlatformConnection | None:
    row = await connection.fetchrow(_QUERIES.find, id, platform)
    return None if row is None else _of(row)


async def list_all(connection: Executor) -> list[PlatformConnection]:
    """Oldest first."""
    return [_of(row) for row in await connection.fetch(_QUERIES.list)]


async def remove(connection: Executor, id: str) -> bool:
    """Whether there was one."""
    return await connection.fetchval(_QUERIES.remove, id) is not None


def _of(row: Any) -> PlatformConnection:
    id, platform, creator_id, kek, sealed, created_at = row
    return PlatformConnection(id, platform, creator_id, kek, sealed, created_at.isoformat())


def _context(id: str, platform: str, creator_id: str) -> bytes:
    return "\0".join(("connection", id, platform, creator_id)).encode()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Ways).decode
