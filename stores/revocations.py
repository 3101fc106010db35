"""Revocations: tokens that are good no more, before they expire.

One token is revoked by its id (`jti`), or all that a user (`sub`) was issued until now. What is
kept is a hash of either, for as long as any such token could be valid: a token's life has a
longest.

An API process has the list in memory, and looks every second whether it has changed; while Postgres
is away it goes by what it knew. One that starts meanwhile knows of no revocation until Postgres is
there: memories that are cached are served on then, and so are tokens.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from infra.postgres import Executor, Pool, database_errors
from infra.settings import JWT_SECONDS_MAX
from infra.sql import load_queries
from schemas.errors import Misconfigured
from stores.watched_copy import WatchedCopy

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "revocations.sql")
KEPT_MAX: Final = 10_000

What = Literal["token", "user"]


class Issued(NamedTuple):
    """What a token says of itself."""

    user_id: str
    at: float
    """`iat`, seconds since the epoch."""
    id: str | None
    """`jti`."""


async def revoke(connection: Executor, what: What, id: str) -> None:
    """Revoke the token of this id, or all tokens that this user was issued until now.

    Raises `Misconfigured` when so many are revoked that the secret had better be replaced, and
    `DatabaseUnavailable`.
    """
    async with database_errors():
        row = what, _hash(what, id), JWT_SECONDS_MAX, KEPT_MAX
        if await connection.fetchval(_QUERIES.add, *row) is None:
            raise Misconfigured(
                f"{KEPT_MAX} tokens and users are revoked already.",
                hint="Replace FANMEMORY_JWT_SECRET: that ends all tokens.",
            )


def _hash(what: What, id: str) -> bytes:
    return hashlib.sha256(f"{what}\0{id}".encode()).digest()


class Revoked(WatchedCopy):
    """An API process's copy of the list."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._revision = 0
        self._tokens: frozenset[bytes] = frozenset()
        self._users: dict[bytes, datetime] = {}
        self.told: list[Callable[[], None]] = []
        """Called when the list has changed."""

    def __contains__(self, issued: object) -> bool:
        if not (self._tokens or self._users) or not isinstance(issued, Issued):
            return False
        if issued.id is not None and _hash("token", issued.id) in self._tokens:
            return True
        until = self._users.get(_hash("user", issued.user_id))
        return until is not None and issued.at <= until.timestamp()

    async def look(self) -> None:
        async with database_errors():
            revision: int = await self._pool.fetchval(_QUERIES.revision)
            if revision == self._revision:
                return
            rows = await self._pool.fetch(_QUERIES.all)
        self._tokens = frozenset(row["name"] for row in rows if row["what"] == "token")
        self._users = {row["name"]: row["issued_until"] for row in rows if row["what"] == "user"}
        self._revision = revision
        for tell in self.told:
            tell()
