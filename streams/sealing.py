"""Sealing: the journal records of a unit's events, each under its fan's own key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from analysis import MODEL_VERSION, WORDS_VERSION
from privacy.seal import event_key, nonces, seal_entry, source_key
from privacy.subjects import Subject, journal_partition
from schemas.events import Interaction
from schemas.journal import FORMAT, JournalRecord, encode_record, entry_of
from schemas.positions import Position, source_name
from schemas.relationship import Relationship
from schemas.text_features import TextFeatures
from stores.positions import Held
from streams.orders import place_of

MODEL: Final = f"{MODEL_VERSION}/{WORDS_VERSION}"


@dataclass(slots=True)
class Sealed:
    """What is to be written to the journal, by its partitions."""

    records: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    sources: dict[int, list[Any]] = field(default_factory=dict)
    """The records that those of `records` were made of, in the same order."""

    def times(self) -> dict[int, list[int]]:
        """When the events came, ms: their records keep that, so that their age can be told until
        they are in the views."""
        return {
            partition: [record.timestamp for record in sources]
            for partition, sources in self.sources.items()
        }


def seal(
    accepted: Iterable[tuple[Any, Interaction]],
    features: Mapping[tuple[int, int], TextFeatures],
    subjects: Mapping[Relationship, Subject],
    written: Mapping[tuple[int, int], bytes],
    held: Mapping[int, Held],
    journal_partitions: int,
) -> Sealed:
    """What of `accepted` is not `written` for this very subject already.

    `features` and `written` are by (partition, offset); `held` are the positions.
    """
    left = [
        (raw, event, subject)
        for raw, event in accepted
        if (subject := subjects[event.creator_id, event.fan_id]).id
        != written.get((raw.partition, raw.offset))
    ]
    sealed = Sealed()
    for (raw, event, subject), nonce in zip(left, nonces(len(left)), strict=True):
        place = place_of(raw)
        text = features.get((raw.partition, raw.offset))
        entry = entry_of(
            event,
            str(place) if event.event_id is None else event.event_id,
            text,
            "" if text is None else MODEL,
            (place.partition, place.offset),
        )
        key = identity(subject.key, place, event, held)
        record = JournalRecord(
            FORMAT,
            place.partition,
            place.offset,
            key,
            seal_entry(subject.cipher, subject.id, key, entry, nonce),
        )
        partition = journal_partition(subject.id, journal_partitions)
        sealed.records.setdefault(partition, []).append((subject.id, encode_record(record)))
        sealed.sources.setdefault(partition, []).append(raw)
    return sealed


def identity(key: bytes, place: Position, event: Interaction, held: Mapping[int, Held]) -> bytes:
    """The key of an event: of the producer's id, or of the record's place."""
    if event.event_id is not None:
        return event_key(key, event.event_id, event.kind)
    one = held.get(place.partition)
    return source_key(key, source_name(place, one.boundaries if one is not None else ()))
