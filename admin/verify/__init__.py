"""Verify: an oracle over everything that is kept, from `interactions` to the cache.

Independent of the workers: the only thing taken from them is where they say they stand. Postgres is
read in one snapshot and the ends of the logs after it, so a system may run on meanwhile without one
false alarm. In this order:

1. Each partition of the journal is folded exactly up to its position, and compared with every
   state, every history row and every cached document (`partition`, `cached`); a few fans are also
   reckoned by plain sums that share no code with the folds (`reference`).
2. Rows that no record explains, and records that no subject explains (`strangers`).
3. The counters, against the places in `interactions` that the journal's records name (`accounts`),
   and the position rows by themselves (`rows`).
4. Each record that `interactions` still holds: a dead letter, or its event remembered under its own
   fan, or waiting in the journal (`intake`).
5. Each fan's last move: told on `memory-updates`, or in the outbox (`told`).
6. What the cache says of itself (`published`).

What can't be compared, a cache that is away or full, is said and does not hide the rest.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from admin.journal import Bounds, Journal, check_whole, open_journal
from admin.ledger import behind
from admin.parallel import cores, on_processes
from admin.places import Places
from admin.refold import HELD_BYTES_MAX
from admin.verify import rows as position_rows
from admin.verify.accounts import SourcePlaces, accounting_differences, countable
from admin.verify.differences import Difference
from admin.verify.intake import (
    IntakeResult,
    IntakeTask,
    dead_places,
    quarantined_places,
    suppressed_places,
    verify_intake,
)
from admin.verify.partition import SQL, PartitionResult, PartitionTask, verify_partition
from admin.verify.published import published
from admin.verify.referenced import FANS as REFERENCED
from admin.verify.strangers import orphans, still_there, subjects_gone, unexplained_rows
from admin.verify.told import told_differences
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from infra.sql import Queries, load_queries
from schemas.errors import CacheUnavailable
from schemas.topics import INTERACTIONS, JOURNAL
from stores import generations, log_breaks
from stores.erasure import erased_among, erased_counts
from stores.generations import INTAKE_GENERATION, schema_name
from stores.opened import open_stores
from stores.tally import COUNTERS

SETTLE_SECONDS_MAX: Final = 10.0
SETTLE_LOOK_SECONDS: Final = 0.05
UNCLAIMED: Final[dict[str, Any]] = {
    "next": 0,
    "epoch": 0,
    "erasures": 0,
    "sources": [],
    "accepted": 0,
    "dead_letters": 0,
    "suppressed": 0,
    "control": 0,
    "boundaries": [],
    "broken": False,
    **dict.fromkeys(COUNTERS, 0),
}
CACHE: Final = "cache"
ACCOUNTING: Final = "accounting"

__all__ = ["Difference", "Intake", "Report", "verify"]


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of the records that `interactions` still holds."""

    records: int = 0
    dead_letters: int = 0
    suppressed: int = 0
    control: int = 0
    """Orders to erase somebody."""
    remembered: int = 0
    waiting: int = 0
    forgotten: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a verify saw. It found everything right when `found` is 0."""

    generation: int
    partitions: int
    records: int
    """Journal records up to the positions in the snapshot."""
    fans: int
    events: int
    cached: int
    referenced: int
    """Fans that were reckoned by plain sums, too."""
    looked_again: int
    spilled: int
    unindexed: int
    """Fans whose filter columns a former release has left behind: a worker writes them."""
    applied: int
    duplicates: int
    repeats: int
    forgotten: int
    quarantined: int
    conflicts: int
    unprojected: int
    """Journal records beyond the positions: the pipeline's lag at that moment."""
    rewritten: int
    """Of the forgotten ones: of subjects that a restore lost, and written again under others."""
    intake: Intake
    seconds: float
    sample: int | None
    not_compared: tuple[str, ...]
    """What could not be looked at, and so is not vouched for."""
    found: int
    differences: tuple[Difference, ...]
    """At most 200 of each partition."""


async def verify(
    settings: Settings,
    *,
    sample: int | None = None,
    processes: int | None = None,
    begin: Callable[[int], None] = lambda _total: None,
    progress: Callable[[int], None] = lambda _count: None,
    held_bytes_max: int = HELD_BYTES_MAX,
) -> Report:
    """Refold and compare; `sample` fans only, always the same ones, or all.

    `begin` is told how many records there are, `progress` how many more were read. A sample still
    reads every frame, but opens only what it needs. Raises `DataLost` when the journal's beginning
    is gone, `Misconfigured` when the live views are of another version, and `BrokerUnavailable` or
    `DatabaseUnavailable`; without the cache everything else is compared.
    """
    started = time.perf_counter()
    count = processes or cores()
    async with (
        open_journal(settings) as journal,
        connecting(settings.postgres_url, command_timeout=600) as connection,
        database_errors(),
        _settled(connection),
    ):
        look = await _look(connection, journal, settings, sample)
        begin(sum(row["next"] for row in look.folded.values()))
        results = await _refold(look, held_bytes_max, count, progress)
        places = SourcePlaces()
        for result in results:
            places.update(result.places)
        suppressed = await suppressed_places(connection)
        found = await _rows(connection, look)
        found += await told_differences(connection, settings, look.live, journal, look.chosen)
        if sample is None:
            await unexplained_rows(connection, look.queries, results, len(look.journal))
            living = Places() if places.living is None else places.living
            gone = [subject for result in results for subject in result.gone]
            erased = await erased_among(connection, gone)
            counts = await erased_counts(connection, len(look.journal))
            # Not in the snapshot: the ledger may know of later erasures than that.
            async with connecting(settings.postgres_url, command_timeout=60) as now:
                ledger = await behind(settings, now, whole=True)
            found += still_there(ledger.subjects, len(look.journal))
            found += subjects_gone(results, look.folded, living, erased, counts)
            found += accounting_differences(places, look.intake, look.folded.values(), suppressed)
        intake = await _intake(connection, look, results, places, suppressed, count, progress)
    not_compared = set()
    if sample is not None or not countable(look.intake, look.folded.values()):
        not_compared.add(ACCOUNTING)
    if any(result.cache_lost for result in results):
        not_compared.add(CACHE)
    if CACHE not in not_compared:
        try:
            found += await _cache(look)
        except CacheUnavailable:
            not_compared.add(CACHE)
    parts: list[PartitionResult | IntakeResult] = [*results, *intake]
    return Report(
        generation=look.live,
        partitions=len(look.journal),
        records=sum(result.records for result in results),
        fans=sum(result.fans for result in results),
        events=sum(result.events for result in results),
        cached=sum(result.cached for result in results),
        referenced=sum(result.referenced for result in results),
        looked_again=sum(result.looked_again for result in results),
        spilled=sum(result.spilled for result in results),
        unindexed=sum(result.unindexed for result in results),
        **{name: sum(getattr(result.tally, name) for result in results) for name in COUNTERS},
        unprojected=sum(
            max(0, bound.end - look.folded[partition]["next"])
            for partition, bound in look.journal.items()
        ),
        rewritten=places.rewritten,
        intake=_sum(intake),
        seconds=round(time.perf_counter() - started, 3),
        sample=sample,
        not_compared=tuple(sorted(not_compared)),
        found=sum(part.found for part in parts) + len(found),
        differences=(*(one for part in parts for one in part.differences), *found),
    )


def _sum(results: Sequence[IntakeResult]) -> Intake:
    names = [field.name for field in fields(Intake)]
    return Intake(**{name: sum(getattr(one, name) for one in results) for name in names})


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen before the work is divided: one snapshot, and the logs' ends after it."""

    settings: Settings
    snapshot: str
    generation: generations.Generation
    queries: Queries
    folded: dict[int, dict[str, Any]]
    """Partition of the journal -> position row of the live generation."""
    intake: dict[int, dict[str, Any]]
    """Partition of `interactions` -> ingest's position row."""
    journal: Mapping[int, Bounds]
    interactions: Mapping[int, Bounds]
    chosen: frozenset[bytes] | None
    referenced: frozenset[bytes]

    @property
    def live(self) -> int:
        return self.generation.number


@asynccontextmanager
async def _settled(connection: Connection) -> AsyncIterator[None]:
    """A snapshot in which no fan is on the move: who moves is in the rows before the projection has
    passed what was written for that, and a fold up to its position would not find the fan. After
    some seconds whatever there is, so that rows which really are beyond the journal are said."""
    until = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        async with connection.transaction(isolation="repeatable_read"):
            moving = await connection.fetchval(load_queries(SQL).moving, JOURNAL.name)
            if not moving or time.monotonic() >= until:
                yield
                return
        await asyncio.sleep(SETTLE_LOOK_SECONDS)


async def _look(
    connection: Connection, journal: Journal, settings: Settings, sample: int | None
) -> _Look:
    snapshot = await connection.fetchval(load_queries(SQL).export_snapshot)
    live = generations.require_version(await generations.live(connection))
    queries = load_queries(SQL, generation=schema_name(live.number))
    folded = await connection.fetch(queries.positions, live.number, JOURNAL.name)
    intake = await connection.fetch(queries.positions, INTAKE_GENERATION, INTERACTIONS.name)
    bounds = await journal.bounds()
    generations.require_partitions(len(bounds), settings.journal_partitions)
    check_whole(bounds, await log_breaks.accepted(connection, JOURNAL.name))
    async with open_journal(settings, INTERACTIONS.name) as interactions:
        incoming = await interactions.bounds()
    size = REFERENCED if sample is None else sample
    rows = await connection.fetch(queries.sample_subjects, size)
    few = frozenset(row["subject"] for row in rows)
    return _Look(
        settings=settings,
        snapshot=snapshot,
        generation=live,
        queries=queries,
        folded=dict.fromkeys(bounds, UNCLAIMED) | {row["partition"]: {**row} for row in folded},
        intake=dict.fromkeys(incoming, UNCLAIMED) | {row["partition"]: {**row} for row in intake},
        journal=bounds,
        interactions=incoming,
        chosen=None if sample is None else few,
        referenced=few,
    )


async def _refold(
    look: _Look, held_bytes_max: int, processes: int, progress: Callable[[int], None]
) -> list[PartitionResult]:
    with tempfile.TemporaryDirectory(prefix="fanmemory-verify-") as folder:
        tasks = [
            PartitionTask(
                look.settings,
                look.snapshot,
                look.live,
                partition,
                len(look.journal),
                look.folded[partition],
                bounds,
                Path(folder),
                look.chosen,
                look.referenced,
                held_bytes_max,
            )
            for partition, bounds in look.journal.items()
        ]
        return await on_processes(verify_partition, tasks, processes=processes, progress=progress)


async def _rows(connection: Connection, look: _Look) -> list[Difference]:
    """The position rows and the generation's row by themselves."""
    found = position_rows.partition_count(look.generation, len(look.journal))
    found += position_rows.beyond_the_log("position", look.folded, look.journal)
    found += position_rows.beyond_the_log("intake", look.intake, look.interactions)
    found += position_rows.negative_counters("position", look.folded)
    found += position_rows.negative_counters("intake", look.intake)
    found += position_rows.lowered_epochs(await connection.fetch(look.queries.lowered_epochs))
    return found


async def _intake(
    connection: Connection,
    look: _Look,
    results: Sequence[PartitionResult],
    places: SourcePlaces,
    suppressed: Places,
    processes: int,
    progress: Callable[[int], None],
) -> list[IntakeResult]:
    dead = await dead_places(look.settings, connection)
    quarantined = await quarantined_places(connection)
    journal = Places()
    journal.update(places.projected)
    journal.update(places.waiting)
    waiting = frozenset().union(*(result.waiting for result in results))
    tasks = [
        IntakeTask(
            look.settings,
            look.snapshot,
            partition,
            bounds.first,
            min(look.intake[partition]["next"], bounds.end),
            dead,
            journal,
            places.living,
            quarantined,
            waiting,
            suppressed,
            tuple(look.intake[partition]["boundaries"]),
        )
        for partition, bounds in look.interactions.items()
    ]
    return await on_processes(verify_intake, tasks, processes=processes, progress=progress)


async def _cache(look: _Look) -> list[Difference]:
    """The cache as a whole; raises `CacheUnavailable`."""
    settings = look.settings
    async with open_stores(settings, cache_timeout=10) as stores:
        found = await published(settings, stores.cache)
        if look.chosen is None:
            found += await orphans(settings, look.queries, stores.cache)
        return found
