"""Fans' memory written straight into the stores, as a worker would have left it.

For benchmarks and tests of reads: the same folds, seals and queries as the pipeline's, without the
log in between. The database and the cache must be those of a new, empty system.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from infra.postgres import connect
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.seal import event_key, seal
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.journal import JournalEntry, encode_entry
from schemas.topics import JOURNAL
from stores.cache import Cache
from stores.positions import POSITION_SQL
from stores.queries import memory_queries
from stores.snapshot import JOURNAL_NAME
from views.state import FanState, encode, fold

GENERATION: Final = 1
Relationship = tuple[str, str]


async def seed(settings: Settings, histories: Mapping[Relationship, Sequence[JournalEntry]]) -> int:
    """Remember these; returns how many interactions. Each is as if from source offset 0 upwards
    of `interactions` partition 0, in the order given."""
    keyring = Keyring.parse(settings.keyring.get_secret_value())
    connection = await connect(settings.postgres_url)
    cache = Cache(settings.redis_url, keyring, ttl_seconds=settings.cache_ttl_seconds)
    try:
        subjects = await Subjects(keyring, len(histories)).resolve(connection, histories)
        partitions = range(settings.journal_partitions)
        await connection.fetch(POSITION_SQL.claim, GENERATION, JOURNAL.name, list(partitions))
        total = 0
        by_partition = sorted(histories, key=lambda pair: _place(subjects[pair], settings))
        for partition, pairs in groupby(by_partition, lambda p: _place(subjects[p], settings)):
            chosen = {pair: histories[pair] for pair in pairs}
            async with connection.transaction():
                count = await _write(connection, partition, subjects, chosen)
            total += count
        for partition in partitions:
            row = await connection.fetchrow(
                POSITION_SQL.reload, GENERATION, JOURNAL.name, [partition]
            )
            await cache.publish(GENERATION, partition, row["next"], {0: total - 1})
            await connection.execute(
                POSITION_SQL.count_folded,
                *(GENERATION, JOURNAL.name, partition, [total - 1], row["next"], 0, 0, 0, 0),
            )
    finally:
        await connection.close()
        await cache.close()
    return total


def _place(subject: Subject, settings: Settings) -> int:
    return journal_partition(subject.id, settings.journal_partitions)


async def _write(
    connection: Any,
    partition: int,
    subjects: Mapping[Relationship, Subject],
    histories: Mapping[Relationship, Sequence[JournalEntry]],
) -> int:
    queries = memory_queries(GENERATION)
    offset = 0
    history: list[tuple[Any, ...]] = []
    states: list[tuple[bytes, int, bytes]] = []
    for pair, entries in histories.items():
        subject = subjects[pair]
        state: FanState | None = None
        for entry in entries:
            key = event_key(subject.key, entry.event_id)
            body = seal(subject.cipher, encode_entry(entry), JOURNAL_NAME, subject.id, key)
            is_message = entry.kind == "message"
            history.append((subject.id, key, partition, offset, entry.time, is_message, body))
            state = fold(state, entry, offset)
            offset += 1
        if state is not None:
            states.append((subject.id, offset, encode(state)))
    if history:
        await connection.fetch(queries.insert_history, *map(list, zip(*history, strict=True)))
        await connection.execute(queries.upsert_states, *map(list, zip(*states, strict=True)))
    claimed = await connection.fetchrow(POSITION_SQL.reload, GENERATION, JOURNAL.name, [partition])
    await connection.execute(
        POSITION_SQL.advance,
        *(GENERATION, JOURNAL.name, [partition], [claimed["next"]], [offset]),
        *([claimed["epoch"]], [claimed["erasures"]]),
    )
    return offset
