"""Fates: what became of an event, as far as the stores can tell.

The history knows what was applied, by keyed hashes of the ids; `stores.refused` what was refused or
conflicts; the quarantine what could not be folded. What none of them knows was never sent, or is on
its way, or is of somebody who was erased: these look the same, on purpose.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection, Pool, Record, database_errors
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.seal import event_key, former_event_key, open_if_intact, source_key
from privacy.subjects import Subject, journal_partition, subject_of
from schemas.dead_letters import About
from schemas.details import Kind
from schemas.errors import SealBroken
from schemas.events import KINDS
from schemas.journal import decode_record, is_forgotten
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS, JOURNAL
from stores import forgetting, refused, wall
from stores.letters import keys_named
from stores.refused import Marks, Refused

FATES_SQL: Final = load_queries(Path(__file__).parent / "sql" / "fates.sql")
ASIDE_MAX: Final = 100
"""Quarantined records of a fan that are looked through."""


class Applied(NamedTuple):
    """An event that is in the views."""

    kind: Kind
    source: Position | None
    """Its place in `interactions`; None for one of the first release."""
    version: Position
    """Its place in the journal: what a memory's version has to reach."""


class Aside(NamedTuple):
    """An event that the views could not take."""

    version: Position
    reason: str


class Told(NamedTuple):
    """A refusal, and whose it was, if that can still be read."""

    refused: Refused
    about: About | None


class Known(NamedTuple):
    """What the stores know of an event's id: one event of each type at most was applied."""

    applied: list[Applied]
    refused: list[Told]
    aside: list[Aside]
    folded: bool
    """Whether the fan's views have all that ingest has written of the fan."""


async def known(
    pool: Pool, keyring: Keyring, partitions: int, who: Relationship, event_id: str
) -> Known:
    """`partitions` are the journal's. Raises `DatabaseUnavailable`, and `SealBroken` for a fan
    whose key does not open."""
    async with database_errors(), pool.acquire() as connection, connection.transaction():
        # Asked first: what is folded by then is in what is read after it.
        row = await wall.fetchrow(connection, FATES_SQL.subject, who[0], *who)
        subject = None if row is None else subject_of(keyring, row)
        folded = True
        if subject is not None:
            partition = journal_partition(subject.id, partitions)
            folded = await forgetting.is_folded(connection, partition)
        refusals = await refused.of_event(connection, Marks(keyring), who, event_id)
        told = await _told(connection, keyring, refusals)
        if subject is None:
            return Known([], told, [], folded)
        keys = _keys(subject.key, event_id)
        rows = await connection.fetch(FATES_SQL.events, subject.id, sorted(keys))
        applied = [one for row in rows if (one := _applied(subject, row)) is not None]
        aside = await connection.fetch(FATES_SQL.quarantined, subject.id, ASIDE_MAX)
        left = [
            Aside(Position(JOURNAL.name, row["partition"], row["offset"]), row["reason"])
            for row in aside
            if _is_among(subject, keys, row["value"])
        ]
        return Known(applied, told, left, folded)


async def ingested(pool: Pool, place: Position) -> bool:
    """Whether ingest is past a place in `interactions`."""
    async with database_errors():
        next = await pool.fetchval(FATES_SQL.ingested, INTERACTIONS.name, place.partition)
    return bool(next > place.offset)


async def page(pool: Pool, keyring: Keyring, creator_id: str, below: int, limit: int) -> list[Told]:
    """What of a creator was refused, the newest first, with an id below this one."""
    async with database_errors(), pool.acquire() as connection, connection.transaction():
        found = await refused.page(connection, creator_id, below, limit)
        return await _told(connection, keyring, found)


async def _told(connection: Connection, keyring: Keyring, found: Iterable[Refused]) -> list[Told]:
    """In a transaction of whoever asked first, behind the same wall."""
    rows = list(found)
    keys = await keys_named(connection, keyring, (one.key for one in rows))
    return [Told(one, keys.about(one.key, one.sealed, str(one.source))) for one in rows]


def _keys(key: bytes, event_id: str) -> set[bytes]:
    """Under which an event may be known that is asked for by this id: also by its place."""
    return {
        *(event_key(key, event_id, kind) for kind in KINDS),
        former_event_key(key, event_id),
        source_key(key, event_id),
    }


def _applied(subject: Subject, row: Record) -> Applied | None:
    entry = open_if_intact(subject.cipher, subject.id, row["event_key"], row["body"])
    if entry is None or is_forgotten(entry):
        return None
    source = None
    if entry.source_offset >= 0:
        source = Position(INTERACTIONS.name, entry.source_partition, entry.source_offset)
    return Applied(entry.kind, source, Position(JOURNAL.name, row["partition"], row["offset"]))


def _is_among(subject: Subject, keys: set[bytes], value: bytes) -> bool:
    """The quarantine keeps whole records, and of what was opened the sealed body."""
    try:
        return decode_record(value).event_key in keys
    except SealBroken:
        return any(
            open_if_intact(subject.cipher, subject.id, key, value) is not None for key in keys
        )
