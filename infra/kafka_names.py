"""Topics under the names that a shared cluster gives them: `FANMEMORY_KAFKA_TOPIC_PREFIX`.

Everything of ours knows a topic by the name in `schemas.topics`: positions, sealed records, labels
and errors have it, so a backup can be put back under another prefix. Only clients say the other
one. These stand around aiokafka's where there is a prefix, and translate what goes in and out. What
they don't know they don't pass on: it might name a topic, and write beside the prefix.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiokafka import TopicPartition


class _Named:
    plain: ClassVar[frozenset[str]]
    """What a client has that names no topic."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._inner = client
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        if name not in self.plain:
            raise AttributeError(f"{name} is not known to {type(self).__name__}")
        return getattr(self._inner, name)

    def _there(self, place: TopicPartition) -> TopicPartition:
        return TopicPartition(self._prefix + place.topic, place.partition)

    def _here(self, place: TopicPartition) -> TopicPartition:
        return TopicPartition(place.topic.removeprefix(self._prefix), place.partition)

    def _all_here(self, found: Mapping[TopicPartition, Any]) -> dict[TopicPartition, Any]:
        return {self._here(place): value for place, value in found.items()}


class NamedReader(_Named):
    """A consumer of no group."""

    plain = frozenset(("start", "stop", "_client"))

    def assign(self, places: Iterable[TopicPartition]) -> None:
        self._inner.assign([self._there(place) for place in places])

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._here(place) for place in self._inner.assignment())

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._inner.seek(self._there(place), offset)

    async def position(self, place: TopicPartition) -> int:
        return int(await self._inner.position(self._there(place)))

    def highwater(self, place: TopicPartition) -> int | None:
        found: int | None = self._inner.highwater(self._there(place))
        return found

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[Any, int]:
        there = [self._there(place) for place in places]
        return self._all_here(await self._inner.beginning_offsets(there))

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[Any, int]:
        there = [self._there(place) for place in places]
        return self._all_here(await self._inner.end_offsets(there))

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[Any, Any]:
        there = {self._there(place): time for place, time in times.items()}
        return self._all_here(await self._inner.offsets_for_times(there))

    async def getmany(self, *places: TopicPartition, **options: Any) -> dict[Any, list[Any]]:
        there = [self._there(place) for place in places]
        return self._all_here(await self._inner.getmany(*there, **options))


class NamedProducer(_Named):
    """A producer of single records and of whole batches."""

    plain = frozenset(("start", "stop", "create_batch", "client"))

    async def send(self, topic: str, *arguments: Any, **options: Any) -> Any:
        return await self._inner.send(self._prefix + topic, *arguments, **options)

    async def partitions_for(self, topic: str) -> set[int]:
        found: set[int] = await self._inner.partitions_for(self._prefix + topic)
        return found

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        return await self._inner.send_batch(batch, self._prefix + topic, partition=partition)
