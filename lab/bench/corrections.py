"""What a correction costs: its fan is folded again from the history, in the batch's transaction.

On an embedded Postgres of its own: a fan of `events` interactions, then one correction after the
other, each in a transaction as projection makes it. `plain` is the same with a message more.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from infra.postgres import Connection, connecting
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.seed import seed
from ops.system import running_services
from privacy.keys import Keyring
from privacy.seal import event_key, open_entry, seal_entry
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.details import Details, Reference
from schemas.journal import JournalEntry
from stores import corrections, history, states
from stores.folding import FramedBatch, fold_new
from stores.generations import FIRST_GENERATION
from stores.record import OpenedRecord
from stores.refolding import Limits
from stores.tally import Tally

WHO: Final = ("bench", "fan")


async def measure(events: int, rounds: int) -> dict[str, Any]:
    """Kind of correction -> median and longest milliseconds of `rounds`."""
    entries = interactions(events)
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, *_):
            await seed(settings, {WHO: entries})
            async with connecting(settings.postgres_url) as connection:
                subjects = await Subjects(Keyring.of(settings), 1).resolve(connection, [WHO])
                bench = _Bench(settings, connection, subjects[WHO], len(entries))
                figures = {
                    name: await bench.time(made) for name, made in _made(entries, rounds).items()
                }
    return {"events": events, "rounds": rounds} | figures


def _made(entries: Sequence[JournalEntry], rounds: int) -> dict[str, list[JournalEntry]]:
    now = entries[-1].time
    messages = [one for one in entries if one.kind == "message"]
    paid = [one for one in entries if one.kind == "purchase"]
    made: dict[str, list[JournalEntry]] = {"plain": [], "delete": [], "edit": [], "refund": []}
    for n in range(rounds):
        made["plain"].append(JournalEntry(f"more-{n}", "message", now, content="more"))
        gone = Details(refers_to=Reference(messages[-1 - 2 * n].event_id, "message"))
        made["delete"].append(JournalEntry(f"delete-{n}", "delete", now, details=gone))
        edit = Details(replaces=messages[-2 - 2 * n].event_id)
        made["edit"].append(
            JournalEntry(f"edit-{n}", "message", now, content="other", details=edit)
        )
        back = Details(refers_to=Reference(paid[n % len(paid)].event_id, "purchase"))
        made["refund"].append(JournalEntry(f"refund-{n}", "refund", now, amount=1, details=back))
    return made


class _Bench:
    def __init__(
        self, settings: Settings, connection: Connection, subject: Subject, offset: int
    ) -> None:
        self._limits = Limits.of(settings)
        self._connection = connection
        self._subject = subject
        self._partition = journal_partition(subject.id, settings.journal_partitions)
        self._offset = offset

    async def time(self, entries: Sequence[JournalEntry]) -> dict[str, float]:
        taken = []
        for entry in entries:
            record = self._record(entry)
            started = time.perf_counter()
            await self._apply(record)
            taken.append((time.perf_counter() - started) * 1000)
        return {"medianMs": round(median(taken), 2), "maxMs": round(max(taken), 2)}

    def _record(self, entry: JournalEntry) -> OpenedRecord:
        subject = self._subject
        key = event_key(subject.key, entry.event_id, entry.kind)
        body = seal_entry(subject.cipher, subject.id, key, entry)
        self._offset += 1
        opened = open_entry(subject.cipher, subject.id, key, body)
        return OpenedRecord(self._partition, self._offset - 1, subject.id, key, body, opened)

    async def _apply(self, record: OpenedRecord) -> None:
        connection, subject = self._connection, self._subject
        framed = FramedBatch(tallies={record.partition: Tally()})
        async with connection.transaction():
            await history.insert(connection, history.history_rows([record]))
            subjects = {subject.id: subject}
            stored = await states.read(connection, FIRST_GENERATION, [subject.id], subjects)
            folded, waiting = fold_new([record], stored, framed)
            again, changes = await corrections.fold_waiting(
                connection, waiting, subjects, self._limits, framed
            )
            await history.correct_columns(connection, changes)
            rows = states.state_rows([*folded, *again], subjects, FIRST_GENERATION)
            await states.write(connection, FIRST_GENERATION, rows)
