"""A fault of the database: it comes back as it was a moment ago, as after a failover to a copy.

What was committed in between is gone with the keys of the fans first seen then: ingest reads it
again, and writes again under new keys what the journal has under the lost ones.
"""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

from infra.postgres import connect, url_of
from lab.chaos.backwards import copy_database, restore_database
from lab.chaos.fault import HEALED_SECONDS_MAX, Fault, Stage
from schemas.topics import JOURNAL

LOST_EVENTS: Final = 200
LOST_SECONDS: Final = 1.0
BLIND_SECONDS: Final = 10.0
"""For so long after it was healed an answer may still be of before."""


class PostgresRestored(Fault):
    """A second back: fans first seen in it have never been, and everyone else is younger."""

    name = "postgres restored 1 s back"
    _marked = False
    _gone = False
    _healed = False

    async def inject(self, stage: Stage) -> None:
        copy = self._copy(stage)
        await asyncio.to_thread(copy_database, stage.services, copy)
        copied_at = time.monotonic()
        connection = await connect(url_of(stage.settings, "owner"))
        await connection.execute("CREATE TABLE public.after_the_copy ()")
        await connection.close()
        self._marked = await stage.folded_more(LOST_EVENTS)
        await asyncio.sleep(max(0.0, copied_at + LOST_SECONDS - time.monotonic()))
        reached = stage.progress.of(JOURNAL.name)
        stage.excused.went_back = True
        stage.reader.forget(2 * HEALED_SECONDS_MAX)
        try:
            await asyncio.to_thread(restore_database, stage.services, copy)
            connection = await connect(stage.settings.postgres_url)
            self._gone = await connection.fetchval("SELECT to_regclass('after_the_copy') IS NULL")
            await connection.close()
            self._healed = await stage.all_back(reached)
        finally:
            stage.reader.forget(BLIND_SECONDS)

    async def seen(self, stage: Stage) -> bool:
        return self._marked and self._gone and self._healed

    async def heal(self, stage: Stage) -> None:
        await asyncio.to_thread(stage.services.start_one, "postgres")
        await asyncio.to_thread(shutil.rmtree, self._copy(stage), True)

    @staticmethod
    def _copy(stage: Stage) -> Path:
        return stage.services.data / "copy-of-postgres"
