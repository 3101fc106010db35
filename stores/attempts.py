"""Attempts: finds the record that ends every worker that begins it.

What a fold raises is quarantined, what a broker refuses is found by halving. But a record can also
make a worker hang, until the watchdog ends it, or crash; the next worker begins the same unit, and
the partition stands still for good. So claims are counted in Postgres:

1. A partition that the third process claims at the same position is done one record at a time,
   after the other partitions of the unit. [it costs milliseconds a record, for one unit]
2. Before anything is done with such a record itself (it is read and analysed, opened, folded,
   sealed), that is written down and committed; behind it that is taken back (`Attempts.risk`). A
   process that is killed while it waits for a service, between two such steps, says nothing of
   the record. [one that is killed within the answer of either commit counts, though it only waited]
3. A record with which three processes have ended is quarantined unread.

Only the first claim of a process counts: rebalances and waiting for a service end no process. A
process that is asked to end takes back what it counted: that was not the record's doing.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
"""Processes that may end with a record that they do alone, before it is quarantined."""
REASON: Final = "every worker that began it ended"

Places = frozenset[tuple[int, int]]
"""(partition, offset)"""
_NOWHERE: Final[Places] = frozenset()

Risk = Callable[[], AbstractAsyncContextManager[None]]
"""`Attempts.risk`; `contextlib.nullcontext` where nothing is counted."""


@dataclass(slots=True)
class _Begun:
    """A record that this process does, or did last, alone in its partition."""

    partition: int
    at: int
    counted: bool = False
    """Postgres may have it that we are within it."""


class Attempts:
    """One process's view of one topic's units."""

    def __init__(self, pool: Pool, positions: Positions) -> None:
        self._pool = pool
        self._positions = positions
        self._counted: dict[int, int] = {}
        """Partition -> where it stood when this process claimed it first."""
        self._singly: set[int] = set()
        self._begun: dict[int, _Begun] = {}
        """By partition; none of a partition whose unit is over."""
        self._alone: _Begun | None = None
        """What is done now, if alone."""

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

    @asynccontextmanager
    async def risk(self) -> AsyncIterator[None]:
        """What is done within, is done with the records themselves, and waits for no service.

        Of a record that is done alone a process that ends within says something; so does an error
        that comes out of it, with which the process ends, too.
        """
        begun = self._alone
        if begun is not None:
            begun.counted = True  # first: of a lost reply nobody knows
            await self._execute(_QUERIES.at_risk, begun)
        yield
        if begun is not None:
            await self._take_back(begun)

    async def parts(
        self, batches: Sequence[Batch]
    ) -> AsyncGenerator[tuple[list[Batch], Places], None]:
        """What to do, one part after another, each with the places of what is to be quarantined."""
        self._alone = None  # what a fence has ended is not under way any more
        together = [batch for batch in batches if batch.partition not in self._singly]
        if together:
            yield together, _NOWHERE
        for batch in batches:
            if batch.partition not in self._singly:
                continue
            for one in _records(batch):
                aside = _NOWHERE
                if one.records and await self._begin(one.partition, one.base) >= ALONE_MAX:
                    aside = frozenset({(one.partition, one.records[0].offset)})
                yield [one], aside
                self._alone = None
            self._singly.discard(batch.partition)
            self._begun.pop(batch.partition, None)

    async def _begin(self, partition: int, base: int) -> int:
        """How many processes have ended with the record at this place."""
        known = self._begun.get(partition)
        if known is not None and known.at == base:
            if known.counted:
                await self._take_back(known)  # a retry: we waited, and did not end
        else:
            known = self._begun[partition] = _Begun(partition, base)
        async with database_errors():
            ended: int | None = await self._pool.fetchval(_QUERIES.begin, *self._place(known))
        self._alone = known
        return ended or 0

    async def _take_back(self, begun: _Begun) -> None:
        await self._execute(_QUERIES.take_back, begun)
        begun.counted = False

    async def _execute(self, query: str, begun: _Begun) -> None:
        async with database_errors():
            await self._pool.execute(query, *self._place(begun))

    def _place(self, begun: _Begun) -> tuple[int, str, int, int]:
        return self._positions.generation, self._positions.topic, begun.partition, begun.at


def _records(batch: Batch) -> list[Batch]:
    """The batch, cut into one per record; one without records stays whole."""
    starts = [batch.base, *(record.offset for record in batch.records[1:])]
    untils = [*starts[1:], batch.until]
    return [
        replace(batch, base=base, until=until, records=batch.records[index : index + 1])
        for index, (base, until) in enumerate(zip(starts, untils, strict=True))
    ]
