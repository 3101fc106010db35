"""Vacuum after erasures: a deleted row stays in its page until someone cleans that.

Autovacuum would come when a fifth of a table is dead, which may be never. So while something was
erased in the last `AFTER_SECONDS`, one worker vacuums the touched tables every `EVERY_SECONDS`:
each erasure is followed by several, since the first may come while an older transaction still sees
the row. Pages that nothing was deleted from are passed over.

What a page held is overwritten by what comes there next. Until then the former bytes stand there:
sealed, without a key. Where they are not sealed, `cleaning` writes the tables anew behind it.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final, NoReturn

from infra.postgres import connecting, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from schemas.errors import DatabaseUnavailable
from stores import cleaning, generations

AFTER_SECONDS: Final = 1200.0
EVERY_SECONDS: Final = 240.0
LOOK_SECONDS: Final = 60.0
VACUUM_SECONDS_MAX: Final = 3600.0
_LOCK: Final = 0x66616E7661  # "fanva": one vacuum at a time in a database
_SQL: Final = Path(__file__).parent / "sql" / "vacuum.sql"

log = logging.getLogger(__name__)


async def vacuum(settings: Settings, *, every_seconds: float = EVERY_SECONDS) -> bool:
    """Vacuum and clean if it is due; whether it was. Raises `DatabaseUnavailable`."""
    queries = load_queries(_SQL, generation="g")
    async with (
        database_errors(),
        connecting(settings.postgres_url, command_timeout=VACUUM_SECONDS_MAX) as connection,
    ):
        if not await connection.fetchval(queries.lock, _LOCK):
            return False
        if await connection.fetchval(queries.due, AFTER_SECONDS, every_seconds):
            for each in await generations.all_generations(connection):
                state_queries = load_queries(_SQL, generation=generations.schema_name(each.number))
                await connection.execute(state_queries.vacuum_states)
            await connection.execute(queries.vacuum)
        else:
            # What was in the way then (a backup's transaction, a bound) may be gone by now.
            left = await cleaning.unclean(connection)
            if left is None or left.seconds <= AFTER_SECONDS:
                return False
        await cleaning.rewrite(connection, settings.rewritten_megabytes_max << 20)
    return True


class Vacuum:
    """A worker's part in it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self) -> NoReturn:
        """Look once a minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await vacuum(self._settings)
            except DatabaseUnavailable as error:
                log.debug("the vacuum waits for %s", type(error).__name__)
