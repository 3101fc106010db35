"""How many records the next unit may have: many in a backlog, few when units are slow."""

FIRST_RECORDS = 1_000
"""Records of the first unit: how fast the stores are is not known yet."""
QUICK_SECONDS = 1.0
"""A unit that took less than this doubles the next, up to the configured size."""
SLOW_SECONDS = 5.0
"""One that took longer halves the next, down to a single fetch: with Postgres 100 times as slow a
full unit would take longer than the watchdog waits, and be begun again without end."""


def next_size(size: int, seconds: float, least: int, most: int) -> int:
    """How many records the next unit may have, after one of up to `size` that took `seconds`."""
    if seconds > SLOW_SECONDS:
        size //= 2
    elif seconds < QUICK_SECONDS:
        size *= 2
    return max(min(least, most), min(size, most))
