"""Deadlines of one length for many tasks at a time, by one timer.

    deadlines = Deadlines(5.0)
    with deadlines.limit():
        await work()            # cancelled after 5 s: TimeoutError

The same to its user as `asyncio.timeout(5.0)`, which makes a timer each time and takes 5 us of a
request where this takes one: equal lengths end in the order in which they began, so only the oldest
needs a timer.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Limit:
    """One task's, for one `with`."""

    __slots__ = ("_cancelling", "_deadlines", "_task", "expired", "when")

    def __init__(self, deadlines: "Deadlines") -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.when = 0.0
        """By the loop's clock."""
        self.expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline needs a task that can be cancelled.")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if not self.expired:
            self._deadlines.end(self)
            return
        ours = task is not None and task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:  # nobody else cancelled it meanwhile
            raise TimeoutError from raised

    def expire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()


class Deadlines:
    """Makes limits of `seconds`. Belongs to one event loop."""

    def __init__(self, seconds: float, may_end: Callable[[], bool] = lambda: True) -> None:
        """`may_end` is asked when a limit's time has come; what it spares goes on without one."""
        self.seconds = seconds
        self._may_end = may_end
        self._running: dict[Limit, None] = {}
        """Oldest first: a dict keeps the order, and gives up any of them at once."""
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> Limit:
        return Limit(self)

    def begin(self, limit: Limit) -> None:
        loop = asyncio.get_running_loop()
        limit.when = loop.time() + self.seconds
        self._running[limit] = None
        if self._timer is None:
            self._timer = loop.call_at(limit.when, self._look, loop)

    def end(self, limit: Limit) -> None:
        self._running.pop(limit, None)  # it is not there if it was spared

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End those whose time has come, and come back for the next."""
        self._timer = None
        now = loop.time()
        while self._running:
            oldest = next(iter(self._running))
            if oldest.when > now:
                self._timer = loop.call_at(oldest.when, self._look, loop)
                return
            del self._running[oldest]
            if self._may_end():
                oldest.expire()
