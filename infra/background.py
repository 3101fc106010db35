"""Tasks that go on whether or not anybody waits for them any more.

asyncio holds tasks weakly, so one that nobody holds may vanish; and it complains of an error that
nobody has taken, although whoever waited may have hung up.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """The tasks that have begun and not ended yet. Belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[T]] = set()

    def __iter__(self) -> Iterator["asyncio.Task[T]"]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, doing: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Await it by a shield, so that hanging up does not end it; or not at all."""
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[T]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # taken, even if everyone who waited has hung up
