"""Accounting: what became of every event, from the counters that the commits keep.

sent = accepted + dead letters + suppressed + control, and once drained
accepted = applied + duplicates + conflicts + forgotten + quarantined,
the latter as long as neither a log nor the database has gone backwards: what comes again then is
counted again, or as a repeat.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from admin.topics import partitions_of
from infra.kafka import TopicPartition, broker_errors, reading
from infra.settings import Settings
from schemas.errors import DeadlineExceeded
from schemas.topics import INTERACTIONS, JOURNAL, Topic
from stores.store import Store

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """Sums over all partitions."""

    accepted: int = 0
    dead_letters: int = 0
    control: int = 0
    """Orders: to erase somebody."""
    applied: int = 0
    duplicates: int = 0
    repeats: int = 0
    forgotten: int = 0
    quarantined: int = 0
    conflicts: int = 0
    suppressed: int = 0

    @property
    def read(self) -> int:
        """Records that ingest has judged."""
        return self.accepted + self.dead_letters + self.suppressed + self.control

    @property
    def folded(self) -> int:
        """Accepted events whose fate in the views is settled."""
        return self.applied + self.duplicates + self.conflicts + self.forgotten + self.quarantined

    def since(self, earlier: "Account") -> "Account":
        return Account(
            **{f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(Account)}
        )


async def account(store: Store) -> Account:
    """The live generation's account now."""
    totals = dict.fromkeys((field.name for field in fields(Account)), 0)
    for status in await store.positions():
        for name in totals:
            totals[name] += getattr(status, name)
    return Account(**totals)


async def wait_until_folded(
    store: Store,
    settings: Settings,
    read: int,
    seconds_max: float,
    progress: Callable[[Account], Any] = lambda _account: None,
) -> Account:
    """Wait until `read` events were judged, and all of the logs up to there is in the views.

    That events were judged is told by the counters. That they are in the views is not: once a log
    or the database went backwards, a record that comes again is in one counter or in another. It
    is told by the positions, against the ends of both logs at the moment when all was judged.

    Raises `DeadlineExceeded` when what is waited for does not move for `seconds_max`, whatever
    else moves, and `BrokerUnavailable`.
    """
    watch = _Watch(seconds_max)
    async with reading(settings) as consumer:
        while (now := await account(store)).read < read:
            progress(now)
            watch.see(now.read, f"{INTERACTIONS.name}: {read - now.read} events unread")
            await asyncio.sleep(POLL_SECONDS)
        goal: dict[TopicPartition, int] = {}
        while True:
            nexts = {TopicPartition(s.topic, s.partition): s.next for s in await store.positions()}
            ends = await _ends(consumer, settings)
            progress(now := await account(store))
            goal = goal or _of(INTERACTIONS, ends)
            late = behind(nexts, goal, ends)
            if _of(INTERACTIONS, late):
                # Also when ingest was sent back: what it writes again, the journal has not yet.
                goal = _of(INTERACTIONS, goal)
            elif not _of(JOURNAL, goal):
                goal |= _of(JOURNAL, ends)
            elif not late:
                return now
            if late:
                lacking = [f"{p.topic}-{p.partition} by {count}" for p, count in late.items()]
                watch.see(late, "behind are " + ", ".join(lacking))
            await asyncio.sleep(POLL_SECONDS)


def _of(topic: Topic, places: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    return {place: number for place, number in places.items() if place.topic == topic.name}


class _Watch:
    """Ends the waiting for something that stands still."""

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._last: object = None
        self._moved_at = time.monotonic()

    def see(self, state: object, lacking: str) -> None:
        if state != self._last:
            self._last, self._moved_at = state, time.monotonic()
        elif time.monotonic() - self._moved_at > self._seconds_max:
            raise DeadlineExceeded(f"Not in the views, and nothing moves: {lacking}.")


async def _ends(consumer: Any, settings: Settings) -> dict[TopicPartition, int]:
    places = [
        TopicPartition(topic.name, partition)
        for topic in (INTERACTIONS, JOURNAL)
        for partition in range(partitions_of(topic, settings))
    ]
    async with broker_errors():
        return dict(await consumer.end_offsets(places))


def behind(
    nexts: Mapping[TopicPartition, int],
    goal: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Which places of the goal are not reached, and by how many records.

    A log that has lost its tail since has a nearer end; a position beyond its log has not seen yet
    that there is something to mend, and is behind by less than nothing.
    """
    found = {}
    for place, wanted in goal.items():
        next, end = nexts.get(place, 0), ends[place]
        if next > end:
            found[place] = end - next
        elif next < min(wanted, end):
            found[place] = min(wanted, end) - next
    return found


async def wait_until_told(store: Store, seconds_max: float) -> None:
    """Wait until the outbox is published: dead letters and updates are on their topics.

    Raises `DeadlineExceeded` when that takes longer than `seconds_max`.
    """
    deadline = time.monotonic() + seconds_max
    while waiting := [one for one in await store.untold() if one.waiting]:
        if time.monotonic() > deadline:
            told = ", ".join(f"{one.topic} {one.waiting}" for one in waiting)
            raise DeadlineExceeded(f"Records of the outbox that no relay publishes: {told}.")
        await asyncio.sleep(POLL_SECONDS)
