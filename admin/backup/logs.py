"""The logs of a backup: records of topics out of Kafka, and back at their offsets.

    journal, erasures, dead letters   whole: nothing else has them
    interactions, intents             what was not read yet: the rest is in the journal and the
                                      database

`memory-updates`, results, traces and costs are told to others and kept for days: what of them was
not told yet is in the database's outbox, and is told again.

A position names an offset, so an offset has to stay. A new topic begins at 0: what lay below is
filled with empty records, which are deleted at once, before anybody reads.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from admin.backup.database import Snapshot
from admin.backup.manifest import Log
from admin.journal import Bounds, Raw, open_journal
from admin.topics import partitions_of
from infra.kafka import RecordsToDelete, TopicPartition, admin, broker_errors, named
from infra.producer import BatchProducer, Keyed
from infra.settings import Settings
from schemas.errors import BackupUnusable, BrokerUnavailable, Misconfigured
from schemas.topics import (
    DEAD_LETTERS,
    ERASURES,
    INTENT_DEAD_LETTERS,
    INTENTS,
    INTERACTIONS,
    JOURNAL,
    Topic,
)

UNREAD: Final = (INTERACTIONS, INTENTS)
"""Of these what ingest had not read."""
TOPICS: Final = (JOURNAL, DEAD_LETTERS, INTENT_DEAD_LETTERS, *UNREAD, ERASURES)
"""In the order in which their ends are found out. The journal first: it must not name a place in
`interactions` that this lacks, or the event that comes to stand there is taken for another. The
ledger last, so that it knows of everybody."""
IN_PLACE: Final = (JOURNAL, *UNREAD)
"""Whose records have to have their offsets again."""
FILLED_RECORDS: Final = 20_000
_LENGTH: Final = struct.Struct(">I")

Record = tuple[int, bytes, bytes, tuple[tuple[str, bytes], ...]]
"""Time in ms, key, value and headers."""
Piece = tuple[int, int, list[Record]]
"""Partition, first offset, and consecutive records."""
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Piece).decode


async def lengths(settings: Settings, topic: Topic, at: Snapshot) -> dict[int, Bounds]:
    """Partition -> from where to where a topic is copied."""
    async with open_journal(settings, topic.name) as log:
        bounds = await log.bounds()
    if topic not in UNREAD:
        return bounds
    nexts = {p: at.intake.get((topic.name, p), 0) for p in bounds}
    return {p: Bounds(min(max(one.first, nexts[p]), one.end), one.end) for p, one in bounds.items()}


async def copy(
    settings: Settings,
    topic: Topic,
    bounds: Mapping[int, Bounds],
    write: Callable[[bytes], Any],
    progress: Callable[[int], Any],
) -> int:
    """Copy these records to `write`; how many there were.

    Raises `BrokerUnavailable`, `DataLost`, and `Misconfigured` for a journal with holes.
    """
    count = 0
    async with open_journal(settings, topic.name) as log:
        for partition, (first, end) in bounds.items():
            expected = first
            async for raws in log.read(partition, first, end):
                for first_offset, run in runs(raws):
                    if topic is JOURNAL and first_offset != expected:
                        raise Misconfigured(
                            f"journal-{partition} has nothing at {expected}: somebody else writes"
                            " there, and it could not be put back as it is.",
                            hint="Let none but the workers write to the journal.",
                        )
                    expected = first_offset + len(run)
                    write(packed((partition, first_offset, run)))
                count += len(raws)
                progress(len(raws))
    return count


def runs(raws: Iterable[Raw]) -> Iterator[tuple[int, list[Record]]]:
    """Records without a hole between them."""
    first = -1
    run: list[Record] = []
    for raw in raws:
        if run and raw.offset != first + len(run):
            yield first, run
            run = []
        if not run:
            first = raw.offset
        run.append((raw.timestamp, raw.key, raw.value, raw.headers))
    if run:
        yield first, run


def packed(piece: Piece) -> bytes:
    body = _encode(piece)
    return _LENGTH.pack(len(body)) + body


def unpacked(pieces: Iterable[bytes]) -> Iterator[Piece]:
    """What was packed, out of pieces of any size."""
    pending = bytearray()
    for piece in pieces:
        pending += piece
        start = 0
        while len(pending) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(pending, start)
            until = start + _LENGTH.size + length
            if len(pending) < until:
                break
            yield _decode(bytes(pending[start + _LENGTH.size : until]))
            start = until
        del pending[:start]
    if pending:
        raise BackupUnusable


async def require_empty(settings: Settings, held: Mapping[str, tuple[Log, ...]]) -> None:
    """Raise `Misconfigured` unless every topic is as wide as it was, and was never written to."""
    for topic in TOPICS:
        logs = held[topic.name]
        if partitions_of(topic, settings) != len(logs):
            raise Misconfigured(
                f"{topic.name} had {len(logs)} partitions, and would have"
                f" {partitions_of(topic, settings)}.",
                hint=f"Set FANMEMORY_{topic.partitions.upper()}={len(logs)}.",
            )
        async with open_journal(settings, topic.name) as log:
            if any(end > 0 for _, end in (await log.bounds()).values()):
                raise Misconfigured(
                    f"The topic {topic.name} is not empty: a restore would mix two systems.",
                    hint="Name another cluster; or, if it is this system's own, and only its"
                    " database was lost, restore with --database-only.",
                )


async def put_back(
    settings: Settings,
    topic: Topic,
    logs: tuple[Log, ...],
    pieces: Iterable[Piece],
    progress: Callable[[int], Any],
) -> None:
    """Write records into an empty topic. Raises `BrokerUnavailable`, `BackupUnusable`."""
    producer = BatchProducer(settings, "fanmemory-restore", topic.compression)
    nexts = dict.fromkeys(range(len(logs)), 0)
    try:
        if topic in IN_PLACE:
            for partition, one in enumerate(logs):
                await _fill(producer, topic, partition, one.first)
                nexts[partition] = one.first
            await _delete_filled(settings, topic, logs)
        for partition, first, run in pieces:
            if topic is JOURNAL and nexts[partition] != first:
                raise BackupUnusable
            records: list[Keyed] = [(key, value, headers) for _, key, value, headers in run]
            times = [time for time, *_ in run]
            last = await producer.send(topic.name, {partition: records}, times={partition: times})
            nexts[partition] += len(run)
            _check(topic, partition, nexts[partition], last.get(partition))
            progress(len(run))
    finally:
        await producer.stop()


async def _fill(producer: BatchProducer, topic: Topic, partition: int, first: int) -> None:
    nothing: list[Keyed] = [(None, b"")] * min(first, FILLED_RECORDS)
    reached = 0
    while reached < first:
        records = nothing[: first - reached]
        last = await producer.send(topic.name, {partition: records})
        reached += len(records)
        _check(topic, partition, reached, last.get(partition))


def _check(topic: Topic, partition: int, expected: int, last: int | None) -> None:
    """Someone else who writes there would shift everything."""
    if last is not None and last + 1 != expected:
        raise BrokerUnavailable(f"{topic.name}-{partition} was written to by somebody else.")


async def _delete_filled(settings: Settings, topic: Topic, logs: tuple[Log, ...]) -> None:
    wanted = {
        TopicPartition(named(settings, topic.name), partition): RecordsToDelete(
            before_offset=one.first
        )
        for partition, one in enumerate(logs)
        if one.first
    }
    if wanted:
        async with admin(settings) as client, broker_errors():
            await client.delete_records(wanted)
