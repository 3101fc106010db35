"""Fans' memory written straight into the stores, as a worker would have left it.

For benchmarks and tests of reads: the same folds, seals and queries as the pipeline's, without the
log in between. The database and the cache must be those of a new, empty system.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from infra.postgres import Connection, connect
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.seal import event_key, seal_entry
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.topics import JOURNAL
from stores import history, positions, states
from stores.cache import open_cache
from stores.generations import FIRST_GENERATION
from stores.history import HistoryRow
from stores.positions import Batch, Positions
from stores.states import StateRow
from stores.tally import Tally
from views.state import FanState, encode, fold

VOUCHED_SECONDS: Final = 86_400.0
"""No worker will repeat what is published here."""


async def seed(settings: Settings, histories: Mapping[Relationship, Sequence[JournalEntry]]) -> int:
    """Remember these; returns how many interactions. Each is as if from source offset 0 upwards
    of `interactions` partition 0, in the order given."""
    keyring = Keyring.of(settings)
    connection = await connect(settings.postgres_url)
    cache = open_cache(settings, keyring)
    try:
        subjects = await Subjects(keyring, len(histories)).resolve(connection, histories)
        partitions = range(settings.journal_partitions)
        journal = Positions(JOURNAL.name)
        await journal.claim(connection, FIRST_GENERATION, list(partitions))
        total = 0
        by_partition = sorted(histories, key=lambda pair: _place(subjects[pair], settings))
        for partition, pairs in groupby(by_partition, lambda p: _place(subjects[p], settings)):
            chosen = {pair: histories[pair] for pair in pairs}
            async with connection.transaction():
                count = await _write(connection, journal, partition, subjects, chosen)
            total += count
        sources = {0: total - 1}
        for held in journal.held.values():
            await cache.adopt(
                FIRST_GENERATION, held.partition, held.next, sources, seconds=VOUCHED_SECONDS
            )
            counts = [(held.partition, sources, Tally(applied=held.next))]
            await positions.count_folded(connection, FIRST_GENERATION, JOURNAL.name, counts)
    finally:
        await connection.close()
        await cache.close()
    return total


def _place(subject: Subject, settings: Settings) -> int:
    return journal_partition(subject.id, settings.journal_partitions)


async def _write(
    connection: Connection,
    journal: Positions,
    partition: int,
    subjects: Mapping[Relationship, Subject],
    histories: Mapping[Relationship, Sequence[JournalEntry]],
) -> int:
    offset = 0
    events: list[HistoryRow] = []
    fans: list[StateRow] = []
    for pair, entries in histories.items():
        subject = subjects[pair]
        state: FanState | None = None
        for entry in entries:
            key = event_key(subject.key, entry.event_id, entry.kind)
            body = seal_entry(subject.cipher, subject.id, key, entry)
            is_message = entry.kind == "message"
            row = (subject.id, key, partition, offset, entry.time, is_message, body)
            events.append(HistoryRow(*row))
            state = fold(state, entry, offset)
            offset += 1
        if state is not None:
            document = encode(state)
            fans.append(StateRow.of(subject, FIRST_GENERATION, offset, state, document))
    await history.insert(connection, sorted(events))
    await states.write(connection, FIRST_GENERATION, sorted(fans))
    batch = Batch(partition, journal.held[partition].next, offset, ())
    await journal.advance(connection, [batch])
    journal.moved([batch])
    return offset
