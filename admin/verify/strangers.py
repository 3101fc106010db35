"""What nothing accounts for: rows and cached entries of fans of whom the journal has nothing, and
subjects of the journal without a row, though they were not erased."""

import asyncio
from collections.abc import AsyncIterable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

from admin.places import Places
from admin.verify.differences import Difference, Where, subject_text
from admin.verify.partition import PartitionResult, fingerprint
from infra.postgres import Connection, Record, connecting, database_errors
from infra.settings import Settings
from infra.sql import Queries
from privacy.subjects import journal_partition
from stores.cache import Cache

ORPHAN_SECONDS: Final = 2.0
"""A cached fan whom Postgres does not know for so long is not one being erased."""
ERASED: Final = "(erased, says the ledger)"
GONE: Final = "(neither remembered nor erased)"


def subjects_gone(
    results: Iterable[PartitionResult],
    rows: Mapping[int, Any],
    living: Places,
    erased: Container[bytes],
    counts: Mapping[int, int],
) -> list[Difference]:
    """Subjects of the journal without a row, as far as no erasure explains them.

    An erasure deletes one subject, counts one on its partition's row, and remembers which
    (`erased`). Of a partition as many can be gone besides as its row counts and nobody remembers:
    `counts` are those that are. Whose events stand in the journal once more, under a subject that
    exists, was lost when the database was restored, and has been written again.
    """
    found: list[Difference] = []
    for result in results:
        counted = rows[result.partition]["erasures"]
        erasures = max(0, counted - counts.get(result.partition, 0))
        lost = [
            subject
            for subject, place in result.gone.items()
            if place not in living and subject not in erased
        ]
        if len(lost) <= erasures:
            continue
        if erasures:
            found.append(
                Difference("subject", result.partition, "", GONE, erasures, len(lost)),
            )
        else:
            found += [
                Difference("subject", result.partition, subject_text(one), GONE)
                for one in sorted(lost)
            ]
    return found


def still_there(subjects: Iterable[bytes], partitions: int) -> list[Difference]:
    """Whom the ledger says to be erased, and who is there."""
    return [
        Difference("subject", journal_partition(one, partitions), subject_text(one), ERASED)
        for one in subjects
    ]


async def unexplained_rows(
    connection: Connection, queries: Queries, results: Sequence[PartitionResult], partitions: int
) -> None:
    """Add rows of fans of whom the journal has nothing: only looked for when there are too many."""
    state_rows = await _counts(connection, queries.state_counts, partitions)
    history_rows = await _counts(connection, queries.history_counts)
    for result in results:
        partition, folded = result.partition, set(result.fingerprints)
        if state_rows.get(partition, 0) != result.state_rows:
            rows = connection.cursor(queries.state_subjects, partitions, partition)
            result.add(await _strangers("state", partition, rows, folded))
        if history_rows.get(partition, 0) != result.history_rows:
            rows = connection.cursor(queries.history_subjects, partition)
            result.add(await _strangers("history", partition, rows, folded))


async def _counts(connection: Connection, query: str, *arguments: int) -> dict[int, int]:
    rows = await connection.fetch(query, *arguments)
    return {row["partition"]: row["rows"] for row in rows}


async def _strangers(
    where: Where, partition: int, rows: AsyncIterable[Record], folded: set[int]
) -> list[Difference]:
    found = [
        Difference(where, partition, subject_text(row["subject"]), "(not in the journal)")
        async for row in rows
        if fingerprint(row["subject"]) not in folded
    ]
    return found or [Difference(where, partition, "", "(rows in the wrong partition)")]


async def orphans(settings: Settings, queries: Queries, cache: Cache) -> list[Difference]:
    """Cached fans of whom nothing is remembered: they were erased, or never existed."""
    async with connecting(settings.postgres_url) as connection:
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


async def _existing(
    connection: Connection, queries: Queries, subjects: Sequence[bytes]
) -> set[bytes]:
    async with database_errors():
        rows = await connection.fetch(queries.existing_subjects, subjects)
    return {row["subject"] for row in rows}
