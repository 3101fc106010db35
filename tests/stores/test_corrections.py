"""Corrections in Postgres: what readers get, what a rollback takes back, what a rebuild mends."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.postgres import open_pool
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring
from privacy.seal import event_key, seal_entry
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.errors import SealBroken
from schemas.journal import JournalEntry
from stores import corrections, history, rollback, states
from stores.cached import remembered
from stores.folding import FramedBatch, fold_new
from stores.record import OpenedRecord
from stores.refolding import UNLIMITED
from stores.snapshot import Snapshot
from stores.store import Store
from stores.tally import Tally
from tests.views.corrected import delete, edit, refund
from tests.views.interactions import NOON, message, purchase

WHO = ("creator", "fan")
COUNT = 60
HISTORY = [*(message(NOON + i, event_id=f"e{i}") for i in range(COUNT)), purchase(NOON + COUNT)]
CORRECTIONS = [
    delete("e59", time=NOON + 100),
    edit("e58", time=NOON + 101),
    refund("p", 2000, time=NOON + 102),
]


class Fan:
    """One fan in an empty database."""

    def __init__(self, settings: Settings, pool: Any, subject: Subject) -> None:
        self.pool = pool
        self.subject = subject
        self.keyring = Keyring.of(settings)
        self.subjects = Subjects(self.keyring, 10)
        self.store = Store(pool, self.keyring, settings.journal_partitions)
        self._partition = journal_partition(subject.id, settings.journal_partitions)
        self._offset = len(HISTORY)

    async def read(self) -> Snapshot:
        found = await self.store.read(*WHO)
        assert found is not None
        return found

    def record(self, entry: JournalEntry) -> OpenedRecord:
        subject = self.subject
        key = event_key(subject.key, entry.event_id, entry.kind)
        body = seal_entry(subject.cipher, subject.id, key, entry)
        self._offset += 1
        return OpenedRecord(self._partition, self._offset - 1, subject.id, key, body, entry)

    async def take(self, *entries: JournalEntry) -> list[str]:
        """As projection takes a batch; returns why some were set aside."""
        opened = [self.record(entry) for entry in entries]
        framed = FramedBatch(tallies={self._partition: Tally()})
        async with self.pool.acquire() as connection, connection.transaction():
            await history.insert(connection, history.history_rows(opened))
            subjects = {self.subject.id: self.subject}
            stored = await states.read(connection, 1, [self.subject.id], subjects)
            folded, waiting = fold_new(opened, stored, framed)
            again, changes = await corrections.fold_waiting(
                connection, waiting, subjects, UNLIMITED, framed
            )
            await history.correct_columns(connection, changes)
            await states.write(connection, 1, states.state_rows([*folded, *again], subjects, 1))
        return [one.reason for one in framed.quarantined]


@pytest.fixture
async def fan(store_settings: Settings) -> AsyncIterator[Fan]:
    await seed(store_settings, {WHO: HISTORY})
    pool = await open_pool(store_settings.postgres_url)
    async with pool.acquire() as connection:
        keyring = Keyring.of(store_settings)
        found = await Subjects(keyring, 10).resolve(connection, [WHO])
    yield Fan(store_settings, pool, found[WHO])
    await pool.close()


def told(read: Snapshot) -> list[tuple[str, str | None]]:
    return [(one.event_id, one.content) for one in read.entries]


async def test_fifty_messages_are_read_also_where_some_were_unsent(fan: Fan) -> None:
    before = await fan.read()
    await fan.take(*CORRECTIONS)
    after = await fan.read()
    shown = [*told(before)[:-2], ("e58", "edited")]
    assert told(after) == [("e9", "text"), *shown]
    assert after.state.engagement.messages == COUNT - 1
    assert after.state.engagement.revenue == 0
    assert after.state.preferences.refunds == 1
    await fan.take(delete("e", event_id="no edit"), delete("e59", event_id="again"))
    assert told(await fan.read()) == [("e9", "text"), *told(before)[:-1]]


async def test_what_a_lost_correction_had_done_is_taken_back(fan: Fan) -> None:
    before = await fan.read()
    await fan.take(*CORRECTIONS)
    async with fan.pool.acquire() as connection, connection.transaction():
        await connection.execute('DELETE FROM interaction WHERE "offset" >= $1', len(HISTORY))
        await rollback._fold_again(connection, 1, [fan.subject.id], fan.subjects, UNLIMITED)
    after = await fan.read()
    assert told(after) == told(before)
    assert after.state == before.state


async def test_rows_that_do_not_say_what_was_corrected_are_mended(fan: Fan) -> None:
    await fan.take(*CORRECTIONS)
    right = await fan.read()
    async with fan.pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE interaction SET edited_by = NULL, message = true")
        assert told(await fan.read()) == told(right)  # not committed yet
        await corrections.mend(connection, {fan.subject.id: fan.subject}, UNLIMITED)
    assert told(await fan.read()) == told(right)


async def test_of_whom_nothing_stands_nobody_knows(fan: Fan) -> None:
    await fan.take(*(delete(e.event_id, e.kind, event_id=f"d{n}") for n, e in enumerate(HISTORY)))
    assert await fan.store.read(*WHO) is None
    stored = await fan.store.stored(*WHO)
    assert stored is not None  # a row like any other's
    assert remembered(stored, WHO, fan.keyring) is None
    await fan.take(message(NOON + 200, event_id="new"))
    assert told(await fan.read()) == [("new", "text")]


async def test_what_comes_onto_an_altered_state_is_set_aside_and_stops_nobody(fan: Fan) -> None:
    for altered in (b"state || '?'::bytea", b"'{}'::bytea"):
        await fan.pool.execute(f"UPDATE g1.fan_state SET state = {altered.decode()}")
        with pytest.raises(SealBroken):
            await fan.read()
        new = message(NOON + 300, event_id=f"new {altered!r}")
        assert await fan.take(new) == ["fold raised Misconfigured"]
        with pytest.raises(SealBroken):
            await fan.read()
    # A correction folds the whole history again, and needs no state for it.
    assert await fan.take(*CORRECTIONS) == []
    assert (await fan.read()).state.engagement.messages == COUNT + 1
