"""Revocations: tokens that are good no more, before they expire.

One token is revoked by its id (`jti`), or all that a user (`sub`) was issued until now. What is
kept is a hash of either, for as long as any such token could be valid: a token's life has a
longest.

An API process has the list in memory, and looks every second whether it has changed; while Postgres
is away it goes by what it knew. One that starts meanwhile knows of no revocation until Postgres is
there: memories that are cached are served on then, and so are tokens.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from infra.postgres import Executor, Pool, database_errors
from infra.settings import JWT_SECONDS_MAX
from infra.sql import load_queries
from schemas.errors import DatabaseUnavailable, Misconfigured

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "revocations.sql")
KEPT_MAX: Final = 10_000
LOOK_SECONDS: Final = 1.0

What = Literal["token", "user"]

log = logging.getLogger(__name__)


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


class Revoked:
    """An API process's copy of the list. Belongs to one event loop; `start` it and `close` it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._revision = 0
        self._tokens: frozenset[bytes] = frozenset()
        self._users: dict[bytes, datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self.told: list[Callable[[], None]] = []
        """Called when the list has changed."""

    def __contains__(self, issued: object) -> bool:
        if not (self._tokens or self._users) or not isinstance(issued, Issued):
            return False
        if issued.id is not None and _hash("token", issued.id) in self._tokens:
            return True
        until = self._users.get(_hash("user", issued.user_id))
        return until is not None and issued.at <= until.timestamp()

    async def start(self) -> None:
        """Before anybody is let in, if Postgres answers soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._look_again()
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Read the list again if it has changed; raises `DatabaseUnavailable`."""
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

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look_again()

    async def _look_again(self) -> None:
        try:
            await self.look()
        except DatabaseUnavailable:
            pass  # what is known stays
        except Exception:  # the boundary: whatever it is, the next look may succeed
            log.exception("the revocations can't be read")
