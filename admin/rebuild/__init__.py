"""Rebuild: the next generation of all views beside the live one, then one switch.

1. The next generation gets its row, its tables and its position rows. A build that was interrupted
   is found here and goes on. [nothing of the live one is touched]
2. Every partition is folded from the journal's beginning, in bulk, on one process per core, then
   follows the live writer until it is close (`admin.rebuild.build`). No side effects: no outbox, no
   cache.
3. The switch, one transaction: lock the live generation, which holds back new claims, and the
   live position rows, which holds back the live writer; fold the last records; forget who was
   erased meanwhile; hand positions and erasures over; fence the former generation; make the next
   one live. [rolled back: the build stays, and is close]
4. Redis is told, and drops what it had of the former generation. [workers tell it, too]

A live writer that waited for its position row in 3 finds it fenced, reads again which generation
is live, and goes on there from the same position: nothing is lost or repeated. If its code folds
another version of the views than the new generation's, it ends with what to do instead. Readers
ask in each statement which generation they may read, so each read is answered by one complete
generation, and by the new one only from when it contains all that the former one did.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from admin.journal import Bounds, Journal, check_count, check_whole, open_journal
from admin.parallel import cores, on_processes
from admin.rebuild.build import (
    ROUNDS_MAX,
    Built,
    PartitionTask,
    build_partition,
    built,
    close_enough,
    follow,
    rebuild_queries,
)
from admin.rebuild.differences import ViewChange, differences
from admin.refold import HELD_BYTES_MAX
from infra.postgres import connect, database_errors
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import CacheUnavailable, DatabaseUnavailable, Misconfigured
from schemas.topics import JOURNAL
from stores.cache import Cache
from stores.generations import check_partitions, create_generation
from stores.migrate import migrate
from views.state import VIEW_VERSION

__all__ = ["Diff", "Rebuilt", "ViewChange", "diff", "drop_former", "rebuild"]

_LOCK: Final = 0x66616E7265  # "fanre": one rebuild at a time in a database
SWITCHES_MAX: Final = 10
"""Attempts at the switch: a deadlock with the live writer's rows undoes one."""
LOCK_SECONDS_MAX: Final = 5
"""How long the switch waits for a lock, and with it at most the writers behind it."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    generation: int
    former: int
    view_version: str
    records: int
    """Journal records below the position at the switch."""
    resumed: int
    """Of them, those that an interrupted build had already folded."""
    fans: int
    seconds: float
    bulk_seconds: float
    """Until every partition was close to the live writer."""
    switch_seconds: float
    """How long writers were held back."""
    last_records: int
    """Folded while they were."""
    cache_told: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """What a switch would change."""

    generation: int
    former: int
    fans: int
    comparable: int
    """Fans at the same version in both generations; the others move right now."""
    changed: int
    views: tuple[ViewChange, ...]


@dataclass(frozen=True, slots=True)
class _Build:
    connection: Any
    queries: Any
    settings: Settings
    live: int
    generation: int
    bounds: Mapping[int, Bounds]


async def rebuild(
    settings: Settings,
    *,
    fresh: bool = False,
    processes: int | None = None,
    begin: Callable[[int], None] = lambda _total: None,
    progress: Callable[[int], None] = lambda _count: None,
    held_bytes_max: int = HELD_BYTES_MAX,
) -> Rebuilt:
    """Build the next generation and make it live; with `fresh`, from nothing.

    `begin` is told how many records there are to fold, `progress` how many more were. Raises
    `Misconfigured` when another rebuild runs or nothing is live, `DataLost` when the journal's
    beginning is gone, and what the stores raise when they don't answer: then run it again.
    """
    started = time.perf_counter()
    async with _opened(settings, fresh) as build:
        resumed = await _build(build, processes or cores(), begin, progress, held_bytes_max)
        bulk_seconds = time.perf_counter() - started
        async with open_journal(settings) as journal:
            switched = await _switch(build, journal)
        told = await _tell_cache(build, switched.positions)
        records = sum(one.next for one in switched.positions)
        fans = await build.connection.fetchval(build.queries.count_fans)
        return Rebuilt(
            generation=build.generation,
            former=build.live,
            view_version=VIEW_VERSION,
            records=records,
            resumed=resumed,
            fans=fans,
            seconds=round(time.perf_counter() - started, 3),
            bulk_seconds=round(bulk_seconds, 3),
            switch_seconds=round(switched.seconds, 3),
            last_records=switched.records,
            cache_told=told,
        )


async def diff(
    settings: Settings,
    *,
    fresh: bool = False,
    processes: int | None = None,
    begin: Callable[[int], None] = lambda _total: None,
    progress: Callable[[int], None] = lambda _count: None,
) -> Diff:
    """Build the next generation and say what it would change; `rebuild` goes on from there."""
    async with _opened(settings, fresh) as build:
        await _build(build, processes or cores(), begin, progress, HELD_BYTES_MAX)
        async with database_errors():
            counts, views = await differences(build.connection, build.live, build.generation)
        return Diff(
            generation=build.generation,
            former=build.live,
            fans=counts["fans"],
            comparable=counts["comparable"],
            changed=counts["changed"],
            views=views,
        )


async def drop_former(settings: Settings) -> list[int]:
    """Drop every generation that was live once; returns their numbers."""
    connection = await connect(settings.postgres_url, command_timeout=600)
    try:
        async with database_errors():
            await _lock(connection)
            former = [
                int(row["generation"])
                for row in await connection.fetch(rebuild_queries(0).generations)
                if row["status"] == "former"
            ]
            for generation in former:
                async with connection.transaction():
                    await _drop(connection, generation)
        return former
    finally:
        await connection.close()


async def _lock(connection: Any) -> None:
    if not await connection.fetchval(rebuild_queries(0).lock, _LOCK):
        raise Misconfigured("Another rebuild is running.", hint="Wait for it, or stop it first.")


async def _drop(connection: Any, generation: int) -> None:
    queries = rebuild_queries(generation)
    await connection.execute(queries.drop_schema)
    await connection.execute(queries.drop_positions, generation)
    await connection.execute(queries.drop_generation, generation)


@asynccontextmanager
async def _opened(settings: Settings, fresh: bool) -> AsyncIterator[_Build]:
    """The build to go on with, or a new one, locked against another rebuild."""
    async with open_journal(settings) as journal:
        bounds = await journal.bounds()
    check_count(bounds, settings)
    check_whole(bounds, settings)
    async with database_errors():
        await migrate(settings.postgres_url, for_rebuild=True)
    connection = await connect(settings.postgres_url, command_timeout=600)
    try:
        async with database_errors():
            await _lock(connection)
            live, generation = await _choose(connection, fresh)
            await check_partitions(connection, len(bounds))
            queries = rebuild_queries(generation)
            await connection.execute(
                queries.begin_positions, generation, JOURNAL.name, list(bounds)
            )
        yield _Build(connection, queries, settings, live, generation, bounds)
    finally:
        await connection.close()


async def _choose(connection: Any, fresh: bool) -> tuple[int, int]:
    """(live generation, the one to build): an unfinished build of this code's views goes on."""
    rows = await connection.fetch(rebuild_queries(0).generations)
    live = next((row["generation"] for row in rows if row["status"] == "live"), None)
    if live is None:
        raise Misconfigured("No generation of the views is live.", hint="Run `fanmemory up`.")
    for row in rows:
        if row["status"] != "building":
            continue
        if row["view_version"] == VIEW_VERSION and not fresh:
            return int(live), int(row["generation"])
        async with connection.transaction():
            await _drop(connection, row["generation"])
    generation = rows[-1]["generation"] + 1
    async with connection.transaction():
        await create_generation(connection, generation, "building")
    return int(live), int(generation)


async def _build(
    build: _Build,
    processes: int,
    begin: Callable[[int], None],
    progress: Callable[[int], None],
    held_bytes_max: int,
) -> int:
    """Bring every partition close to the live writer; returns how much was done before."""
    async with database_errors():
        live = await _positions(build, build.live)
        done = await _positions(build, build.generation)
    nexts = {one.partition: one.next for one in live}
    begin(sum(max(0, nexts.get(one.partition, 0) - one.next) for one in done))
    with tempfile.TemporaryDirectory(prefix="fanmemory-rebuild-") as folder:
        tasks = [
            PartitionTask(
                build.settings,
                build.live,
                build.generation,
                one,
                build.bounds[one.partition].first,
                nexts.get(one.partition, 0),
                Path(folder),
                held_bytes_max,
            )
            for one in done
        ]
        await on_processes(build_partition, tasks, processes=processes, progress=progress)
    async with database_errors():
        await build.connection.execute(build.queries.forget_erased)
    return sum(one.next for one in done)


async def _positions(build: _Build, generation: int) -> list[Built]:
    rows = await build.connection.fetch(build.queries.positions, generation, JOURNAL.name)
    return [built(row) for row in rows]


@dataclass(frozen=True, slots=True)
class _Switched:
    positions: Sequence[Built]
    seconds: float
    records: int


async def _switch(build: _Build, journal: Journal) -> _Switched:
    subjects = Subjects(
        Keyring.parse(build.settings.keyring.get_secret_value()),
        build.settings.subject_cache_max,
    )
    for attempt in range(1, SWITCHES_MAX + 1):
        try:
            async with database_errors():
                swept = await _come_closer(build, journal, subjects)
                async with build.connection.transaction():
                    return await _switch_locked(build, journal, subjects, swept)
        except (DatabaseUnavailable, asyncpg.LockNotAvailableError) as error:
            if attempt == SWITCHES_MAX or build.connection.is_closed():
                raise DatabaseUnavailable(
                    "The switch did not get the locks that it needs.",
                    hint="Run `fanmemory rebuild` again: it goes on from what is built.",
                ) from error
            await asyncio.sleep(0.2 * attempt)
    raise DatabaseUnavailable


async def _come_closer(build: _Build, journal: Journal, subjects: Subjects) -> dict[int, int]:
    """Follow the live writer without a lock, so that little is left to do under it.

    Returns the erasures of each partition that are known to be forgotten.
    """
    rows: list[Any] = []
    for round in range(ROUNDS_MAX):
        rows = await build.connection.fetch(build.queries.positions, build.live, JOURNAL.name)
        done = await _positions(build, build.generation)
        ranges = _ranges(rows, done)
        if close_enough(sum(until - start for start, until in ranges.values()), round):
            break
        raws = await journal.collect(ranges)
        for one in done:
            until = ranges[one.partition][1]
            if one.next < until:
                async with build.connection.transaction(isolation="repeatable_read"):
                    await follow(
                        build.connection,
                        build.generation,
                        one,
                        raws[one.partition],
                        until,
                        subjects,
                    )
    await build.connection.execute(build.queries.forget_erased)
    return {row["partition"]: row["erasures"] for row in rows}


def _ranges(live: Sequence[Any], done: Sequence[Built]) -> dict[int, tuple[int, int]]:
    """What is left to fold: partition -> (from, up to)."""
    nexts = {row["partition"]: row["next"] for row in live}
    return {one.partition: (one.next, max(one.next, nexts.get(one.partition, 0))) for one in done}


async def _switch_locked(
    build: _Build, journal: Journal, subjects: Subjects, swept: Mapping[int, int]
) -> _Switched:
    """Everything of step 3; the caller's transaction."""
    connection, queries, generation = build.connection, build.queries, build.generation
    started = time.perf_counter()
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
    if await connection.fetchval(queries.lock_live_generation) != build.live:
        raise Misconfigured("Another generation went live meanwhile.", hint="Run it again.")
    live = await connection.fetch(queries.lock_positions, build.live, JOURNAL.name)
    done = [
        built(row)
        for row in await connection.fetch(queries.lock_positions, generation, JOURNAL.name)
    ]
    ranges = _ranges(live, done)
    raws = await journal.collect(ranges, LOCK_SECONDS_MAX)
    positions = [
        await follow(
            connection,
            generation,
            one,
            raws[one.partition],
            ranges[one.partition][1],
            subjects,
        )
        for one in done
    ]
    if any(row["erasures"] != swept.get(row["partition"], 0) for row in live):
        await connection.execute(queries.forget_erased)
    await connection.execute(
        queries.adopt,
        generation,
        JOURNAL.name,
        [row["partition"] for row in live],
        [row["epoch"] for row in live],
        [row["erasures"] for row in live],
    )
    await connection.execute(queries.fence, build.live, JOURNAL.name)
    await connection.execute(queries.retire, build.live)
    await connection.execute(queries.promote, generation)
    return _Switched(positions, time.perf_counter() - started, sum(map(len, raws.values())))


async def _tell_cache(build: _Build, positions: Sequence[Built]) -> bool:
    """Readers of the cache go over at once; without it, when the workers next commit."""
    settings = build.settings
    keyring = Keyring.parse(settings.keyring.get_secret_value())
    cache = Cache(settings.redis_url, keyring, ttl_seconds=settings.cache_ttl_seconds, timeout=10)
    try:
        for one in positions:
            await cache.publish(build.generation, one.partition, one.next, one.sources)
        await cache.drop_former(build.generation)
    except CacheUnavailable:
        return False
    finally:
        await cache.close()
    return True
