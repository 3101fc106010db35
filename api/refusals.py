"""Refusals wait: who goes on asking beyond its quota is answered so often a second, and no oftener.

A refusal costs the process a third of what an answer does. A client that sends its next request
when it has the answer to the last is held to ten a second on each of its connections, while
everybody else is served; one that waits for the seconds in Retry-After notices nothing. What waits
has no place among the requests in flight, no deadline, and nothing of its body is read for it.
"""

import asyncio
from typing import Final

REFUSED_SECONDS: Final = 0.1
WAITING_MAX: Final = 1_000
"""More are answered at once: each takes some 10 KB while it waits."""


class Refusals:
    """Of one event loop."""

    def __init__(self, seconds: float = REFUSED_SECONDS, most: int = WAITING_MAX) -> None:
        self._seconds = seconds
        self._most = most
        self._waiting = 0

    async def wait(self) -> float:
        """Until one may be told; how long that was to take, in seconds."""
        if self._waiting >= self._most:
            return 0.0
        self._waiting += 1
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self._waiting -= 1
        return self._seconds
