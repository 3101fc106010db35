"""What readers are told beside a memory, and what is counted of reads."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from schemas.errors import FanMemoryError
from schemas.positions import Position

Degraded = Literal["cache", "minimal"]
"""What an answer is when not all is there: cached, with the database's circuit open, so that nobody
knows whether there is anything newer; or without any memory, with both circuits open."""


@dataclass(slots=True)
class Remarks:
    """What a reader is told beside a memory."""

    pending: Position | None = None
    """Where something stands that was written lately and is not in it yet."""
    degraded: Degraded | None = None


class Contexts(NamedTuple):
    """Of several fans, by fan; who has neither a context nor an error is not known."""

    found: dict[str, msgspec.Struct]
    errors: dict[str, FanMemoryError]
    pending: dict[str, Position]
    """As in `Remarks`."""
    degraded: Degraded | None


@dataclass(slots=True)
class ReadCounts:
    """Since the start of the process."""

    cache_requests: int = 0
    cache_hits: int = 0
    cache_overtaken: int = 0
    """Reads that Postgres was asked for beside Redis, which took too long."""
    degraded_cache: int = 0
    """Answers of the cache while the database's circuit was open."""
    degraded_minimal: int = 0
    """Contexts without memories while both were."""
    cache_errors: int = 0
    """Reads that Redis did not answer; neither hit nor miss."""
    store_reads: int = 0
    shared_reads: int = 0
    """Misses answered by another one's read of the same fan."""
    seals_broken: int = 0
    """Reads of Postgres that found an altered, moved or renamed memory, and showed nothing."""
    fills: int = 0
    fills_dropped: int = 0
