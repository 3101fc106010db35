"""What was refused, or conflicts with a known event: for who asks what became of an event.

A row for each dead letter of `interactions` that names a creator, in the transaction that writes
the letter: its place, the field and the reason, and whose it is. The value itself is in the letter
alone. Fan and event are keyed hashes, so that they can be looked for and not read, and stand once
more sealed, as in the letter, for the creator's list. Erasing a fan deletes the fan's rows.

Kept as long as the letters, and of all creators together the newest `ROWS_MAX`.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from infra.clock import now_ms
from infra.postgres import Connection, Executor, Record
from infra.sql import load_queries
from privacy.keys import Keyring
from schemas.dead_letters import About
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.topics import DEAD_LETTERS, INTERACTIONS
from stores import wall

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "refused.sql")
ROWS_MAX: Final = 1_000_000
"""About 400 bytes each, with their index entries."""
TRIMMED_MIN: Final = 100
"""Rows that go at a time are twice as many as come, and so many more."""
OF_EVENT_MAX: Final = 10
"""Refusals of one event that are told, the newest."""
_KEPT_MS: Final = DEAD_LETTERS.retention_ms


class RefusedRow(NamedTuple):
    """The table's columns."""

    partition: int
    offset: int
    refused_at: int
    creator_id: str
    relationship: bytes | None
    event: bytes | None
    field: str
    reason: str
    key: str
    sealed: bytes


class Refused(NamedTuple):
    """One refusal as it is read."""

    id: int
    source: Position
    refused_at: int
    field: str
    reason: str
    key: str
    sealed: bytes


class Marks:
    """What fans and events are looked for by. Of each key of the ring, the one that writes last:
    a row may have been made before a key was retired."""

    def __init__(self, keyring: Keyring) -> None:
        self._secrets = keyring.derived(b"refused")

    def of_fan(self, who: Relationship) -> list[bytes]:
        return [_hash(secret, *who) for secret in self._secrets]

    def of_event(self, who: Relationship, event_id: str) -> list[bytes]:
        return [_hash(secret, *who, event_id) for secret in self._secrets]

    def row(
        self,
        source: Position,
        time: int,
        about: About,
        why: tuple[str, str],
        sealed: tuple[str, bytes],
    ) -> RefusedRow:
        """`why` is (field, reason), `sealed` (what under, `about`)."""
        fan = event = None
        if about.fan_id is not None:
            who = about.creator_id, about.fan_id
            fan = self.of_fan(who)[-1]
            if about.event_id is not None:
                event = self.of_event(who, about.event_id)[-1]
        place = source.partition, source.offset, time
        return RefusedRow(*place, about.creator_id, fan, event, *why, *sealed)


def _hash(secret: bytes, *parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), key=secret, digest_size=16).digest()


async def write(connection: Connection, rows: Sequence[RefusedRow | None]) -> None:
    """Add these, and let go of some old ones, in the transaction that writes their letters."""
    given = [row for row in rows if row is not None]
    if given:
        await connection.execute(_QUERIES.insert, *map(list, zip(*given, strict=True)))
        limit = TRIMMED_MIN + 2 * len(given)
        await connection.execute(_QUERIES.trim, now_ms() - _KEPT_MS, ROWS_MAX, limit)


async def of_event(
    connection: Executor, marks: Marks, who: Relationship, event_id: str
) -> list[Refused]:
    """Of one event, the newest first, at most `OF_EVENT_MAX`."""
    rows = await wall.fetch(
        connection,
        _QUERIES.of_event,
        who[0],
        marks.of_fan(who),
        marks.of_event(who, event_id),
        now_ms() - _KEPT_MS,
        OF_EVENT_MAX,
    )
    return [_refused(row) for row in rows]


async def at_place(
    connection: Executor, marks: Marks, who: Relationship, place: Position
) -> Refused | None:
    """What of this fan was refused at a place of `interactions`."""
    row = await wall.fetchrow(
        connection,
        _QUERIES.at_place,
        who[0],
        place.partition,
        place.offset,
        marks.of_fan(who),
        now_ms() - _KEPT_MS,
    )
    return None if row is None else _refused(row)


async def page(connection: Executor, creator_id: str, below: int, limit: int) -> list[Refused]:
    """A creator's, the newest first, with an id below this one."""
    oldest = now_ms() - _KEPT_MS
    rows = await wall.fetch(connection, _QUERIES.page, creator_id, creator_id, below, oldest, limit)
    return [_refused(row) for row in rows]


async def forget(connection: Connection, marks: Marks, fans: Iterable[Relationship]) -> None:
    """What is of these fans, in the transaction that erases them."""
    await connection.execute(_QUERIES.forget, [mark for who in fans for mark in marks.of_fan(who)])


def _refused(row: Record) -> Refused:
    place = Position(INTERACTIONS.name, row["partition"], row["offset"])
    return Refused(
        row["id"],
        place,
        row["refused_at"],
        row["field"],
        row["reason"],
        row["key"],
        row["sealed"],
    )
