"""Continuity: what a run of fetches means for the positions that we hold. Pure.

A fetch says which stretch of the log was read for it, `start` to `until`, and what it found there.
Laid end to end from our position on, fetches become batches. Where they don't fit, one of these has
happened:

* It begins behind what we expect: a fetch before it was dropped on its way to us, as Faust does
  while a rebalance begins or ends. Seek back. Fetches that were under way when we went back follow
  the same seek as the one that made us; they are dropped without another.
* It was read from where we expect, and has nothing before some later offset: a hole. Transaction
  markers and aborted records leave such holes; so does a log whose beginning has moved past us.
* It came by another link than the one that the log was last checked on: the topic was made again,
  or the broker may have come back without the log's tail, and with other records in its place. What
  it brings, and all that comes behind it, waits for a check of the log. What came by an earlier
  link than the checked one is of a log that may be no more: the check's own seek brings it again.
* It was thrown back: the log had no such offset any more, so the consumer went to its beginning.
  The log lost its tail, or is another one. Nothing that follows may count before that is settled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stores.marks import Mark
from stores.positions import Batch


class Fetched(NamedTuple):
    """One fetch of one partition, as the agent received it."""

    partition: int
    assignment: int
    records: Any
    """`streams.transport.Records`, with the stretch of the log that was read for them."""


@dataclass(slots=True)
class Plan:
    """What to do with a run of fetches."""

    batches: list[Batch] = field(default_factory=list)
    """One per partition: what follows our position without a doubt."""
    seeks: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition -> (offset to go back to, the seek that the hasty fetch had followed)."""
    holes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition -> (expected, first there): to be explained before its batch counts."""
    thrown_back: dict[int, int] = field(default_factory=dict)
    """Partition -> the seek followed, where the log has no such offset any more."""
    unchecked: dict[int, int] = field(default_factory=dict)
    """Partition -> the seek followed, of what came by a link that the log was not checked on."""


def plan(
    fetched: Iterable[Fetched],
    held: Mapping[int, int],
    assignment: int,
    sought: Mapping[int, int],
    checked: Mapping[int, int],
) -> Plan:
    """Lay fetches end to end. `checked` are the links that the logs were last checked on.

    `held` are the next offsets of the partitions to work on; fetches of others, and of an earlier
    assignment, are dropped. `sought` are the seeks that have been answered by going back already.
    """
    found = Plan()
    kept: dict[int, list[Any]] = {}
    reached: dict[int, int] = {}
    for partition, fetched_in, records in fetched:
        if partition not in held or fetched_in != assignment:
            continue
        link = checked.get(partition, 0)
        if records.link != link:
            if records.link > link:
                found.unchecked[partition] = records.seek
            continue
        if records.thrown_back:
            if sought.get(partition) != records.seek:
                found.thrown_back[partition] = records.seek
            continue
        expected = reached.get(partition, held[partition])
        until = records.until
        if until <= expected:
            continue
        if records.start > expected:
            if sought.get(partition) != records.seek and partition not in found.seeks:
                found.seeks[partition] = (expected, records.seek)
            continue
        ours: Sequence[Any] = records
        if records and records[0].offset < expected:
            ours = [record for record in records if record.offset >= expected]
        first = ours[0].offset if ours else until
        if first > expected and partition not in found.holes:
            found.holes[partition] = (expected, first)
        kept.setdefault(partition, []).extend(ours)
        reached[partition] = until
    found.batches = [
        Batch(partition, held[partition], reached[partition], records)
        for partition, records in kept.items()
    ]
    return found


class Bounds(NamedTuple):
    """One log: its first offset, and the next to be written."""

    start: int
    end: int


class Break(NamedTuple):
    """A log that is not the one that a position remembers."""

    partition: int
    reason: str
    bounds: Bounds


BEGINNING_GONE = "the beginning was deleted before it was read"
CUT = "the log ends before the position"
REPLACED = "the log has another record below the position"


def judge(
    partition: int, position: int, marks: Sequence[Mark], bounds: Bounds, found: Mark | None
) -> Break | None:
    """What is wrong with the log below `position`; `found` is its record at the newest mark.

    A record that retention has deleted proves nothing, and is no alarm as long as the log still
    begins at or below the position.
    """
    if bounds.start > position:
        return Break(partition, BEGINNING_GONE, bounds)
    if bounds.end < position:
        return Break(partition, CUT, bounds)
    if marks and marks[-1].offset >= bounds.start and marks[-1] != found:
        return Break(partition, REPLACED, bounds)
    return None
