"""The advisory commit: tell Kafka how far we are, so that lag tools have something to show.

Nothing depends on it: where to read on stands in Postgres.
"""

import asyncio
import logging
import time

from stores.positions import Positions
from streams.partitions import Partitions

log = logging.getLogger(__name__)

COMMIT_EVERY_SECONDS = 1.0
COMMIT_SECONDS_MAX = 10.0


class AdvisoryCommit:
    """Of one topic; at most once a second, one at a time, in the background."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._committed_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def tell(self, positions: Positions) -> None:
        """Commit these positions, if it is time to."""
        now = time.monotonic()
        if now - self._committed_at < COMMIT_EVERY_SECONDS:
            return
        if self._task is not None and not self._task.done():
            return
        self._committed_at = now
        offsets = {partition: held.next for partition, held in positions.held.items()}
        self._task = asyncio.create_task(self._commit(offsets))

    async def _commit(self, offsets: dict[int, int]) -> None:
        try:
            async with asyncio.timeout(COMMIT_SECONDS_MAX):
                await self._partitions.commit(offsets)
        except Exception as error:  # noqa: BLE001 # nothing depends on it, whatever it is
            log.debug("advisory commit: %s", type(error).__name__)
