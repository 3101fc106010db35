"""Building one partition of the next generation: in bulk, then after the live writer.

Bulk: refold the journal from its beginning up to where the live writer stood, and copy the states
in, with the position and its counters, in one transaction. A crash before its commit costs the
partition's work, after it nothing: a resumed build goes on behind it.

Catching up: as project does it, by transactions of records, states and position. Which of equal
events counts is not decided again: the live writer's history says it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from admin.journal import Raw, open_journal
from admin.parallel import Progress
from admin.refold import HELD_BYTES_MAX, Bucket, Refold
from infra.postgres import connect, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import Fenced
from schemas.topics import JOURNAL
from stores.folding import Tally, fold_all, open_records, read_frames
from stores.generations import schema_name
from stores.positions import sources_row
from stores.queries import memory_queries

SQL: Final = Path(__file__).with_name("rebuild.sql")
CLOSE_RECORDS: Final = 500
"""So near to the live writer is close."""
CHASE_ROUNDS: Final = 4
CHASED_RECORDS: Final = 20_000
"""After some rounds behind a writer that runs as fast, this is close enough: what is left is folded
under the switch's lock, in about a second."""
ROUNDS_MAX: Final = 50
BATCH_RECORDS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Built:
    """How far the next generation has got in one partition."""

    partition: int
    next: int
    sources: dict[int, int]


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """What a process needs to know."""

    settings: Settings
    live: int
    generation: int
    built: Built
    first: int
    """Where the journal begins: 0, unless the loss of its beginning was accepted."""
    until: int
    """Where the live writer stood."""
    folder: Path
    held_bytes_max: int = HELD_BYTES_MAX


def built(row: Any) -> Built:
    """A position row of the generation that is being built."""
    sources = {source: offset for source, offset in enumerate(row["sources"]) if offset >= 0}
    return Built(row["partition"], row["next"], sources)


def rebuild_queries(generation: int) -> Any:
    return load_queries(SQL, generation=schema_name(generation))


async def build_partition(task: PartitionTask, progress: Progress) -> Built:
    """Bulk, unless it was done before; then catch up until close.

    Raises `BrokerUnavailable`, `DatabaseUnavailable`, `SealBroken`; `Fenced` when another rebuild
    has moved the same position.
    """
    keyring = Keyring.parse(task.settings.keyring.get_secret_value())
    connection = await connect(task.settings.postgres_url, command_timeout=600)
    try:
        async with database_errors(), open_journal(task.settings) as journal:
            reached = task.built
            if reached.next == 0 and task.until > 0:
                reached = await _bulk(task, journal, connection, keyring, progress)
            subjects = Subjects(keyring, limit=1 << 30)
            queries = rebuild_queries(task.generation)
            for round in range(ROUNDS_MAX):
                until = await _live_next(connection, queries, task.live, reached.partition)
                if close_enough(until - reached.next, round):
                    break
                async for raws in journal.read(reached.partition, reached.next, until):
                    for start in range(0, len(raws), BATCH_RECORDS):
                        batch = raws[start : start + BATCH_RECORDS]
                        async with connection.transaction(isolation="repeatable_read"):
                            reached = await follow(
                                connection,
                                task.generation,
                                reached,
                                batch,
                                batch[-1].offset + 1,
                                subjects,
                            )
                        progress(len(batch))
            return reached
    finally:
        await connection.close()


def close_enough(records: int, round: int) -> bool:
    """Whether following the live writer for another round is not worth it."""
    return records <= CLOSE_RECORDS or (round >= CHASE_ROUNDS and records <= CHASED_RECORDS)


async def _live_next(connection: Any, queries: Any, live: int, partition: int) -> int:
    rows = await connection.fetch(queries.positions, live, JOURNAL.name)
    return next((int(row["next"]) for row in rows if row["partition"] == partition), 0)


async def _bulk(
    task: PartitionTask, journal: Any, connection: Any, keyring: Keyring, progress: Progress
) -> Built:
    partition = task.built.partition
    refold = Refold(partition, task.folder, held_bytes_max=task.held_bytes_max)
    await refold.read(journal, task.first, task.until, progress)
    subjects = Subjects(keyring, limit=1 << 30)
    queries = rebuild_queries(task.generation)
    async with connection.transaction():
        rows = await connection.fetch(queries.quarantined_offsets, partition, task.until)
        before = {row["offset"] for row in rows}
        quarantined = list(refold.quarantined)
        async for bucket in refold.buckets(subjects, connection):
            await connection.copy_records_to_table(
                "fan_state",
                schema_name=schema_name(task.generation),
                columns=("subject", "version", "state"),
                records=[(fan.subject, fan.version, fan.document) for fan in bucket.folded],
            )
            if before:
                await _release(connection, queries, bucket, before)
            quarantined += bucket.quarantined
            progress(0)
        after = Built(partition, task.until, refold.sources)
        await _move(connection, task.generation, task.built, after, refold.tally, quarantined)
    return after


async def _release(connection: Any, queries: Any, bucket: Bucket, quarantined: set[int]) -> None:
    """What was set aside when it was live, and is folded now, joins the history."""
    failed = {one.offset for one in bucket.quarantined}
    mended = [
        one for one in bucket.history if one.offset in quarantined and one.offset not in failed
    ]
    if not mended:
        return
    await connection.execute(
        queries.restore_history,
        [one.subject for one in mended],
        [one.event_key for one in mended],
        [one.partition for one in mended],
        [one.offset for one in mended],
        [one.entry.time for one in mended],
        [one.entry.kind == "message" for one in mended],
        [one.body for one in mended],
    )
    await connection.execute(queries.release, mended[0].partition, [one.offset for one in mended])


async def follow(
    connection: Any,
    generation: int,
    before: Built,
    raws: Sequence[Raw],
    until: int,
    subjects: Subjects,
) -> Built:
    """Fold records that the live writer has folded, inside the caller's transaction."""
    partition = before.partition
    framed = read_frames(raws, {partition: before.sources})
    tally = framed.tallies.setdefault(partition, Tally())
    sources = framed.sources.get(partition, before.sources)
    subjects.forget_all()
    known = await subjects.lookup(connection, {raw.key for raw, _ in framed.records})
    rebuild = rebuild_queries(generation)
    rows = await connection.fetch(rebuild.applied_offsets, partition, before.next, until)
    applied = {row["offset"] for row in rows}
    opened = open_records(framed, known)
    fresh = [one for one in opened if one.offset in applied]
    tally.duplicates += len(opened) - len(fresh)
    queries = memory_queries(generation)
    ids = sorted({one.subject for one in fresh})
    states = {
        row["subject"]: (row["version"], row["state"])
        for row in await connection.fetch(queries.read_states, ids)
    }
    folded = fold_all(fresh, states, framed)
    if folded:
        await connection.execute(
            queries.upsert_states,
            [fan.subject for fan in folded],
            [fan.version for fan in folded],
            [fan.document for fan in folded],
        )
    after = Built(partition, until, sources)
    await _move(connection, generation, before, after, tally, framed.quarantined)
    return after


async def _move(
    connection: Any,
    generation: int,
    before: Built,
    after: Built,
    tally: Tally,
    quarantined: Sequence[Any],
) -> None:
    if quarantined:
        await connection.executemany(memory_queries(generation).insert_quarantine, quarantined)
    status = await connection.execute(
        rebuild_queries(generation).advance,
        generation,
        JOURNAL.name,
        before.partition,
        before.next,
        after.next,
        sources_row(after.sources),
        tally.applied,
        tally.duplicates,
        tally.repeats,
        tally.forgotten,
        tally.quarantined,
    )
    if status != "UPDATE 1":
        raise Fenced("Another rebuild has moved the position of this build.")
