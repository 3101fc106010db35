"""The queue: claims, leases, limits of users, and what a lost worker left behind.

A claim makes a workflow due again when its lease runs out, so what its worker lost comes back by
itself, to be claimed by another. Claims are made one after another (an advisory lock, for some
milliseconds), so that what a user may have under way at once, and start in a minute, is exact.

Higher priorities are served as if they had waited longer: 20 s for each step. So `low` is served
before whatever `critical` comes a minute later.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Pool, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from stores.workflows.rows import Workflow, row_of, wake

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_queue.sql")
_LOCK: Final = 0x66616E77
""""fanw": claims of workflows, among the database's advisory locks."""

LEASE_SECONDS: Final = 30.0
"""Renewed at a third of it."""
SEND_LEASE_SECONDS: Final = 60.0
"""Of a send: never renewed, and longer than an adapter may take. Whoever finds it run out knows
that the call has ended, one way or the other."""


class Waiting(NamedTuple):
    """What is in the queue, for metrics and people."""

    state: str
    workflows: int
    oldest_seconds: float
    """Since the oldest of them came to this state."""
    overdue_seconds: float
    """Since the oldest of them that wants attention wanted it."""


class Queue:
    """Claims for one process."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        self._running_max = settings.user_workflows_max
        self._starts_max = settings.user_workflows_per_minute

    async def claim(self, count: int) -> list[Workflow]:
        """Up to `count` workflows that want attention, each leased to the caller."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_QUERIES.lock_claims, _LOCK)
            rows = await connection.fetch(
                _QUERIES.claim,
                count,
                LEASE_SECONDS,
                self._running_max,
                self._starts_max or 2**31 - 1,
            )
        return [row_of(row) for row in rows]

    async def renew(self, claimed: Sequence[Workflow]) -> None:
        """Keep these leases; one that was lost stays lost."""
        if claimed:
            ids, epochs = zip(*((one.workflow, one.epoch) for one in claimed), strict=True)
            async with database_errors():
                await self._pool.execute(_QUERIES.renew, ids, epochs, LEASE_SECONDS)

    async def mend(self) -> int:
        """Wake what waits for a line in which nobody is before it: its waker may have died."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            woken: int = await connection.fetchval(_QUERIES.mend_lines)
            if woken:
                await wake(connection)
        return woken

    async def waiting(self) -> list[Waiting]:
        """By state, of those that have not ended."""
        async with database_errors():
            return [Waiting(*row) for row in await self._pool.fetch(_QUERIES.waiting_workflows)]
