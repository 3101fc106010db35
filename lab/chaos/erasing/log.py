"""Who must be remembered, and for what: told by `interactions` alone, in its order. Pure.

An order stands among the events; what is before it in the log is forgotten, what is behind it is
remembered. A copy of an order that was there before changes nothing. This reads the log as plain
JSON and shares no code with ingest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.relationship import Relationship


@dataclass(slots=True)
class Left:
    """What the log says."""

    events: dict[Relationship, list[str]] = field(default_factory=dict)
    """Ids of the events of those who were erased that came behind their last order."""
    records: int = 0
    orders: int = 0
    """Copies included."""
    ordered: set[str] = field(default_factory=set)
    """Ids of the erasures."""


def left_by(records: Iterable[tuple[bool, bytes | None]], erased: set[Relationship]) -> Left:
    """`records` are (whether it is an order, value), each partition in its order; `erased` are
    those whose events are told."""
    left = Left(events={who: [] for who in erased})
    for is_order, value in records:
        left.records += 1
        if is_order:
            left.orders += 1
            order: Any = msgspec.json.decode(value or b"")
            if order["control"] == "erase" and order["erasureId"] not in left.ordered:
                left.ordered.add(order["erasureId"])
                left.events[order["creatorId"], order["fanId"]] = []
            continue
        try:
            event: Any = msgspec.json.decode(value or b"")
            who = (event["creatorId"], event["fanId"])
        except (msgspec.DecodeError, KeyError, TypeError):
            continue  # a bad one of those who stay
        if who in erased:
            left.events[who].append(event["eventId"])
    return left
