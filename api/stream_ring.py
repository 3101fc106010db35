"""The ring: the newest memory updates, and which of them a client has not had yet.

A client's *place* says of every partition of `memory-updates` which offset comes next, so it means
the same to every API process, and after a restart: nothing in it is a process's own. It carries a
mark, the time of the newest record below it. A topic that was made anew has another record there:
then the place is somebody else's, and the client has to read again.

Pure: no clock, no I/O. All of it belongs to one event loop.
"""

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

SIZE: Final = 65_536
"""Updates that are kept: about 30 MB."""

_FORM: Final = re.compile(
    r"(?:([0-9a-f]{1,4})\.([0-9a-f]{1,13}))?-((?:[0-9a-f]{1,15}\.){0,1023}[0-9a-f]{1,15})"
).fullmatch


class Update(NamedTuple):
    """One record of `memory-updates`."""

    partition: int
    offset: int
    time: int
    """Of the record, ms: a mark."""
    creator_id: str
    """Empty for what is no update: it only has a place."""
    fan_id: str
    event: bytes
    """As it is sent, but for its id."""


class Place(NamedTuple):
    """How far a client has got."""

    offsets: tuple[int, ...]
    """Of each partition the next one."""
    mark: tuple[int, int] | None
    """(partition, time) of the newest record below; None before the first."""

    def __str__(self) -> str:
        mark = "" if self.mark is None else f"{self.mark[0]:x}.{self.mark[1]:x}"
        return mark + "-" + ".".join([f"{offset:x}" for offset in self.offsets])


def parse_place(text: str) -> Place | None:
    """What `str` of a place was; None for anything else."""
    found = _FORM(text)
    if found is None:
        return None
    offsets = tuple(int(offset, 16) for offset in found[3].split("."))
    if found[1] is None:
        return Place(offsets, None)
    return Place(offsets, (int(found[1], 16), int(found[2], 16)))


class Ring:
    """The newest updates of all creators, by the order in which this process has read them."""

    def __init__(self, begins: Sequence[int], size: int = SIZE) -> None:
        """`begins`: from which offset on each partition is read."""
        self.next = list(begins)
        """Of each partition, the offset to be read next."""
        self.mark: tuple[int, int] | None = None
        self._first = list(begins)
        """Of each partition: everything from here on is in the ring."""
        self._size = size
        self._all: deque[Update] = deque()
        self._of_partition: list[deque[Update]] = [deque() for _ in begins]
        self._of_creator: dict[str, deque[Update]] = {}

    @property
    def place(self) -> Place:
        """Of who has had everything."""
        return Place(tuple(self.next), self.mark)

    def newest(self, partition: int) -> Update | None:
        """The newest record of a partition, as far as it is here."""
        kept = self._of_partition[partition]
        return kept[-1] if kept else None

    def grow(self, partitions: int) -> None:
        """There are more partitions now; what is in the new ones is all new."""
        for _ in range(partitions - len(self.next)):
            self.next.append(0)
            self._first.append(0)
            self._of_partition.append(deque())

    def add(self, update: Update) -> None:
        """Take in the next record of a partition."""
        if len(self._all) >= self._size:
            self._drop_oldest()
        self._all.append(update)
        self._of_partition[update.partition].append(update)
        if update.creator_id:
            self._of_creator.setdefault(update.creator_id, deque()).append(update)
        self.next[update.partition] = update.offset + 1
        self.mark = update.partition, update.time

    def _drop_oldest(self) -> None:
        oldest = self._all.popleft()
        self._of_partition[oldest.partition].popleft()
        self._first[oldest.partition] = oldest.offset + 1
        if oldest.creator_id:
            theirs = self._of_creator[oldest.creator_id]
            theirs.popleft()
            if not theirs:
                del self._of_creator[oldest.creator_id]

    def reaches(self, place: Place) -> bool:
        """Whether everything below the place has been read here."""
        return len(place.offsets) <= len(self.next) and all(
            map(int.__ge__, self.next, place.offsets)
        )

    def after(
        self, place: Place, creator_id: str, fan_id: str | None
    ) -> list[tuple[Place, bytes]] | None:
        """What a client who stands there has not had: each event, and where it then stands.

        None when that can't be told: something in between is here no more, or the place is one of
        another log.
        """
        if not self._knows(place):
            return None
        offsets = [*place.offsets, *[0] * (len(self.next) - len(place.offsets))]
        missed = []
        for update in self._of_creator.get(creator_id, ()):
            if update.offset < offsets[update.partition]:
                continue
            offsets[update.partition] = update.offset + 1
            if fan_id is None or update.fan_id == fan_id:
                stands = Place(tuple(offsets), (update.partition, update.time))
                missed.append((stands, update.event))
        return missed

    def _knows(self, place: Place) -> bool:
        if not self.reaches(place):
            return False
        known = [*place.offsets, *[0] * (len(self.next) - len(place.offsets))]
        if any(map(int.__lt__, known, self._first)):
            return False
        if place.mark is None:
            return not any(known)
        partition, time = place.mark
        if partition >= len(place.offsets):
            return False
        return self._time(partition, place.offsets[partition] - 1) == time

    def _time(self, partition: int, offset: int) -> int | None:
        kept = self._of_partition[partition]
        at = bisect_left(kept, offset, key=_offset)
        return kept[at].time if at < len(kept) and kept[at].offset == offset else None


def _offset(update: Update) -> int:
    return update.offset


def begins_of(first: Mapping[int, int], ends: Mapping[int, int], size: int = SIZE) -> list[int]:
    """From where each partition is read, so that a ring of that size begins full."""
    share = size // max(len(ends), 1)
    return [max(first[one], ends[one] - share) for one in sorted(ends)]
