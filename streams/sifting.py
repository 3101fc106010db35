"""Sifting: what each record of a unit of ingest is: an event to seal, an order, a dead letter, or
nothing that may leave a copy."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from analysis import analyse
from infra.clock import now_ms
from infra.postgres import Connection, Pool, database_errors
from privacy.control import is_control
from privacy.keys import Keyring
from privacy.subjects import Subject
from schemas.control import UNPROVEN, Erase
from schemas.errors import InvalidInput, SealBroken
from schemas.events import Interaction, parse_interaction
from schemas.positions import Position
from schemas.relationship import Relationship, named_in
from schemas.text_features import TextFeatures
from stores import erasure, history, suppression
from stores.attempts import REASON, Places
from stores.erasure import Names
from stores.positions import Batch, Positions
from stores.refolding import Limits
from streams.orders import Unit, place_of
from streams.sealing import identity
from views.corrections import TOO_LONG, is_correction

log = logging.getLogger(__name__)

LOG_APPEND_TIME: Final = 1
"""`timestamp_type` of a record whose time the broker gave."""
KEY_LACKING: Final = "this fan's key does not open"


class Refused(NamedTuple):
    """A record that is to be a dead letter."""

    source: Position
    raw: Any
    field: str
    reason: str


@dataclass(slots=True)
class Sifted:
    """What the records of one unit are."""

    accepted: list[tuple[Any, Interaction]] = field(default_factory=list)
    """(record, event)"""
    erasures: dict[tuple[int, int], Erase] = field(default_factory=dict)
    """(partition, offset) -> the order there."""
    dead_letters: dict[int, list[Refused]] = field(default_factory=dict)
    """By partition of `interactions`."""
    suppressed: list[tuple[int, int]] = field(default_factory=list)
    """(partition, offset)"""
    features: dict[tuple[int, int], TextFeatures] = field(default_factory=dict)
    """What the analyser says of each text, by (partition, offset)."""

    def set_aside(self, record: Any, field: str, reason: str) -> None:
        refused = Refused(place_of(record), record, field, reason)
        self.dead_letters.setdefault(record.partition, []).append(refused)


def validate(unit: Unit, aside: Places, currency: str) -> Sifted:
    """Each record is an event, or one of the unit's orders, or a dead letter."""
    sifted = Sifted(erasures=unit.erasures)
    for record in (record for batch in unit.batches for record in batch.records):
        place = (record.partition, record.offset)
        if place in unit.erasures:
            continue
        if place in aside:
            sifted.set_aside(record, "$", REASON)
            continue
        try:
            if record.headers and is_control(record.headers):
                raise InvalidInput("$", UNPROVEN)
            if not record.value:
                raise InvalidInput("$", "must not be empty")
            event = parse_interaction(record.value, arrived(record), currency)
        except InvalidInput as refusal:
            sifted.set_aside(record, refusal.field, refusal.reason)
        else:
            sifted.accepted.append((record, event))
    return sifted


def analyse_texts(sifted: Sifted) -> None:
    """All texts in one batch."""
    texts = {
        (record.partition, record.offset): words
        for record, event in sifted.accepted
        if (words := event.words) is not None
    }
    sifted.features = dict(zip(texts, analyse(list(texts.values())), strict=True))


def set_aside_locked(sifted: Sifted, locked: Mapping[Relationship, SealBroken]) -> None:
    """The events of fans whose key does not open: for when the keyring has its key again."""
    if not locked:
        return
    log.error("fans whose key does not open", extra={"count": len(locked)})
    accepted, sifted.accepted = sifted.accepted, []
    for record, event in accepted:
        broken = locked.get((event.creator_id, event.fan_id))
        if broken is None:
            sifted.accepted.append((record, event))
        else:
            sifted.set_aside(record, "$", f"{KEY_LACKING}: {broken}")


def count(batch: Batch, sifted: Sifted, counted: int) -> tuple[int, int, int, int, int]:
    """(partition, accepted, dead letters, suppressed, orders), without what stands below `counted`:
    that was counted before ingest was sent back."""
    fresh = len(batch.records)
    if batch.base < counted:
        fresh = sum(record.offset >= counted for record in batch.records)
    written = sifted.dead_letters.get(batch.partition, ())
    dead = sum(one.source.offset >= counted for one in written)
    dropped = sum(
        partition == batch.partition and offset >= counted
        for partition, offset in sifted.suppressed
    )
    orders = sum(
        partition == batch.partition and offset >= counted for partition, offset in sifted.erasures
    )
    return batch.partition, fresh - dead - dropped - orders, dead, dropped, orders


class Sifter:
    """Sifts by what Postgres knows. `positions` are ingest's.

    `written` is in each method what the journal has of the unit already: it stays.
    """

    def __init__(
        self, pool: Pool, keyring: Keyring, names: Names, limits: Limits, positions: Positions
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._names = names
        self._limits = limits
        self._positions = positions

    async def leave_erased(self, sifted: Sifted) -> None:
        """What is read once more and stands before its fan's erasure, is not written again."""
        again = {
            (event.creator_id, event.fan_id)
            for record, event in sifted.accepted
            if self._counted(record.partition, record.offset)
        }
        if not again:
            return
        async with database_errors(), self._pool.acquire() as connection:
            erased = await erasure.erased_before(connection, self._names, again)
        if erased:
            sifted.accepted = [
                (record, event)
                for record, event in sifted.accepted
                if record.offset
                > erased.get(((event.creator_id, event.fan_id), record.partition), -1)
            ]

    async def drop_suppressed(
        self,
        connection: Connection,
        batches: Sequence[Batch],
        sifted: Sifted,
        written: Collection[tuple[int, int]],
    ) -> None:
        """What of the unit belongs to suppressed fans, acceptable or not."""
        whose = self._whose(batches, sifted)
        suppressed = await suppression.among(connection, self._keyring, whose.values())
        before = await suppression.dropped(
            connection, [place for place in whose if self._counted(*place)]
        )
        dropped = {
            place
            for place, who in whose.items()
            if (who in suppressed or place in before) and place not in written
        }
        if not dropped:
            return
        sifted.suppressed = sorted(dropped)
        sifted.accepted = [
            (record, event)
            for record, event in sifted.accepted
            if (record.partition, record.offset) not in dropped
        ]
        for partition, refused in sifted.dead_letters.items():
            sifted.dead_letters[partition] = [
                one for one in refused if (partition, one.source.offset) not in dropped
            ]

    async def set_aside_too_late(
        self,
        sifted: Sifted,
        subjects: Mapping[Relationship, Subject],
        written: Collection[tuple[int, int]],
    ) -> None:
        """The corrections of fans whose history is too long to be folded again for each."""
        corrections = {}
        for raw, event in sifted.accepted:
            if is_correction(event) and (raw.partition, raw.offset) not in written:
                subject = subjects[event.creator_id, event.fan_id]
                key = identity(subject.key, place_of(raw), event, self._positions.held)
                corrections[raw.partition, raw.offset] = (subject.id, key)
        if not corrections:
            return
        async with database_errors(), self._pool.acquire() as connection:
            asked = sorted(set(corrections.values()))
            late = await history.too_long(connection, asked, self._limits)
        if not late:
            return
        accepted, sifted.accepted = sifted.accepted, []
        for record, event in accepted:
            if corrections.get((record.partition, record.offset)) in late:
                edit = event.details is not None and event.details.replaces is not None
                sifted.set_aside(record, "replaces" if edit else "refersTo", TOO_LONG)
            else:
                sifted.accepted.append((record, event))

    def _whose(
        self, batches: Iterable[Batch], sifted: Sifted
    ) -> dict[tuple[int, int], Relationship]:
        """(partition, offset) -> of whom a record is, as far as it says."""
        whose = {
            (record.partition, record.offset): (event.creator_id, event.fan_id)
            for record, event in sifted.accepted
        }
        if sifted.dead_letters:
            for raw in (raw for batch in batches for raw in batch.records):
                place = (raw.partition, raw.offset)
                if place in whose or place in sifted.erasures:
                    continue
                if (who := named_in(raw.value)) is not None:
                    whose[place] = who
        return whose

    def _counted(self, partition: int, offset: int) -> bool:
        """Whether a record is read once more, for what the journal has lost."""
        held = self._positions.held.get(partition)
        return held is not None and offset < held.counted


def arrived(record: Any) -> int:
    """When the record came, ms: what an event's time may lie after by a few minutes.

    By the broker's clock where the topic says so, as `fanmemory topics create` makes it: then
    whoever reads the record again judges the same. A producer's clock proves nothing.
    """
    vouched = record.timestamp_type == LOG_APPEND_TIME
    return int(record.timestamp) if vouched else now_ms()
