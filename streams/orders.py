"""Orders among the events: into which units of work a fetch is cut for them.

Orders to erase go with the events around them, in one unit: they are done behind all of its events,
in the transaction that moves past both. So no event that stands behind an order, and is of the same
fan, may be in the order's unit: the unit ends before it, in that partition. An order to forget is a
unit by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from schemas.control import Erase, Forget, Order
from schemas.positions import Position
from schemas.relationship import Relationship, named_in
from schemas.topics import INTERACTIONS
from stores.positions import Batch

ERASURES_MAX: Final = 100
"""Orders to erase of one partition in one unit, so that its transaction ends soon."""


@dataclass(slots=True)
class Unit:
    """What is done and committed together."""

    batches: list[Batch] = field(default_factory=list)
    erasures: dict[tuple[int, int], Erase] = field(default_factory=dict)
    """(partition, offset) -> the order that stands there, among the events of `batches`."""
    forget: Forget | None = None
    """The order that is the only record of the unit."""


def units(batches: Sequence[Batch], order_of: Callable[[Any], Order | None]) -> Iterator[Unit]:
    """All that is to be done, in the order of each partition; `order_of` says what of it is an
    order."""
    left = list(batches)
    while left:
        together = Unit()
        alone: list[Unit] = []
        later: list[Batch] = []
        for batch in left:
            at, erasures, forget = _beginning(batch, order_of)
            begin, rest = _cut(batch, at)
            if begin is not None:
                together.batches.append(begin)
                together.erasures |= erasures
            if rest is not None and forget is not None:
                order, rest = _cut(rest, 1)
                if order is not None:
                    alone.append(Unit([order], forget=forget))
            if rest is not None:
                later.append(rest)
        if together.batches:
            yield together
        yield from alone
        left = later


def place_of(record: Any) -> Position:
    return Position(INTERACTIONS.name, record.partition, record.offset)


def _beginning(
    batch: Batch, order_of: Callable[[Any], Order | None]
) -> tuple[int, dict[tuple[int, int], Erase], Forget | None]:
    """How many records can be done together, the orders among them, and the order to forget that
    stands behind them, if it is one that ends them."""
    erasures: dict[tuple[int, int], Erase] = {}
    erased: set[Relationship] = set()
    for at, record in enumerate(batch.records):
        order = order_of(record)
        if isinstance(order, Forget):
            return at, erasures, order
        if order is not None:
            if len(erasures) == ERASURES_MAX:
                return at, erasures, None
            erasures[record.partition, record.offset] = order
            erased.add(order.who)
        elif erased and named_in(record.value) in erased:
            return at, erasures, None
    return len(batch.records), erasures, None


def _cut(batch: Batch, at: int) -> tuple[Batch | None, Batch | None]:
    """The first records, and the rest; None for what is nothing."""
    if at == len(batch.records):
        return batch, None
    if at == 0:
        return None, batch
    place = batch.records[at].offset
    return (
        replace(batch, until=place, records=batch.records[:at]),
        replace(batch, base=place, records=batch.records[at:]),
    )
