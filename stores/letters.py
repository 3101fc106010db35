"""Dead letters: made sealed, written into the outbox, and counted by their reason.

Ingest writes one for what it refuses, projection for what conflicts with a known event, each in the
transaction that counts it. Whatever came, a letter is bounded. And it is remembered which of them
were published again (`admin.retry`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection, Executor
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import Subject
from schemas.dead_letters import (
    CONFLICT_REASON,
    HEAD_BYTES_MAX,
    DeadLetter,
    encode_dead_letter,
    reason_class,
)
from schemas.positions import Position
from schemas.rendered import render_interaction
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS, INTENT_DEAD_LETTERS, INTENTS, INTERACTIONS
from stores.folding import FramedBatch, OpenedRecord
from stores.outbox import Outgoing

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "letters.sql")


class Letter(NamedTuple):
    """One dead letter that is to be published."""

    source: Position
    reason: str
    """The class of reasons that it is counted under (`schemas.dead_letters.reason_class`)."""
    outgoing: Outgoing


class Letters:
    """Makes letters with one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._digests = keyring.derive(b"dead-letter")

    def letter(
        self, source: Position, value: bytes | None, field: str, reason: str, time: int
    ) -> Letter:
        """`source` is the refused record's place, `time` Kafka's time of it in ms."""
        key = str(source).encode()
        kek, sealed = self._keyring.seal((value or b"")[:HEAD_BYTES_MAX], key)
        letter = DeadLetter(
            source=str(source),
            field=field,
            reason=reason,
            refused_at=render_time(time),
            kek=kek,
            sealed=None if value is None else sealed,
            length=None if value is None else len(value),
            digest=None if value is None else self._digest(value),
        )
        topic = INTENT_DEAD_LETTERS if source.topic == INTENTS.name else DEAD_LETTERS
        outgoing = Outgoing(topic.name, None, key, encode_dead_letter(letter), source.partition)
        return Letter(source, reason_class(field, reason), outgoing)

    def of_conflicts(self, framed: FramedBatch, subjects: Mapping[bytes, Subject]) -> list[Letter]:
        """One for each conflict of a batch, with the event as the journal has it."""
        if not framed.conflicts:
            return []
        frames = {
            (raw.partition, raw.offset): (
                # Of the clear frame: entries of the first release don't name it.
                Position(INTERACTIONS.name, record.source_partition, record.source_offset),
                raw.timestamp,
            )
            for raw, record in framed.records
        }
        return [
            self._conflict(one, subjects[one.subject], *frames[one.partition, one.offset])
            for one in framed.conflicts
        ]

    def _conflict(self, one: OpenedRecord, who: Subject, source: Position, time: int) -> Letter:
        value = render_interaction((who.creator_id, who.fan_id), one.entry)
        return self.letter(source, value, "eventId", CONFLICT_REASON, time)

    def _digest(self, value: bytes) -> str:
        """Keyed, because a short text could be guessed from a plain one."""
        return blake2b(value, key=self._digests, digest_size=16).hexdigest()


async def count(connection: Connection, topic: str, reasons: Iterable[tuple[int, str]]) -> None:
    """Count letters by (partition of `topic`, reason), in the transaction that writes them.

    The caller's transaction has locked the position rows of these partitions, so nobody else counts
    them meanwhile.
    """
    counted = sorted(Counter(reasons).items())
    if counted:
        await connection.executemany(
            _QUERIES.count, [(topic, partition, reason, n) for (partition, reason), n in counted]
        )


async def counts(connection: Executor) -> dict[str, int]:
    """How many letters there have been, by reason."""
    return {row["reason"]: row["letters"] for row in await connection.fetch(_QUERIES.counts)}


async def retried(connection: Connection, letters: Sequence[DeadLetter]) -> set[tuple[str, str]]:
    """(source, time of refusal) of those that were published again."""
    rows = await connection.fetch(_QUERIES.retried, *_ids(letters))
    return {(row["source"], row["refused_at"]) for row in rows}


async def remember_retried(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """That these were published again."""
    if letters:
        await connection.execute(_QUERIES.remember_retried, *_ids(letters))


async def forget_retried(connection: Connection, kept_ms: int) -> None:
    """Of letters that their topic has let go of by now."""
    await connection.execute(_QUERIES.forget_retried, kept_ms)


def _ids(letters: Sequence[DeadLetter]) -> tuple[list[str], list[str]]:
    return [one.source for one in letters], [one.refused_at for one in letters]
