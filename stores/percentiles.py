"""Percentiles: where a fan's engagement score stands among all of the creator's.

Of two fans the one with the larger `rank` has the larger score at any time (`views.segments`), so
the order of the ranks is the order of the scores, and stands still while nobody does anything. A
process keeps, of each creator whom it is asked about, the ranks at every half percent of them. It
reads them again when they are older than a minute, and than a hundred times as long as reading
took, which is some 8 ms for 100,000 fans: never more than a hundredth of a connection's time for a
creator.

It is a figure beside a score, never a reason to wait for one: whoever can't wait gets what is
known, and nobody is told a guess. What can't be read is tried again some seconds later.
"""

import asyncio
import logging
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from infra.background import Background
from infra.breaker import Breaker
from infra.postgres import (
    InvalidSchemaNameError,
    Pool,
    UndefinedTableError,
    database_errors,
)
from infra.sql import Queries, load_queries
from schemas.errors import DatabaseUnavailable, FanMemoryError
from stores import wall
from stores.generations import schema_name
from stores.states import creator_hash
from stores.store import Store

KEPT_MAX: Final = 10_000
"""Creators in a process: 1.7 kB each."""
PARTS: Final = 200
_FRACTIONS: Final = [part / PARTS for part in range(1, PARTS + 1)]
FRESH_SECONDS: Final = 60.0
RESTS: Final = 100
"""Times as long as reading took, in which it is not read again."""
READ_SECONDS_MAX: Final = 1.0
FAILED_SECONDS: Final = 5.0
"""In which it is not tried again after it could not be read."""
READS_MAX: Final = 2
"""At once in a process."""

_SQL: Final = Path(__file__).parent / "sql" / "percentiles.sql"


log = logging.getLogger(__name__)


class Ranking(NamedTuple):
    """A creator's fans, by rank."""

    ranks: "array[float]"
    """At every `PARTS`th of them, the smallest first; none if there is nobody."""

    def percentile(self, rank: float) -> float:
        """The share of the creator's fans whose score is this one's or less, from 0 to 1."""
        return bisect_right(self.ranks, rank) / PARTS


class _Kept(NamedTuple):
    ranking: Ranking | None
    until: float
    """When it is to be read again."""


class Percentiles:
    """Belongs to one event loop; `close` it there."""

    def __init__(
        self,
        pool: Pool,
        store: Store,
        breaker: Breaker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`breaker`: of the database."""
        self._pool = pool
        self._store = store
        self._breaker = breaker
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._tasks: Background[None] = Background()
        self._turns = asyncio.Semaphore(READS_MAX)

    async def close(self) -> None:
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ranking(self, creator_id: str, seconds: float) -> Ranking | None:
        """What is known of this creator's fans; waits so long at most if nothing is known yet."""
        if not wall.sees(creator_id):
            return None
        kept = self._kept.get(creator_id)
        if kept is not None and self._clock() < kept.until:
            return kept.ranking
        if not self._breaker.closed:
            return None if kept is None else kept.ranking
        task = self._reading.get(creator_id)
        if task is None:
            task = self._reading[creator_id] = self._tasks.begin(self._read(creator_id))
        if kept is None or kept.ranking is None:
            await asyncio.wait((task,), timeout=seconds)
            kept = self._kept.get(creator_id)
        return None if kept is None else kept.ranking

    async def _read(self, creator_id: str) -> None:
        former = self._kept.get(creator_id)
        ranking = None if former is None else former.ranking
        rest = FAILED_SECONDS
        try:
            async with self._turns:
                began = self._clock()
                async with asyncio.timeout(READ_SECONDS_MAX):
                    ranking = await self._ranking(creator_id)
                rest = max(FRESH_SECONDS, RESTS * (self._clock() - began))
        except (FanMemoryError, TimeoutError) as error:
            log.debug("a ranking waits for %s", type(error).__name__)
        finally:
            del self._reading[creator_id]
        self._kept.pop(creator_id, None)
        if len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]  # which was read longest ago
        self._kept[creator_id] = _Kept(ranking, self._clock() + rest)

    async def _ranking(self, creator_id: str) -> Ranking:
        for _ in range(2):
            queries = _queries(await self._store.generation())
            try:
                async with database_errors():
                    row = await wall.fetchrow(
                        self._pool, queries.ranks, creator_id, creator_hash(creator_id), _FRACTIONS
                    )
            except (UndefinedTableError, InvalidSchemaNameError):
                await self._store.choose_generation()
                continue
            return Ranking(array("d", (row and row["ranks"]) or ()))
        raise DatabaseUnavailable("The generation changed while reading.")


@cache
def _queries(generation: int) -> Queries:
    return load_queries(_SQL, generation=schema_name(generation))
