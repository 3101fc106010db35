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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from admin.journal import open_journal
from admin.parallel import cores, on_processes
from admin.rebuild.build import PartitionTask, build_partition
from admin.rebuild.differences import ViewChange, differences
from admin.rebuild.opening import Build, drop, lock, opened, position_rows, unfolded
from admin.rebuild.switch import switch, tell_cache
from admin.refold import HELD_BYTES_MAX
from infra.postgres import connecting, database_errors, url_of
from infra.settings import Settings
from privacy.keys import Keyring
from stores import generations, states
from stores.indexing import order_all
from views.state import VIEW_VERSION

__all__ = ["Diff", "Rebuilt", "ViewChange", "diff", "drop_former", "rebuild"]


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
    async with opened(settings, fresh) as build:
        resumed = await _build(build, processes or cores(), begin, progress, held_bytes_max)
        bulk_seconds = time.perf_counter() - started
        async with open_journal(settings) as journal:
            switched = await switch(build, journal)
        told = await tell_cache(build, switched.positions)
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
    async with opened(settings, fresh) as build:
        await _build(build, processes or cores(), begin, progress, HELD_BYTES_MAX)
        async with database_errors():
            counts, views = await differences(
                build.connection, Keyring.of(settings), build.live, build.generation
            )
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
            await lock(connection)
            former = [
                each.number
                for each in await generations.all_generations(connection)
                if each.status == "former"
            ]
            for generation in former:
                async with connection.transaction():
                    await drop(connection, generation)
        return former


async def _build(
    build: Build,
    processes: int,
    begin: Callable[[int], None],
    progress: Callable[[int], None],
    held_bytes_max: int,
) -> int:
    """Bring every partition close to the live writer; returns how much was done before."""
    async with database_errors():
        live, done = await position_rows(build)
    begin(sum(until - start for start, until in unfolded(live, done).values()))
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
        await order_all(build.connection, build.generation)
    return sum(one.next for one in done.values())
