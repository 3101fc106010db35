"""The journal: what ingest writes, sealed, and every view is folded from.

A record's Kafka key is the subject (16 bytes). Its value is a MessagePack `JournalRecord`, whose
`sealed` opens to a MessagePack `JournalEntry`. In clear stand only random and keyed bytes and the
place in `interactions` that it came from.
"""

from typing import Final

import msgspec

from schemas.details import Details
from schemas.errors import SealBroken
from schemas.events import Author, Interaction, Kind, Sender
from schemas.text_features import TextFeatures

FORMAT: Final = 1


class JournalRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The clear frame of one accepted interaction."""

    format: int
    source_partition: int
    source_offset: int
    """Place in `interactions`: retries of ingest are recognised by it. Stands in the entry too,
    sealed, and must be the same there."""
    event_key: bytes
    """16 bytes: keyed hash of the event id under the subject's key; unique per subject."""
    sealed: bytes
    """AES-256-GCM of the JournalEntry, authenticated with topic, subject and event key."""


class JournalEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One accepted, analysed interaction: all that a fold may see, besides its position."""

    event_id: str
    """The producer's own, or the source position."""
    kind: Kind
    time: int
    """Event time, ms since the epoch, UTC."""
    sender: Sender = "fan"
    author: Author | None = None
    content: str | None = None
    amount: int | None = None
    """Minor units of the currency in `details`, or of US dollars."""
    content_type: str | None = None
    gif: bool = False
    metadata: bytes | None = None
    """JSON object as received."""
    text: TextFeatures | None = None
    """Of `content`, when there is one; for both senders."""
    model: str = ""
    """Checksum of the model and version of the word lists that read the text: `model/words`."""
    source_partition: int = -1
    source_offset: int = -1
    """Place in `interactions`, as in the clear frame, which only this copy authenticates; -1 in
    entries of the first release. No fold looks at it."""
    details: Details | None = None
    """What most events lack: origin, attachments, currency, price and the like; none in entries of
    earlier releases."""


def entry_of(
    event: Interaction,
    event_id: str,
    text: TextFeatures | None,
    model: str = "",
    source: tuple[int, int] = (-1, -1),
) -> JournalEntry:
    """What is remembered of an event, under this id; `source` is its partition and offset."""
    # By name: swapped texts would pass the type checker, and the journal is kept for good.
    return JournalEntry(
        event_id=event_id,
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
        model=model,
        source_partition=source[0],
        source_offset=source[1],
        details=event.details,
    )


def forgotten(entry: JournalEntry) -> JournalEntry:
    """What stands in the place of a forgotten event, so that it does not come back: a delete that
    names nothing, which no view is moved by. Of the event it keeps the id, its type (in
    `content_type`) and the place that it came from."""
    return JournalEntry(
        event_id=entry.event_id,
        kind="delete",
        time=0,
        content_type=entry.kind,
        source_partition=entry.source_partition,
        source_offset=entry.source_offset,
    )


def is_forgotten(entry: JournalEntry) -> bool:
    """Whether this stands for a forgotten event: a delete that was sent always names something."""
    return entry.kind == "delete" and entry.details is None


_encoder = msgspec.msgpack.Encoder()
_decode_record = msgspec.msgpack.Decoder(JournalRecord).decode
_decode_entry = msgspec.msgpack.Decoder(JournalEntry).decode

encode_record = _encoder.encode
encode_entry = _encoder.encode


def decode_record(value: bytes) -> JournalRecord:
    """Raises `SealBroken` for anything that ingest did not write."""
    try:
        record = _decode_record(value)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        raise SealBroken("A journal record does not have the form that ingest writes.") from None
    if record.format != FORMAT:
        raise SealBroken("A journal record has a format that this version does not know.")
    return record


def decode_entry(plain: bytes) -> JournalEntry:
    """Raises `SealBroken` for anything that ingest did not write."""
    try:
        return _decode_entry(plain)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SealBroken("A journal entry does not have the form that ingest writes.") from None


def check_source(record: JournalRecord, entry: JournalEntry) -> None:
    """Raises `SealBroken` when the clear place in `interactions` is not the one that was sealed."""
    if entry.source_offset < 0:
        return  # sealed by the first release
    if (entry.source_partition, entry.source_offset) != (
        record.source_partition,
        record.source_offset,
    ):
        raise SealBroken("A journal record's source position is not the one it was sealed with.")
