"""An order to forget some events, which is a unit of ingest by itself.

It needs the live views to have what stands before it: ingest waits a moment for them, else it goes
on, and the order is given again.
"""

import asyncio
from typing import Final

from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from schemas.control import Forget
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS
from stores import forgetting
from stores.attempts import Attempts
from stores.erasure import Names
from stores.forgetting import Mover, NotNow
from stores.generations import INTAKE_GENERATION
from stores.positions import Batch, Positions, count_intake
from streams.orders import place_of

FOLD_SECONDS_MAX: Final = 1.0
"""Ingest waits so long for the views, before an order is put off."""
FOLD_LOOK_SECONDS: Final = 0.01


class ForgetOrder:
    """Does one after another, each in the transaction that moves past it."""

    def __init__(
        self,
        pool: Pool,
        positions: Positions,
        attempts: Attempts,
        names: Names,
        mover: Mover,
        journal_partitions: int,
    ) -> None:
        self._pool = pool
        self._positions = positions
        self._attempts = attempts
        self._names = names
        self._mover = mover
        self._journal_partitions = journal_partitions

    async def carry_out(self, batch: Batch, order: Forget) -> None:
        """Move the fan to a new subject, without what is to be forgotten, and past the order, in
        one transaction; past the order only, when the views are too far behind."""
        place = place_of(batch.records[0])
        ready = await self._folded(order.who)
        while True:
            try:
                async with (
                    database_errors(),
                    self._pool.acquire() as connection,
                    connection.transaction(),
                ):
                    await self._positions.advance(connection, [batch])
                    await self._count(connection, place)
                    if ready:
                        logs = {p: one.boundaries for p, one in self._positions.held.items()}
                        await self._mover.take(connection, order, place, logs, self._attempts.risk)
                    else:
                        await forgetting.postpone(connection, self._names, order, place)
                break
            except NotNow:
                ready = False
        fail_point("ingest.after_forget")

    async def _folded(self, who: Relationship) -> bool:
        """Wait, a moment at most, for the live views to have what stands before an order."""
        clock = asyncio.get_running_loop().time
        until = clock() + FOLD_SECONDS_MAX
        while True:
            async with database_errors(), self._pool.acquire() as connection:
                partition = await forgetting.partition_of(connection, who, self._journal_partitions)
                if partition is None or await forgetting.is_folded(connection, partition):
                    return True
            if clock() >= until:
                return False
            await asyncio.sleep(FOLD_LOOK_SECONDS)

    async def _count(self, connection: Connection, place: Position) -> None:
        held = self._positions.held.get(place.partition)
        if held is None or place.offset >= held.counted:
            count = (place.partition, 0, 0, 0, 1)
            await count_intake(connection, INTAKE_GENERATION, INTERACTIONS.name, [count])
