"""Healing: what to do when a log is not the one that our position remembers.

* `interactions` cut, made again or regrown: what had been read of it is in the journal. Ingest goes
  back to where the log still agrees, and reads on; what it reads twice is recognised.
* The journal without its tail: `interactions` has the lost events for days. Ingest goes back to the
  first of them and writes them again; projection rolls its views back to what the journal still has
  (`stores.rollback`), and both come forward again.
* What no other copy has: that partition stops, and says what is missing, until its operator accepts
  the loss. The others continue.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from infra.postgres import Pool, database_errors
from infra.settings import Settings
from privacy.subjects import Subjects
from privacy.wrappers import NONCE_BYTES
from schemas.errors import SealBroken
from schemas.journal import JournalRecord, decode_record
from schemas.topics import INTERACTIONS, JOURNAL
from stores import log_breaks
from stores.generations import INTAKE_GENERATION
from stores.log_breaks import Lost
from stores.marks import MARKS_MAX, Mark, below, mark_of, newest_agreed, newest_lost
from stores.positions import Acknowledged, Held, Positions, send_back
from stores.refolding import Limits
from stores.rollback import applied_since, nonces, roll_back, unapplied
from streams.continuity import BEGINNING_GONE, Break, judge
from streams.log_reader import LogReader, open_log
from streams.second_copy import count_absent

log = logging.getLogger(__name__)

NOT_WRITTEN: Final = "the journal lost events that interactions no longer has"
COMPARED_MAX: Final = 200_000
"""Journal records compared with the history to find where they part; beyond, at the last mark."""


class Written(NamedTuple):
    """A journal record, and what of `interactions` it was made of."""

    offset: int
    source_partition: int
    source_offset: int


async def examine(log_reader: LogReader, topic: str, held: Sequence[Held]) -> list[Break]:
    """Compare logs with what positions remember: a look at the ends, and a record for each mark.

    Older marks count too: a log that was replaced and grew past the position while it was read has
    the newest mark, but not those.
    """
    bounds = await log_reader.bounds(topic, (one.partition for one in held))
    breaks: dict[int, Break] = {}
    for one in held:
        wrong = judge(one.partition, one.next, (), bounds[one.partition], None)
        if wrong is not None:
            breaks[one.partition] = wrong
    for back in range(1, MARKS_MAX + 1):
        marks = {
            one.partition: one.marks[-back]
            for one in held
            if one.partition not in breaks
            and len(one.marks) >= back
            and _inside(one.marks[-back].offset, bounds[one.partition])
        }
        found = await log_reader.at(topic, {p: mark.offset for p, mark in marks.items()})
        for partition, mark in marks.items():
            record = found[partition]
            there = None if record is None else mark_of(record)
            at = mark.offset + 1
            wrong = judge(partition, at, (mark,), bounds[partition], there)
            if wrong is not None:
                breaks[partition] = wrong
    return list(breaks.values())


class Healer:
    """Mends the partitions of one topic; `stopped` are those that wait for their operator."""

    def __init__(self, settings: Settings, pool: Pool, positions: Positions) -> None:
        self._settings = settings
        self._pool = pool
        self._positions = positions
        self.stopped: dict[int, Lost] = {}

    async def check(self, partitions: Iterable[int]) -> None:
        """Look at these partitions' logs, and mend or stop what is wrong.

        Raises what the stores raise, and `Fenced`; then look again. Positions move with it.
        """
        held = [one for p in partitions if (one := self._positions.held.get(p)) is not None]
        async with open_log(self._settings) as reader:
            breaks = {one.partition: one for one in await examine(reader, self._topic, held)}
            for one in held:
                found = breaks.get(one.partition)
                if found is None:
                    await self._release(one.partition)
                elif found.reason == BEGINNING_GONE:
                    first = found.bounds.start
                    await self._stop(one.partition, found.reason, one.next, first, first)
                else:
                    await self._mend(reader, one, found)
            await self._check_more(reader, [one.partition for one in held])

    async def doubtful(self) -> set[int]:
        """The partitions that `check` would mend or stop; changes nothing, and needs no pause.

        They are compared as they were when it began. What is done meanwhile can look like a loss,
        as when a log's beginning passes the position of then, but can't hide one.
        """
        held = [replace(one) for p, one in self._positions.held.items() if p not in self.stopped]
        async with open_log(self._settings) as reader:
            wrong = {one.partition for one in await examine(reader, self._topic, held)}
            return wrong | await self._doubt_more(reader, held)

    @property
    def _topic(self) -> str:
        return self._positions.topic

    async def _doubt_more(self, reader: LogReader, held: Sequence[Held]) -> set[int]:
        """Those of which `_check_more` would find something missing."""
        return set()

    async def _mend(self, reader: LogReader, held: Held, found: Break) -> None:
        raise NotImplementedError

    async def _check_more(self, reader: LogReader, partitions: Sequence[int]) -> None:
        """What else a step expects of its surroundings."""

    async def _release(self, partition: int) -> None:
        if self.stopped.pop(partition, None) is not None:
            async with database_errors(), self._pool.acquire() as connection:
                await log_breaks.settle(connection, self._topic, partition)

    async def _stop(
        self, partition: int, reason: str, missing_from: int, until: int, resume: int
    ) -> None:
        lost = Lost(self._topic, partition, reason, missing_from, until, resume)
        async with database_errors(), self._pool.acquire() as connection:
            await log_breaks.record_stopped(connection, lost)
        if self.stopped.get(partition) != lost:
            log.critical("a partition stops: %s. %s", lost, lost.advice)
        self.stopped[partition] = lost

    def _moved(self, held: Held, after: Held) -> None:
        """Hold the new position, unless the partition was claimed meanwhile."""
        if self._positions.held.get(held.partition) is held:
            self._positions.held[held.partition] = after
        self.stopped.pop(held.partition, None)


class IntakeHealer(Healer):
    """Of `interactions`, and of the journal's tail as far as ingest wrote it."""

    async def _mend(self, reader: LogReader, held: Held, found: Break) -> None:
        proven = await _proven(reader, self._topic, held, found)
        agreed = newest_agreed(held.marks, proven, found.bounds.start)
        resume = found.bounds.start if agreed is None else agreed.offset + 1
        boundary = resume
        last = newest_lost(held.marks, proven)
        if last is not None:
            # What the broker took later than the last record that is lost was not read before. The
            # newest mark may be of the new log: it can be read on before anybody looks.
            time = last.time
            later = await reader.first_after(self._topic, held.partition, time)
            end = min(found.bounds.end, held.next)
            boundary = max(resume, end if later is None else min(later, end))
        after = replace(
            held,
            next=resume,
            marks=below(held.marks, resume),
            counted=boundary,
            boundaries=(*held.boundaries, boundary),
        )
        lost = Lost(self._topic, held.partition, found.reason, boundary, held.next, resume)
        await self._send_back(held, after, lost)
        log.error("%s; they had been read before. Reading on from %s", lost, resume)

    async def lost(self, newest: Mapping[int, Written]) -> set[int]:
        """The journal partitions that do not have these records where they were written."""
        if not newest:
            return set()
        async with open_log(self._settings) as reader:
            bounds = await reader.bounds(JOURNAL.name, newest)
            there = await reader.at(
                JOURNAL.name,
                {p: one.offset for p, one in newest.items() if _inside(one.offset, bounds[p])},
            )
        return {p for p, one in newest.items() if _written(there.get(p)) != one}

    async def _check_more(self, reader: LogReader, partitions: Sequence[int]) -> None:
        """Whether the journal still has what it acknowledged."""
        held = self._positions.held
        ours = [held[p] for p in partitions if p in held and p not in self.stopped]
        for partition, end, known in await _unproven(reader, ours):
            await self._look_for(reader, partition, end, known)

    async def _doubt_more(self, reader: LogReader, held: Sequence[Held]) -> set[int]:
        return {source for _, _, known in await _unproven(reader, held) for source in known}

    async def _look_for(
        self, reader: LogReader, partition: int, end: int, expected: Mapping[int, Acknowledged]
    ) -> None:
        wanted = {source: known.source for source, known in expected.items()}
        async with database_errors(), self._pool.acquire() as connection:
            ahead = {
                source: await log_breaks.written_ahead(
                    connection, JOURNAL.name, partition, _tail_of(source)
                )
                for source in expected
            }
        found = await reader.newest_sources(partition, end, wanted, ahead)
        firsts = await reader.bounds(INTERACTIONS.name, expected)
        for source, known in expected.items():
            offset, reached = found.get(source, (-1, -1))
            held = self._positions.held.get(source)
            if held is None:
                continue
            acknowledged = dict(held.acknowledged)
            if offset < 0:
                del acknowledged[partition]
            else:
                acknowledged[partition] = Acknowledged(offset, reached)
            after = replace(held, acknowledged=acknowledged)
            if reached == known.source:
                if known.offset != offset:
                    await self._send_back(held, after, None)
                continue
            again, first = reached + 1, firsts[source].start
            if first > again:
                reason = f"{NOT_WRITTEN} (journal-{partition})"
                await self._stop(source, reason, again, min(first, known.source + 1), first)
                continue
            after.next, after.counted = min(held.next, again), max(held.counted, held.next)
            after.marks = below(held.marks, after.next)
            lost = Lost(JOURNAL.name, partition, _tail_of(source), end, known.offset + 1, end)
            # What stands behind the last one that is proven was written before this was noticed.
            await self._send_back(held, after, lost._replace(missing_from=offset + 1))
            log.error("%s; writing them again from offset %s of that", lost, again)

    async def _send_back(self, held: Held, after: Held, lost: Lost | None) -> None:
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            await send_back(connection, INTAKE_GENERATION, self._topic, held, after)
            if lost is not None:
                await log_breaks.record_healed(connection, lost)
        self._moved(held, after)


class ProjectionHealer(Healer):
    """Of the journal, as far as the views have it."""

    def __init__(
        self, settings: Settings, pool: Pool, positions: Positions, subjects: Subjects
    ) -> None:
        super().__init__(settings, pool, positions)
        self._subjects = subjects
        self.rolled_back = 0
        """How often views went back: what is cached of them is newer than they are."""

    async def _mend(self, reader: LogReader, held: Held, found: Break) -> None:
        to = await self._parts_at(reader, held, found)
        newest = await reader.newest_sources(held.partition, to, held.sources)
        lost_from = {
            source: newest.get(source, (-1, -1))[1] + 1
            for source, highest in held.sources.items()
            if newest.get(source, (-1, -1))[1] < highest
        }
        firsts = await reader.bounds(INTERACTIONS.name, lost_from)
        lost = Lost(self._topic, held.partition, found.reason, to, held.next, to)
        gone = any(firsts[source].start > again for source, again in lost_from.items())
        if gone or await self._lost_for_good(reader, held.partition, to):
            await self._stop(held.partition, f"{found.reason}, and {NOT_WRITTEN}", *lost[3:])
            return
        self._subjects.forget_all()
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            generation = self._positions.generation
            after = await roll_back(
                connection,
                generation,
                held,
                to,
                lost_from,
                self._subjects,
                Limits.of(self._settings),
            )
            await log_breaks.record_healed(connection, lost)
        self._moved(held, after)
        self.rolled_back += 1
        log.error("%s; views go back to %s, and ingest writes the events again", lost, to)

    async def _lost_for_good(self, reader: LogReader, partition: int, to: int) -> bool:
        """Whether views that went back to `to` would lose events that nothing writes again."""
        async with database_errors(), self._pool.acquire() as connection:
            lost = await applied_since(connection, partition, to, self._subjects)
        return await count_absent(reader, lost) > 0

    async def _parts_at(self, reader: LogReader, held: Held, found: Break) -> int:
        """The first offset at which the journal is not the one that was folded."""
        proven = await _proven(reader, self._topic, held, found)
        agreed = newest_agreed(held.marks, proven, found.bounds.start)
        start = found.bounds.start if agreed is None else agreed.offset + 1
        until = min(found.bounds.end, held.next)
        if until - start > COMPARED_MAX:
            return start
        there = await reader.read(self._topic, held.partition, start, until)
        frames = {raw.offset: _frame(raw) for raw in there}
        async with database_errors(), self._pool.acquire() as connection:
            applied = await nonces(connection, held.partition, start, until)
            rest = [(raw, frames[raw.offset]) for raw in there if raw.offset not in applied]
            other = await unapplied(connection, held.partition, rest)
        for offset, nonce in applied.items():
            frame = frames.get(offset)
            if frame is None or frame.sealed[:NONCE_BYTES] != nonce:
                other.add(offset)
        return min(other, default=max(start, until))


def _tail_of(source: int) -> str:
    return f"the journal lost its tail of {INTERACTIONS.name}-{source}"


def _inside(offset: int, bounds: Any) -> bool:
    return bool(bounds.start <= offset < bounds.end)


def _written(raw: Any) -> Written | None:
    frame = None if raw is None else _frame(raw)
    if frame is None:
        return None
    return Written(raw.offset, frame.source_partition, frame.source_offset)


def _frame(raw: Any) -> JournalRecord | None:
    """None for what projection quarantines as no frame of ours."""
    try:
        record = decode_record(raw.value or b"")
    except SealBroken:
        return None
    return record if len(raw.key or b"") == 16 else None


async def _unproven(
    reader: LogReader, held: Iterable[Held]
) -> list[tuple[int, int, dict[int, Acknowledged]]]:
    """(journal partition, its end, what it had acknowledged) where it can't prove that any more."""
    expected: dict[int, dict[int, Acknowledged]] = {}
    for one in held:
        for partition, acknowledged in one.acknowledged.items():
            expected.setdefault(partition, {})[one.partition] = acknowledged
    bounds = await reader.bounds(JOURNAL.name, expected)
    newest = {partition: max(known.values()).offset for partition, known in expected.items()}
    there = await reader.at(
        JOURNAL.name, {p: at for p, at in newest.items() if _inside(at, bounds[p])}
    )
    return [
        (partition, bounds[partition].end, known)
        for partition, known in expected.items()
        if not _proves(there.get(partition), known)
    ]


def _proves(raw: Any, expected: Mapping[int, Acknowledged]) -> bool:
    """Whether the newest acknowledged record is there, and with it all that came before it."""
    if raw is None:
        return False
    try:
        record = decode_record(raw.value or b"")
    except SealBroken:
        return False
    known = expected.get(record.source_partition)
    return known is not None and known == Acknowledged(raw.offset, record.source_offset)


async def _proven(reader: LogReader, topic: str, held: Held, found: Break) -> list[Mark]:
    """The marks whose records the log has as they were."""
    proven = []
    for mark in held.marks:
        if _inside(mark.offset, found.bounds):
            record = (await reader.at(topic, {held.partition: mark.offset}))[held.partition]
            if record is not None and mark_of(record) == mark:
                proven.append(mark)
    return proven
