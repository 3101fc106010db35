"""The outbox: what is to be told on Kafka, written in the transaction that it tells of.

Any topic's records: `write` them, commit, and wake the relay (`stores.relay`), which publishes them
in order and deletes what the broker has. Delivered at least once, never lost. Nobody waits for it:
a topic that can't be written lets its rows grow old, and nothing else.

The records of one commit are packed into few rows: a row of its own for each cost 5 us of Postgres
and as much of the workers, for a move that is told within milliseconds. A record that the broker
will never take leaves its pack and stands by itself in `outbox_record`, with the reason.

A record about a relationship has its subject and no names, so that an erasure leaves nothing. Its
value is a JSON object; the relay puts `creatorId` and `fanId` in front, and makes the key of them.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from infra.kafka import relationship_key
from infra.postgres import Connection, Executor
from infra.sql import load_queries
from privacy.subjects import Subject
from schemas.context import SignalAt
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.text_features import SignalKind
from schemas.times import render_time
from schemas.topics import JOURNAL, MEMORY_UPDATES
from schemas.updates import MemoryMove, MemoryUpdate, encode_move, encode_update
from views.state import moved as moved_views

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "outbox.sql")
_LOCKS: Final = 0x66616E6D
"""Where the relays' locks are among the database's advisory locks: "fanm"."""
PACK_BYTES_MAX: Final = 1 << 18
"""Of the values of one pack, unless a single one is larger: about 2,000 memory updates."""
PACKS_MAX: Final = 500
"""Of one look: at low load a pack holds one record."""
SINGLES_MAX: Final = 4_000


class Outgoing(NamedTuple):
    """One record to be published."""

    topic: str
    subject: bytes | None
    """Whose names belong into it; then `key` is made of them."""
    key: bytes | None
    value: bytes
    partition: int | None = None
    """None: the one that Kafka's default partitioner gives the key."""


class Packed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One record in a pack, or by itself: an `Outgoing` without its topic, in the same order."""

    subject: bytes | None
    key: bytes | None
    value: bytes
    partition: int | None


class Pack(NamedTuple):
    """One row: records of one topic, in order."""

    id: int
    bytes: int
    records: list[Packed]


class Waiting(NamedTuple):
    """What of one topic is not published yet."""

    topic: str
    waiting: int
    refused: int
    """Records that the broker will never take: they are kept, and passed over."""
    oldest_seconds: float
    """Age of the oldest waiting one; 0 without one."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Packed]).decode


async def write(
    connection: Connection, records: Sequence[Outgoing], since: datetime | None = None
) -> None:
    """Add records, in order, in the caller's transaction, whose position rows are locked.

    `since` is when they were written first, if that was not now.
    """
    packs = list(_packs(records))
    if packs:
        topics, counts, values = map(list, zip(*packs, strict=True))
        await connection.execute(_QUERIES.write, topics, counts, values, [since] * len(packs))


def _packs(records: Iterable[Outgoing]) -> Iterable[tuple[str, int, bytes]]:
    """(topic, records, value) of each row."""
    by_topic: dict[str, list[tuple[Any, ...]]] = {}
    sizes: dict[str, int] = {}
    for one in records:
        topic = one.topic
        size = sizes.get(topic, 0) + len(one.value)
        if size > PACK_BYTES_MAX and topic in by_topic:
            full = by_topic.pop(topic)
            yield topic, len(full), _encode(full)
            size = len(one.value)
        sizes[topic] = size
        by_topic.setdefault(topic, []).append(one[1:])
    for topic, rest in by_topic.items():
        yield topic, len(rest), _encode(rest)


async def lock(connection: Connection, topic: str) -> bool:
    """Be the topic's one relay until the transaction ends; False when there is another."""
    return bool(await connection.fetchval(_QUERIES.lock, _LOCKS, topic))


async def read(connection: Connection, topic: str, bytes_max: int) -> list[Pack]:
    """The oldest packs, up to the one that reaches `bytes_max`; at most `PACKS_MAX`."""
    rows = await connection.fetch(_QUERIES.read, topic, PACKS_MAX, bytes_max)
    return [Pack(row["id"], len(row["value"]), _decode(row["value"])) for row in rows]


async def settle(
    connection: Connection,
    topic: str,
    done: Sequence[int],
    left: Mapping[int, Sequence[Packed]],
    refused: Sequence[tuple[int, Packed, str]],
) -> None:
    """Remember what became of packs, by id: they are `done`, or these of their records are `left`.

    Of either kind some records may be `refused`, for the reasons given: they are passed over from
    now on.
    """
    if refused:
        rows = [(id, one.subject, one.key, one.value, one.partition, r) for id, one, r in refused]
        await connection.execute(_QUERIES.refuse, topic, *map(list, zip(*rows, strict=True)))
    if left:
        counts = [len(records) for records in left.values()]
        values = [_encode(records) for records in left.values()]
        await connection.execute(_QUERIES.shorten, topic, list(left), counts, values)
    if done:
        await connection.execute(_QUERIES.delete, topic, done)


async def pack_singles(connection: Connection, topic: str) -> bool:
    """Pack what waits by itself: of a worker of the former release, or refused until now.

    Whether that was all. In the transaction of the topic's relay.
    """
    rows = await connection.fetch(_QUERIES.take_singles, topic, SINGLES_MAX)
    if rows:
        since = min(row["created_at"] for row in rows)
        await write(connection, [Outgoing(*tuple(row)[:-1]) for row in rows], since)
    return len(rows) < SINGLES_MAX


async def forget(connection: Connection, subjects: Sequence[bytes]) -> None:
    """What the broker refuses of erased subjects; what waits is dropped by the relay."""
    await connection.execute(_QUERIES.forget, subjects)


async def expire(connection: Connection, topic: str, kept_ms: int) -> int:
    """Let go of records that the topic itself would have let go of; returns how many."""
    return int(await connection.fetchval(_QUERIES.expire, topic, kept_ms))


async def waiting(connection: Executor) -> list[Waiting]:
    """What waits, for people, metrics and tests; of the oldest 100,000 rows."""
    return [Waiting(*row) for row in await connection.fetch(_QUERIES.waiting)]


async def unpublished(connection: Connection, topic: str) -> AsyncIterator[Packed]:
    """All records of a topic, also those that the broker refuses; in the caller's transaction."""
    async for row in connection.cursor(_QUERIES.all_packs, topic):
        for one in _decode(row["value"]):
            yield one
    async for row in connection.cursor(_QUERIES.all_singles, topic):
        yield Packed(*row)


_encode_names: Final = msgspec.json.Encoder().encode


def named(value: bytes, subject: Subject) -> tuple[bytes, bytes]:
    """(key, value) of a record about a relationship, with its names."""
    names = _encode_names({"creatorId": subject.creator_id, "fanId": subject.fan_id})
    return relationship_key(subject.creator_id, subject.fan_id), names[:-1] + b"," + value[1:]


def moved(
    subject: bytes,
    partition: int,
    version: int,
    views: tuple[str, ...],
    score: float,
    time: int,
    signals: dict[SignalKind, SignalAt] | None = None,
) -> Outgoing:
    """That a fan's views moved; `version` is the state's: the newest journal offset + 1, `signals`
    those that are new."""
    position = Position(JOURNAL.name, partition, version - 1)
    move = MemoryMove(views, str(position), score, render_time(time), signals or msgspec.UNSET)
    return Outgoing(MEMORY_UPDATES.name, subject, None, encode_move(move))


def erased(who: Relationship, place: Position, time: int) -> Outgoing:
    """That a fan was erased, with the names: nobody can fill them in later."""
    update = MemoryUpdate(
        *who, moved_views((), first=True), str(place), 0.0, render_time(time), erased=True
    )
    return Outgoing(MEMORY_UPDATES.name, None, relationship_key(*who), encode_update(update))


class _FormerMove(NamedTuple):
    subject: bytes
    version: int
    views: tuple[str, ...]
    score: float
    time: int


_decode_former = msgspec.msgpack.Decoder(list[_FormerMove]).decode


async def adopt_former(connection: Connection, partitions: Sequence[int]) -> None:
    """Take over what a worker of the first release left of these partitions, now ours."""
    rows = await connection.fetch(_QUERIES.take_former, partitions)
    for row in sorted(rows, key=lambda row: (row["partition"], row["next"])):
        moves = _decode_former(row["updates"])
        await write(connection, [moved(m.subject, row["partition"], *m[1:]) for m in moves])
