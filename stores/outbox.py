"""The outbox: what is to be told on Kafka, written in the transaction that it tells of.

Any topic's records: `write` them, commit, and wake the relay (`stores.relay`), which publishes them
in order and deletes what the broker has. Delivered at least once, never lost. Nobody waits for it:
a topic that can't be written lets its rows grow old, and nothing else.

A row about a relationship has its subject and no names, so that an erasure leaves nothing. Its
value is a JSON object; the relay puts `creatorId` and `fanId` in front, and makes the key of them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from infra.kafka import relationship_key
from infra.sql import load_queries
from privacy.subjects import Subject
from schemas.positions import Position
from schemas.times import render_time
from schemas.topics import JOURNAL, MEMORY_UPDATES
from schemas.updates import MemoryMove, encode_move

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "outbox.sql")
_LOCKS: Final = 0x66616E6D
"""Where the relays' locks are among the database's advisory locks: "fanm"."""


class Outgoing(NamedTuple):
    """One record to be published; the fields are columns of the table."""

    topic: str
    subject: bytes | None
    """Whose names belong into it; then `key` is made of them."""
    key: bytes | None
    value: bytes
    partition: int | None = None
    """None: the one that Kafka's default partitioner gives the key."""


class Waiting(NamedTuple):
    """What of one topic is not published yet."""

    topic: str
    waiting: int
    refused: int
    """Rows that the broker will never take: they are kept, and passed over."""
    oldest_seconds: float
    """Age of the oldest waiting row; 0 without one."""


async def write(connection: Any, records: Sequence[Outgoing]) -> None:
    """Add records, in order, in the caller's transaction, whose position rows are locked."""
    if records:
        await connection.execute(_QUERIES.write, *map(list, zip(*records, strict=True)))


async def lock(connection: Any, topic: str) -> bool:
    """Be the topic's one relay until the transaction ends; False when there is another."""
    return bool(await connection.fetchval(_QUERIES.lock, _LOCKS, topic))


async def read(connection: Any, topic: str, limit: int) -> list[Any]:
    """The oldest rows: id, subject, key, value, partition."""
    rows: list[Any] = await connection.fetch(_QUERIES.read, topic, limit)
    return rows


async def delete(connection: Any, topic: str, ids: Sequence[int]) -> None:
    if ids:
        await connection.execute(_QUERIES.delete, topic, ids)


async def refuse(connection: Any, topic: str, reasons: dict[int, str]) -> None:
    """Pass these rows over from now on, for the reasons given."""
    if reasons:
        await connection.execute(_QUERIES.refuse, topic, list(reasons), list(reasons.values()))


async def expire(connection: Any, topic: str, kept_ms: int) -> int:
    """Let go of rows that the topic itself would have let go of; returns how many."""
    return int(await connection.fetchval(_QUERIES.expire, topic, kept_ms))


async def waiting(connection: Any) -> list[Waiting]:
    """What waits, for people, metrics and tests; of the oldest 100,000 rows."""
    return [Waiting(*row) for row in await connection.fetch(_QUERIES.waiting)]


async def keys(connection: Any, topic: str) -> list[bytes]:
    """The keys of a topic's rows, also of those that the broker refuses."""
    return [row["key"] for row in await connection.fetch(_QUERIES.keys, topic)]


def named(value: bytes, subject: Subject) -> tuple[bytes, bytes]:
    """(key, value) of a record about a relationship, with its names."""
    names = msgspec.json.encode({"creatorId": subject.creator_id, "fanId": subject.fan_id})
    return relationship_key(subject.creator_id, subject.fan_id), names[:-1] + b"," + value[1:]


def moved(
    subject: bytes, partition: int, version: int, views: tuple[str, ...], score: float, time: int
) -> Outgoing:
    """That a fan's views moved; `version` is the state's: the newest journal offset + 1."""
    position = Position(JOURNAL.name, partition, version - 1)
    move = MemoryMove(views, str(position), score, render_time(time))
    return Outgoing(MEMORY_UPDATES.name, subject, None, encode_move(move))


class _FormerMove(NamedTuple):
    subject: bytes
    version: int
    views: tuple[str, ...]
    score: float
    time: int


_decode_former = msgspec.msgpack.Decoder(list[_FormerMove]).decode


async def adopt_former(connection: Any, partitions: Sequence[int]) -> None:
    """Take over what a worker of the former version left of these partitions, now ours."""
    rows = await connection.fetch(_QUERIES.take_former, partitions)
    for row in sorted(rows, key=lambda row: (row["partition"], row["next"])):
        moves = _decode_former(row["updates"])
        await write(connection, [moved(m.subject, row["partition"], *m[1:]) for m in moves])
