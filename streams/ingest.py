"""Ingest: what services send becomes sealed journal records, or dead letters.

One unit of work, in this order; what a crash after each step costs is in brackets:

1. Validate every record, and analyse the texts in one batch. [nothing]
2. Drop what is of suppressed fans, resolve relationships to subjects in Postgres, making new ones.
   [an unused subject]
3. Build and seal the journal records. [nothing]
4. Produce them, acknowledged by all. [they are produced again, and projection recognises them; a
   mere retry remembers what was acknowledged, and produces only the rest]
5. In one transaction, fenced: move our position, count what became of each record, and put the dead
   letters into the outbox. [done; the relay publishes them, and ingest does not wait for it]

Step 5 also sees that the subjects of step 2 still are there: a database that was restored between
the two has the same positions, and would never open what was written. Then the unit is done again.

A worker that is fenced in step 5 has already produced its records; step 4 says why that is
harmless.

Orders (`schemas.control`) stand among the events. Those to erase are done last of all in step 5, in
the transaction that moves past them, so that what is before one is in the journal and erased with
it; what is of the same fan and behind it is of another unit (`streams.orders`). An order to forget
some events is a unit by itself, and needs the live views to have what is before it, too
(`stores.forgetting`): ingest waits a moment for them, else it goes on and the order is given again.

No record and no fan may stop the others: what is refused, by us or by the journal, and what belongs
to a fan whose key does not open, becomes a dead letter, sealed and with its reason; so does what
would correct a history that is too long for it.

What comes of a suppressed fan is counted and leaves no copy: not in the journal, and no dead letter
either, whether or not it was acceptable.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from analysis import MODEL_VERSION, WORDS_VERSION, analyse
from infra.clock import now_ms
from infra.failpoints import fail_point
from infra.kafka import Link
from infra.postgres import Connection, Pool, database_errors
from infra.producer import BATCH_BYTES, BatchProducer, Delivery
from infra.settings import Settings
from privacy.control import ControlSigner, is_control
from privacy.keys import Keyring
from privacy.seal import event_key, nonces, seal_entry, source_key
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.control import UNPROVEN, Erase, Forget, Order, decode_control
from schemas.errors import Fenced, InvalidInput, SealBroken
from schemas.events import Interaction, parse_interaction
from schemas.journal import FORMAT, JournalRecord, encode_record, entry_of
from schemas.positions import Position, source_name
from schemas.relationship import Relationship, named_in
from schemas.text_features import TextFeatures
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL, MEMORY_UPDATES
from stores import erasure, forgetting, history, letters, outbox, suppression
from stores import refused as refused_rows
from stores.attempts import REASON, Places
from stores.erasing import Eraser
from stores.erasure import Taken
from stores.forgetting import Forgetter, Mover, NotNow
from stores.generations import INTAKE_GENERATION, require_partitions
from stores.letters import Letter, Letters
from stores.positions import (
    Acknowledged,
    Batch,
    acknowledge,
    count_intake,
    terminating_blockers,
)
from stores.refolding import Limits
from stores.relay import Relay
from streams.healing import IntakeHealer, Written
from streams.orders import Unit, place_of, units
from streams.step import Positioned
from views.corrections import TOO_LONG, is_correction

log = logging.getLogger(__name__)

LOG_APPEND_TIME: Final = 1
"""`timestamp_type` of a record whose time the broker gave."""
FOLD_SECONDS_MAX: Final = 1.0
"""Ingest waits so long for the views, before an order to forget is put off."""
FOLD_LOOK_SECONDS: Final = 0.01
RECORD_OVERHEAD: Final = 64
"""Bytes of a record of the journal besides its value, at most."""
KEY_LACKING = "this fan's key does not open"
MODEL = f"{MODEL_VERSION}/{WORDS_VERSION}"
BECAME: Final = ("accepted", "dead_letters", "suppressed", "control")
"""What becomes of records, as it is counted."""


class _Refused(NamedTuple):
    """A record that is to be a dead letter."""

    source: Position
    raw: Any
    field: str
    reason: str


@dataclass(slots=True)
class _Intake:
    """What one unit turned into."""

    accepted: list[tuple[Any, Interaction]] = field(default_factory=list)
    """(record, event)"""
    erasures: dict[tuple[int, int], Erase] = field(default_factory=dict)
    """(partition, offset) -> the order there."""
    journal: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    sources: dict[int, list[Any]] = field(default_factory=dict)
    """The records that those of `journal` were made of, in the same order."""
    dead_letters: dict[int, list["_Refused"]] = field(default_factory=dict)
    """By partition of `interactions`."""
    suppressed: list[tuple[int, int]] = field(default_factory=list)
    """(partition, offset)"""
    features: dict[tuple[int, int], TextFeatures] = field(default_factory=dict)
    """What the analyser says of each text, by (partition, offset)."""

    def times(self) -> dict[int, list[int]]:
        """When the events of `journal` came, ms: their records there keep that, so that their age
        can be told until they are in the views."""
        return {
            partition: [record.timestamp for record in records]
            for partition, records in self.sources.items()
        }


class Ingest(Positioned):
    """The step of `interactions`."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        keyring: Keyring,
        producer: BatchProducer,
        relay: Relay,
        eraser: Eraser,
        forgetter: Forgetter,
    ) -> None:
        super().__init__(pool, INTERACTIONS.name)
        self._producer = producer
        self._relay = relay
        self._eraser = eraser
        self._forgetter = forgetter
        self._signer = ControlSigner(keyring)
        self._subjects = Subjects(keyring, settings.subject_cache_max)
        self._journal_partitions = settings.journal_partitions
        self._currency = settings.currency
        self._limits = Limits.of(settings)
        self._written: dict[tuple[int, int], bytes] = {}
        """(partition, offset) of the unit's records that the journal has, and under which subject:
        a retry does not produce them again, unless the database was restored meanwhile and no
        longer knows that subject. At most a unit's."""
        self._acknowledged: dict[tuple[int, int], Acknowledged] = {}
        """(interactions partition, journal partition) -> the unit's newest record there. Its
        offset is that of the last record sent with it, which another of our partitions may have
        brought: the check of it (`streams.healing`) finds the exact one."""
        self._newest: dict[int, Written] = {}
        """Journal partition -> the unit's newest record there: as long as it is where it was
        acknowledged, all before it are."""
        self._links: dict[int, Link] = {}
        """How the journal's leaders were reached when what they acknowledged was last checked."""
        self._healer = IntakeHealer(settings, pool, self.positions)
        self._keyring = keyring
        self._letters = Letters(keyring)
        self._mover = Mover(
            keyring, eraser.names, self._journal_partitions, self._limits, self._append
        )

    async def claim(self, partitions: Sequence[int]) -> None:
        found = await self._producer.partitions(JOURNAL.name)
        require_partitions(found, self._journal_partitions)
        self._forget_all()
        self._links = {}
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            terminating_blockers(self._pool, connection),
        ):
            await self.positions.claim(connection, INTAKE_GENERATION, partitions)
            await self._attempts.claimed(connection)
            await suppression.forget_records(connection, 2 * INTERACTIONS.retention_ms)

    async def reload(self, partitions: Sequence[int]) -> bool:
        self._subjects.forget_all()
        async with database_errors(), self._pool.acquire() as connection:
            ours = await self.positions.reload(connection, partitions)
        if not ours:
            self._forget_all()
        return ours

    def _forget_all(self) -> None:
        """What we hold is claimed again: others may have moved it meanwhile."""
        self._subjects.forget_all()
        self._forget_unit()

    def _forget_unit(self) -> None:
        self._written.clear()
        self._acknowledged.clear()
        self._newest.clear()

    @property
    def in_doubt(self) -> bool:
        """The journal may have lost what it acknowledged: its brokers are reached anew."""
        return not self._producer.linked(JOURNAL.name, self._links)

    @property
    def stopped(self) -> Container[int]:
        return self._healer.stopped

    async def check(self, partitions: Sequence[int]) -> None:
        """All of ours: what one of them knows to be in the journal is proven by its newest only."""
        self._subjects.forget_all()
        before = self._nexts()
        links = await self._producer.links(JOURNAL.name)
        await self._healer.check(sorted({*partitions, *self.positions.held}))
        if self._nexts() != before:
            self._forget_all()
        else:
            self._forget_lost(await self._healer.lost(self._newest))
        self._links = links

    def _nexts(self) -> dict[int, int]:
        return {partition: one.next for partition, one in self.positions.held.items()}

    def _forget_lost(self, lost: Container[int]) -> None:
        """What these partitions of the journal acknowledged of the unit is produced again."""
        self._written = {
            place: subject
            for place, subject in self._written.items()
            if journal_partition(subject, self._journal_partitions) not in lost
        }
        self._acknowledged = {
            (source, partition): known
            for (source, partition), known in self._acknowledged.items()
            if partition not in lost
        }
        self._newest = {p: newest for p, newest in self._newest.items() if p not in lost}

    async def doubtful(self) -> set[int]:
        return await self._healer.doubtful()

    async def apply(self, batches: Sequence[Batch]) -> None:
        async for part, aside in self._attempts.parts(batches):
            async with self._attempts.risk():
                found = list(units(part, partial(self._order, aside)))
            for unit in found:
                if unit.forget is None:
                    await self._apply(unit, aside)
                else:
                    await self._forget(unit.batches[0], unit.forget)
                self.positions.moved(unit.batches)

    def _order(self, aside: Places, record: Any) -> Order | None:
        if not record.headers or not is_control(record.headers):
            return None
        key, value = record.key or b"", record.value or b""
        place = (record.partition, record.offset)
        if place in aside or not self._signer.proves(record.headers, key, value):
            return None
        return decode_control(value)

    async def _forget(self, batch: Batch, order: Forget) -> None:
        """Move the fan to a new subject, without what is to be forgotten, and past the order, in
        one transaction; past the order only, when the views are too far behind."""
        place = place_of(batch.records[0])
        ready = await self._folded(order.who)
        while True:
            try:
                async with (
                    database_errors(),
                    self._pool.acquire() as connection,
                    connection.transaction(),
                ):
                    await self.positions.advance(connection, [batch])
                    await self._count_order(connection, place)
                    if ready:
                        logs = {p: one.boundaries for p, one in self.positions.held.items()}
                        await self._mover.take(connection, order, place, logs, self._attempts.risk)
                    else:
                        await forgetting.postpone(connection, self._eraser.names, order, place)
                break
            except NotNow:
                ready = False
        fail_point("ingest.after_forget")
        self._subjects.forget(order.who)
        self._forgetter.wake()
        self._relay.wake(MEMORY_UPDATES.name)

    async def _folded(self, who: Relationship) -> bool:
        """Wait, a moment at most, for the live views to have what stands before an order."""
        clock = asyncio.get_running_loop().time
        until = clock() + FOLD_SECONDS_MAX
        while True:
            async with database_errors(), self._pool.acquire() as connection:
                partition = await forgetting.partition_of(connection, who, self._journal_partitions)
                if partition is None or await forgetting.is_folded(connection, partition):
                    return True
            if clock() >= until:
                return False
            await asyncio.sleep(FOLD_LOOK_SECONDS)

    async def _append(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> list[int]:
        """Append to a partition of the journal; the offset of each. Raises `BrokerUnavailable`,
        and `NotNow` when the broker will never take one."""
        offsets: list[int] = []
        for batch in _batches(records):
            delivery = Delivery()
            await self._producer.send(JOURNAL.name, {partition: batch}, delivery)
            last = delivery.last.get(partition)
            if delivery.refused or last is None:
                raise NotNow
            offsets += range(last + 1 - len(batch), last + 1)
        return offsets

    async def _count_order(self, connection: Connection, place: Position) -> None:
        held = self.positions.held.get(place.partition)
        if held is None or place.offset >= held.counted:
            count = (place.partition, 0, 0, 0, 1)
            await count_intake(connection, INTAKE_GENERATION, INTERACTIONS.name, [count])

    async def _apply(self, unit: Unit, aside: Places) -> None:
        batches = unit.batches
        async with self._attempts.risk():
            intake = self._validate(unit, aside)
            self._analyse(intake)
        await self._leave_erased(intake)
        locked: dict[Relationship, SealBroken] = {}
        async with database_errors(), self._pool.acquire() as connection:
            await self._drop_suppressed(connection, batches, intake)
            subjects = await self._subjects.resolve(
                connection,
                ((event.creator_id, event.fan_id) for _, event in intake.accepted),
                locked,
            )
        self._set_aside_locked(intake, locked)
        await self._set_aside_too_late(intake, subjects)
        async with self._attempts.risk():
            self._seal(intake, subjects)
        fail_point("ingest.before_produce")
        await self._produce(intake)
        fail_point("ingest.after_produce")
        await self._commit(batches, intake, {subject.id for subject in subjects.values()})
        self._forget_unit()
        if intake.dead_letters:
            self._relay.wake(DEAD_LETTERS.name)

    def _validate(self, unit: Unit, aside: Places) -> _Intake:
        intake = _Intake(erasures=unit.erasures)
        for batch in unit.batches:
            for record in batch.records:
                if (record.partition, record.offset) in unit.erasures:
                    continue
                if (record.partition, record.offset) in aside:
                    self._set_aside(intake, record, "$", REASON)
                    continue
                try:
                    if record.headers and is_control(record.headers):
                        raise InvalidInput("$", UNPROVEN)
                    if not record.value:
                        raise InvalidInput("$", "must not be empty")
                    event = parse_interaction(record.value, arrived(record), self._currency)
                except InvalidInput as refusal:
                    self._set_aside(intake, record, refusal.field, refusal.reason)
                else:
                    intake.accepted.append((record, event))
        return intake

    def _analyse(self, intake: _Intake) -> None:
        """All texts in one batch."""
        texts = {
            (record.partition, record.offset): words
            for record, event in intake.accepted
            if (words := event.words) is not None
        }
        intake.features = dict(zip(texts, analyse(list(texts.values())), strict=True))

    async def _drop_suppressed(
        self, connection: Connection, batches: Sequence[Batch], intake: _Intake
    ) -> None:
        """What of the unit belongs to suppressed fans, acceptable or not."""
        whose = {
            (record.partition, record.offset): (event.creator_id, event.fan_id)
            for record, event in intake.accepted
        }
        if intake.dead_letters:
            refused = (raw for batch in batches for raw in batch.records)
            for raw in refused:
                place = (raw.partition, raw.offset)
                if place in whose or place in intake.erasures:
                    continue
                if (who := named_in(raw.value)) is not None:
                    whose[place] = who
        suppressed = await suppression.among(connection, self._keyring, whose.values())
        before = await suppression.dropped(
            connection, [place for place in whose if self._counted(*place)]
        )
        # What a retry finds written already is in the journal, and stays.
        dropped = {
            place
            for place, who in whose.items()
            if (who in suppressed or place in before) and place not in self._written
        }
        if not dropped:
            return
        intake.suppressed = sorted(dropped)
        intake.accepted = [
            (record, event)
            for record, event in intake.accepted
            if (record.partition, record.offset) not in dropped
        ]
        for partition, written in intake.dead_letters.items():
            intake.dead_letters[partition] = [
                one for one in written if (partition, one.source.offset) not in dropped
            ]

    async def _leave_erased(self, intake: _Intake) -> None:
        """What is read once more and stands before its fan's erasure, is not written again."""
        again = {
            (event.creator_id, event.fan_id)
            for record, event in intake.accepted
            if self._counted(record.partition, record.offset)
        }
        if not again:
            return
        async with database_errors(), self._pool.acquire() as connection:
            erased = await erasure.erased_before(connection, self._eraser.names, again)
        if erased:
            intake.accepted = [
                (record, event)
                for record, event in intake.accepted
                if record.offset
                > erased.get(((event.creator_id, event.fan_id), record.partition), -1)
            ]

    def _counted(self, partition: int, offset: int) -> bool:
        """Whether a record is read once more, for what the journal has lost."""
        held = self.positions.held.get(partition)
        return held is not None and offset < held.counted

    def _set_aside_locked(self, intake: _Intake, locked: Mapping[Relationship, SealBroken]) -> None:
        """The events of fans whose key does not open: for when the keyring has its key again."""
        if not locked:
            return
        log.error("fans whose key does not open", extra={"count": len(locked)})
        accepted, intake.accepted = intake.accepted, []
        for record, event in accepted:
            broken = locked.get((event.creator_id, event.fan_id))
            if broken is None:
                intake.accepted.append((record, event))
            else:
                self._set_aside(intake, record, "$", f"{KEY_LACKING}: {broken}")

    async def _set_aside_too_late(
        self, intake: _Intake, subjects: Mapping[Relationship, Subject]
    ) -> None:
        """The corrections of fans whose history is too long to be folded again for each."""
        corrections = {}
        for raw, event in intake.accepted:
            # What a retry finds written already is in the journal, and stays.
            if is_correction(event) and (raw.partition, raw.offset) not in self._written:
                subject = subjects[event.creator_id, event.fan_id]
                position = Position(INTERACTIONS.name, raw.partition, raw.offset)
                key = self._identity(subject.key, position, event)
                corrections[raw.partition, raw.offset] = (subject.id, key)
        if not corrections:
            return
        async with database_errors(), self._pool.acquire() as connection:
            asked = sorted(set(corrections.values()))
            late = await history.too_long(connection, asked, self._limits)
        if not late:
            return
        accepted, intake.accepted = intake.accepted, []
        for record, event in accepted:
            if corrections.get((record.partition, record.offset)) in late:
                edit = event.details is not None and event.details.replaces is not None
                self._set_aside(intake, record, "replaces" if edit else "refersTo", TOO_LONG)
            else:
                intake.accepted.append((record, event))

    def _set_aside(self, intake: _Intake, record: Any, field: str, reason: str) -> None:
        source = Position(INTERACTIONS.name, record.partition, record.offset)
        refused = _Refused(source, record, field, reason)
        intake.dead_letters.setdefault(record.partition, []).append(refused)

    def _seal(self, intake: _Intake, subjects: dict[tuple[str, str], Any]) -> None:
        left = intake.accepted
        if self._written:
            left = [
                (record, event)
                for record, event in left
                if self._written.get((record.partition, record.offset))
                != subjects[event.creator_id, event.fan_id].id
            ]
        for (raw, event), nonce in zip(left, nonces(len(left)), strict=True):
            position = Position(INTERACTIONS.name, raw.partition, raw.offset)
            subject = subjects[event.creator_id, event.fan_id]
            text = intake.features.get((raw.partition, raw.offset))
            entry = entry_of(
                event,
                str(position) if event.event_id is None else event.event_id,
                text,
                "" if text is None else MODEL,
                (position.partition, position.offset),
            )
            key = self._identity(subject.key, position, event)
            record = JournalRecord(
                FORMAT,
                position.partition,
                position.offset,
                key,
                seal_entry(subject.cipher, subject.id, key, entry, nonce),
            )
            partition = journal_partition(subject.id, self._journal_partitions)
            intake.journal.setdefault(partition, []).append((subject.id, encode_record(record)))
            intake.sources.setdefault(partition, []).append(raw)

    def _identity(self, key: bytes, position: Position, event: Interaction) -> bytes:
        """The key of an event: of the producer's id, or of the record's place."""
        if event.event_id is not None:
            return event_key(key, event.event_id, event.kind)
        held = self.positions.held.get(position.partition)
        return source_key(key, source_name(position, held.boundaries if held is not None else ()))

    async def _produce(self, intake: _Intake) -> None:
        delivery = Delivery()
        try:
            await self._producer.send(JOURNAL.name, intake.journal, delivery, intake.times())
        finally:
            for partition, settled in delivery.settled.items():
                done = {
                    (raw.partition, raw.offset): subject
                    for raw, (subject, _) in zip(
                        intake.sources[partition][:settled],
                        intake.journal[partition][:settled],
                        strict=True,
                    )
                }
                for source, offset in sorted(done) if partition in delivery.last else ():
                    known = Acknowledged(delivery.last[partition], offset)
                    self._acknowledged[source, partition] = known
                for one in delivery.refused.get(partition, ()):
                    # Found again by a retry: its dead letter is not written yet.
                    raw = intake.sources[partition][one.place]
                    done.pop((raw.partition, raw.offset), None)
                self._written |= done
                self._remember_newest(intake, delivery, partition)
        if self._went_back(intake, delivery):
            await self.check(())
            raise Fenced("The journal went backwards.")
        if intake.journal and self.in_doubt:
            # Of what was acknowledged the newest only is known after the commit: so all of it,
            # and what this unit had acknowledged before the link was lost, is checked first.
            written = len(self._written)
            await self.check(())
            if len(self._written) != written:
                raise Fenced("The journal lost what it had acknowledged.")
        for partition, refused in delivery.refused.items():
            for one in refused:
                log.error(
                    "the journal takes a record never; it is a dead letter",
                    extra={"topic": JOURNAL.name, "partition": partition, "reason": one.reason},
                )
                raw = intake.sources[partition][one.place]
                self._set_aside(intake, raw, "$", f"the journal refuses it: {one.reason}")

    def _remember_newest(self, intake: _Intake, delivery: Delivery, partition: int) -> None:
        refused = {one.place for one in delivery.refused.get(partition, ())}
        settled = delivery.settled[partition]
        place = next((at for at in reversed(range(settled)) if at not in refused), None)
        if place is not None:
            raw = intake.sources[partition][place]
            # -1: the broker knows it as a repeat, and not where it is. Then nothing proves it.
            offset = delivery.last.get(partition, -1)
            self._newest[partition] = Written(offset, raw.partition, raw.offset)

    def _went_back(self, intake: _Intake, delivery: Delivery) -> bool:
        """Whether the journal put new records where it had acknowledged others."""
        for partition, last in delivery.last.items():
            count = len(intake.journal[partition]) - len(delivery.refused.get(partition, ()))
            for held in self.positions.held.values():
                known = held.acknowledged.get(partition)
                if known is not None and last - count < known.offset:
                    return True
        return False

    async def _commit(
        self, batches: Sequence[Batch], intake: _Intake, subjects: set[bytes]
    ) -> None:
        fail_point("ingest.before_commit")
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            await self.positions.advance(connection, batches, subjects)
            counts = [self._count(batch, intake) for batch in batches]
            acknowledged = self._all_acknowledged()
            await acknowledge(
                connection, INTAKE_GENERATION, INTERACTIONS.name, acknowledged.items()
            )
            await count_intake(connection, INTAKE_GENERATION, INTERACTIONS.name, counts)
            refused = [one for ones in intake.dead_letters.values() for one in ones]
            written = await self._letters_of(connection, refused)
            await suppression.note_records(connection, intake.suppressed)
            await outbox.write(connection, [one.outgoing for one in written])
            await refused_rows.write(connection, [one.row for one in written])
            reasons = list(self._fresh_reasons(written))
            await letters.count(connection, INTERACTIONS.name, reasons)
            taken = await self._erase(connection, intake.erasures) if intake.erasures else []
            began = time.perf_counter()
        self.counts.commit.add(time.perf_counter() - began)
        for _, *became in counts:
            self.counts.became(zip(BECAME, became, strict=True))
        self.counts.refused(reasons)
        fail_point("ingest.after_commit")
        if intake.erasures:
            self._erased(intake.erasures, taken)
        for partition, known in acknowledged.items():
            if partition in self.positions.held:
                self.positions.held[partition].acknowledged = known

    async def _erase(
        self, connection: Connection, erasures: Mapping[tuple[int, int], Erase]
    ) -> list[Taken]:
        """Behind all else of the transaction: a letter of before an order is sealed under the key
        that it destroys, and the views' positions are held no longer than they must be."""
        taken = await erasure.take(
            connection,
            self._eraser.names,
            self._journal_partitions,
            [
                (Position(INTERACTIONS.name, *place), uuid.UUID(order.erasure_id).bytes, order.who)
                for place, order in erasures.items()
            ],
        )
        now = now_ms()
        told = [outbox.erased(one.who, one.place, now) for one in taken if one.held]
        await outbox.write(connection, told)
        return taken

    def _erased(self, erasures: Mapping[tuple[int, int], Erase], taken: Sequence[Taken]) -> None:
        """It is committed: what follows of these fans is of new subjects."""
        fail_point("ingest.after_erase")
        for order in erasures.values():
            self._subjects.forget(order.who)
        if not all(one.complete for one in taken):
            self._eraser.wake()
        self._relay.wake(MEMORY_UPDATES.name)

    async def _letters_of(
        self, connection: Connection, refused: Sequence[_Refused]
    ) -> list[Letter]:
        sealings = await self._letters.sealings(
            connection, [named_in(one.raw.value) for one in refused]
        )
        return [
            self._letters.letter(
                one.source, one.raw.value, one.field, one.reason, one.raw.timestamp, sealing
            )
            for one, sealing in zip(refused, sealings, strict=True)
        ]

    def _all_acknowledged(self) -> dict[int, dict[int, Acknowledged]]:
        """What each of our partitions knows to be in the journal, this unit included."""
        found: dict[int, dict[int, Acknowledged]] = {}
        for (source, partition), newest in self._acknowledged.items():
            held = self.positions.held.get(source)
            if held is not None:
                found.setdefault(source, dict(held.acknowledged))[partition] = newest
        return found

    def _count(self, batch: Batch, intake: _Intake) -> tuple[int, int, int, int, int]:
        """(partition, accepted, dead letters, suppressed, orders), without what was counted before
        it was sent back."""
        held = self.positions.held.get(batch.partition)
        counted = held.counted if held is not None else 0
        fresh = len(batch.records)
        if batch.base < counted:
            fresh = sum(record.offset >= counted for record in batch.records)
        written = intake.dead_letters.get(batch.partition, ())
        dead = sum(one.source.offset >= counted for one in written)
        dropped = sum(
            partition == batch.partition and offset >= counted
            for partition, offset in intake.suppressed
        )
        orders = sum(
            partition == batch.partition and offset >= counted
            for partition, offset in intake.erasures
        )
        return batch.partition, fresh - dead - dropped - orders, dead, dropped, orders

    def _fresh_reasons(self, written: Iterable[Letter]) -> Iterator[tuple[int, str]]:
        """(partition, reason) of each letter that was not counted before we were sent back."""
        for one in written:
            partition, offset = one.source.partition, one.source.offset
            held = self.positions.held.get(partition)
            if held is None or offset >= held.counted:
                yield partition, one.reason


def _batches(records: Sequence[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Each so small that the broker gives its records offsets without a gap."""
    batch: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in records:
        size += len(value) + RECORD_OVERHEAD
        if batch and size > BATCH_BYTES // 2:
            yield batch
            batch, size = [], len(value) + RECORD_OVERHEAD
        batch.append((key, value))
    if batch:
        yield batch


def arrived(record: Any) -> int:
    """When the record came, ms: what an event's time may lie after by a few minutes.

    By the broker's clock where the topic says so, as `fanmemory topics create` makes it: then
    whoever reads the record again judges the same. A producer's clock proves nothing.
    """
    vouched = record.timestamp_type == LOG_APPEND_TIME
    return int(record.timestamp) if vouched else now_ms()
