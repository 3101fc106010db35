"""Attempts: finds the record that ends every worker that begins it.

What a fold raises is quarantined, what a broker refuses is found by halving. But a record can also
make a worker hang, until the watchdog ends it, or crash; the next worker begins the same unit, and
the partition stands still for good. So claims are counted in Postgres:

1. A partition that the third process claims at the same position is done one record at a time,
   after the other partitions of the unit. [it costs milliseconds a record, for one unit]
2. Before each record, that it is begun is written down and committed.
3. When it is validated and analysed, or folded, that is taken back: what follows only waits for
   services, and a process that is killed meanwhile was not ended by the record.
4. A record that three processes have begun alone, and not come that far, is quarantined unread.

Only the first claim of a process counts: rebalances and waiting for a service end no process. A
process that is asked to end takes back what it counted: that was not the record's doing.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from infra.postgres import Connection, Pool, database_errors
from infra.sql import load_queries
from stores.positions import Batch, Positions

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "attempts.sql")

CLAIMS_MAX: Final = 3
"""Processes that claim a partition where it stood before, until its records are done singly."""
ALONE_MAX: Final = 3
"""Processes that may begin a record alone, and end, before it is quarantined."""
REASON: Final = "every worker that began it ended"

Places = frozenset[tuple[int, int]]
"""(partition, offset)"""
_NOWHERE: Final[Places] = frozenset()


@dataclass(slots=True)
class _Begun:
    """A record that this process has begun alone."""

    at: int
    alone: int
    """How often that was said, by this process and by those that ended with it."""
    counted: bool = True
    """What this process has said of it stands there."""


class Attempts:
    """One process's view of one topic's units."""

    def __init__(self, pool: Pool, positions: Positions) -> None:
        self._pool = pool
        self._positions = positions
        self._counted: dict[int, int] = {}
        """Partition -> where it stood when this process claimed it first."""
        self._singly: set[int] = set()
        self._begun: dict[int, _Begun] = {}

    async def claimed(self, connection: Connection) -> None:
        """Count what was claimed just now, in the claim's transaction or after it."""
        fresh = {
            partition: held.next
            for partition, held in self._positions.held.items()
            if partition not in self._counted
        }
        if not fresh:
            return
        rows = await connection.fetch(
            _QUERIES.claimed,
            self._positions.generation,
            self._positions.topic,
            list(fresh),
            list(fresh.values()),
        )
        self._counted |= fresh
        self._singly |= {row["partition"] for row in rows if row["claims"] >= CLAIMS_MAX}

    async def withdraw(self) -> None:
        """Take back what this process has counted, where the unit has not moved since."""
        rows = []
        for partition, at in sorted(self._counted.items()):
            begun = self._begun.get(partition)
            rows.append((partition, begun.at, begun.counted) if begun else (partition, at, False))
        if not rows:
            return
        async with database_errors():
            await self._pool.execute(
                _QUERIES.withdraw,
                self._positions.generation,
                self._positions.topic,
                *map(list, zip(*rows, strict=True)),
            )
        self._counted.clear()
        self._begun.clear()

    async def harmless(self) -> None:
        """The records that are being done alone have done no harm: they are not counted."""
        for partition, begun in self._begun.items():
            if begun.counted:
                async with database_errors():
                    await self._pool.execute(
                        _QUERIES.harmless,
                        self._positions.generation,
                        self._positions.topic,
                        partition,
                        begun.at,
                    )
                begun.counted = False

    async def parts(
        self, batches: Sequence[Batch]
    ) -> AsyncGenerator[tuple[list[Batch], Places], None]:
        """What to do, one part after another, each with the places of what is to be quarantined."""
        together = [batch for batch in batches if batch.partition not in self._singly]
        if together:
            yield together, _NOWHERE
        for batch in batches:
            if batch.partition not in self._singly:
                continue
            for one in _records(batch):
                aside = _NOWHERE
                if one.records:
                    place = (one.partition, one.records[0].offset)
                    if await self._begin(one.partition, one.base) > ALONE_MAX:
                        aside = frozenset({place})
                yield [one], aside
            self._singly.discard(batch.partition)

    async def _begin(self, partition: int, base: int) -> int:
        known = self._begun.get(partition)
        if known is not None and known.at == base:
            return known.alone  # a retry of this process
        async with database_errors():
            alone = await self._pool.fetchval(
                _QUERIES.alone,
                self._positions.generation,
                self._positions.topic,
                partition,
                base,
            )
        self._begun[partition] = _Begun(base, alone or 0)
        return alone or 0


def _records(batch: Batch) -> list[Batch]:
    """The batch, cut into one per record; one without records stays whole."""
    starts = [batch.base, *(record.offset for record in batch.records[1:])]
    untils = [*starts[1:], batch.until]
    return [
        replace(batch, base=base, until=until, records=batch.records[index : index + 1])
        for index, (base, until) in enumerate(zip(starts, untils, strict=True))
    ]
