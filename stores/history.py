"""History: every applied interaction, sealed as the journal has it, and with it the exact dedupe.

The one writer of `interaction`, for the live fold, rebuilds and tests alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.postgres import Connection, Executor
from infra.sql import load_queries
from privacy.seal import open_if_intact
from privacy.subjects import Subject
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from stores.record import Columns, OpenedRecord, columns_of
from stores.refolding import Limits

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "history.sql")


class HistoryRow(NamedTuple):
    """One row; the fields are the table's columns."""

    subject: bytes
    event_key: bytes
    partition: int
    offset: int
    time: int
    message: bool
    body: bytes
    indirect: bool = False
    note: bool = False
    told: bool = False


def history_rows(opened: Iterable[OpenedRecord]) -> list[HistoryRow]:
    """Sorted by the primary key: neighbouring rows share pages, and there are no deadlocks."""
    rows = []
    for one in opened:
        columns = columns_of(one.entry)
        rows.append(
            HistoryRow(
                one.subject,
                one.event_key,
                one.partition,
                one.offset,
                one.entry.time,
                columns.message,
                one.body,
                columns.indirect,
                columns.note,
                columns.told,
            )
        )
    rows.sort()
    return rows


async def insert(connection: Connection, rows: Sequence[HistoryRow]) -> set[tuple[bytes, bytes]]:
    """Add these; returns (subject, event key) of those that were there already."""
    if not rows:
        return set()
    known = await connection.fetch(_QUERIES.insert, *_columns(rows))
    return {(row["subject"], row["event_key"]) for row in known}


async def known_before(
    connection: Connection, opened: Iterable[OpenedRecord]
) -> list[OpenedRecord]:
    """What stands there under the key that another release gives one of these.

    It may be of another type. Asks nothing when all of them have one key only.
    """
    asked = {(one.subject, one.other_key): one for one in opened if one.other_key is not None}
    if not asked:
        return []
    rows = await connection.fetch(_QUERIES.bodies, *_columns(list(asked)))
    return [
        asked[row["subject"], row["event_key"]]._replace(
            partition=row["partition"],
            offset=row["offset"],
            event_key=row["event_key"],
            body=row["body"],
            other_key=None,
        )
        for row in rows
    ]


async def firsts(
    connection: Connection, known: Sequence[OpenedRecord], subjects: Mapping[bytes, Subject]
) -> dict[tuple[int, int], JournalEntry]:
    """What stands there under the identity of each of these, by the later one's place.

    Without those whose row can't be opened, or is not there.
    """
    if not known:
        return {}
    asked = {(one.subject, key) for one in known for key in (one.event_key, one.other_key) if key}
    entries: dict[tuple[bytes, bytes | None], JournalEntry] = {}
    for row in await connection.fetch(_QUERIES.bodies_of, *_columns(sorted(asked))):
        subject, key = row["subject"], row["event_key"]
        entry = open_if_intact(subjects[subject].cipher, subject, key, row["body"])
        if entry is not None:
            entries[subject, key] = entry
    found = {}
    for one in known:
        first = entries.get((one.subject, one.other_key))
        if first is None or first.kind != one.entry.kind:
            first = entries.get((one.subject, one.event_key))
        if first is not None:
            found[one.partition, one.offset] = first
    return found


async def restore(connection: Connection, rows: Sequence[HistoryRow]) -> None:
    """Add what was quarantined before, in front of an equal event that came later."""
    if rows:
        await connection.execute(_QUERIES.restore, *_columns(rows))


async def remove_later(connection: Connection, opened: Sequence[OpenedRecord]) -> None:
    """Remove what came after these and is the same under the key of another release."""
    rows = [(one.subject, one.other_key, one.offset) for one in opened if one.other_key is not None]
    if rows:
        await connection.execute(_QUERIES.remove_later, *_columns(sorted(rows)))


async def bury(connection: Connection, rows: Sequence[HistoryRow]) -> None:
    """Put these in place of what stands under their keys, which is gone then."""
    if rows:
        await connection.execute(_QUERIES.bury, *_columns(rows))


async def holds(connection: Executor, subject: bytes, event_keys: Sequence[bytes]) -> set[bytes]:
    """Those of these event keys that a fan's history has."""
    rows = await connection.fetch(_QUERIES.holds, subject, event_keys)
    return {row["event_key"] for row in rows}


async def who_hold(connection: Executor, events: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
    """The subjects of those of these (subject, event key) that the history has."""
    rows = await connection.fetch(_QUERIES.who_hold, *_columns(events))
    return {row["subject"] for row in rows}


async def remove(connection: Connection, subject: bytes, event_keys: Sequence[bytes]) -> None:
    """Remove these of a fan's events."""
    await connection.execute(_QUERIES.remove, subject, event_keys)


async def delete(connection: Connection, subjects: Sequence[bytes]) -> dict[bytes, int]:
    """Everything of some subjects; returns how many rows each had who had one."""
    rows = await connection.fetch(_QUERIES.delete, subjects)
    return {row["subject"]: row["rows"] for row in rows}


async def sizes(
    connection: Executor, wanted: Sequence[Relationship], rows_max: int
) -> dict[Relationship, int]:
    """How many rows each of these has, counted up to a bound; only of those who have a subject."""
    columns = map(list, zip(*wanted, strict=True))
    rows = await connection.fetch(_QUERIES.sizes, *columns, rows_max)
    return {(row["creator_id"], row["fan_id"]): row["rows"] for row in rows}


async def applied_offsets(
    connection: Connection, partition: int, start: int, until: int
) -> set[int]:
    """The places, from `start` up to `until`, of the records that the live writer applied."""
    rows = await connection.fetch(_QUERIES.applied_offsets, partition, start, until)
    return {row["offset"] for row in rows}


async def is_beyond(connection: Connection, subject: bytes, offset: int, limits: Limits) -> bool:
    """Whether what a fan has below an offset is more than `limits`; looks at so much only."""
    return bool(await connection.fetchval(_QUERIES.is_beyond, subject, offset, *limits))


async def too_long(
    connection: Connection, events: Sequence[tuple[bytes, bytes]], limits: Limits
) -> set[tuple[bytes, bytes]]:
    """Which of these (subject, event key) belong to a fan with more than `limits`; what is in the
    history already does not."""
    rows = await connection.fetch(_QUERIES.too_long, *_columns(events), *limits)
    return {(row["subject"], row["event_key"]) for row in rows}


class Row(NamedTuple):
    """One row of a fan's history, still sealed, and what it says to readers."""

    subject: bytes
    event_key: bytes
    partition: int
    offset: int
    body: bytes
    columns: Columns


async def read(
    connection: Connection, subjects: Sequence[bytes], until: int | None = None
) -> list[Row]:
    """All that there is of these fans below an offset, each fan's in log order."""
    rows = await connection.fetch(_QUERIES.read, subjects, until)
    return [
        Row(
            row["subject"],
            row["event_key"],
            row["partition"],
            row["offset"],
            row["body"],
            Columns(row["message"], row["indirect"], row["edited_by"], row["note"], row["told"]),
        )
        for row in rows
    ]


async def correct_columns(
    connection: Connection, changed: Sequence[tuple[bytes, bytes, Columns]]
) -> None:
    """Say what a correction has decided: (subject, event key, columns)."""
    if changed:
        rows = [(subject, key, *columns) for subject, key, columns in sorted(changed)]
        await connection.execute(_QUERIES.correct, *_columns(rows))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
