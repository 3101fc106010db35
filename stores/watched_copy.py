"""A process's own copy of a small list in Postgres, so that no request has to ask for it."""

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final

from schemas.errors import DatabaseUnavailable

LOOK_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class WatchedCopy(ABC):
    """Looks every `LOOK_SECONDS` whether the list has changed; while Postgres is away, what was
    known stays. Belongs to one event loop; `start` it and `close` it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def look(self) -> None:
        """Read the list again if it has changed; raises `DatabaseUnavailable`."""

    async def start(self) -> None:
        """Returns when the list is known, or when Postgres does not answer soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._look_again()
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look_again()

    async def _look_again(self) -> None:
        try:
            await self.look()
        except DatabaseUnavailable:
            pass
        except Exception:  # the boundary: whatever it is, the next look may succeed
            log.exception("a list can't be read", extra={"operation": type(self).__name__})
