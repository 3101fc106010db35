"""What was told: whether every fan's last move is on `memory-updates`, or waits in the outbox.

A record of the outbox that got lost leaves nothing in Postgres that could be missed. But each fan's
state has a version, and the update that tells of it is on its topic for as long as that keeps it:
so of each fan who moved since the oldest update that the fan's partition still has, there must be
an update of that version. Of a partition of the topic that holds nothing, nothing is asked: no one
could tell records that were lost from a topic that was recreated.

The states and the outbox are read in one snapshot, and the topic after it: what is no longer in the
outbox then is on the topic.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from admin.journal import Bounds, Journal, open_journal
from admin.verify.differences import Difference, subject_text
from infra.kafka import partition_of, relationship_key
from infra.postgres import Connection
from infra.settings import Settings
from infra.sql import load_queries
from privacy.subjects import journal_partition
from schemas.errors import InvalidInput
from schemas.positions import parse_position
from schemas.topics import MEMORY_UPDATES
from schemas.updates import MemoryMove, decode_update
from stores import outbox
from stores.generations import schema_name

SQL: Final = Path(__file__).with_name("told.sql")
NOT_TOLD: Final = "(its last move is neither told nor in the outbox)"
_decode_move: Final = msgspec.json.Decoder(MemoryMove).decode

Versions = dict[tuple[str, str], int]


async def told_differences(
    connection: Connection,
    settings: Settings,
    generation: int,
    journal: Journal,
    chosen: frozenset[bytes] | None,
) -> list[Difference]:
    """Of the chosen fans, or of all. Raises `BrokerUnavailable`, `DatabaseUnavailable`."""
    queries = load_queries(SQL, generation=schema_name(generation))
    waiting: dict[bytes, int] = {}
    async for one in outbox.unpublished(connection, MEMORY_UPDATES.name):
        if one.subject is not None:
            version = _version(_decode_move(one.value).version)
            waiting[one.subject] = max(version, waiting.get(one.subject, 0))
    told, oldest = await _read_updates(settings)
    # Updates' partition -> journal partition -> from where on a move must have been told.
    partitions = range(settings.journal_partitions)
    asked = {
        each: await journal.offsets_at(time, partitions) for each, time in oldest.items() if time
    }
    found = []
    async for row in connection.cursor(queries.states):
        who = (row["creator_id"], row["fan_id"])
        subject, version = row["subject"], row["version"]
        known = max(told.get(who, 0), waiting.get(subject, 0))
        if known >= version or (chosen is not None and subject not in chosen):
            continue
        updates = partition_of(relationship_key(*who), len(oldest))
        partition = journal_partition(subject, settings.journal_partitions)
        since = asked.get(updates, {}).get(partition)
        if since is not None and version > since:
            named = subject_text(subject)
            found.append(Difference("outbox", partition, named, NOT_TOLD, version, known))
    return found


async def _read_updates(settings: Settings) -> tuple[Versions, Mapping[int, int]]:
    """(newest version told of each fan, time of the oldest update of each partition or 0)."""
    told: Versions = {}
    oldest: dict[int, int] = {}
    async with open_journal(settings, MEMORY_UPDATES.name) as updates:
        bounds: dict[int, Bounds] = await updates.bounds()
        for partition, (first, end) in bounds.items():
            oldest[partition] = 0
            async for raws in updates.read(partition, first, end):
                for raw in raws:
                    oldest[partition] = oldest[partition] or raw.timestamp
                    try:
                        update = decode_update(raw.value)
                        if update.erased:
                            continue
                        version = _version(update.version)
                    except (msgspec.DecodeError, InvalidInput):
                        continue  # nothing that a worker wrote
                    who = (update.creator_id, update.fan_id)
                    told[who] = max(version, told.get(who, 0))
    return told, oldest


def _version(position: str) -> int:
    return parse_position(position).offset + 1
