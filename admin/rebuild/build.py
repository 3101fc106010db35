"""Building one partition of the next generation: in bulk, then after the live writer.

Bulk: refold the journal from its beginning up to where the live writer stood, and copy the states
in, with the position and its counters, in one transaction. A crash before its commit costs the
partition's work, after it nothing: a resumed build continues behind it. Then the rows of corrected
messages are mended, where a former release did not know what they must say.

Catching up: as project does it, by transactions of records, states and position. Which of equal
events counts is not decided again: the live writer's history says it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from admin.journal import Raw, open_journal
from admin.parallel import Progress
from admin.refold import HELD_BYTES_MAX, Bucket, Refold
from infra.postgres import (
    Connection,
    SerializationError,
    connecting,
    database_errors,
    url_of,
)
from infra.retry import Backoff, retried
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.topics import JOURNAL
from stores import corrections, erasure, history, positions, quarantine, states
from stores.folding import Quarantined, fold_new, open_records, read_frames
from stores.positions import Row
from stores.refolding import Limits
from stores.tally import Tally
from views import facts

CLOSE_RECORDS: Final = 500
"""So near to the live writer is close."""
CHASE_ROUNDS: Final = 4
CHASED_RECORDS: Final = 20_000
"""After some rounds behind a writer that runs as fast, this is close enough: what is left is folded
under the switch's lock, in about a second."""
ROUNDS_MAX: Final = 50
BATCH_RECORDS: Final = 4_000
MENDED_FANS: Final = 20
"""Whose rows are mended while the live writer waits: some milliseconds each."""


ERASED_BACKOFF: Final = Backoff(0.01, 0.5)
ERASED_ATTEMPTS_MAX: Final = 50
"""An erasure counts itself on the row that is moved here, and undoes one attempt."""


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """What a process needs to know."""

    settings: Settings
    live: int
    generation: int
    built: Row
    """How far the next generation has got."""
    first: int
    """Where the journal begins: 0, unless the loss of its beginning was accepted."""
    until: int
    """Where the live writer stood."""
    folder: Path
    held_bytes_max: int = HELD_BYTES_MAX

    @property
    def limits(self) -> Limits:
        return Limits.of(self.settings)


async def build_partition(task: PartitionTask, progress: Progress) -> Row:
    """Bulk, unless it was done before; then catch up until close.

    Raises `BrokerUnavailable`, `DatabaseUnavailable`, `SealBroken`; `Fenced` when another rebuild
    has moved the same position.
    """
    keyring = Keyring.of(task.settings)
    async with (
        connecting(url_of(task.settings, "owner"), command_timeout=600) as connection,
        database_errors(),
        open_journal(task.settings) as journal,
    ):
        reached = task.built
        if reached.next == 0 and task.until > 0:
            reached = await _bulk(task, journal, connection, keyring, progress)
        subjects = Subjects(keyring, limit=1 << 30)
        for round in range(ROUNDS_MAX):
            until = await _live_next(connection, task.live, reached.partition)
            if close_enough(until - reached.next, round):
                break
            async for raws in journal.read(reached.partition, reached.next, until):
                for start in range(0, len(raws), BATCH_RECORDS):
                    batch = raws[start : start + BATCH_RECORDS]
                    reached = await follow_alone(
                        connection,
                        task.generation,
                        reached,
                        batch,
                        batch[-1].offset + 1,
                        subjects,
                        task.limits,
                    )
                    progress(len(batch))
        return reached


def close_enough(records: int, round: int) -> bool:
    """Whether following the live writer for another round is not worth it."""
    return records <= CLOSE_RECORDS or (round >= CHASE_ROUNDS and records <= CHASED_RECORDS)


async def _live_next(connection: Connection, live: int, partition: int) -> int:
    row = (await positions.rows(connection, live, JOURNAL.name)).get(partition)
    return 0 if row is None else row.next


async def _bulk(
    task: PartitionTask, journal: Any, connection: Connection, keyring: Keyring, progress: Progress
) -> Row:
    partition = task.built.partition
    refold = Refold(partition, task.folder, task.limits, held_bytes_max=task.held_bytes_max)
    await refold.read(journal, task.first, task.until, progress)
    subjects = Subjects(keyring, limit=1 << 30)
    corrected: list[bytes] = []
    async with connection.transaction():
        before = await quarantine.offsets(connection, partition, task.until)
        quarantined = list(refold.quarantined)
        restored: set[bytes] = set()
        async for bucket in refold.buckets(subjects, connection):
            rows = states.state_rows(bucket.folded, bucket.subjects, task.generation)
            await states.write_all(connection, task.generation, rows)
            if before:
                restored |= await _release(connection, bucket, before)
            quarantined += bucket.quarantined
            corrected += bucket.columns
            # Workers of the former release wrote their rows without `told`.
            corrected += {one.subject for one in bucket.history if facts.tells(one.entry)}
            progress(0)
        after = replace(task.built, next=task.until, sources=refold.sources)
        await _move(connection, task.generation, task.built, after, refold.tally, quarantined)
        # The row is ours by now: whoever erases from here on finds what we have written.
        now = (await positions.rows(connection, task.generation, JOURNAL.name))[partition]
        if now.erasures != task.built.erasures:
            await states.forget_erased(connection, task.generation)
            restored |= {one.subject for one in quarantined if one.subject is not None}
            await erasure.forget_rows(connection, sorted(restored))
    for start in range(0, len(corrected), MENDED_FANS):
        chunk = corrected[start : start + MENDED_FANS]
        async with connection.transaction():
            await positions.hold(connection, task.live, JOURNAL.name, partition)
            known = await subjects.lookup(connection, chunk)
            await corrections.mend(connection, known, task.limits)
        subjects.forget_all()
        progress(0)
    return after


async def _release(connection: Connection, bucket: Bucket, set_aside: set[int]) -> set[bytes]:
    """What was quarantined when it was live, and is folded now, joins the history; whose it is."""
    released = set_aside - {one.offset for one in bucket.quarantined}
    mended = [one for one in bucket.history if one.offset in released]
    if not mended:
        return set()
    await history.restore(connection, history.history_rows(mended))
    counted = {(one.subject, one.event_key) for one in bucket.history}
    again = [one for one in mended if (one.subject, one.other_key) not in counted]
    await history.remove_later(connection, again)
    await quarantine.release(connection, mended[0].partition, [one.offset for one in mended])
    return {one.subject for one in mended}


async def follow_alone(
    connection: Connection,
    generation: int,
    before: Row,
    raws: Sequence[Raw],
    until: int,
    subjects: Subjects,
    limits: Limits,
) -> Row:
    """`follow` in a transaction of its own, again when an erasure has come between."""

    async def attempt() -> Row:
        async with connection.transaction(isolation="repeatable_read"):
            return await follow(connection, generation, before, raws, until, subjects, limits)

    return await retried(
        attempt, ERASED_BACKOFF, on=SerializationError, attempts_max=ERASED_ATTEMPTS_MAX
    )


async def follow(
    connection: Connection,
    generation: int,
    before: Row,
    raws: Sequence[Raw],
    until: int,
    subjects: Subjects,
    limits: Limits,
) -> Row:
    """Fold records that the live writer has folded, inside the caller's transaction."""
    partition = before.partition
    framed = read_frames(raws, {partition: before.sources})
    tally = framed.tallies.setdefault(partition, Tally())
    sources = framed.sources.get(partition, before.sources)
    subjects.forget_all()
    known = await subjects.lookup(connection, {raw.key for raw, _ in framed.records})
    applied = await history.applied_offsets(connection, partition, before.next, until)
    opened = open_records(framed, known)
    fresh = [one for one in opened if one.offset in applied]
    repeated = [one for one in opened if one.offset not in applied]
    firsts = await history.firsts(connection, repeated, known)
    for one in repeated:
        framed.known(one, firsts.get((partition, one.offset)))
    ids = sorted({one.subject for one in fresh})
    folded, waiting = fold_new(fresh, await states.read(connection, generation, ids, known), framed)
    again, _ = await corrections.fold_waiting(
        connection, waiting, known, limits, framed, until=until
    )
    folded = sorted([*folded, *again], key=lambda fan: fan.subject)
    await states.write(connection, generation, states.state_rows(folded, known, generation))
    after = replace(before, next=until, sources=sources)
    await _move(connection, generation, before, after, tally, framed.quarantined)
    return after


async def _move(
    connection: Connection,
    generation: int,
    before: Row,
    after: Row,
    tally: Tally,
    quarantined: Sequence[Quarantined],
) -> None:
    await quarantine.insert(connection, quarantined)
    await positions.move_built(connection, generation, JOURNAL.name, before, after.next)
    counts = [(after.partition, after.sources, tally)]
    await positions.count_folded(connection, generation, JOURNAL.name, counts)
