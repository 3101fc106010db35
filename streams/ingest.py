"""Ingest: what services send becomes sealed journal records, or dead letters.

One unit of work, in this order; what a crash after each step costs is in brackets:

1. Validate every record, and analyse the texts in one batch (`streams.sifting`). [nothing]
2. Drop what is of suppressed fans, resolve relationships to subjects in Postgres, making new ones.
   [an unused subject]
3. Build and seal the journal records (`streams.sealing`). [nothing]
4. Produce them, acknowledged by all (`streams.journal_writer`). [they are produced again, and
   projection recognises them; a mere retry remembers what was acknowledged, and produces only the
   rest]
5. In one transaction, fenced: move our position, count what became of each record, and put the dead
   letters into the outbox. [done; the relay publishes them, and ingest does not wait for it]

Step 5 also sees that the subjects of step 2 still are there: a database that was restored between
the two has the same positions, and would never open what was written. Then the unit is done again.

A worker that is fenced in step 5 has already produced its records; step 4 says why that is
harmless.

Orders (`schemas.control`) stand among the events. Those to erase are done last of all in step 5, in
the transaction that moves past them, so that what is before one is in the journal and erased with
it; what is of the same fan and behind it is of another unit (`streams.orders`). An order to forget
some events is a unit by itself (`streams.forget_order`).

No record and no fan may stop the others: what is refused, by us or by the journal, and what belongs
to a fan whose key does not open, becomes a dead letter, sealed and with its reason; so does what
would correct a history that is too long for it.

What comes of a suppressed fan is counted and leaves no copy: not in the journal, and no dead letter
either, whether or not it was acceptable.
"""

import logging
import time
import uuid
from collections.abc import Container, Mapping, Sequence
from functools import partial
from typing import Any, Final

from infra.clock import now_ms
from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.producer import BatchProducer
from infra.settings import Settings
from privacy.control import ControlSigner, is_control
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.control import Erase, Order, decode_control
from schemas.errors import Fenced, SealBroken
from schemas.positions import Position
from schemas.relationship import Relationship, named_in
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL, MEMORY_UPDATES
from stores import erasure, letters, outbox, suppression
from stores import refused as refused_rows
from stores.attempts import Places
from stores.erasing import Eraser
from stores.erasure import Taken
from stores.forgetting import Forgetter, Mover
from stores.generations import INTAKE_GENERATION, require_partitions
from stores.letters import Letter, Letters
from stores.positions import Batch, acknowledge, count_intake, terminating_blockers
from stores.refolding import Limits
from stores.relay import Relay
from streams.forget_order import ForgetOrder
from streams.healing import IntakeHealer
from streams.journal_writer import JournalWriter
from streams.orders import Unit, units
from streams.sealing import Sealed, seal
from streams.sifting import (
    Refused,
    Sifted,
    Sifter,
    analyse_texts,
    count,
    set_aside_locked,
    validate,
)
from streams.step import Positioned

log = logging.getLogger(__name__)

BECAME: Final = ("accepted", "dead_letters", "suppressed", "control")
"""What becomes of records, as it is counted."""


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
        self._relay = relay
        self._eraser = eraser
        self._forgetter = forgetter
        self._signer = ControlSigner(keyring)
        self._subjects = Subjects(keyring, settings.subject_cache_max)
        self._journal_partitions = settings.journal_partitions
        self._currency = settings.currency
        self._healer = IntakeHealer(settings, pool, self.positions)
        self._letters = Letters(keyring)
        limits = Limits.of(settings)
        self._sifter = Sifter(pool, keyring, eraser.names, limits, self.positions)
        self._journal = JournalWriter(producer, self.positions, settings.journal_partitions)
        partitions = settings.journal_partitions
        mover = Mover(keyring, eraser.names, partitions, limits, self._journal.append)
        self._forget_order = ForgetOrder(
            pool, self.positions, self._attempts, eraser.names, mover, partitions
        )

    async def claim(self, partitions: Sequence[int]) -> None:
        found = await self._journal.partitions()
        require_partitions(found, self._journal_partitions)
        self._forget_all()
        self._journal.links = {}
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
        self._journal.forget_unit()

    @property
    def in_doubt(self) -> bool:
        """See `Step`."""
        return self._journal.in_doubt

    @property
    def stopped(self) -> Container[int]:
        return self._healer.stopped

    async def check(self, partitions: Sequence[int]) -> None:
        """All of ours: what one of them knows to be in the journal is proven by its newest only."""
        self._subjects.forget_all()
        before = self._nexts()
        links = await self._journal.reach()
        await self._healer.check(sorted({*partitions, *self.positions.held}))
        if self._nexts() != before:
            self._forget_all()
        else:
            self._journal.forget_lost(await self._healer.lost(self._journal.newest))
        self._journal.links = links

    def _nexts(self) -> dict[int, int]:
        return {partition: one.next for partition, one in self.positions.held.items()}

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
                    await self._forget_order.carry_out(unit.batches[0], unit.forget)
                    self._subjects.forget(unit.forget.who)
                    self._forgetter.wake()
                    self._relay.wake(MEMORY_UPDATES.name)
                self.positions.moved(unit.batches)

    def _order(self, aside: Places, record: Any) -> Order | None:
        if not record.headers or not is_control(record.headers):
            return None
        key, value = record.key or b"", record.value or b""
        place = (record.partition, record.offset)
        if place in aside or not self._signer.proves(record.headers, key, value):
            return None
        return decode_control(value)

    async def _apply(self, unit: Unit, aside: Places) -> None:
        batches = unit.batches
        async with self._attempts.risk():
            sifted = validate(unit, aside, self._currency)
            analyse_texts(sifted)
        await self._sifter.leave_erased(sifted)
        locked: dict[Relationship, SealBroken] = {}
        async with database_errors(), self._pool.acquire() as connection:
            await self._sifter.drop_suppressed(connection, batches, sifted, self._journal.written)
            subjects = await self._subjects.resolve(
                connection,
                ((event.creator_id, event.fan_id) for _, event in sifted.accepted),
                locked,
            )
        set_aside_locked(sifted, locked)
        await self._sifter.set_aside_too_late(sifted, subjects, self._journal.written)
        async with self._attempts.risk():
            sealed = seal(
                sifted.accepted,
                sifted.features,
                subjects,
                self._journal.written,
                self.positions.held,
                self._journal_partitions,
            )
        fail_point("ingest.before_produce")
        await self._produce(sifted, sealed)
        fail_point("ingest.after_produce")
        await self._commit(batches, sifted, {subject.id for subject in subjects.values()})
        self._journal.forget_unit()
        if sifted.dead_letters:
            self._relay.wake(DEAD_LETTERS.name)

    async def _produce(self, sifted: Sifted, sealed: Sealed) -> None:
        outcome = await self._journal.write(sealed)
        if outcome.went_back:
            await self.check(())
            raise Fenced("The journal went backwards.")
        if sealed.records and self.in_doubt:
            # Of what was acknowledged the newest only is known after the commit: so all of it,
            # and what this unit had acknowledged before the link was lost, is checked first.
            written = len(self._journal.written)
            await self.check(())
            if len(self._journal.written) != written:
                raise Fenced("The journal lost what it had acknowledged.")
        for raw, partition, reason in outcome.refused:
            log.error(
                "the journal takes a record never; it is a dead letter",
                extra={"topic": JOURNAL.name, "partition": partition, "reason": reason},
            )
            sifted.set_aside(raw, "$", f"the journal refuses it: {reason}")

    async def _commit(self, batches: Sequence[Batch], sifted: Sifted, subjects: set[bytes]) -> None:
        fail_point("ingest.before_commit")
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            await self.positions.advance(connection, batches, subjects)
            counted = {p: one.counted for p, one in self.positions.held.items()}
            counts = [count(batch, sifted, counted.get(batch.partition, 0)) for batch in batches]
            acknowledged = self._journal.acknowledged()
            await acknowledge(
                connection, INTAKE_GENERATION, INTERACTIONS.name, acknowledged.items()
            )
            await count_intake(connection, INTAKE_GENERATION, INTERACTIONS.name, counts)
            refused = [one for ones in sifted.dead_letters.values() for one in ones]
            written = await self._letters_of(connection, refused)
            await suppression.note_records(connection, sifted.suppressed)
            await outbox.write(connection, [one.outgoing for one in written])
            await refused_rows.write(connection, [one.row for one in written])
            reasons = [
                (one.source.partition, one.reason)
                for one in written
                if one.source.offset >= counted.get(one.source.partition, 0)
            ]
            await letters.count(connection, INTERACTIONS.name, reasons)
            taken = await self._erase(connection, sifted.erasures) if sifted.erasures else []
            began = time.perf_counter()
        self.counts.commit.add(time.perf_counter() - began)
        for _, *became in counts:
            self.counts.became(zip(BECAME, became, strict=True))
        self.counts.refused(reasons)
        fail_point("ingest.after_commit")
        if sifted.erasures:
            self._erased(sifted.erasures, taken)
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

    async def _letters_of(self, connection: Connection, refused: Sequence[Refused]) -> list[Letter]:
        sealings = await self._letters.sealings(
            connection, [named_in(one.raw.value) for one in refused]
        )
        return [
            self._letters.letter(
                one.source, one.raw.value, one.field, one.reason, one.raw.timestamp, sealing
            )
            for one, sealing in zip(refused, sealings, strict=True)
        ]
