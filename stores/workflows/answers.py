"""Answers of providers, kept for a day: who asks the same of the same memory gets them at no cost.

An answer is known by a hash of all that it depends on (`llm.sharing.answer_key`), belongs to one
fan of one creator, or to a creator for no fan, and is sealed for whom it belongs to. So nobody
else's workflow is given it, and once the fan is erased nothing opens it; the row goes with the
fan. What a person has rejected, or wants composed again, is not given again.
"""

from pathlib import Path
from typing import Final

import msgspec

from infra.postgres import Connection, Pool, database_errors
from infra.sql import load_queries
from schemas.errors import SealBroken
from schemas.times import DAY_MS
from stores.workflows.sealed import Vault

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_answers.sql")

KEPT_SECONDS: Final = DAY_MS / 1000
SWEPT_MAX: Final = 1_000
"""Rows of one sweep."""
_KIND: Final = b"provider answer"


class Answer(msgspec.Struct, frozen=True):
    """What a provider wrote, whole and of the form that was asked for."""

    text: str
    model: str
    """As its reply named it."""

    def __repr__(self) -> str:
        return "Answer(…)"


class Answers:
    """Finds, keeps and sweeps."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def find(self, creator_id: str, subject: bytes | None, key: bytes) -> Answer | None:
        """None for what was not asked in the last day, and for what can't be opened."""
        async with database_errors(), self._pool.acquire() as connection:
            body = await connection.fetchval(_QUERIES.find, key, creator_id, subject)
            if body is None:
                return None
            try:
                sealer = await self._vault.sealer(connection, creator_id, subject)
                return None if sealer is None else _decode(sealer.open(body, _KIND, key))
            except SealBroken:
                return None

    async def keep(
        self, creator_id: str, subject: bytes | None, key: bytes, answer: Answer
    ) -> None:
        """Nothing is kept of a fan who was erased meanwhile."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            if subject is not None and not await connection.fetchval(
                _QUERIES.hold_subject, subject
            ):
                return
            sealer = await self._vault.sealer(connection, creator_id, subject)
            if sealer is not None:
                sealed = sealer.seal(_encode(answer), _KIND, key)
                await connection.execute(
                    _QUERIES.keep, key, creator_id, subject, sealed, KEPT_SECONDS
                )

    async def sweep(self) -> None:
        """Delete what is too old."""
        async with database_errors():
            await self._pool.execute(_QUERIES.sweep, SWEPT_MAX)


async def forget(connection: Connection, creator_id: str, subject: bytes | None) -> None:
    """Give nobody these answers again, in the caller's transaction."""
    await connection.execute(_QUERIES.forget, creator_id, subject)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Answer).decode
