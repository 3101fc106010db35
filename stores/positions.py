"""Positions: which partitions this process holds, how far they have got, and the fence.

Postgres keeps one row per (generation, topic, partition). Claiming raises the row's epoch;
the former owner finds its epoch gone at the next commit and changes nothing. Committing
moves `next` by compare-and-set on (next, epoch, erasures) inside the batch's own transaction.

A former owner that was suspended in the middle of its transaction keeps its row locks; to Postgres
it is just a slow client. A claim therefore terminates the sessions that block it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.postgres import UNAVAILABLE, Connection, Pool, Record
from infra.sql import load_queries
from schemas.errors import Fenced
from stores.marks import Mark, mark_of, marks_from, marks_row, with_mark
from stores.tally import Tally

log = logging.getLogger(__name__)

POSITION_SQL: Final = load_queries(Path(__file__).parent / "sql" / "positions.sql")

BLOCKER_SECONDS_MAX: Final = 2.0
"""A batch's transaction takes well below a second; a claim has 20 s (`streams.transport`)."""


class Acknowledged(NamedTuple):
    """The last record of one interactions partition in one journal partition."""

    offset: int
    source: int
    """Its offset in `interactions`: the journal has it in the frame, so it proves the record."""


@dataclass(slots=True)
class Held:
    """One partition as this process knows it."""

    partition: int
    next: int
    epoch: int
    erasures: int
    sources: dict[int, int] = field(default_factory=dict)
    """Highest offset of each `interactions` partition that was folded here."""
    marks: tuple[Mark, ...] = ()
    acknowledged: dict[int, Acknowledged] = field(default_factory=dict)
    """Of ingest, per journal partition: the last record that we know to be there."""
    counted: int = 0
    """Of ingest: records below were counted before it was sent back."""
    boundaries: tuple[int, ...] = ()
    """Of ingest: where each later log of this name begins."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition: `base` is the position before, `until` after."""

    partition: int
    base: int
    until: int
    records: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One position row as it stands."""

    partition: int
    next: int
    epoch: int
    erasures: int
    sources: dict[int, int]


class Positions:
    """The partitions of one topic that this process holds."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.generation = 0
        self.held: dict[int, Held] = {}

    async def claim(
        self, connection: Connection, generation: int, partitions: Sequence[int]
    ) -> None:
        """Take these partitions over, and let go of all others."""
        rows = await connection.fetch(POSITION_SQL.claim, generation, self.topic, partitions)
        self.generation = generation
        self.held = {row["partition"]: _held(row) for row in rows}

    async def reload(self, connection: Connection, partitions: Iterable[int]) -> bool:
        """Read rows again after a doubtful commit; False when another worker has claimed one.

        What another worker has claimed is let go of.
        """
        held = self.held
        rows = await connection.fetch(
            POSITION_SQL.reload, self.generation, self.topic, sorted(partitions)
        )
        if self.held is not held:
            return True  # claimed while we read: what we read is older than what is known
        ours = True
        for row in rows:
            known = self.held.get(row["partition"])
            if known is None:
                continue
            if row["epoch"] == known.epoch:
                self.held[row["partition"]] = _held(row)
            else:
                del self.held[row["partition"]]
                ours = False
        return ours

    async def as_known(self, connection: Connection) -> bool:
        """Whether the rows of our partitions stand as we know them."""
        held = self.held
        rows = await connection.fetch(
            POSITION_SQL.reload, self.generation, self.topic, sorted(held)
        )
        found = {row["partition"]: (row["next"], row["epoch"], row["erasures"]) for row in rows}
        known = {p: (one.next, one.epoch, one.erasures) for p, one in held.items()}
        return self.held is not held or found == known

    async def meet_erasures(
        self,
        connection: Connection,
        batches: Sequence[Batch],
        subjects: Collection[bytes],
        held: Mapping[int, Held],
        *,
        certain: bool = True,
    ) -> dict[int, int]:
        """Hold the rows, and go on where somebody else than these `subjects` was erased meanwhile.

        First of all in the caller's transaction, before `advance`: the fence is for batches that
        opened what may not be opened any more. `held` is what `self.held` was before the subjects
        were looked up: claimed again since, the rows would be known with the erasures of today, and
        the subjects not. Not `certain` is who kept subjects from before an erasure that was met
        like this: any of them may be the erased one. Returns the erasures of the rows that have
        more than we knew. Raises `Fenced` when one of the subjects is no more, or may not be.
        """
        partitions = sorted(batch.partition for batch in batches)
        rows = await connection.fetch(
            POSITION_SQL.hold_erasures, self.generation, self.topic, partitions
        )
        if self.held is not held:
            raise Fenced
        more = {
            row["partition"]: row["erasures"]
            for row in rows
            if (one := self.held.get(row["partition"])) is not None
            and one.erasures != row["erasures"]
        }
        if more or not certain:
            count = await connection.fetchval(POSITION_SQL.count_subjects, list(subjects))
            if count != len(subjects):
                raise Fenced
            for partition, erasures in more.items():
                self.held[partition].erasures = erasures
        return more

    async def advance(
        self, connection: Connection, batches: Sequence[Batch], written: Collection[bytes] = ()
    ) -> None:
        """Move the rows, first of all, inside the caller's transaction.

        Raises `Fenced` when any row is not as we know it, or a subject of `written` is no more; the
        transaction must be rolled back. The look at the subjects costs 0.4 to 0.7 us each.
        """
        batches = sorted(batches, key=lambda batch: batch.partition)
        try:
            held = [self.held[batch.partition] for batch in batches]
        except KeyError:
            raise Fenced from None
        status = await connection.execute(
            POSITION_SQL.advance_written if written else POSITION_SQL.advance,
            self.generation,
            self.topic,
            [batch.partition for batch in batches],
            [batch.base for batch in batches],
            [batch.until for batch in batches],
            [one.epoch for one in held],
            [one.erasures for one in held],
            [_array(marks_row(_marks_after(one, b))) for one, b in zip(held, batches, strict=True)],
            *([sorted(written)] if written else ()),
        )
        if status != f"UPDATE {len(batches)}":
            raise Fenced

    def moved(self, batches: Sequence[Batch]) -> None:
        """Remember what was committed."""
        for batch in batches:
            one = self.held.get(batch.partition)
            if one is not None and one.next == batch.base:
                one.next = batch.until
                one.marks = _marks_after(one, batch)


@asynccontextmanager
async def terminating_blockers(pool: Pool, connection: Connection) -> AsyncIterator[None]:
    """Meanwhile, end every transaction that `connection` has waited `BLOCKER_SECONDS_MAX` for."""

    async def terminate_blockers() -> None:
        while True:
            await asyncio.sleep(BLOCKER_SECONDS_MAX)
            try:
                async with pool.acquire() as other:
                    ended = await other.fetchval(
                        POSITION_SQL.terminate_blockers, connection.get_server_pid()
                    )
            except UNAVAILABLE as error:
                log.debug("no blockers terminated: %s", type(error).__name__)
            else:
                if ended:
                    log.warning("ended transactions of a former owner", extra={"count": ended})

    task = asyncio.create_task(terminate_blockers())
    try:
        yield
    finally:
        task.cancel()


async def rows(
    connection: Connection, generation: int, topic: str, *, locked: bool = False
) -> dict[int, Row]:
    """Partition -> row of one generation, in order; `locked` against its writer, for a switch."""
    query = POSITION_SQL.lock_rows if locked else POSITION_SQL.rows
    found = [_row(row) for row in await connection.fetch(query, generation, topic)]
    return {row.partition: row for row in found}


async def hold(connection: Connection, generation: int, topic: str, partition: int) -> None:
    """Keep the writer of a partition out until the caller's transaction ends."""
    await connection.execute(POSITION_SQL.hold_row, generation, topic, partition)


async def begin(
    connection: Connection, generation: int, topic: str, partitions: Sequence[int]
) -> None:
    """Make the rows of a build, where there are none yet."""
    await connection.execute(POSITION_SQL.begin, generation, topic, partitions)


async def move_built(
    connection: Connection, generation: int, topic: str, before: Row, until: int
) -> None:
    """Move a row that only a rebuild writes; raises `Fenced` when another one has moved it."""
    status = await connection.execute(
        POSITION_SQL.move_built, generation, topic, before.partition, before.next, until
    )
    if status != "UPDATE 1":
        raise Fenced("Another rebuild has moved the position of this build.")


async def hand_over(
    connection: Connection, topic: str, former: int, next: int, known: Iterable[Row]
) -> None:
    """At a switch: fence the former generation's writer, and let the next one continue from its
    epochs and erasures. `known` are the former rows, locked by the caller."""
    known = list(known)
    await connection.execute(
        POSITION_SQL.adopt,
        next,
        topic,
        [row.partition for row in known],
        [row.epoch for row in known],
        [row.erasures for row in known],
        former,
    )
    await connection.execute(POSITION_SQL.fence, former, topic)


async def drop(connection: Connection, generation: int) -> None:
    """Delete the rows of a generation that is dropped."""
    await connection.execute(POSITION_SQL.drop, generation)


async def count_intake(
    connection: Connection,
    generation: int,
    topic: str,
    counts: Iterable[tuple[int, int, int, int, int]],
) -> None:
    """Add (partition, accepted, dead letters, suppressed, orders) to the rows, in the transaction
    that moves them."""
    await connection.executemany(
        POSITION_SQL.count_intake, [(generation, topic, *count) for count in counts]
    )


async def count_folded(
    connection: Connection,
    generation: int,
    topic: str,
    counts: Iterable[tuple[int, dict[int, int], Tally]],
) -> None:
    """Add what became of each partition's records to its row, in the transaction that moves it.

    (partition, sources, tally): `sources` are the highest source offsets after the records; they
    replace what stood there.
    """
    await connection.executemany(
        POSITION_SQL.count_folded,
        [
            (generation, topic, partition, sources_row(sources), *tally.as_row())
            for partition, sources, tally in counts
        ],
    )


async def send_back(
    connection: Connection, generation: int, topic: str, held: Held, after: Held
) -> None:
    """Put a row of ours where its log makes sense again; raises `Fenced` if it is not ours."""
    status = await connection.execute(
        POSITION_SQL.send_back,
        generation,
        topic,
        held.partition,
        held.next,
        held.epoch,
        held.erasures,
        after.next,
        marks_row(after.marks),
        sources_row(after.sources),
        acknowledged_row(after.acknowledged),
        after.counted,
        list(after.boundaries),
    )
    if status != "UPDATE 1":
        raise Fenced


async def acknowledge(
    connection: Connection,
    generation: int,
    topic: str,
    rows: Iterable[tuple[int, dict[int, Acknowledged]]],
) -> None:
    """Remember what the journal acknowledged, in the transaction that moves the rows."""
    await connection.executemany(
        POSITION_SQL.acknowledge,
        [(generation, topic, partition, acknowledged_row(known)) for partition, known in rows],
    )


def acknowledged_row(known: dict[int, Acknowledged]) -> list[int]:
    """The column `acknowledged`: two numbers per journal partition, -1 where there is none."""
    if not known:
        return []
    none = Acknowledged(-1, -1)
    return [number for p in range(max(known) + 1) for number in known.get(p, none)]


def _acknowledged(column: Sequence[int | None]) -> dict[int, Acknowledged]:
    pairs = zip(column[::2], column[1::2], strict=False)
    return {
        partition: Acknowledged(offset, source)
        for partition, (offset, source) in enumerate(pairs)
        if offset is not None and source is not None and offset >= 0
    }


def _marks_after(held: Held, batch: Batch) -> tuple[Mark, ...]:
    return with_mark(held.marks, mark_of(batch.records[-1])) if batch.records else held.marks


def _array(numbers: Sequence[int]) -> str:
    """A Postgres array as text: arrays of different lengths can't be unnested as they are."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _held(row: Record) -> Held:
    return Held(
        row["partition"],
        row["next"],
        row["epoch"],
        row["erasures"],
        _sources(row["sources"]),
        marks_from(row["marks"]),
        _acknowledged(row["acknowledged"]),
        row["counted"],
        tuple(row["boundaries"]),
    )


def _row(row: Record) -> Row:
    return Row(
        row["partition"], row["next"], row["epoch"], row["erasures"], _sources(row["sources"])
    )


def _sources(column: Sequence[int]) -> dict[int, int]:
    return {source: offset for source, offset in enumerate(column) if offset >= 0}


def sources_row(sources: dict[int, int]) -> list[int]:
    """The `sources` column: -1 where nothing of an interactions partition was folded."""
    if not sources:
        return []
    return [sources.get(source, -1) for source in range(max(sources) + 1)]
