"""Correcting fans in Postgres: what a batch corrects is folded again from the history.

In the transaction of the batch, so that readers get the views from before or after, never a half:
the state is the whole history's, and the rows of the messages say what of them stands.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext

from infra.postgres import Connection
from privacy.seal import open_if_intact
from privacy.subjects import Subject
from stores import history
from stores.attempts import Risk
from stores.folding import (
    Folded,
    FramedBatch,
    Waiting,
    fold_corrected,
    fold_uncorrected,
)
from stores.record import Columns, OpenedRecord
from stores.refolding import Limits, decide

Changes = list[tuple[bytes, bytes, Columns]]
"""(subject, event key, what its row must say)"""


async def fold_waiting(
    connection: Connection,
    waiting: Iterable[Waiting],
    subjects: Mapping[bytes, Subject],
    limits: Limits,
    framed: FramedBatch,
    risk: Risk = nullcontext,
    *,
    until: int | None = None,
) -> tuple[list[Folded], Changes]:
    """Fold them, their new records being in the history already; with what has to change there.

    `until`: what stands at or above it is not looked at.
    """
    folded: list[Folded] = []
    changes: Changes = []
    for fan in waiting:
        if await history.is_beyond(connection, fan.subject, fan.opened[0].offset, limits):
            async with risk():
                found = fold_uncorrected(fan, framed)
            hidden = framed.columns[fan.subject].items()
            changes += [(fan.subject, key, columns) for key, columns in hidden]
        else:
            rows = await history.read(connection, [fan.subject], until)
            subject = subjects[fan.subject]
            # In a thread: thousands of entries take tens of milliseconds.
            async with risk():
                found = await asyncio.to_thread(_fold, fan, rows, subject, limits, framed)
            changes += changed(rows, framed.columns)
        if found is not None:
            folded.append(found)
    return folded, changes


async def mend(connection: Connection, subjects: Mapping[bytes, Subject], limits: Limits) -> None:
    """Let the rows of these fans say what their histories decide.

    The caller's transaction, which keeps the writer of their partition out.
    """
    rows = await history.read(connection, sorted(subjects))
    records: dict[bytes, list[OpenedRecord]] = {}
    for row in rows:
        if (one := opened(row, subjects[row.subject])) is not None:
            records.setdefault(row.subject, []).append(one)
    decided = {subject: decide(whole, limits) for subject, whole in records.items()}
    await history.correct_columns(connection, changed(rows, decided))


def _fold(
    fan: Waiting,
    rows: Sequence[history.Row],
    subject: Subject,
    limits: Limits,
    framed: FramedBatch,
) -> Folded | None:
    new = {one.event_key: one for one in fan.opened}
    whole = [one for row in rows if (one := new.get(row.event_key) or opened(row, subject))]
    return fold_corrected(fan, whole, limits, framed)


def opened(row: history.Row, subject: Subject) -> OpenedRecord | None:
    """None for a row that was altered: it could not be folded when it was new, either."""
    entry = open_if_intact(subject.cipher, subject.id, row.event_key, row.body)
    if entry is None:
        return None
    return OpenedRecord(row.partition, row.offset, subject.id, row.event_key, row.body, entry)


def changed(
    rows: Iterable[history.Row], decided: Mapping[bytes, Mapping[bytes, Columns]]
) -> Changes:
    """Which rows do not say what was decided: subject -> event key -> columns."""
    return [
        (row.subject, row.event_key, must)
        for row in rows
        if (must := decided.get(row.subject, {}).get(row.event_key)) is not None
        and must != row.columns
    ]
