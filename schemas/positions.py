"""Positions: `topic-partition:offset`, how far a write or a view has got; places in a history."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from schemas.errors import InvalidInput

_TOPIC, _PARTITION, _OFFSET = "[a-zA-Z0-9._-]{1,249}", "[0-9]{1,5}", "[0-9]{1,18}"
PATTERN = f"^{_TOPIC}-{_PARTITION}:{_OFFSET}$"
"""Of a position as text, for published schemas."""
_FORM = re.compile(f"({_TOPIC})-({_PARTITION}):({_OFFSET})")


class Position(NamedTuple):
    """One record's place in the log. Of several on one partition, the larger offset is later."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}:{self.offset}"


def source_name(position: Position, boundaries: Sequence[int]) -> str:
    """What stands for a record of `interactions` that has no id of its own: its place.

    After the topic was cut or made again the same place has another record. `boundaries` say where
    each later log of that name begins; from there on the place says which log it means.
    """
    for number in range(len(boundaries), 0, -1):
        if position.offset >= boundaries[number - 1]:
            return f"{position}#{number}"
    return str(position)


def refused_position(name: str, field: str, reason: str) -> InvalidInput:
    """What to say of a position that a parameter names, and nothing comes of."""
    return InvalidInput(name, f"is the position of an event that was refused: {field}: {reason}")


def parse_position(text: str, field: str = "position") -> Position:
    """Read `topic-partition:offset`; raises `InvalidInput` naming `field`."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput(field, "must be topic-partition:offset, as a write returned it")
    return Position(match[1], int(match[2]), int(match[3]))


class Place(NamedTuple):
    """Of an event in the history of a fan, by its time."""

    time: int
    """Event time, ms since the epoch."""
    offset: int
    """In the journal: order among events of one time."""
