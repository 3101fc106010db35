"""The gate before anything is folded: what the ledger says to be erased is erased here, too.

Asked before each claim, and when positions moved without us, as they do when the database is
restored beneath a running worker: then it knows less of the ledger than we have seen.
"""

import asyncio
import logging

from admin.ledger import catch_up
from infra.postgres import Pool, database_errors
from infra.settings import Settings
from stores import erasure

log = logging.getLogger(__name__)


class LedgerGate:
    """Belongs to one event loop; the steps of a worker share it."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._seen: int | None = None
        """Records of the ledger that the database knew when we compared last."""
        self._turn = asyncio.Lock()

    async def passed(self) -> None:
        """Return when this database has what the ledger has.

        Raises `BrokerUnavailable`, `DatabaseUnavailable`: ask again.
        """
        async with self._turn:
            if self._seen is not None and await self._known() >= self._seen:
                return
            erased = await catch_up(self._settings)
            self._seen = await self._known()
            if erased:
                log.error(
                    "the database was restored, and knew fans who were erased: they are again",
                    extra={"count": erased},
                )

    async def _known(self) -> int:
        async with database_errors(), self._pool.acquire() as connection:
            return sum((await erasure.ledger_positions(connection)).values())
