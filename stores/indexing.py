"""A worker's part in indexing fans whose state a former release has written.

While a release that knows of no filter columns runs beside this one, and after a migration, states
stand there without them. Each worker writes some of them at a time, wherever they are: rows that
another one is at are skipped, so several share the work, and one that ends in the midst of it has
lost nothing. When there are none, it costs one look at an empty index each second.
"""

import asyncio
import logging
from typing import Final, NoReturn

from infra.postgres import Pool, database_errors
from privacy.keys import Keyring
from schemas.errors import FanMemoryError
from stores import generations, states

ROWS: Final = 200
"""At a time: the live fold waits for them for about 10 ms."""
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


class Indexer:
    """Looks for such states."""

    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            done = 0
            try:
                done = await index_fans(self._pool, self._keyring)
            except FanMemoryError as error:
                log.debug("indexing waits for %s", type(error).__name__)
            if done:
                log.info("fans indexed", extra={"count": done})
            await asyncio.sleep(PAUSE_SECONDS if done == ROWS else LOOK_SECONDS)
