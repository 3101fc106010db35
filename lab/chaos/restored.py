"""Faults of a database that comes back as it was a moment ago."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

from infra.postgres import connect
from lab.chaos.backwards import copy_database, restore_database
from lab.chaos.fault import Fault, Stage

LOST_EVENTS: Final = 200
LOST_SECONDS: Final = 1.0
BLIND_SECONDS: Final = 20.0
"""For so long after the return a context may be older than one that was read before."""


class PostgresRestored(Fault):
    """A second back: fans first seen in it have never been, and everyone else is younger."""

    name = "postgres restored 1 s back"
    _marked = False
    _gone = False

    async def inject(self, stage: Stage) -> None:
        copy = self._copy(stage)
        await asyncio.to_thread(copy_database, stage.services, copy)
        copied_at = time.monotonic()
        connection = await connect(stage.settings.postgres_url)
        await connection.execute("CREATE TABLE public.after_the_copy ()")
        await connection.close()
        self._marked = await stage.folded_more(LOST_EVENTS)
        await asyncio.sleep(max(0.0, copied_at + LOST_SECONDS - time.monotonic()))
        stage.reader.forget(BLIND_SECONDS)
        await asyncio.to_thread(restore_database, stage.services, copy)
        stage.reader.forget(BLIND_SECONDS)
        connection = await connect(stage.settings.postgres_url)
        self._gone = await connection.fetchval("SELECT to_regclass('after_the_copy') IS NULL")
        await connection.close()

    async def seen(self, stage: Stage) -> bool:
        return self._marked and self._gone

    async def heal(self, stage: Stage) -> None:
        await asyncio.to_thread(shutil.rmtree, self._copy(stage), True)
        await asyncio.to_thread(stage.services.start_one, "postgres")

    @staticmethod
    def _copy(stage: Stage) -> Path:
        return stage.services.data / "copy-of-postgres"
