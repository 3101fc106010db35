"""Overtaking: a read of the cache that takes too long is overtaken by one of the database.

Redis normally answers within a millisecond. One that stalls would hold up every read for its whole
budget, until the circuit has opened. So what has waited for `seconds` is given up, asked once more
in the background, where it is counted and may still be first, and Postgres is asked beside it.

At most `AT_ONCE_MAX` reads overtake at once: a process that is slow itself, in a burst, must not
take its own slowness for the cache's and turn all its reads on Postgres. The others wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from infra.deadlines import Deadlines

AT_ONCE_MAX: Final = 32

T = TypeVar("T")


class Overtaking:
    """Belongs to one event loop."""

    def __init__(self, seconds: float) -> None:
        """0 seconds: nothing is ever overtaken."""
        self._seconds = seconds
        self._deadlines = Deadlines(seconds, self._take)
        self._taken = 0
        self.again: set[asyncio.Task[Any]] = set()
        """Asked once more, for whoever ends this to cancel."""

    async def soon(self, look: Callable[[], Awaitable[T]]) -> T | None:
        """What `look` answers; None when it took too long: then `release` must follow."""
        if not self._seconds:
            return await look()
        limit = self._deadlines.limit()
        try:
            with limit:
                return await look()
        except TimeoutError:
            if limit.expired:
                return None
            raise
        except BaseException:
            if limit.expired:
                self.release()
            raise

    def ask_again(self, look: Callable[[], Awaitable[T]]) -> "asyncio.Task[T] | None":
        """Once more in the background; None when that is done for too many already."""
        if len(self.again) >= AT_ONCE_MAX:
            return None

        async def asked() -> T:
            return await look()

        task = asyncio.create_task(asked())
        self.again.add(task)
        task.add_done_callback(self._answered)
        return task

    def release(self) -> None:
        self._taken -= 1

    def _take(self) -> bool:
        if self._taken >= AT_ONCE_MAX:
            return False
        self._taken += 1
        return True

    def _answered(self, task: "asyncio.Task[Any]") -> None:
        self.again.discard(task)
        if not task.cancelled():
            task.exception()  # taken, even if nobody waited for it


def failed(task: "asyncio.Task[Any]") -> bool:
    """Whether it has ended without a result."""
    return task.done() and (task.cancelled() or task.exception() is not None)
