"""Read the dead letters: what ingest refused, why, and the sealed copy opened again.

The reader belongs to no group and commits nothing. After a crash ingest may write a letter twice:
of one place and of one content, and only one of them is given. Where `interactions` was made again,
another record has stood in the same place.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from infra.kafka import ERRORS, KNOWN_END_WAIT_MS, TopicPartition, reading
from infra.settings import Settings
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.errors import BrokerUnavailable
from schemas.topics import DEAD_LETTERS

READ_SECONDS_MAX: Final = 30.0


async def ends(settings: Settings) -> dict[TopicPartition, int]:
    """Where the next dead letter of every partition will stand."""
    async with _reader(settings) as consumer:
        return dict(await consumer.end_offsets(sorted(consumer.assignment())))


async def read_from(settings: Settings, starts: Mapping[TopicPartition, int]) -> list[DeadLetter]:
    """The dead letters that came since `ends` gave these, oldest first."""
    async with _reader(settings) as consumer:
        return await _read(consumer, starts)


async def read_newest(settings: Settings, limit: int) -> tuple[list[DeadLetter], int]:
    """The newest `limit` dead letters, oldest first, and how many the topic holds."""
    async with _reader(settings) as consumer:
        partitions = sorted(consumer.assignment())
        first = await consumer.beginning_offsets(partitions)
        until = await consumer.end_offsets(partitions)
        starts = {place: max(first[place], until[place] - limit) for place in partitions}
        letters = await _read(consumer, starts)
        return letters[-limit:], sum(until[place] - first[place] for place in partitions)


async def held(settings: Settings) -> int:
    """How many dead letters the topic holds; what ingest wrote twice counts twice."""
    async with _reader(settings) as consumer:
        partitions = sorted(consumer.assignment())
        first = await consumer.beginning_offsets(partitions)
        until = await consumer.end_offsets(partitions)
        return sum(until[place] - first[place] for place in partitions)


async def pages(settings: Settings, size: int) -> AsyncGenerator[list[DeadLetter]]:
    """All dead letters, at most `size` at a time: one partition after the other, each from its
    oldest to where it ended when the reading of it began.

    Raises `BrokerUnavailable`, also when a page takes longer than `READ_SECONDS_MAX`.
    """
    async with _connected(settings) as consumer:
        for place in sorted(consumer.assignment()):
            async with _bounded():
                until = (await consumer.end_offsets([place]))[place]
                consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
            while (page := await _page(consumer, place, until, size)) is not None:
                yield page


async def _page(
    consumer: Any, place: TopicPartition, until: int, size: int
) -> list[DeadLetter] | None:
    """The next letters below `until`; None when there are none."""
    async with _bounded():
        while await consumer.position(place) < until:
            fetched = await consumer.getmany(place, timeout_ms=200, max_records=size)
            records = fetched.get(place)
            if records:
                letters = {}
                for record in records:
                    if record.offset < until:
                        letter = decode_dead_letter(record.value)
                        letters[letter.source, letter.digest] = letter
                return list(letters.values())
    return None


async def _read(consumer: Any, starts: Mapping[TopicPartition, int]) -> list[DeadLetter]:
    letters: dict[tuple[str, str | None], DeadLetter] = {}
    for place, until in (await consumer.end_offsets(list(starts))).items():
        consumer.seek(place, starts[place])
        while await consumer.position(place) < until:
            fetched = await consumer.getmany(place, timeout_ms=200)
            for record in fetched.get(place, ()):
                letter = decode_dead_letter(record.value)
                letters[letter.source, letter.digest] = letter
    return sorted(letters.values(), key=lambda letter: (letter.refused_at, letter.source))


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[Any]:
    """A reader of all partitions; raises `BrokerUnavailable`, also when reading takes too long."""
    async with _connected(settings) as consumer, _bounded():
        yield consumer


def _connected(settings: Settings) -> AbstractAsyncContextManager[Any]:
    return reading(settings, DEAD_LETTERS.name, fetch_max_wait_ms=KNOWN_END_WAIT_MS)


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """For what may take `READ_SECONDS_MAX`; raises `BrokerUnavailable` when it takes longer."""
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            yield
    except ERRORS as error:
        raise BrokerUnavailable(
            "The dead letters can't be read.", hint="Check Kafka, and `fanmemory topics check`."
        ) from error
