"""Reading a log where a question is, apart from the stream of fetches: ends, single records, tails.

One connection per question asked; no consumer is moved and nothing is committed. Everything raises
`BrokerUnavailable`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from infra.kafka import KNOWN_END_WAIT_MS, TopicPartition, broker_errors, reading
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, SealBroken
from schemas.journal import decode_record
from schemas.topics import JOURNAL
from streams.continuity import Bounds

READ_SECONDS_MAX: Final = 15.0
_NOTHING: Final[Mapping[int, Sequence[tuple[int, int]]]] = {}
TAIL_RECORDS: Final = 2_000
"""A search backwards begins with so many, and continues with twice as many each time."""
TAIL_RECORDS_MAX: Final = 64_000


class LogReader:
    """Answers questions about logs; one at a time."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, Bounds]:
        """Where each log begins and ends."""
        tps = [TopicPartition(topic, partition) for partition in partitions]
        if not tps:
            return {}
        async with broker_errors(), asyncio.timeout(READ_SECONDS_MAX):
            first = await self._consumer.beginning_offsets(tps)
            end = await self._consumer.end_offsets(tps)
        return {tp.partition: Bounds(first[tp], end[tp]) for tp in tps}

    async def at(self, topic: str, offsets: Mapping[int, int]) -> dict[int, Any]:
        """The record at one offset of each partition; None where there is none. Inside the log."""
        wanted = {TopicPartition(topic, p): offset for p, offset in offsets.items()}
        found: dict[int, Any] = {}
        if not wanted:
            return found
        self._go_to(wanted)
        async with broker_errors(), asyncio.timeout(READ_SECONDS_MAX):
            while wanted:
                fetched = await self._consumer.getmany(*wanted, timeout_ms=200, max_records=1)
                for tp, offset in list(wanted.items()):
                    record = next(iter(fetched.get(tp, ())), None)
                    if record is not None or await self._consumer.position(tp) > offset:
                        there = record is not None and record.offset == offset
                        found[tp.partition] = record if there else None
                        del wanted[tp]
        return found

    async def read(self, topic: str, partition: int, start: int, until: int) -> list[Any]:
        """The records from `start` up to, but without, `until`."""
        tp = TopicPartition(topic, partition)
        found: list[Any] = []
        if start >= until:
            return found
        self._go_to({tp: start})
        async with broker_errors():
            while True:
                before = len(found)
                async with asyncio.timeout(READ_SECONDS_MAX):
                    fetched = await self._consumer.getmany(tp, timeout_ms=200)
                    place = await self._consumer.position(tp)
                found += [record for record in fetched.get(tp, ()) if record.offset < until]
                if place >= until:
                    return found
                if len(found) == before and not fetched:
                    bounds = await self.bounds(topic, [partition])
                    if bounds[partition].end < until:
                        raise BrokerUnavailable(f"{topic} changed while it was read.")

    async def first_after(self, topic: str, partition: int, time: int) -> int | None:
        """The first offset whose record is later than `time` in ms; None when there is none."""
        tp = TopicPartition(topic, partition)
        async with broker_errors(), asyncio.timeout(READ_SECONDS_MAX):
            found = (await self._consumer.offsets_for_times({tp: time + 1}))[tp]
        return None if found is None else int(found.offset)

    async def newest_sources(
        self,
        partition: int,
        end: int,
        wanted: Mapping[int, int],
        but: Mapping[int, Sequence[tuple[int, int]]] = _NOTHING,
    ) -> dict[int, tuple[int, int]]:
        """The newest journal record below `end` of each interactions partition that is asked for.

        `wanted` has the highest offset that counts: later ones were never acknowledged; `but`, from
        where up to where none of its records does. Returns (journal offset, source offset); what is
        missing has no record there. Searches backwards.
        """
        found: dict[int, tuple[int, int]] = {}
        start = (await self.bounds(JOURNAL.name, [partition]))[partition].start
        until, size = end, TAIL_RECORDS
        while until > start and found.keys() != wanted.keys():
            begin = max(start, until - size)
            newest: dict[int, tuple[int, int]] = {}
            for raw in await self.read(JOURNAL.name, partition, begin, until):
                try:
                    record = decode_record(raw.value or b"")
                except SealBroken:
                    continue
                source, offset = record.source_partition, record.source_offset
                passed_by = any(a <= raw.offset < b for a, b in but.get(source, ()))
                if offset <= wanted.get(source, -1) and not passed_by:
                    newest[source] = (raw.offset, offset)
            found = newest | found
            until, size = begin, min(2 * size, TAIL_RECORDS_MAX)
        return found

    def _go_to(self, offsets: Mapping[Any, int]) -> None:
        self._consumer.assign(list(offsets))
        for tp, offset in offsets.items():
            self._consumer.seek(tp, offset)


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[LogReader]:
    """A connected reader; raises `BrokerUnavailable`."""
    async with reading(
        settings,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=KNOWN_END_WAIT_MS,
    ) as consumer:
        yield LogReader(consumer)
