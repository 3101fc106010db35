"""The switch: the last records are folded while writers are held back, then the build is live."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from admin.journal import Journal
from admin.rebuild.build import ROUNDS_MAX, close_enough, follow, follow_alone
from admin.rebuild.opening import Build, position_rows, unfolded
from infra.postgres import LockNotAvailableError, database_errors
from infra.retry import Backoff, retried
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import CacheUnavailable, DatabaseUnavailable, Misconfigured
from schemas.topics import JOURNAL
from stores import generations, positions, states
from stores.cache import open_cache
from stores.positions import Row
from stores.refolding import Limits

SWITCHES_MAX: Final = 10
"""Attempts at the switch: a deadlock with the live writer's rows undoes one."""
SWITCH_BACKOFF: Final = Backoff(0.2, 2.0)
_NOT_NOW: Final = (DatabaseUnavailable, LockNotAvailableError)
LOCK_SECONDS_MAX: Final = 5
"""How long the switch waits for a lock, and with it at most the writers behind it."""


@dataclass(frozen=True, slots=True)
class Switched:
    """Where the new generation stands, how long writers were held back, what was folded then."""

    positions: Sequence[Row]
    seconds: float
    records: int


async def switch(build: Build, journal: Journal) -> Switched:
    """Step 3; raises `DatabaseUnavailable` when it did not get its locks."""
    subjects = Subjects(
        Keyring.of(build.settings),
        build.settings.subject_cache_max,
    )

    async def attempt() -> Switched:
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


async def _come_closer(build: Build, journal: Journal, subjects: Subjects) -> dict[int, int]:
    """Follow the live writer without a lock, so that little is left to do under it.

    Returns the erasures of each partition that are known to be forgotten.
    """
    live: dict[int, Row] = {}
    for round in range(ROUNDS_MAX):
        live, done = await position_rows(build)
        ranges = unfolded(live, done)
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


async def _switch_locked(
    build: Build, journal: Journal, subjects: Subjects, swept: Mapping[int, int]
) -> Switched:
    """Everything of step 3; the caller's transaction."""
    connection, generation = build.connection, build.generation
    started = time.perf_counter()
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
    found = await generations.lock_live(connection, for_switch=True)
    if found is None or found.number != build.live:
        raise Misconfigured("Another generation went live meanwhile.", hint="Run it again.")
    live, done = await position_rows(build, locked=True)
    ranges = unfolded(live, done)
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
    return Switched(reached, time.perf_counter() - started, sum(map(len, raws.values())))


async def tell_cache(build: Build, reached: Sequence[Row]) -> bool:
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
