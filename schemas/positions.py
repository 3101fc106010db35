"""Positions: `topic-partition:offset`, how far a write or a view has got."""

import re
from typing import NamedTuple

from schemas.errors import InvalidInput

_FORM = re.compile(r"([a-zA-Z0-9._-]{1,249})-(\d{1,5}):(\d{1,18})", re.ASCII)


class Position(NamedTuple):
    """One record's place in the log. Of several on one partition, the larger offset is later."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}:{self.offset}"


def parse_position(text: str, field: str = "position") -> Position:
    """Read `topic-partition:offset`; raises `InvalidInput` naming `field`."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput(field, "must be topic-partition:offset, as a write returned it")
    return Position(match[1], int(match[2]), int(match[3]))
