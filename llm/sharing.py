"""Equal calls in flight are one call, and what makes calls equal.

The key of a call is made of everything that the answer may depend on:
subject, memory version, prompt version, model, and the material as it was asked. The canary is left
out, because it differs from process to process. The key is a hash: it tells nothing.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from llm.prompts import Prompt

T = TypeVar("T")


def answer_key(subject: bytes, memory_version: str | None, prompt: Prompt, model: str) -> bytes:
    """32 bytes. `subject` is the relationship's, or that of the creator's key."""
    parts = (subject, (memory_version or "").encode(), prompt.version.encode(), model.encode())
    found = hashlib.sha256()
    for part in (*parts, prompt.user.encode("utf-8", "surrogatepass")):
        found.update(len(part).to_bytes(4, "big") + part)
    return found.digest()


class Flights(Generic[T]):
    """Calls in flight by key. Belongs to one event loop."""

    def __init__(self) -> None:
        self._flights: dict[bytes, asyncio.Task[T]] = {}
        self._waiting: dict[bytes, int] = {}

    async def call(self, key: bytes, operation: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result, and whether it is another caller's: then it costs this one nothing.

        An error is everybody's. A caller that is cancelled leaves the call to the others; with the
        last of them the call itself is cancelled.
        """
        task = self._flights.get(key)
        shared = task is not None
        if task is None:
            task = asyncio.ensure_future(_run(operation))
            self._flights[key] = task
            self._waiting[key] = 0
            task.add_done_callback(lambda done: self._landed(key, done))
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task), shared
        finally:
            if self._flights.get(key) is task:
                self._waiting[key] -= 1
                if self._waiting[key] == 0 and not task.done():
                    self._landed(key, task)
                    task.cancel()

    def _landed(self, key: bytes, task: asyncio.Task[T]) -> None:
        if self._flights.get(key) is task:
            del self._flights[key], self._waiting[key]
        if task.done() and not task.cancelled():
            task.exception()  # seen: whoever waited was told

    def __len__(self) -> int:
        return len(self._flights)


def _run(operation: Callable[[], Awaitable[T]]) -> Coroutine[Any, Any, T]:
    async def run() -> T:
        return await operation()

    return run()
