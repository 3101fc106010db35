"""Ingest: the outside world's events become sealed journal records, or dead letters.

One unit of work, in this order; what a crash after each step costs is in brackets:

1. Validate every record. [nothing]
2. Resolve relationships to subjects in Postgres, making new ones. [an unused subject]
3. Analyse the texts in one batch, build and seal the journal records. [nothing]
4. Produce them, acknowledged by all, then the dead letters. [they are produced again: project
   knows journal records by their source position, dead letters carry it as their key]
5. Move our position and count what became of each record, in one transaction, fenced. [done]

Whoever was fenced has produced in vain, which step 4's bracket covers.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis import MODEL_VERSION, TAXONOMY_VERSION, analyse
from infra.failpoints import fail_point
from infra.postgres import database_errors
from infra.producer import BatchProducer, Keyed
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.seal import event_key, seal_entry, source_key
from privacy.subjects import Subjects, journal_partition
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.errors import InvalidInput
from schemas.events import Interaction, parse_interaction
from schemas.journal import FORMAT, JournalEntry, JournalRecord, encode_record
from schemas.positions import Position
from schemas.text_features import TextFeatures
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL
from stores.generations import INTAKE_GENERATION, require_partitions
from stores.positions import Batch, Positions, count_intake, terminating_blockers

log = logging.getLogger(__name__)

MODEL = f"{MODEL_VERSION}/{TAXONOMY_VERSION}"


@dataclass(slots=True)
class _Intake:
    """What one unit turned into."""

    accepted: list[tuple[Position, Interaction]] = field(default_factory=list)
    journal: dict[int, list[Keyed]] = field(default_factory=dict)
    dead_letters: dict[int, list[Keyed]] = field(default_factory=dict)


class Ingest:
    """The step of `interactions`."""

    def __init__(
        self, settings: Settings, pool: Any, keyring: Keyring, producer: BatchProducer
    ) -> None:
        self.positions = Positions(INTERACTIONS.name)
        self._pool = pool
        self._keyring = keyring
        self._producer = producer
        self._subjects = Subjects(keyring, settings.subject_cache_max)
        self._journal_partitions = settings.journal_partitions

    async def claim(self, partitions: Sequence[int]) -> None:
        found = await self._producer.partitions(JOURNAL.name)
        require_partitions(found, self._journal_partitions)
        self._subjects.forget_all()
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            terminating_blockers(self._pool, connection),
        ):
            await self.positions.claim(connection, INTAKE_GENERATION, partitions)

    async def reload(self, partitions: Sequence[int]) -> bool:
        self._subjects.forget_all()
        async with database_errors(), self._pool.acquire() as connection:
            return await self.positions.reload(connection, partitions)

    async def as_known(self) -> bool:
        async with database_errors(), self._pool.acquire() as connection:
            return await self.positions.as_known(connection)

    async def apply(self, batches: Sequence[Batch]) -> None:
        intake = self._validate(batches)
        async with database_errors(), self._pool.acquire() as connection:
            subjects = await self._subjects.resolve(
                connection, ((event.creator_id, event.fan_id) for _, event in intake.accepted)
            )
        self._seal(intake, subjects)
        fail_point("ingest.before_produce")
        await self._producer.send(JOURNAL.name, intake.journal)
        fail_point("ingest.between_produces")
        await self._producer.send(DEAD_LETTERS.name, intake.dead_letters)
        fail_point("ingest.after_produce")
        await self._commit(batches, intake)

    def _validate(self, batches: Sequence[Batch]) -> _Intake:
        intake = _Intake()
        for batch in batches:
            for record in batch.records:
                position = Position(INTERACTIONS.name, record.partition, record.offset)
                try:
                    if not record.value:
                        raise InvalidInput("$", "must not be empty")
                    event = parse_interaction(record.value, record.timestamp)
                except InvalidInput as refusal:
                    letters = intake.dead_letters.setdefault(record.partition, [])
                    letters.append(self._dead_letter(position, record, refusal))
                else:
                    intake.accepted.append((position, event))
        return intake

    def _dead_letter(self, position: Position, record: Any, refusal: InvalidInput) -> Keyed:
        key = str(position).encode()
        kek, sealed = self._keyring.seal(record.value or b"", key)
        letter = DeadLetter(
            source=str(position),
            field=refusal.field,
            reason=refusal.reason,
            refused_at=render_time(record.timestamp),
            kek=kek,
            sealed=None if record.value is None else sealed,
        )
        return key, encode_dead_letter(letter)

    def _seal(self, intake: _Intake, subjects: dict[tuple[str, str], Any]) -> None:
        texts = [event.content for _, event in intake.accepted if event.content is not None]
        features = iter(analyse(texts))
        journal = intake.journal
        for position, event in intake.accepted:
            subject = subjects[event.creator_id, event.fan_id]
            text = next(features) if event.content is not None else None
            entry = _entry(position, event, text)
            identity = event_key if event.event_id is not None else source_key
            key = identity(subject.key, entry.event_id)
            record = JournalRecord(
                FORMAT,
                position.partition,
                position.offset,
                key,
                seal_entry(subject.cipher, subject.id, key, entry),
            )
            partition = journal_partition(subject.id, self._journal_partitions)
            journal.setdefault(partition, []).append((subject.id, encode_record(record)))

    async def _commit(self, batches: Sequence[Batch], intake: _Intake) -> None:
        fail_point("ingest.before_commit")
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            await self.positions.advance(connection, batches)
            counts = []
            for batch in batches:
                dead = len(intake.dead_letters.get(batch.partition, ()))
                counts.append((batch.partition, len(batch.records) - dead, dead))
            await count_intake(connection, INTAKE_GENERATION, INTERACTIONS.name, counts)
        fail_point("ingest.after_commit")


def _entry(position: Position, event: Interaction, text: TextFeatures | None) -> JournalEntry:
    # By name: swapped texts would pass the type checker, and the journal is kept for good.
    return JournalEntry(
        event_id=event.event_id if event.event_id is not None else str(position),
        kind=event.kind,
        time=event.time,
        sender=event.sender,
        author=event.author,
        content=event.content,
        amount=event.amount,
        content_type=event.content_type,
        gif=event.gif,
        metadata=event.metadata,
        text=text,
        model=MODEL if text is not None else "",
        source_partition=position.partition,
        source_offset=position.offset,
    )
