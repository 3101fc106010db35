"""How fast the fan answers: shared by engagement (the mean) and personality (the speed).

A response is a fan's message that follows a creator's message in log order. Its time runs from
the creator's newest message until then (by event time), since that is the one being answered; a
row of fan messages is one response, the first of them.

- A mass message and one of the platform is no message between the two: it asks and answers nothing.
- A late creator message (older than the one waiting) changes nothing.
- A late fan message (older than the creator message waiting) answers nothing and leaves it waiting.
- A gap over 24 hours is no response time but a pause: the wait ends, nothing is counted.

So response times follow log order: they are the one part of the memory for which events that
arrive in another order may give another result.

`EDGES_MS` bound the histogram's bins: bin i holds times in [EDGES_MS[i-1], EDGES_MS[i]), the first
begins at 0 and the last ends, inclusive, at 24 hours. The edges lie at most a factor 2.5 apart
(quartiles are compared by a factor of 12) and contain every threshold of `responseSpeed`, so the
speed classes are exact.
"""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Final

import msgspec

from schemas.journal import JournalEntry
from schemas.times import DAY_MS, SECOND_MS
from views.acts import is_direct

VERSION: Final = 2

GAP_MS_MAX: Final = DAY_MS
EDGES_MS: Final = tuple(
    seconds * SECOND_MS
    for seconds in (
        *(1, 2, 5, 10, 20, 30, 45, 60),
        *(90, 120, 180, 300, 450, 600, 900),
        *(1200, 1800, 2700, 3600, 5400, 7200),
        *(10_800, 14_400, 21_600, 28_800, 43_200, 64_800),
    )
)
_BINS: Final = len(EDGES_MS) + 1


class State(msgspec.Struct, omit_defaults=True, gc=False):
    waiting_since: int = 0
    """Event time, ms, of the creator's newest unanswered message; 0: none."""
    count: int = 0
    total_ms: int = 0
    histogram: list[int] = msgspec.field(default_factory=list)
    """Responses per bin of `EDGES_MS`; empty until the first."""


def fold(state: State, entry: JournalEntry, position: int) -> None:
    if entry.kind != "message" or (entry.details is not None and not is_direct(entry)):
        return
    time = entry.time
    if entry.sender != "fan":
        state.waiting_since = max(state.waiting_since, time)
        return
    since = state.waiting_since
    if not since or time < since:
        return
    state.waiting_since = 0
    gap = time - since
    if gap > GAP_MS_MAX:
        return
    state.count += 1
    state.total_ms += gap
    if not state.histogram:
        state.histogram = [0] * _BINS
    state.histogram[bisect_right(EDGES_MS, gap)] += 1


def mean_seconds(state: State) -> float | None:
    """Mean response time; None until one happened."""
    return state.total_ms / state.count / SECOND_MS if state.count else None


def quartile_bins(state: State) -> tuple[int, int, int]:
    """The bins of the three quartiles, by nearest rank; needs at least one response."""
    seen = list(accumulate(state.histogram))
    first, median, third = (bisect_left(seen, -(-state.count * part // 4)) for part in (1, 2, 3))
    return first, median, third
