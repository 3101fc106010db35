"""Rebuild: the next generation of all views beside the live one, then one switch.

1. The next generation gets its row, its tables and its position rows. A build that was interrupted
   is found here and continued. [nothing of the live one is touched]
2. Every partition is folded from the journal's beginning, in bulk, on one process per core, then
   follows the live writer until it is close (`admin.rebuild.build`). No side effects: no outbox, no
   cache.
3. The switch, one transaction: lock the live generation, which holds back new claims, and the
   live position rows, which holds back the live writer; fold the last records; forget who was
   erased meanwhile; hand positions and erasures over; fence the former generation; make the next
   one live. [rolled back: the build stays, and is close]
4. Redis is told, and drops what it had of the former generation. [workers tell it, too]

A live writer that waited for its position row in 3 finds it fenced, reads again which generation
is live, and continues there from the same position: nothing is lost or repeated. If its code folds
another version of the views than the new generation's, it ends with what to do instead. Readers
ask in each statement which generation they may read, so each read is answered by one complete
generation, and by the new one only from when it contains all that the former one did.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from admin.journal import Bounds, Journal, check_whole, open_journal
from admin.ledger import catch_up
from admin.parallel import cores, on_processes
from admin.rebuild.build import (
    ROUNDS_MAX,
    PartitionTask,
    build_partition,
    close_enough,
    follow,
    follow_alone,
)
from admin.rebuild.differences import ViewChange, differences
from admin.refold import HELD_BYTES_MAX
from infra.postgres import (
    Connection,
    LockNotAvailableError,
    connecting,
    database_errors,
    url_of,
)
from infra.retry import Backoff, retried
from infra.settings import Settings
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import CacheUnavailable, DatabaseUnavailable, Misconfigured
from schemas.topics import JOURNAL
from stores import generations, log_breaks, positions, states
from stores.cache import open_cache
from stores.migrate import migrate
from stores.positions import Row
from stores.refolding import Limits
from views.state import VIEW_VERSION

__all__ = ["Diff", "Rebuilt", "ViewChange", "diff", "drop_former", "rebuild"]

_QUERIES: Final = load_queries(Path(__file__).with_name("rebuild.sql"))
_LOCK: Final = 0x66616E7265  # "fanre": one rebuild at a time in a database
SWITCHES_MAX: Final = 10
"""Attempts at the switch: a deadlock with the live writer's rows undoes one."""
SWITCH_BACKOFF: Final = Backoff(0.2, 2.0)
_NOT_NOW: Final = (DatabaseUnavailable, LockNotAvailableError)
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
    connection: Connection
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
        fans = await states.count(build.connection, build.generation)
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
    """Build the next generation and say what it would change; `rebuild` continues from there."""
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
    async with connecting(url_of(settings, "owner"), command_timeout=600) as connection:
        async with database_errors():
            await _lock(connection)
            former = [
                each.number
                for each in await generations.all_generations(connection)
                if each.status == "former"
            ]
            for generation in former:
                async with connection.transaction():
                    await _drop(connection, generation)
        return former


async def _lock(connection: Connection) -> None:
    if not await connection.fetchval(_QUERIES.lock, _LOCK):
        raise Misconfigured("Another rebuild is running.", hint="Wait for it, or stop it first.")


async def _drop(connection: Connection, generation: int) -> None:
    await positions.drop(connection, generation)
    await generations.drop(connection, generation)


@asynccontextmanager
async def _opened(settings: Settings, fresh: bool) -> AsyncIterator[_Build]:
    """The build to continue, or a new one, locked against another rebuild."""
    await catch_up(settings)
    async with open_journal(settings) as journal:
        bounds = await journal.bounds()
    generations.require_partitions(len(bounds), settings.journal_partitions)
    async with database_errors():
        await migrate(url_of(settings, "owner"), for_rebuild=True)
    async with connecting(url_of(settings, "owner"), command_timeout=600) as connection:
        async with database_errors():
            check_whole(bounds, await log_breaks.accepted(connection, JOURNAL.name))
            await _lock(connection)
            live, generation = await _choose(connection, fresh)
            await generations.remember_partitions(connection, len(bounds))
            await positions.begin(connection, generation, JOURNAL.name, list(bounds))
        yield _Build(connection, settings, live, generation, bounds)


async def _choose(connection: Connection, fresh: bool) -> tuple[int, int]:
    """(live generation, the one to build): an unfinished build of these views is continued."""
    live = generations.require_live(await generations.live(connection)).number
    known = await generations.all_generations(connection)
    for each in known:
        if each.status != "building":
            continue
        if each.view_version == VIEW_VERSION and not fresh:
            return live, each.number
        async with connection.transaction():
            await _drop(connection, each.number)
    next = known[-1].number + 1
    async with connection.transaction():
        await generations.create(connection, next, "building")
    return live, next


async def _build(
    build: _Build,
    processes: int,
    begin: Callable[[int], None],
    progress: Callable[[int], None],
    held_bytes_max: int,
) -> int:
    """Bring every partition close to the live writer; returns how much was done before."""
    async with database_errors():
        live, done = await _rows(build)
    begin(sum(until - start for start, until in _ranges(live, done).values()))
    with tempfile.TemporaryDirectory(prefix="fanmemory-rebuild-") as folder:
        tasks = [
            PartitionTask(
                build.settings,
                build.live,
                build.generation,
                one,
                build.bounds[one.partition].first,
                live[one.partition].next if one.partition in live else 0,
                Path(folder),
                held_bytes_max,
            )
            for one in done.values()
        ]
        await on_processes(build_partition, tasks, processes=processes, progress=progress)
    async with database_errors():
        await states.forget_erased(build.connection, build.generation)
    return sum(one.next for one in done.values())


async def _rows(build: _Build, *, locked: bool = False) -> tuple[dict[int, Row], dict[int, Row]]:
    """The position rows of the live generation, and of the one that is built."""
    connection = build.connection
    live = await positions.rows(connection, build.live, JOURNAL.name, locked=locked)
    done = await positions.rows(connection, build.generation, JOURNAL.name, locked=locked)
    return live, done


@dataclass(frozen=True, slots=True)
class _Switched:
    positions: Sequence[Row]
    seconds: float
    records: int


async def _switch(build: _Build, journal: Journal) -> _Switched:
    subjects = Subjects(
        Keyring.of(build.settings),
        build.settings.subject_cache_max,
    )

    async def attempt() -> _Switched:
        async with database_errors():
            swept = await _come_closer(build, journal, subjects)
            async with build.connection.transaction():
                return await _switch_locked(build, journal, subjects, swept)

    def not_now(error: BaseException) -> bool:
        return isinstance(error, _NOT_NOW) and not build.connection.is_closed()

    try:
        return await retried(attempt, SWITCH_BACKOFF, on=not_now, attempts_max=SWITCHES_MAX)
    except _NOT_NOW as error:
        raise DatabaseUnavailable(
            "The switch did not get the locks that it needs.",
            hint="Run `fanmemory rebuild` again: it continues from what is built.",
        ) from error


async def _come_closer(build: _Build, journal: Journal, subjects: Subjects) -> dict[int, int]:
    """Follow the live writer without a lock, so that little is left to do under it.

    Returns the erasures of each partition that are known to be forgotten.
    """
    live: dict[int, Row] = {}
    for round in range(ROUNDS_MAX):
        live, done = await _rows(build)
        ranges = _ranges(live, done)
        if close_enough(sum(until - start for start, until in ranges.values()), round):
            break
        raws = await journal.collect(ranges)
        for one in done.values():
            until = ranges[one.partition][1]
            if one.next < until:
                await follow_alone(
                    build.connection,
                    build.generation,
                    one,
                    raws[one.partition],
                    until,
                    subjects,
                    Limits.of(build.settings),
                )
    await states.forget_erased(build.connection, build.generation)
    return {row.partition: row.erasures for row in live.values()}


def _ranges(live: Mapping[int, Row], done: Mapping[int, Row]) -> dict[int, tuple[int, int]]:
    """What is left to fold: partition -> (from, up to)."""
    return {
        partition: (one.next, max(one.next, live[partition].next if partition in live else 0))
        for partition, one in done.items()
    }


async def _switch_locked(
    build: _Build, journal: Journal, subjects: Subjects, swept: Mapping[int, int]
) -> _Switched:
    """Everything of step 3; the caller's transaction."""
    connection, generation = build.connection, build.generation
    started = time.perf_counter()
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
    found = await generations.lock_live(connection, for_switch=True)
    if found is None or found.number != build.live:
        raise Misconfigured("Another generation went live meanwhile.", hint="Run it again.")
    live, done = await _rows(build, locked=True)
    ranges = _ranges(live, done)
    raws = await journal.collect(ranges, LOCK_SECONDS_MAX)
    reached = [
        await follow(
            connection,
            generation,
            one,
            raws[one.partition],
            ranges[one.partition][1],
            subjects,
            Limits.of(build.settings),
        )
        for one in done.values()
    ]
    if any(row.erasures != swept.get(row.partition, 0) for row in live.values()):
        await states.forget_erased(connection, generation)
    await positions.hand_over(connection, JOURNAL.name, build.live, generation, live.values())
    await generations.switch(connection, build.live, generation)
    return _Switched(reached, time.perf_counter() - started, sum(map(len, raws.values())))


async def _tell_cache(build: _Build, reached: Sequence[Row]) -> bool:
    """Readers of the cache go over at once; without it, when the workers next commit."""
    settings = build.settings
    keyring = Keyring.of(settings)
    cache = open_cache(settings, keyring, timeout=10)
    try:
        for one in reached:
            await cache.adopt(
                build.generation,
                one.partition,
                one.next,
                one.sources,
                erasures=one.erasures,
            )
    except CacheUnavailable:
        return False
    finally:
        await cache.close()
    return True
