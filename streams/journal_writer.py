"""Ingest's side of the journal: writing to it, and what it has acknowledged of the unit at hand.

A retry of a unit produces only what was not acknowledged, as long as the journal still has the
rest: its newest record in each partition proves all before it.
"""

from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple

from infra.kafka import Link
from infra.parts import bounded
from infra.producer import BATCH_BYTES, BatchProducer, Delivery
from privacy.subjects import journal_partition
from schemas.topics import JOURNAL
from stores.forgetting import NotNow
from stores.positions import Acknowledged, Positions
from streams.healing import Written
from streams.sealing import Sealed

RECORD_OVERHEAD: Final = 64
"""Bytes of a record of the journal besides its value, at most."""


class Outcome(NamedTuple):
    """What has become of a unit's records."""

    refused: list[tuple[Any, int, str]]
    """What the broker never takes: (record of `interactions`, the journal's partition, reason)."""
    went_back: bool
    """The journal put new records where it had acknowledged others."""


class JournalWriter:
    """Writes one unit after another; `positions` are ingest's."""

    def __init__(self, producer: BatchProducer, positions: Positions, partitions: int) -> None:
        self._producer = producer
        self._positions = positions
        self._partitions = partitions
        self.written: dict[tuple[int, int], bytes] = {}
        """(partition, offset) of the unit's records that the journal has, and under which subject:
        a retry does not produce them again, unless the database was restored meanwhile and no
        longer knows that subject. At most a unit's."""
        self._acknowledged: dict[tuple[int, int], Acknowledged] = {}
        """(interactions partition, journal partition) -> the unit's newest record there. Its
        offset is that of the last record sent with it, which another of our partitions may have
        brought: the check of it (`streams.healing`) finds the exact one."""
        self.newest: dict[int, Written] = {}
        """Journal partition -> the unit's newest record there: as long as it is where it was
        acknowledged, all before it are."""
        self.links: dict[int, Link] = {}
        """How the journal's leaders were reached when what they acknowledged was last checked."""

    @property
    def in_doubt(self) -> bool:
        """The journal may have lost what it acknowledged: its brokers are reached anew."""
        return not self._producer.linked(JOURNAL.name, self.links)

    async def reach(self) -> dict[int, Link]:
        """How the leaders are reached now. Raises `BrokerUnavailable`."""
        return await self._producer.links(JOURNAL.name)

    async def partitions(self) -> int:
        """How many the journal has. Raises `BrokerUnavailable`."""
        return await self._producer.partitions(JOURNAL.name)

    def forget_unit(self) -> None:
        self.written.clear()
        self._acknowledged.clear()
        self.newest.clear()

    def forget_lost(self, lost: Container[int]) -> None:
        """What these partitions of the journal acknowledged of the unit is produced again."""
        self.written = {
            place: subject
            for place, subject in self.written.items()
            if journal_partition(subject, self._partitions) not in lost
        }
        self._acknowledged = {
            (source, partition): known
            for (source, partition), known in self._acknowledged.items()
            if partition not in lost
        }
        self.newest = {p: newest for p, newest in self.newest.items() if p not in lost}

    def acknowledged(self) -> dict[int, dict[int, Acknowledged]]:
        """What each of our partitions knows to be in the journal, this unit included."""
        found: dict[int, dict[int, Acknowledged]] = {}
        for (source, partition), newest in self._acknowledged.items():
            held = self._positions.held.get(source)
            if held is not None:
                found.setdefault(source, dict(held.acknowledged))[partition] = newest
        return found

    async def write(self, sealed: Sealed) -> Outcome:
        """Raises `BrokerUnavailable`; what is there by then is in `written`."""
        delivery = Delivery()
        try:
            await self._producer.send(JOURNAL.name, sealed.records, delivery, sealed.times())
        finally:
            self._remember(sealed, delivery)
        refused = [
            (sealed.sources[partition][one.place], partition, one.reason)
            for partition, ones in delivery.refused.items()
            for one in ones
        ]
        return Outcome(refused, self._went_back(sealed, delivery))

    async def append(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> list[int]:
        """Append to a partition, beside all units; the offset of each. Raises `BrokerUnavailable`,
        and `NotNow` when the broker will never take one."""
        offsets: list[int] = []
        sized = ((record, len(record[1]) + RECORD_OVERHEAD) for record in records)
        # Each so small that the broker gives its records offsets without a gap.
        for batch in bounded(sized, BATCH_BYTES // 2):
            delivery = Delivery()
            await self._producer.send(JOURNAL.name, {partition: batch}, delivery)
            last = delivery.last.get(partition)
            if delivery.refused or last is None:
                raise NotNow
            offsets += range(last + 1 - len(batch), last + 1)
        return offsets

    def _remember(self, sealed: Sealed, delivery: Delivery) -> None:
        for partition, settled in delivery.settled.items():
            done = {
                (raw.partition, raw.offset): subject
                for raw, (subject, _) in zip(
                    sealed.sources[partition][:settled],
                    sealed.records[partition][:settled],
                    strict=True,
                )
            }
            for source, offset in sorted(done) if partition in delivery.last else ():
                known = Acknowledged(delivery.last[partition], offset)
                self._acknowledged[source, partition] = known
            for one in delivery.refused.get(partition, ()):
                # Found again by a retry: its dead letter is not written yet.
                raw = sealed.sources[partition][one.place]
                done.pop((raw.partition, raw.offset), None)
            self.written |= done
            self._remember_newest(sealed, delivery, partition)

    def _remember_newest(self, sealed: Sealed, delivery: Delivery, partition: int) -> None:
        refused = {one.place for one in delivery.refused.get(partition, ())}
        settled = delivery.settled[partition]
        place = next((at for at in reversed(range(settled)) if at not in refused), None)
        if place is not None:
            raw = sealed.sources[partition][place]
            # -1: the broker knows it as a repeat, and not where it is. Then nothing proves it.
            offset = delivery.last.get(partition, -1)
            self.newest[partition] = Written(offset, raw.partition, raw.offset)

    def _went_back(self, sealed: Sealed, delivery: Delivery) -> bool:
        for partition, last in delivery.last.items():
            count = len(sealed.records[partition]) - len(delivery.refused.get(partition, ()))
            for held in self._positions.held.values():
                known = held.acknowledged.get(partition)
                if known is not None and last - count < known.offset:
                    return True
        return False
