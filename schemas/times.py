"""Times: integer milliseconds since 1970-01-01 UTC inside, RFC 3339 with `Z` outside.

Integers because folds must give the same bytes everywhere; milliseconds because that is what
Kafka and the public API contract carry.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

import msgspec

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A time as `render_time` writes it."""

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
    # A context has about 30 times: by tables 0.25 us each, by `isoformat` 0.7, `strftime` 3.4.
    minutes = ms // MINUTE_MS
    left = ms % MINUTE_MS
    date, minute = _date(minutes // _DAY_MINUTES), _MINUTES[minutes % _DAY_MINUTES]
    return f"{date}{minute}{_SECONDS[left // SECOND_MS]}{_MILLISECONDS[left % SECOND_MS]}"


_DAY_MINUTES = DAY_MS // MINUTE_MS
_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(_DAY_MINUTES))
_SECONDS = tuple(f"{second:02d}." for second in range(60))
_MILLISECONDS = tuple(f"{ms:03d}Z" for ms in range(1000))


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    """Of a day since the epoch; eleven years of them are kept."""
    return (_NAIVE_EPOCH + timedelta(day)).date().isoformat()
