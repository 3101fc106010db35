"""Holes between fetches: only what the log itself was seen to lack is passed over.

Found by the fault suite (seed 20261122): Faust had dropped a fetch at the end of a rebalance; two
fetches behind it, both waiting in the queue, began at the same place, and the second one was taken
for proof that nothing lay before them. 429 events were lost.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from infra.settings import Settings
from stores.positions import Held, Positions
from streams.batching import BatchLoop
from streams.continuity import Fetched
from streams.transport import Records

TOPIC = "interactions"
PARTITION = 3
ASSIGNMENT = 5


async def ready() -> None:
    """There is no ledger to compare with."""


class Consumer:
    """The two things that a loop asks of a consumer; what it sought is kept."""

    def __init__(self, earliest: int = 0) -> None:
        self.sought: list[dict[TP, int]] = []
        self._earliest = earliest

    async def links(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        self.sought.append(partitions)

    async def earliest_offsets(self, tp: TP) -> dict[TP, int]:
        return {tp: self._earliest}


def loop_at(expected: int, consumer: Consumer) -> BatchLoop:
    positions = Positions(TOPIC)
    positions.held = {PARTITION: Held(PARTITION, expected, 1, 0)}
    app = SimpleNamespace(consumer_generation_id=ASSIGNMENT, consumer=consumer)
    step: Any = SimpleNamespace(positions=positions, stopped={})
    return BatchLoop(app, step, Settings(), 1000, ready)


def fetched(start: int, until: int, offsets: range, seek: int = 1) -> Fetched:
    records = Records(SimpleNamespace(offset=offset) for offset in offsets)
    records.start, records.until, records.seek = start, until, seek
    records.thrown_back = False
    records.link = 0
    return Fetched(PARTITION, ASSIGNMENT, records)


async def test_a_dropped_fetch_is_read_again_however_many_came_behind_it() -> None:
    consumer = Consumer()
    loop = loop_at(100, consumer)
    behind = [
        fetched(529, 529, range(0)),
        fetched(529, 600, range(529, 600)),
        fetched(600, 650, range(600, 650)),
    ]
    assert await loop._trim(behind) == []
    assert consumer.sought == [{TP(TOPIC, PARTITION): 100}]
    again = fetched(100, 650, range(100, 650), seek=2)
    [batch] = await loop._trim([*behind, again])
    assert (batch.base, batch.until) == (100, 650)
    assert [record.offset for record in batch.records] == list(range(100, 650))


async def test_what_is_dropped_a_second_time_is_sought_a_second_time() -> None:
    consumer = Consumer()
    loop = loop_at(100, consumer)
    assert await loop._trim([fetched(529, 600, range(529, 600), seek=1)]) == []
    assert await loop._trim([fetched(600, 650, range(600, 650), seek=1)]) == []
    assert len(consumer.sought) == 1
    assert await loop._trim([fetched(140, 160, range(140, 160), seek=2)]) == []
    assert consumer.sought == [{TP(TOPIC, PARTITION): 100}] * 2


async def test_a_hole_that_was_read_over_is_passed() -> None:
    consumer = Consumer()
    loop = loop_at(100, consumer)
    marker_first = fetched(100, 110, range(103, 110))
    markers_only = fetched(110, 112, range(0))
    [batch] = await loop._trim([marker_first, markers_only])
    assert (batch.base, batch.until) == (100, 112)
    assert [record.offset for record in batch.records] == list(range(103, 110))
    assert consumer.sought == []


async def test_what_overlaps_is_taken_once() -> None:
    loop = loop_at(100, Consumer())
    [batch] = await loop._trim([fetched(90, 120, range(90, 120)), fetched(90, 130, range(90, 130))])
    assert [record.offset for record in batch.records] == list(range(100, 130))


async def test_a_claim_that_comes_while_positions_are_read_is_not_undone() -> None:
    """The rows were read before the claim: by them the partition would not be ours."""
    positions = Positions(TOPIC)
    positions.held = {PARTITION: Held(PARTITION, 100, 1, 0)}

    class Connected:
        async def fetch(self, *_: Any) -> list[dict[str, Any]]:
            row = {"partition": PARTITION, "next": 100, "epoch": 2, "erasures": 0, "sources": []}
            row |= {"marks": [], "acknowledged": [], "counted": 0, "boundaries": []}
            positions.held = {PARTITION: Held(PARTITION, 100, 3, 0)}
            return [row]

    connection: Any = Connected()
    assert await positions.reload(connection, [PARTITION])
    assert positions.held[PARTITION].epoch == 3
