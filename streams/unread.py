"""What was fetched and is not done yet, and how old the oldest of it is."""

from bisect import bisect_left
from collections import deque

from streams.continuity import Fetched


class Unread:
    """Of one topic: fetches in the order in which they came. At most a queue and a unit of them."""

    def __init__(self) -> None:
        self._fetched: deque[Fetched] = deque()

    def came(self, fetched: Fetched) -> None:
        self._fetched.append(fetched)

    def done(self, count: int) -> None:
        """Nothing more becomes of the oldest `count`."""
        for _ in range(min(count, len(self._fetched))):
            self._fetched.popleft()

    def since(self, partition: int, next: int) -> int | None:
        """Kafka's time, in ms, of the first of a partition's records from `next` on; None when none
        was fetched yet."""
        for one in self._fetched:
            if one.partition == partition:
                at = bisect_left(one.records, next, key=lambda record: int(record.offset))
                if at < len(one.records):
                    return int(one.records[at].timestamp)
        return None
