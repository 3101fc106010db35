"""Reading a whole topic, from its beginning to its end of the moment."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from infra import kafka
from infra.settings import Settings


async def read_topic(settings: Settings, topic: str) -> AsyncIterator[Any]:
    """Every record that is there now, each partition in order."""
    async with kafka.reading(
        settings,
        topic,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=kafka.KNOWN_END_WAIT_MS,
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        left = {place for place, end in ends.items() if end > 0}
        while left:
            for place, records in (await consumer.getmany(*left, timeout_ms=1000)).items():
                for record in records:
                    if record.offset < ends[place]:
                        yield record
            for place in list(left):
                if await consumer.position(place) >= ends[place]:
                    left.remove(place)


async def topic_ends(settings: Settings, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the next offset to be written."""
    found: dict[tuple[str, int], int] = {}
    for topic in topics:
        async with kafka.reading(settings, topic) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            found |= {(topic, place.partition): end for place, end in ends.items()}
    return found
