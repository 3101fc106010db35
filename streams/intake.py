"""Intake: intents become workflows in Postgres, or dead letters. No model is asked here.

One unit of work, in this order; what a crash after each step costs is in brackets:

1. Validate every record. [nothing]
2. In one transaction, fenced: move our position, write the workflows that are new, and put the
   dead letters into the outbox. [done: `fanmemory llm` finds them; the relay publishes the letters]

An intent that comes again is the workflow that is there already, so a log that went backwards is
read again from where it still agrees.
"""

import time
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import msgspec

from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.errors import InvalidInput, SealBroken
from schemas.intents import Intent, parse_intent, recipient_in
from schemas.positions import Position, source_name
from schemas.topics import INTENT_DEAD_LETTERS, INTENTS
from stores import letters, outbox
from stores.attempts import REASON, Places
from stores.generations import INTAKE_GENERATION
from stores.letters import Letter, Letters
from stores.positions import Batch, terminating_blockers
from stores.relay import Relay
from stores.workflows.intake import Intake
from stores.workflows.sealed import Vault
from streams.healing import IntakeHealer
from streams.sifting import KEY_LACKING, arrived
from streams.step import Positioned


class IntentIntake(Positioned):
    """The step of `intents`."""

    def __init__(self, settings: Settings, pool: Pool, keyring: Keyring, relay: Relay) -> None:
        super().__init__(pool, INTENTS.name)
        self._relay = relay
        self._healer = IntakeHealer(settings, pool, self.positions)
        self._letters = Letters(keyring)
        self._intake = Intake(settings, Vault(keyring))

    async def claim(self, partitions: Sequence[int]) -> None:
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            terminating_blockers(self._pool, connection),
        ):
            await self.positions.claim(connection, INTAKE_GENERATION, partitions)
            await self._attempts.claimed(connection)

    async def reload(self, partitions: Sequence[int]) -> bool:
        async with database_errors(), self._pool.acquire() as connection:
            return await self.positions.reload(connection, partitions)

    @property
    def in_doubt(self) -> bool:
        return False

    @property
    def stopped(self) -> Container[int]:
        return self._healer.stopped

    async def check(self, partitions: Sequence[int]) -> None:
        await self._healer.check(partitions)

    async def doubtful(self) -> set[int]:
        return await self._healer.doubtful()

    async def apply(self, batches: Sequence[Batch]) -> None:
        async for part, aside in self._attempts.parts(batches):
            await self._apply(part, aside)
            self.positions.moved(part)

    async def _apply(self, batches: Sequence[Batch], aside: Places) -> None:
        accepted: list[tuple[Any, Intent]] = []
        refused: list[_Refused] = []
        async with self._attempts.risk():
            for record in (record for batch in batches for record in batch.records):
                try:
                    accepted.append((record, self._intent(record, aside)))
                except InvalidInput as refusal:
                    refused.append(_Refused(record, refusal.field, refusal.reason))
        fail_point("intake.before_commit")
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            await self.positions.advance(connection, batches)
            late = await self._write(connection, accepted)
            refused += late
            written = await self._letters_of(connection, refused)
            await outbox.write(connection, [one.outgoing for one in written])
            reasons = [(one.source.partition, one.reason) for one in written]
            await letters.count(connection, INTENTS.name, reasons)
            began = time.perf_counter()
        self.counts.commit.add(time.perf_counter() - began)
        taken = len(accepted) - len(late)
        self.counts.became((("accepted", taken), ("dead_letters", len(refused))))
        self.counts.refused(reasons)
        fail_point("intake.after_commit")
        if refused:
            self._relay.wake(INTENT_DEAD_LETTERS.name)

    async def _write(
        self, connection: Connection, accepted: Sequence[tuple[Any, Intent]]
    ) -> list["_Refused"]:
        """Those whose fan's, or creator's, key does not open: they stop no other."""
        refused = []
        for record, intent in accepted:
            try:
                async with connection.transaction():
                    await self._intake.write(connection, [intent])
            except SealBroken as broken:
                refused.append(_Refused(record, "$", f"{KEY_LACKING}: {broken}"))
        return refused

    def _intent(self, record: Any, aside: Places) -> Intent:
        if (record.partition, record.offset) in aside:
            raise InvalidInput("$", REASON)
        intent = parse_intent(record.value or b"", arrived(record))
        if intent.intent_id is not None:
            return intent
        position = Position(INTENTS.name, record.partition, record.offset)
        held = self.positions.held.get(record.partition)
        place = source_name(position, held.boundaries if held is not None else ())
        return msgspec.structs.replace(intent, intent_id=place)

    async def _letters_of(
        self, connection: Connection, refused: Sequence["_Refused"]
    ) -> list[Letter]:
        sealings = await self._letters.sealings(
            connection, [recipient_in(one.raw.value) for one in refused]
        )
        return [
            self._letters.letter(
                Position(INTENTS.name, one.raw.partition, one.raw.offset),
                one.raw.value,
                one.field,
                one.reason,
                one.raw.timestamp,
                sealing,
            )
            for one, sealing in zip(refused, sealings, strict=True)
        ]


class _Refused(NamedTuple):
    """A record that is to be a dead letter."""

    raw: Any
    field: str
    reason: str
