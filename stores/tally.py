"""What became of a partition's records: the counters that every fold keeps. Pure."""

from dataclasses import astuple, dataclass, fields
from typing import Final


@dataclass(slots=True)
class Tally:
    """What became of one partition's records, in the order of the `position` table's columns."""

    applied: int = 0
    duplicates: int = 0
    repeats: int = 0
    """Doubted records (`stores.folding`) of known events: extra, the first copy was counted."""
    forgotten: int = 0
    quarantined: int = 0
    conflicts: int = 0
    """Of a known identity, with other content (`stores.conflicts`)."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(a + b for a, b in zip(self.as_row(), other.as_row(), strict=True)))

    def as_row(self) -> tuple[int, ...]:
        """The counts in the order of `COUNTERS`, as the queries of `positions.sql` take them."""
        return astuple(self)

    @property
    def settled(self) -> int:
        """Accepted events whose fate is known; repeats are records, but not events of their own."""
        return self.applied + self.duplicates + self.conflicts + self.forgotten + self.quarantined


COUNTERS: Final = tuple(field.name for field in fields(Tally))
"""The names of the counters, which are also the columns of `position`."""
