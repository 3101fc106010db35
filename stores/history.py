"""History: every applied interaction, sealed as the journal has it, and with it the exact dedupe.

The one writer of `interaction`, for the live fold, rebuilds and tests alike.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.postgres import Connection
from infra.sql import load_queries
from schemas.journal import JournalEntry
from stores.folding import OpenedRecord
from views.acts import is_direct

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


def message_columns(entry: JournalEntry) -> tuple[bool, bool]:
    """(message, indirect): whether it is a direct message, or one that is not."""
    if entry.kind != "message":
        return False, False
    direct = is_direct(entry)
    return direct, not direct


def history_rows(opened: Iterable[OpenedRecord]) -> list[HistoryRow]:
    """Sorted by the primary key: neighbouring rows share pages, and there are no deadlocks."""
    rows = []
    for one in opened:
        message, indirect = message_columns(one.entry)
        rows.append(
            HistoryRow(
                one.subject,
                one.event_key,
                one.partition,
                one.offset,
                one.entry.time,
                message,
                one.body,
                indirect,
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


async def restore(connection: Connection, rows: Sequence[HistoryRow]) -> None:
    """Add what was quarantined before, in front of an equal event that came later."""
    if rows:
        await connection.execute(_QUERIES.restore, *_columns(rows))


async def remove_later(connection: Connection, opened: Sequence[OpenedRecord]) -> None:
    """Remove what came after these and is the same under the key of another release."""
    rows = [(one.subject, one.other_key, one.offset) for one in opened if one.other_key is not None]
    if rows:
        await connection.execute(_QUERIES.remove_later, *_columns(sorted(rows)))


async def applied_offsets(
    connection: Connection, partition: int, start: int, until: int
) -> set[int]:
    """The places, from `start` up to `until`, of the records that the live writer applied."""
    rows = await connection.fetch(_QUERIES.applied_offsets, partition, start, until)
    return {row["offset"] for row in rows}


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
