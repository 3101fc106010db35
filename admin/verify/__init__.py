"""Verify: refold the journal and compare every view, every history row and every cached document.

Independent of the workers: the only thing taken from them is where they say they stand. The
position rows, the states and the history are read in one snapshot of Postgres, and each partition
of the journal is folded exactly up to its position in it, so a system may run on meanwhile without
one false alarm. Erased fans have no key left: their records are skipped and counted.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from admin.journal import check_whole, open_journal
from admin.parallel import cores, on_processes
from admin.refold import HELD_BYTES_MAX
from admin.verify.differences import Difference, subject_text
from admin.verify.partition import (
    SQL,
    PartitionResult,
    PartitionTask,
    fingerprint,
    verify_partition,
)
from infra.postgres import connect, database_errors
from infra.settings import Settings
from infra.sql import Queries, load_queries
from privacy.keys import Keyring
from schemas.errors import DataLost
from schemas.topics import JOURNAL
from stores import generations
from stores.cache import Cache
from stores.generations import schema_name
from stores.tally import COUNTERS

ORPHAN_SECONDS: Final = 2.0
"""A cached fan whom Postgres does not know for so long is not one being erased."""
UNCLAIMED: Final[dict[str, Any]] = {
    "next": 0,
    "erasures": 0,
    "sources": [],
    **dict.fromkeys(COUNTERS, 0),
}

__all__ = ["Difference", "Report", "verify"]


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
    looked_again: int
    spilled: int
    applied: int
    duplicates: int
    repeats: int
    forgotten: int
    quarantined: int
    unprojected: int
    """Journal records beyond the positions: the pipeline's lag at that moment."""
    seconds: float
    sample: int | None
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
    reads every frame, but opens only what it needs. Raises `DataLost` when the journal does not
    hold what the positions say, `Misconfigured` when the live views are of another version, and
    what the stores raise when they don't answer.
    """
    started = time.perf_counter()
    async with open_journal(settings) as journal:
        connection = await connect(settings.postgres_url, command_timeout=600)
        try:
            async with database_errors(), connection.transaction(isolation="repeatable_read"):
                snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
                live = generations.require_version(await generations.live(connection)).number
                queries = load_queries(SQL, generation=schema_name(live))
                rows = {
                    row["partition"]: {**row}
                    for row in await connection.fetch(queries.positions, live, JOURNAL.name)
                }
                bounds = await journal.bounds()
                generations.require_partitions(len(bounds), settings.journal_partitions)
                check_whole(bounds, settings)
                chosen = None if sample is None else await _sample(connection, queries, sample)
                state_rows = await _counts(connection, queries.state_counts, len(bounds))
                history_rows = await _counts(connection, queries.history_counts)
                with tempfile.TemporaryDirectory(prefix="fanmemory-verify-") as folder:
                    tasks = [
                        PartitionTask(
                            settings,
                            snapshot,
                            live,
                            partition,
                            len(bounds),
                            rows.get(partition, UNCLAIMED),
                            bounds[partition].first,
                            Path(folder),
                            chosen,
                            held_bytes_max,
                        )
                        for partition in bounds
                    ]
                    for task in tasks:
                        if bounds[task.partition].end < task.row["next"]:
                            raise DataLost(
                                f"Partition {task.partition} of the journal ends before the"
                                " position that Postgres knows."
                            )
                    begin(sum(task.row["next"] for task in tasks))
                    results = await on_processes(
                        verify_partition, tasks, processes=processes or cores(), progress=progress
                    )
                if chosen is None:
                    for result in results:
                        await _unexplained(
                            connection, queries, result, len(bounds), state_rows, history_rows
                        )
        finally:
            await connection.close()
    orphans = [] if sample is not None else await _orphans(settings, queries)
    return Report(
        generation=live,
        partitions=len(bounds),
        records=sum(result.records for result in results),
        fans=sum(result.fans for result in results),
        events=sum(result.events for result in results),
        cached=sum(result.cached for result in results),
        looked_again=sum(result.looked_again for result in results),
        spilled=sum(result.spilled for result in results),
        **{name: sum(getattr(result.tally, name) for result in results) for name in COUNTERS},
        unprojected=sum(
            bound.end - rows.get(partition, UNCLAIMED)["next"]
            for partition, bound in bounds.items()
        ),
        seconds=round(time.perf_counter() - started, 3),
        sample=sample,
        found=sum(result.found for result in results) + len(orphans),
        differences=(*(one for result in results for one in result.differences), *orphans),
    )


async def _sample(connection: Any, queries: Queries, size: int) -> frozenset[bytes]:
    rows = await connection.fetch(queries.sample_subjects, size)
    return frozenset(row["subject"] for row in rows)


async def _counts(connection: Any, query: str, *arguments: int) -> dict[int, int]:
    rows = await connection.fetch(query, *arguments)
    return {row["partition"]: row["rows"] for row in rows}


async def _unexplained(
    connection: Any,
    queries: Queries,
    result: PartitionResult,
    partitions: int,
    state_rows: dict[int, int],
    history_rows: dict[int, int],
) -> None:
    """Rows of fans of whom the journal has nothing: only looked for when there are too many."""
    partition = result.partition
    folded = set(result.fingerprints)
    if state_rows.get(partition, 0) != result.state_rows:
        rows = connection.cursor(queries.state_subjects, partitions, partition)
        result.add(await _strangers("state", partition, rows, folded))
    if history_rows.get(partition, 0) != result.history_rows:
        rows = connection.cursor(queries.history_subjects, partition)
        result.add(await _strangers("history", partition, rows, folded))


async def _strangers(
    where: Any, partition: int, rows: AsyncIterator[Any], folded: set[int]
) -> list[Difference]:
    found = [
        Difference(where, partition, subject_text(row["subject"]), "(not in the journal)")
        async for row in rows
        if fingerprint(row["subject"]) not in folded
    ]
    return found or [Difference(where, partition, "", "(rows in the wrong partition)")]


async def _orphans(settings: Settings, queries: Queries) -> list[Difference]:
    """Cached fans whom nobody remembers: they were erased, or never were."""
    keyring = Keyring.parse(settings.keyring.get_secret_value())
    cache = Cache(settings.redis_url, keyring, ttl_seconds=settings.cache_ttl_seconds, timeout=10)
    connection = await connect(settings.postgres_url)
    try:
        suspects: dict[bytes, bytes] = {}
        async for pairs in cache.subjects():
            known = await _existing(connection, queries, [subject for _, subject in pairs])
            suspects |= {name: subject for name, subject in pairs if subject not in known}
        if not suspects:
            return []
        await asyncio.sleep(ORPHAN_SECONDS)
        known = await _existing(connection, queries, list(suspects.values()))
        return [
            Difference("cache", -1, subject_text(subject), "(nobody is remembered)")
            for name, subject in suspects.items()
            if subject not in known and await cache.holds(name)
        ]
    finally:
        await connection.close()
        await cache.close()


async def _existing(connection: Any, queries: Queries, subjects: Sequence[bytes]) -> set[bytes]:
    async with database_errors():
        rows = await connection.fetch(queries.existing_subjects, subjects)
    return {row["subject"] for row in rows}
