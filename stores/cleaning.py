"""Cleaning: what was erased leaves Postgres' files, too, and since when it has.

Deleting and vacuum overwrite nothing: a page keeps the bytes of a row in its free space until
others come there, an index does the same, and files of the write-ahead log may be used again with
what they held. Most of it is sealed, and nothing without its key. Five tables hold what is not
(`TABLES`): fan ids, wrapped keys that the keyring opens, what is about to be told. After erasures
they are written anew, with their indexes, and the former files are removed. In this order:

1. Wait until nobody can see what was deleted: three times for all transactions that are under way.
   Those that had begun have ended by then; then those whose view may be older than their end; then
   those that had looked at one of these. (PostgreSQL keeps a row for whoever could see it.)
2. `VACUUM (FULL)` of each table: nobody else gets at it meanwhile, so only tables up to
   `rewritten_megabytes_max` are rewritten, and a lock that is not to be had soon is left for later.
3. Let the write-ahead log go on in a new file, and note the place: the next checkpoint behind it
   removes the files before.

What this can't do (tables too large, a transaction that does not end, a server that archives its
log) is not claimed: receipts say `clear` of the files until it was done.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection, Executor, LockNotAvailableError
from infra.retry import Backoff, retried
from infra.sql import load_queries

TABLES: Final = ("outbox_pack", "outbox_record", "erasure", "forgetting", "subject")
"""With something in clear, or under the keyring."""
LOCK_SECONDS_MAX: Final = 0.5
"""Whoever comes after us waits as long at the most for us to get it."""
ATTEMPTS_MAX: Final = 10
WAIT_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.1
_BACKOFF: Final = Backoff(LOCK_SECONDS_MAX, 4 * LOCK_SECONDS_MAX, 0.5, 1.0)
_FILE: Final = Path(__file__).parent / "sql" / "cleaning.sql"
_QUERIES: Final = load_queries(_FILE, table="subject")


class Clean(NamedTuple):
    """Of what was deleted before these times nothing is left; None: nothing is known."""

    tables: datetime | None
    log: datetime | None


async def clean(connection: Executor) -> Clean:
    """How far Postgres' files are clean."""
    (row,) = await connection.fetch(_QUERIES.clean)
    return Clean(*row)


class Unclean(NamedTuple):
    """What waits to be cleaned."""

    seconds: float
    """Since the first erasure or forgetting whose traces are in the files."""
    bytes: int
    """Of the tables that are to be rewritten."""


async def unclean(connection: Executor) -> Unclean | None:
    """What is still in Postgres' files of whoever was erased; None: nothing."""
    seconds = await connection.fetchval(_QUERIES.unclean)
    if seconds is None:
        return None
    return Unclean(seconds, await connection.fetchval(_QUERIES.size, TABLES))


async def rewrite(connection: Connection, bytes_max: int) -> bool:
    """Write the tables anew if anything was erased or forgotten since; whether they are clean.

    On a connection that is nobody else's, outside of a transaction. False: they are too large, or
    in use for too long.
    """
    if not await connection.fetchval(_QUERIES.wanted):
        return True
    if await connection.fetchval(_QUERIES.size, TABLES) > bytes_max:
        return False
    up_to = await _unseen(connection)
    if up_to is None:
        return False
    await connection.execute(_QUERIES.wait_for_locks, f"{LOCK_SECONDS_MAX:.3f}s")
    try:
        for table in TABLES:
            await retried(
                _writing_anew(connection, table),
                _BACKOFF,
                on=LockNotAvailableError,
                attempts_max=ATTEMPTS_MAX,
            )
    except LockNotAvailableError:
        return False
    await connection.execute(_QUERIES.fill_log)
    await connection.execute(_QUERIES.cleaned, up_to)
    await connection.execute(_QUERIES.forget_rounds)
    return True


def _writing_anew(connection: Connection, table: str) -> Callable[[], Awaitable[str]]:
    query = load_queries(_FILE, table=table).write_anew
    return lambda: connection.execute(query)


async def _unseen(connection: Connection) -> datetime | None:
    """The time before which everything that was deleted can be seen by nobody; None: not soon."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    up_to = await _ended(connection, deadline)
    # Of what was written before that, this is what is not deleted.
    oldest = await connection.fetchval(_QUERIES.oldest_untold)
    for _ in range(2):
        if up_to is None or await _ended(connection, deadline) is None:
            return None
    return up_to if oldest is None or up_to is None else min(up_to, oldest)


async def _ended(connection: Connection, deadline: float) -> datetime | None:
    """Wait until all transactions have ended that are under way; since when others are none."""
    (row,) = await connection.fetch(_QUERIES.begun)
    at: datetime = row["at"]
    while await connection.fetchval(_QUERIES.left, row["begun"]):
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(POLL_SECONDS)
    return at
