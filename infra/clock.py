"""The clock of this machine. Folds and renders never ask it: their time is an argument."""

import time


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000
