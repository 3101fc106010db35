"""A worker's part in keeping fans easy to find, beside the live fold.

- **Indexing.** While a release that knows of no filter columns runs beside this one, and after a
  migration, states stand there without them. Each worker writes some of them at a time.
- **Ordering.** Fans stand in the indexes of the orders only where their creator has many: a page
  looks at all others one by one. Each worker looks at a few creators each second, round and round,
  and puts the fans of one who has more than `UNORDERED_MAX` others there.

Rows that somebody else is at are skipped, so several share the work, and one that ends in the midst
of it has lost nothing. When there is nothing to do, it costs a look at an empty index and at some
thousand entries each second.
"""

import asyncio
import logging
from typing import Final, NoReturn

from infra.postgres import Connection, Pool, database_errors
from privacy.keys import Keyring
from schemas.errors import FanMemoryError
from stores import generations, states

ROWS: Final = 200
"""At a time: the live fold waits for them for about 10 ms."""
UNORDERED_MAX: Final = 1_000
"""Fans of one creator. To look at them takes a page 3 ms."""
CREATORS: Final = 5
"""Looked at each second: 1 ms if each has as many fans as that. Of 2,000 creators one has to wait
for three minutes, with two workers; until then that creator's pages look at more fans."""
LOOK_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.02
"""Between two times while there is more: two thirds of the time is the live fold's."""

log = logging.getLogger(__name__)


async def index_fans(pool: Pool, keyring: Keyring) -> int:
    """Index some fans of the live generation; how many. Raises `DatabaseUnavailable`, and
    `Misconfigured` when code of another version has gone live."""
    async with database_errors(), pool.acquire() as connection:
        live = generations.require_version(await generations.live(connection))
        return await states.index_some(connection, live.number, ROWS, keyring)


async def order_fans(pool: Pool, start: int) -> int:
    """Put the fans of the next creators, from this hash on, into the indexes of the live generation
    where they are too many; the hash to go on from. Raises as `index_fans`."""
    async with database_errors(), pool.acquire() as connection:
        live = generations.require_version(await generations.live(connection))
        found = await states.unordered(connection, live.number, start, CREATORS, UNORDERED_MAX)
        for creator in found.crowded:
            done = ROWS
            while done == ROWS:
                done = await states.order_some(connection, live.number, creator, ROWS)
                await asyncio.sleep(PAUSE_SECONDS)
            log.info("a creator's fans ordered")
    return states.HASH_MIN if found.end is None else found.end


async def order_all(connection: Connection, generation: int) -> None:
    """The same of all creators, in a generation that nobody reads yet."""
    start: int | None = states.HASH_MIN
    while start is not None:
        found = await states.unordered(connection, generation, start, ROWS, UNORDERED_MAX)
        for creator in found.crowded:
            while await states.order_some(connection, generation, creator, states.TOGETHER):
                pass
        start = found.end


class Indexer:
    """Looks for such states."""

    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._start = states.HASH_MIN

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            done = 0
            try:
                done = await index_fans(self._pool, self._keyring)
                if done < ROWS:
                    self._start = await order_fans(self._pool, self._start)
            except FanMemoryError as error:
                log.debug("indexing waits for %s", type(error).__name__)
            if done:
                log.info("fans indexed", extra={"count": done})
            await asyncio.sleep(PAUSE_SECONDS if done == ROWS else LOOK_SECONDS)
