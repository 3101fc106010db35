"""One topic's partitions, by their numbers, as Faust's consumer has them.

Whoever works on a topic knows it by the name that `schemas.topics` gives it; what a shared cluster
calls it (`infra.kafka.named`) is known here and to the transport.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from faust.types import TP


class Partitions:
    """For one loop; what is asked of Kafka raises what its client raises."""

    def __init__(self, app: Any, name: str) -> None:
        """`name` is the topic's on the cluster."""
        self._app = app
        self._name = name

    def assigned(self) -> set[int]:
        """Which are ours now."""
        return {tp.partition for tp in self._app.consumer.assignment() if tp.topic == self._name}

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where the logs of those end that are ours, as the last fetch saw it."""
        assigned = self.assigned()
        tps = [TP(self._name, partition) for partition in partitions if partition in assigned]
        found = await self._app.consumer.highwaters(*tps) if tps else {}
        return {tp.partition: end for tp, end in found.items()}

    async def begin(self, partition: int) -> int:
        """The first offset that a log still has."""
        tp = TP(self._name, partition)
        return int((await self._app.consumer.earliest_offsets(tp))[tp])

    async def seek(self, offsets: Mapping[int, int]) -> None:
        """Read on from there."""
        places = {TP(self._name, partition): offset for partition, offset in offsets.items()}
        await self._app.consumer.seek_wait(places)

    async def links(self, partitions: Iterable[int]) -> dict[int, int]:
        """Number of the connection to each one's leader (`transport.Records.link`)."""
        found: dict[int, int] = await self._app.consumer.links(self._name, partitions)
        return found

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell Kafka how far we are, for tools that show lag."""
        await self._app.consumer.commit_advisory(self._name, offsets)
