"""Dead letters: made sealed, written into the outbox, and counted by their reason.

Ingest writes one for what it refuses, projection for what conflicts with a known event, each in the
transaction that counts it. Whatever came, a letter is bounded. Its copy is sealed under the key of
the fan whom it names, if that one is known, else under a key of the day. And it is remembered which
of them were published again (`admin.retry`).
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import Connection, Executor
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.seal import seal, unseal
from privacy.subjects import Subject, Subjects
from schemas.dead_letters import (
    CONFLICT_REASON,
    HEAD_BYTES_MAX,
    About,
    DeadLetter,
    about,
    decode_about,
    encode_about,
    encode_dead_letter,
    reason_class,
)
from schemas.errors import SealBroken
from schemas.positions import Position
from schemas.random_ids import id_bytes, id_text
from schemas.relationship import Relationship
from schemas.rendered import render_interaction
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS, INTENT_DEAD_LETTERS, INTENTS, INTERACTIONS
from stores import day_keys
from stores.folding import FramedBatch, OpenedRecord
from stores.outbox import Outgoing
from stores.refused import Marks, RefusedRow

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "letters.sql")
_TOPIC: Final = DEAD_LETTERS.name.encode()
_ABOUT: Final = _TOPIC + b"/about"
OF_SUBJECT: Final = "subject:"
OF_DAY: Final = "day:"


class Letter(NamedTuple):
    """One dead letter that is to be published."""

    source: Position
    reason: str
    """The class of reasons that it is counted under (`schemas.dead_letters.reason_class`)."""
    outgoing: Outgoing
    row: RefusedRow | None
    """For who asks what became of the event; None where it names no creator."""


class Sealing(NamedTuple):
    """What a letter's copy is sealed under."""

    key: str
    """As `DeadLetter.key` names it."""
    cipher: AESGCM

    @classmethod
    def of_subject(cls, subject: Subject) -> "Sealing":
        return cls(f"{OF_SUBJECT}{id_text(subject.id)}", subject.cipher)

    @classmethod
    def of_day(cls, day: str, cipher: AESGCM) -> "Sealing":
        return cls(OF_DAY + day, cipher)

    def seal(self, value: bytes, source: bytes) -> bytes:
        return seal(self.cipher, value, _TOPIC, self.key.encode(), source)

    def seal_about(self, about: About, source: bytes) -> bytes:
        return seal(self.cipher, encode_about(about), _ABOUT, self.key.encode(), source)


class Letters:
    """Makes letters with one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._subjects = Subjects(keyring, 0)
        self._digests = keyring.derive(b"dead-letter")
        self._marks = Marks(keyring)

    async def sealings(
        self, connection: Connection, whose: Sequence[Relationship | None]
    ) -> list[Sealing]:
        """Of each refused value, by whom it names: under that fan's key, or under the day's."""
        if not whose:
            return []
        locked: dict[Relationship, SealBroken] = {}
        pairs = {who for who in whose if who is not None}
        known = await self._subjects.find(connection, pairs, locked)
        day = Sealing.of_day(*await day_keys.today(connection, self._keyring))
        return [Sealing.of_subject(known[who]) if who in known else day for who in whose]

    def letter(
        self,
        source: Position,
        value: bytes | None,
        field: str,
        reason: str,
        time: int,
        sealing: Sealing,
    ) -> Letter:
        """`source` is the refused record's place, `time` Kafka's time of it in ms."""
        key, head = str(source).encode(), (value or b"")[:HEAD_BYTES_MAX]
        named = about(value)
        told = None if named is None else sealing.seal_about(named, key)
        letter = DeadLetter(
            source=str(source),
            field=field,
            reason=reason,
            refused_at=render_time(time),
            kek="",
            sealed=None if value is None else sealing.seal(head, key),
            length=None if value is None else len(value),
            digest=None if value is None else self._digest(value),
            key=sealing.key,
            about=told,
        )
        topic = INTENT_DEAD_LETTERS if source.topic == INTENTS.name else DEAD_LETTERS
        outgoing = Outgoing(topic.name, None, key, encode_dead_letter(letter), source.partition)
        row = None
        if named is not None and told is not None and source.topic == INTERACTIONS.name:
            row = self._marks.row(source, time, named, (field, reason), (sealing.key, told))
        return Letter(source, reason_class(field, reason), outgoing, row)

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
        sealing = Sealing.of_subject(who)
        return self.letter(source, value, "eventId", CONFLICT_REASON, time, sealing)

    def _digest(self, value: bytes) -> str:
        """Keyed, because a short text could be guessed from a plain one."""
        return blake2b(value, key=self._digests, digest_size=16).hexdigest()


class LetterKeys:
    """Opens letters whose keys were looked up."""

    def __init__(self, keyring: Keyring, ciphers: Mapping[str, AESGCM]) -> None:
        self._keyring = keyring
        self._ciphers = ciphers

    def open(self, letter: DeadLetter) -> bytes | None:
        """The refused value; None for a record that had none.

        Raises `SealBroken` when its key is gone, as that of a fan who was erased, when the keyring
        lacks it, or when the letter was altered.
        """
        source = letter.source.encode()
        if letter.sealed is None:
            return None
        if letter.key is None:
            return self._keyring.open(letter.kek, letter.sealed, source)
        cipher = self._ciphers.get(letter.key)
        if cipher is None:
            raise SealBroken("The key of this letter is gone, or the keyring lacks its key.")
        return unseal(cipher, letter.sealed, _TOPIC, letter.key.encode(), source)

    def about(self, key: str | None, sealed: bytes | None, source: str) -> About | None:
        """Whose event a letter, or a row of `stores.refused`, is about; None where that can't be
        read any more."""
        cipher = None if key is None else self._ciphers.get(key)
        if key is None or cipher is None or sealed is None:
            return None
        with contextlib.suppress(SealBroken):
            return decode_about(unseal(cipher, sealed, _ABOUT, key.encode(), source.encode()))
        return None


async def keys_of(
    connection: Connection, keyring: Keyring, letters: Iterable[DeadLetter]
) -> LetterKeys:
    """Look up the keys of these letters."""
    return await keys_named(connection, keyring, (one.key for one in letters))


async def keys_named(
    connection: Connection, keyring: Keyring, keys: Iterable[str | None]
) -> LetterKeys:
    """The same of keys as letters name them."""
    named = {key for key in keys if key is not None}
    ciphers: dict[str, AESGCM] = {}
    subjects = {}
    for key in named:
        with contextlib.suppress(ValueError, SealBroken):
            if key.startswith(OF_SUBJECT):
                subjects[id_bytes(key.removeprefix(OF_SUBJECT))] = key
            elif key.startswith(OF_DAY):
                day = date.fromisoformat(key.removeprefix(OF_DAY))
                ciphers[key] = await day_keys.find(connection, keyring, day)
    locked: dict[bytes, SealBroken] = {}
    found = await Subjects(keyring, len(subjects)).lookup(connection, subjects, locked)
    ciphers |= {subjects[id]: one.cipher for id, one in found.items()}
    return LetterKeys(keyring, ciphers)


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
