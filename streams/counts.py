"""What one step has done since its process was started: plain numbers, read when somebody asks."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from infra.clock import now_ms
from infra.metrics import Spread
from stores.positions import Batch

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
RECORDS: Final = (1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
AGES: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0)
"""Seconds. Dense where an event is normally seen, up to the backlog of an hour."""


class Counts:
    """Of one step. Belongs to one event loop."""

    def __init__(self) -> None:
        self.records = Spread(RECORDS)
        """Of a unit of work."""
        self.seconds = Spread(SECONDS)
        """That a unit took, until everything of it was done."""
        self.fold = Spread(SECONDS)
        """Of it, folding: only projection does."""
        self.commit = Spread(SECONDS)
        """Of it, from COMMIT to its answer."""
        self.visible = Spread(AGES)
        """From an event's arrival until the views have it: only projection knows."""
        self.fences = 0
        self.events: Counter[str] = Counter()
        """What became of them, in the words of the `position` table."""
        self.letters: Counter[str] = Counter()
        """Dead letters by the class of their reason."""

    def became(self, outcomes: Iterable[tuple[str, int]]) -> None:
        for outcome, count in outcomes:
            if count:
                self.events[outcome] += count

    def refused(self, reasons: Iterable[tuple[int, str]]) -> None:
        """(partition, reason) of dead letters that were committed."""
        self.letters.update(reason for _, reason in reasons)

    def seen(self, batches: Sequence[Batch]) -> None:
        """The views have these now: 0.2 us an event."""
        now = now_ms()
        add = self.visible.add
        for batch in batches:
            for record in batch.records:
                add((now - record.timestamp) / 1000)
