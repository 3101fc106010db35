"""Past: what reads much of a history (`asOf`, `explain`, searches), behind a bulkhead of its own.

One such read can cost ten thousand times what an ordinary one does. So it has its own connections,
its own circuit, and turns: one at a time of a creator, `TURNS` in all. What is asked for is weighed
before it is read, in entries and in bytes. However many ask for the longest of all histories, the
ordinary readers' connections and circuit see nothing of it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from infra.background import Background
from infra.breaker import Breaker, Guard, watching
from infra.postgres import Pool, open_pool, url_of
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.errors import DatabaseUnavailable, FanNotFound, Overloaded
from schemas.journal import JournalEntry
from stores import wall
from stores.store import Store
from views.corrections import as_corrected

TURNS: Final = 2
"""Histories read and folded at once by one process, and its connections for them."""
WAITING_MAX: Final = 4
"""Requests of one creator that may wait for its turn; more are told to come back."""

History = Sequence[tuple[int, JournalEntry]]
"""(journal offset, entry), in log order"""
T = TypeVar("T")
R = TypeVar("R")


async def open_past(settings: Settings, keyring: Keyring) -> "Past":
    """With a pool of its own; needs no Postgres yet."""
    seconds = settings.history_seconds_max
    pool = await open_pool(
        url_of(settings, "reader"),
        size_max=TURNS,
        command_timeout=seconds,
        # The budget ends the wait for a statement; this ends the statement itself.
        statement_seconds_max=seconds,
    )
    return Past(pool, Store(pool, keyring, settings.journal_partitions), settings)


class Past:
    """Belongs to one event loop; `start` it and `close` it there."""

    def __init__(self, pool: Pool, store: Store, settings: Settings) -> None:
        self._pool = pool
        self._store = store
        self._settings = settings
        self._turns = asyncio.Semaphore(TURNS)
        self._queues: dict[str, _Queue] = {}
        self._working: Background[Any] = Background()
        self._watch: list[asyncio.Task[None]] = []
        self.guard = Guard(
            Breaker(
                "memory-history",
                failures_max=settings.database_failures_max,
                window_seconds=settings.database_window_seconds,
                reset_seconds=settings.database_reset_seconds,
            ),
            DatabaseUnavailable,
            settings.history_seconds_max,
        )

    def start(self) -> None:
        """Begin to ping the database while the circuit is open."""
        ping = self._store.live_generation
        self._watch = watching(self.guard.breaker, ping, self._settings.ping_seconds)

    async def close(self) -> None:
        tasks = [*self._working, *self._watch]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.terminate()

    async def fold(self, creator_id: str, fan_id: str, compute: Callable[[History], T]) -> T:
        """What `compute`, in a thread, makes of everything remembered of a fan, corrected.

        Raises `FanNotFound`, `InvalidInput` for a fan of too long a history, `Overloaded` when too
        many of this creator's wait already, `DatabaseUnavailable`.
        """
        return await self.fold_as_it_came(
            creator_id, fan_id, lambda history: _corrected(history, compute)
        )

    async def fold_as_it_came(
        self, creator_id: str, fan_id: str, compute: Callable[[History], T]
    ) -> T:
        """The same of what is not corrected yet, and may be nothing."""
        settings = self._settings

        async def read(_pool: Pool) -> History:
            return await self._store.history(
                creator_id, fan_id, settings.history_entries_max, settings.history_bytes_max
            )

        return await self.in_turn(creator_id, read, compute)

    async def in_turn(
        self, creator_id: str, read: Callable[[Pool], Awaitable[R]], compute: Callable[[R], T]
    ) -> T:
        """What `compute`, in a thread, makes of what `read` reads of a creator's, in their turn."""
        if not wall.sees(creator_id):
            raise FanNotFound
        async with contextlib.AsyncExitStack() as turns:
            await turns.enter_async_context(self._turn(creator_id))
            await turns.enter_async_context(self._turns)
            # A thread can't be stopped: the turn lasts as long, also for a client that left.
            work = self._work(turns.pop_all(), read, compute)
            task: asyncio.Task[T] = self._working.begin(work)
        return await asyncio.shield(task)

    async def _work(
        self,
        turns: contextlib.AsyncExitStack,
        read: Callable[[Pool], Awaitable[R]],
        compute: Callable[[R], T],
    ) -> T:
        async with turns:
            found = await self.guard.call(lambda: read(self._pool))
            return await asyncio.to_thread(compute, found)

    @contextlib.asynccontextmanager
    async def _turn(self, creator_id: str) -> AsyncIterator[None]:
        queue = self._queues.setdefault(creator_id, _Queue())
        if queue.length > WAITING_MAX:
            raise Overloaded(
                "Too many of this creator's histories are being read.",
                hint="Ask for one after the other.",
            )
        queue.length += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.length -= 1
            if queue.length == 0:
                del self._queues[creator_id]


def _corrected(history: History, compute: Callable[[History], T]) -> T:
    stands = as_corrected(history)
    if not stands:
        raise FanNotFound
    return compute(stands)


class _Queue:
    """One creator's: who is served, and how many there are with those that wait."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0
