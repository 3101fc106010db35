"""Times: integer milliseconds since 1970-01-01 UTC inside, RFC 3339 with `Z` outside.

Integers because folds must give the same bytes everywhere; milliseconds because that is what
Kafka and the public API contract carry.
"""

from datetime import UTC, datetime, timedelta

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)


def from_datetime(moment: datetime) -> int:
    """Milliseconds since the epoch of a zoned time; what is finer is cut off."""
    return (moment - _EPOCH) // _MILLISECOND


def to_datetime(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def render_time(ms: int) -> str:
    """`2024-11-12T10:30:00.000Z`."""
    # A context has about 75 times: `isoformat` costs 0.7 us, `strftime` 3.4.
    return (_NAIVE_EPOCH + timedelta(0, 0, 0, ms)).isoformat("T", "milliseconds") + "Z"
