"""Partitions that wait for their operator, told on the terminal of `up`."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from admin import log_state
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from schemas.errors import DatabaseUnavailable
from stores.log_breaks import Lost

LOOK_SECONDS: Final = 5.0
LOOK_SECONDS_MAX: Final = 5.0


async def tell_stopped(
    settings: Settings, tell: Callable[[Lost], Any], pause_seconds: float = LOOK_SECONDS
) -> None:
    """Tell each once while it stands still, until cancelled; nothing while Postgres is away."""
    told: set[Lost] = set()
    while True:
        with suppress(DatabaseUnavailable, TimeoutError):
            found = await _stopped(settings)
            for lost in found:
                if lost not in told:
                    tell(lost)
            told = set(found)
        await asyncio.sleep(pause_seconds)


async def _stopped(settings: Settings) -> list[Lost]:
    async with (
        asyncio.timeout(LOOK_SECONDS_MAX),
        database_errors(),
        connecting(settings.postgres_url) as connection,
    ):
        return await log_state.stopped(connection)
