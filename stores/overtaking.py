"""Overtaking: a read of the cache that takes too long is overtaken by one of the database.

Redis normally answers within a millisecond. One that stalls would hold up every read for its whole
budget, until the circuit has opened. So what has waited for `seconds` is given up, asked once more
in the background, where it is counted and may still be first, and Postgres is asked beside it.

At most `AT_ONCE_MAX` reads overtake at once: a process that is slow itself, in a burst, must not
take its own slowness for the cache's and turn all its reads on Postgres. The others wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from infra.background import Background
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
        self.again: Background[Any] = Background()
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

    async def sooner(
        self, look: Callable[[], Coroutine[Any, Any, T]], read: "asyncio.Task[Any]"
    ) -> T | None:
        """What `look` answers when asked once more, if that is sooner than `read`, or `read` fails.

        None otherwise, and when that is asked for too many already: then `read` is what there is.
        """
        if len(self.again) >= AT_ONCE_MAX:
            return None
        again: asyncio.Task[T] = self.again.begin(look())
        await asyncio.wait((again, read), return_when=asyncio.FIRST_COMPLETED)
        if read.done() and not _failed(read):
            return None
        return await asyncio.shield(again)

    def release(self) -> None:
        self._taken -= 1

    def _take(self) -> bool:
        if self._taken >= AT_ONCE_MAX:
            return False
        self._taken += 1
        return True


def _failed(ended: "asyncio.Task[Any]") -> bool:
    return ended.cancelled() or ended.exception() is not None
