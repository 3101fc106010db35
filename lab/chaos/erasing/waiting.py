"""Waiting until the API answers, and until nothing is under way any more."""

import asyncio
import time
from pathlib import Path
from typing import Final

from admin.accounting import wait_until_folded, wait_until_told
from infra.postgres import connecting
from infra.settings import Settings
from infra.sql import load_queries
from lab.chaos.topic import topic_ends
from ops.system import answers_ready
from schemas.errors import DeadlineExceeded, ServiceFailed
from schemas.topics import INTERACTIONS
from stores.opened import open_stores

STANDSTILL_SECONDS_MAX: Final = 90.0
READY_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.05
_QUERIES: Final = load_queries(Path(__file__).with_name("checks.sql"), table="x")


async def ready(settings: Settings) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not await answers_ready(settings.api_host, settings.api_port):
        if time.monotonic() > deadline:
            raise ServiceFailed("The API is not ready.")
        await asyncio.sleep(POLL_SECONDS)


async def quiet(settings: Settings) -> None:
    """No erasure or forgetting is pending, all that was sent is in the views, and all is told."""
    deadline = time.monotonic() + STANDSTILL_SECONDS_MAX
    async with connecting(settings.postgres_url) as connection:
        while left := await connection.fetchval(_QUERIES.pending):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{left} erasures and forgettings are not completed.")
            await asyncio.sleep(POLL_SECONDS)
    records = sum((await topic_ends(settings, [INTERACTIONS.name])).values())
    async with open_stores(settings) as stores:
        await wait_until_folded(stores.store, settings, records, STANDSTILL_SECONDS_MAX)
        await wait_until_told(stores.store, STANDSTILL_SECONDS_MAX)
