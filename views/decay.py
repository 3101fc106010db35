"""Decayed counts: how the weight of an event halves with its age.

A count with half-life H is kept as (value, as_of) and is worth `value * 2^(-(t - as_of) / H)` at
time t. An event of weight w at time t adds `w * 2^((t - as_of) / H)`: more than w when it is
newer than `as_of`, less when it is late. The sum does not depend on the order of events beyond
the rounding of the last bits.

`as_of` moves only in whole half-lives (to the grid point at or below the newest event), so moving
multiplies every value of a group by an exact power of two. That has three uses: many counts share
one `as_of` and an event touches only the counts that it adds to; moving loses nothing to rounding;
and an event's weight stays within [w, 2w), so nothing overflows. What is old enough underflows to
zero, never to an error: 2^-1075 is below the smallest float.

Times and half-lives are integer milliseconds.
"""

from math import exp2, ldexp
from typing import Final

ROUNDING: Final = 1e-9
"""Relative. Far above the rounding of a sum of weights, far below what a threshold means."""


def grid(time: int, half_life: int) -> int:
    """The newest multiple of `half_life` that is not after `time`."""
    return time - time % half_life


def shrink(as_of: int, later: int, half_life: int) -> float:
    """The exact factor by which values shrink when `as_of` moves to a `later` grid point."""
    return ldexp(1.0, (as_of - later) // half_life)


def weight(time: int, as_of: int, half_life: int) -> float:
    """What one unit at `time` adds to a count kept at `as_of`; at most 2 after moving."""
    return exp2((time - as_of) / half_life)


def decayed(value: float, as_of: int, now: int, half_life: int) -> float:
    """`value` kept at `as_of`, as it is worth at `now`."""
    return value * exp2((as_of - now) / half_life)


def reaches(value: float, threshold: float) -> bool:
    """value >= threshold > 0, to rounding: three messages of ten are 30 %, whatever the last bits.

    Sums of the same events in another order thus fall on the same side of a threshold.
    """
    return value >= threshold * (1 - ROUNDING)


def shrink_all(counts: dict[str, float], factor: float) -> None:
    """Multiply every count in place; no key goes, so presence does not depend on order."""
    for key, value in counts.items():
        counts[key] = value * factor


def evict_smallest(counts: dict[str, float]) -> None:
    """Remove the smallest count; of equals, the first in code point order of the key."""
    del counts[min(counts, key=lambda key: (counts[key], key))]


def largest(counts: dict[str, float], limit: int) -> list[str]:
    """Keys by falling count; equals in code point order of the key."""
    # Twice, as sorting keeps the order of equals: with a key of two parts it takes twice as long.
    return sorted(sorted(counts), key=counts.__getitem__, reverse=True)[:limit]
