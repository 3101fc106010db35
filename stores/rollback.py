"""Rolling one journal partition's views back to an offset, when the journal lost what lay above.

Views are a fold of the journal, and stay one: fans who were moved by lost records are folded again
from the history below the offset, in the transaction that moves the position. Ingest is sent back
in the same transaction, to write the lost records again; what it writes is then folded in the order
that it has in the journal. A crash before COMMIT costs nothing; after it, ingest continues.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from infra.postgres import Connection
from infra.sql import load_queries
from privacy.seal import open_if_intact
from privacy.subjects import Subject, Subjects
from privacy.wrappers import NONCE_BYTES
from schemas.errors import SealBroken
from schemas.journal import JournalEntry, JournalRecord
from schemas.topics import INTERACTIONS, JOURNAL
from stores import corrections, history, states
from stores.folding import FramedBatch, fold_whole
from stores.generations import INTAKE_GENERATION
from stores.marks import below
from stores.positions import POSITION_SQL, Held, send_back
from stores.record import Columns, columns_of
from stores.refolding import Limits
from stores.tally import Tally

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "rollback.sql")
FANS: Final = 200
"""Fans folded again at a time."""


async def roll_back(
    connection: Connection,
    generation: int,
    held: Held,
    to: int,
    again: Mapping[int, int],
    subjects: Subjects,
    limits: Limits,
) -> Held:
    """Views and position as they were at offset `to`; raises `Fenced` if the row is not ours.

    `again` are the first offsets of `interactions` whose journal records are lost, by partition:
    ingest goes back there. The caller's transaction. Returns the position to hold after it.
    """
    sources = {
        source: min(offset, again[source] - 1) if source in again else offset
        for source, offset in held.sources.items()
    }
    after = replace(
        held,
        next=to,
        marks=below(held.marks, to),
        sources={source: offset for source, offset in sources.items() if offset >= 0},
    )
    await send_back(connection, generation, JOURNAL.name, held, after)
    lost = [
        row["subject"]
        for row in await connection.fetch(_QUERIES.delete_history, held.partition, to)
    ]
    quarantined = await connection.fetchval(_QUERIES.delete_quarantine, held.partition, to)
    await connection.execute(
        _QUERIES.uncount,
        generation,
        JOURNAL.name,
        held.partition,
        len(lost),
        quarantined,
        held.next - to,
    )
    fans = sorted(set(lost))
    for start in range(0, len(fans), FANS):
        await _fold_again(connection, generation, fans[start : start + FANS], subjects, limits)
    for source, offset in again.items():
        await connection.execute(
            POSITION_SQL.write_again,
            INTAKE_GENERATION,
            INTERACTIONS.name,
            source,
            offset,
            held.partition,
        )
    return after


async def _fold_again(
    connection: Connection,
    generation: int,
    fans: list[bytes],
    subjects: Subjects,
    limits: Limits,
) -> None:
    known = await subjects.lookup(connection, fans)
    rows = [row for row in await history.read(connection, fans) if row.subject in known]
    opened = [one for row in rows if (one := corrections.opened(row, known[row.subject]))]
    framed = FramedBatch(tallies={one.partition: Tally() for one in opened})
    folded = fold_whole(opened, limits, framed)
    # Where no correction is left, what one had decided is taken back.
    decided: dict[bytes, dict[bytes, Columns]] = {fan: {} for fan in known}
    for one in opened:
        decided[one.subject][one.event_key] = columns_of(one.entry)
    decided |= framed.columns
    await history.correct_columns(connection, corrections.changed(rows, decided))
    gone = sorted(set(fans) - {fan.subject for fan in folded})
    await states.write(connection, generation, states.state_rows(folded, known, generation))
    await states.delete(connection, generation, gone)


async def applied_since(
    connection: Connection, partition: int, start: int, subjects: Subjects
) -> list[tuple[Subject, JournalEntry]]:
    """Whose events were applied at or above `start`, opened; without those that nothing opens."""
    rows = await connection.fetch(_QUERIES.applied_since, partition, start)
    locked: dict[bytes, SealBroken] = {}
    known = await subjects.lookup(connection, {row["subject"] for row in rows}, locked)
    found = []
    for row in rows:
        subject = known.get(row["subject"])
        if subject is not None:
            entry = open_if_intact(subject.cipher, subject.id, row["event_key"], row["body"])
            if entry is not None:
                found.append((subject, entry))
    return found


async def nonces(
    connection: Connection, partition: int, start: int, until: int
) -> dict[int, bytes]:
    """Offset -> nonce of what was applied from `start` up to `until`: of that very sealing, so the
    same event that was sealed and written again is another record."""
    rows = await connection.fetch(_QUERIES.nonces, partition, start, until, NONCE_BYTES)
    return {row["offset"]: row["nonce"] for row in rows}


async def unapplied(
    connection: Connection, partition: int, records: Iterable[tuple[Any, JournalRecord | None]]
) -> set[int]:
    """Offsets of the records that would have been applied or set aside, had they stood there when
    they were read. What is known from further below, or whose fan is forgotten, changes nothing.

    Each with its frame; None where it has none."""
    columns: list[tuple[Any, ...]] = [
        (raw.offset, raw.key, record.event_key, raw.value, record.sealed)
        if record is not None
        else (raw.offset, None, None, raw.value or b"", None)
        for raw, record in records
    ]
    if not columns:
        return set()
    rows = await connection.fetch(
        _QUERIES.unapplied, partition, *map(list, zip(*columns, strict=True))
    )
    return {row["offset"] for row in rows}
