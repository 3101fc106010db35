"""Looking up from the work, once a second: does each partition still move, and its log still fit?

A look changes nothing. It finds partitions whose log has to be checked, positions that moved in
Postgres without us, and partitions that stand still although there is something to read.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from infra.kafka import KafkaError
from streams.partitions import Partitions
from streams.step import NOT_NOW, Step

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often to look up from the work, and how long a partition may stand still with lag."""
LOOK_SECONDS_MAX = 5.0
RECHECK_SECONDS = 10.0
"""How often to see whether a stopped partition can continue after all."""


class Seen(NamedTuple):
    """What one look found."""

    known: bool
    """Whether Postgres has our positions as we know them."""
    suspects: set[int]
    """Partitions whose log has to be checked before anything of theirs counts."""


class Lookout:
    """Looks at the partitions of one step."""

    def __init__(self, app: Any, step: Step, partitions: Partitions) -> None:
        self._app = app
        self._step = step
        self._partitions = partitions
        self._looked_at = 0.0
        self._rechecked_at = 0.0
        self._ends: dict[int, int] = {}
        self._stood: dict[int, int] = {}
        """Partition with lag -> its position at the last look."""

    @property
    def due(self) -> bool:
        return time.monotonic() - self._looked_at >= LOOK_SECONDS

    def claimed(self) -> None:
        """Other partitions are ours now, and how long their logs were is not known."""
        self._ends.clear()

    async def look(self, checked: Mapping[int, int]) -> Seen | None:
        """None when there is nothing to see, or it can't be seen now: the next look will.

        `checked` are the links that the logs were last checked on.
        """
        positions = self._step.positions
        assignment = self._app.consumer_generation_id
        if not positions.held or self._app.rebalancing:
            return None
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                known = await self._step.as_known()
                ends = await self._partitions.ends(positions.held)
                links = await self._partitions.links(ends)
        except (*NOT_NOW, KafkaError, TimeoutError) as error:
            log.debug("look: %s", type(error).__name__)
            return None
        finally:
            self._looked_at = time.monotonic()
        if self._app.consumer_generation_id != assignment:
            return None
        held = positions.held
        everything = self._step.in_doubt
        suspects = {
            partition
            for partition, end in ends.items()
            if partition not in self._step.stopped
            and (
                everything
                or links[partition] != checked.get(partition)
                or end < self._ends.get(partition, 0)
                or end < held[partition].next
            )
        }
        self._ends = ends
        if time.monotonic() - self._rechecked_at > RECHECK_SECONDS:
            # Its operator may have brought the log back.
            self._rechecked_at = time.monotonic()
            suspects |= {p for p in held if p in self._step.stopped}
        return Seen(known, suspects)

    def standing_still(self) -> dict[int, int]:
        """Partition -> position, of those with lag that have not moved since the last look.

        A fetch may be dropped on its way after we have counted it as read (`Records`). What comes
        behind it shows that. When nothing comes, the partition would stand still until the next
        event: while nothing else is queued, it has to be read again from its position.
        """
        held = self._step.positions.held
        lagging = {
            partition: held[partition].next
            for partition, end in self._ends.items()
            if partition in held
            and held[partition].next < end
            and partition not in self._step.stopped
        }
        still = {p: at for p, at in lagging.items() if self._stood.get(p) == at}
        self._stood = {} if still else lagging
        return still

    def working(self) -> None:
        """There is work: that a partition has lag means nothing."""
        self._stood.clear()
