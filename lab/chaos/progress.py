"""Progress: where every partition stands, as Postgres says, outages included."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from schemas.errors import DatabaseUnavailable
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS, JOURNAL
from stores.store import Store

POLL_SECONDS: Final = 0.2
FLOWS: Final = (INTERACTIONS.name, JOURNAL.name)
"""Nothing is sent to the other topics that workers read."""

Place = tuple[str, int]
"""(topic, partition)"""


class Progress:
    """Polls the position rows; `next` and `folded` (events in the views) are what was last seen."""

    def __init__(self, store: Store, places: int) -> None:
        self._store = store
        self._places = places
        self.next: dict[Place, int] = {}
        self.folded = 0
        self.dead_letters = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                async with asyncio.timeout(5):
                    statuses = await self._store.positions()
                self.next = {
                    (one.topic, one.partition): one.next for one in statuses if one.topic in FLOWS
                }
                self.folded = sum(one.applied + one.duplicates for one in statuses)
                self.dead_letters = sum(one.dead_letters for one in statuses)
            except (DatabaseUnavailable, TimeoutError):
                pass  # Postgres is being killed: what was seen last still is the newest known
            await asyncio.sleep(POLL_SECONDS)

    def of(self, topic: str) -> dict[int, int]:
        """The next offset of each partition of a topic."""
        return {partition: at for (name, partition), at in self.next.items() if name == topic}

    async def interactions(self, fans: Sequence[Relationship]) -> dict[Relationship, int]:
        """What the views hold of these fans now; nothing while Postgres is away."""
        found: dict[Relationship, int] = {}
        try:
            async with asyncio.timeout(5):
                for who in fans:
                    stored = await self._store.read(*who)
                    if stored is not None:
                        found[who] = stored.state.engagement.interactions
        except (DatabaseUnavailable, TimeoutError):
            pass  # those read before it went away still count
        return found

    async def every_partition_moves(self, seconds_max: float) -> bool:
        """Wait until each partition has moved on from where it stands now."""
        before = dict(self.next)
        return await wait_for(
            lambda: (
                len(self.next) == self._places
                and all(at > before.get(place, 0) for place, at in self.next.items())
            ),
            seconds_max,
        )


def behind(positions: Mapping[int, int], wanted: Mapping[int, int]) -> dict[int, int]:
    """Where those partitions stand that are not as far as is wanted."""
    found = {partition: positions.get(partition, 0) for partition in wanted}
    return {partition: at for partition, at in found.items() if at < wanted[partition]}


async def wait_for(condition: Callable[[], Any], seconds_max: float) -> bool:
    """Poll until it is true; False when time is up."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
