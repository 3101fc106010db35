"""The readers' side of Postgres: one fan's memory, its history, and how far the views have got."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import (
    InvalidSchemaNameError,
    Pool,
    Record,
    UndefinedTableError,
    database_errors,
)
from privacy.keys import Keyring, is_bound
from privacy.seal import open_entry
from privacy.subjects import journal_partition
from schemas.errors import DatabaseUnavailable, InvalidInput
from schemas.journal import JournalEntry
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS, JOURNAL
from stores import generations, letters, log_breaks, outbox, refused, wall
from stores.positions import POSITION_SQL
from stores.queries import memory_queries
from stores.refused import Marks, Refused
from stores.sealing import open_state
from stores.snapshot import Fragment, SealedSnapshot, Snapshot, key_of, open_snapshot
from views.facts import TELLING_MAX
from views.messages import INDIRECT_MAX, MESSAGES_MAX
from views.notes import NOTES_MAX
from views.state import VIEW_VERSION

SWITCHES_MAX: Final = 3
"""Of generations, while something is read."""
_TOPICS: Final = frozenset((INTERACTIONS.name, JOURNAL.name))
HISTORY_BYTES_MAX: Final = 1 << 26
"""For callers that know what they ask; the API has a setting."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One position row, for people and metrics."""

    generation: int
    topic: str
    partition: int
    next: int
    sources: tuple[int, ...]
    accepted: int
    dead_letters: int
    control: int
    """Orders among the events of `interactions`."""
    applied: int
    duplicates: int
    repeats: int
    forgotten: int
    quarantined: int
    conflicts: int
    suppressed: int
    moved_ms: int
    """When the row last moved, ms since the epoch."""


class Store:
    """Reads from Postgres. Every method raises `DatabaseUnavailable` when it does not answer."""

    def __init__(self, pool: Pool, keyring: Keyring, journal_partitions: int) -> None:
        self._pool = pool
        self._keyring = keyring
        self._partitions = journal_partitions
        self._marks = Marks(keyring)
        self._generation = 0

    async def stored(self, creator_id: str, fan_id: str) -> SealedSnapshot | None:
        """One consistent version of a fan's memory, sealed; None for an unknown fan.

        Of whom nothing stands any more is not known before it is opened."""
        found = await self.stored_several(creator_id, [fan_id])
        return found[fan_id]() if found else None

    async def stored_several(
        self, creator_id: str, fan_ids: Sequence[str]
    ) -> dict[str, Callable[[], SealedSnapshot]]:
        """The same of several fans of one creator by one statement; nothing of unknown ones.

        A memory is had by calling what stands for its fan, which raises `SealBroken` for one whose
        key is not its own: that says nothing about the others.
        """

        async def read(generation: int) -> list[Record]:
            return await wall.fetch(
                self._pool,
                memory_queries(generation).read_fans,
                creator_id,
                creator_id,
                fan_ids,
                MESSAGES_MAX,
                VIEW_VERSION,
                INDIRECT_MAX,
                NOTES_MAX,
                TELLING_MAX,
            )

        return {
            row["fan_id"]: partial(self._row, row, (creator_id, row["fan_id"]))
            for row in await self.of_one_generation(read)
        }

    async def read(self, creator_id: str, fan_id: str) -> Snapshot | None:
        """The same, opened."""
        stored = await self.stored(creator_id, fan_id)
        if stored is None:
            return None
        return open_snapshot(stored, (creator_id, fan_id), self._keyring)

    def state(self, row: Record, who: Relationship, generation: int) -> bytes:
        """The document of a state in that generation, of a row that has the fan's key too.

        Raises `SealBroken` when it is not this relationship's, or was altered."""
        cipher = AESGCM(key_of(row, who, self._keyring))
        return open_state(cipher, row["subject"], generation, row["state"])

    async def live_generation(self) -> int:
        async with database_errors():
            return generations.require_live(await generations.live(self._pool)).number

    async def generation(self) -> int:
        """The generation that was read last; whoever reads it asks whether it is still readable."""
        return self._generation or await self.choose_generation()

    async def choose_generation(self) -> int:
        """The generation that this code can read, now."""
        found = await generations.readable(self._pool, VIEW_VERSION)
        if found.status != "live":
            log.error(
                "the live views are of another version than this code reads: it answers from the"
                " former ones, as they stood at the switch; replace it",
                extra={"operation": "readGeneration"},
            )
        self._generation = found.number
        return self._generation

    async def of_one_generation(
        self, read: Callable[[int], Awaitable[list[Record]]]
    ) -> list[Record]:
        """What `read` gives of a generation that could still be read when that was done.

        Its rows say in `readable` which one can be. When a rebuild switches generations meanwhile,
        or drops the former one, it is read again from the new one. Raises `DatabaseUnavailable`.
        """
        async with database_errors():
            for _ in range(SWITCHES_MAX):
                generation = await self.generation()
                rows: list[Record] = []
                dropped = True
                with contextlib.suppress(UndefinedTableError, InvalidSchemaNameError):
                    rows = await read(generation)
                    dropped = False
                if rows and rows[0]["readable"] == generation:
                    return rows
                if await self.choose_generation() == generation and not rows and not dropped:
                    return []
        raise DatabaseUnavailable("The generation changed while reading.")

    async def reached(self, creator_id: str, fan_id: str, position: Position) -> bool:
        """Whether what was accepted at `position` is in this fan's views."""
        return bool(await self.reached_several(creator_id, {fan_id: position}))

    async def reached_several(
        self, creator_id: str, positions: Mapping[str, Position]
    ) -> list[str]:
        """Those of these fans whose views contain what was accepted at the fan's position, or what
        of theirs stands there in the journal."""
        wanted = {fan: one for fan, one in positions.items() if one.topic in _TOPICS}
        if not wanted:
            return []

        async def read(generation: int) -> list[Record]:
            return await wall.fetch(
                self._pool,
                memory_queries(generation).read_sources,
                creator_id,
                creator_id,
                list(wanted),
                JOURNAL.name,
                self._partitions,
                generation,
                VIEW_VERSION,
            )

        rows = await self.of_one_generation(read)
        return [row["fan_id"] for row in rows if _contain(row, wanted[row["fan_id"]])]

    async def refusal_at(self, who: Relationship, place: Position) -> Refused | None:
        """What of this fan was refused at a place of `interactions`."""
        async with database_errors():
            return await refused.at_place(self._pool, self._marks, who, place)

    async def partition_of(self, who: Relationship) -> int | None:
        """In which partition of the journal a fan is; None for somebody unknown."""
        async with database_errors():
            row = await wall.fetchrow(self._pool, memory_queries(1).find_subject, who[0], *who)
        return None if row is None else journal_partition(row["subject"], self._partitions)

    async def positions(self) -> list[PartitionStatus]:
        """Every partition of ingest and of the live generation."""
        async with database_errors():
            rows = await self._pool.fetch(POSITION_SQL.statuses)
        return [PartitionStatus(**{**row, "sources": tuple(row["sources"])}) for row in rows]

    async def stopped(self) -> list[log_breaks.Lost]:
        """Partitions that wait for their operator, since their log lacks something."""
        async with database_errors(), self._pool.acquire() as connection:
            return await log_breaks.stopped(connection)

    async def untold(self) -> list[outbox.Waiting]:
        """What of each topic is in the outbox: to be published, or refused for good."""
        async with database_errors():
            return await outbox.waiting(self._pool)

    async def dead_letters(self) -> dict[str, int]:
        """How many dead letters there have been, by the class of their reason."""
        async with database_errors():
            return await letters.counts(self._pool)

    async def history(
        self, creator_id: str, fan_id: str, entries_max: int, bytes_max: int = HISTORY_BYTES_MAX
    ) -> list[tuple[int, JournalEntry]]:
        """(journal offset, entry) of all of a fan's applied interactions, in log order, as they
        came: `views.corrections.as_corrected` says what stands of them.

        Raises `InvalidInput`, before anything of it is read, for a fan of more than `entries_max`
        or of more than `bytes_max` sealed bytes.
        """
        who = (creator_id, fan_id)
        queries = memory_queries(self._generation)
        async with database_errors(), self._pool.acquire() as connection:
            weighed = await wall.fetch(
                connection, queries.weigh_history, creator_id, *who, entries_max + 1
            )
            fan = weighed[0] if weighed else None
            if fan is None:
                return []
            if fan["entries"] > entries_max:
                raise InvalidInput("fanId", f"has more than {entries_max} interactions")
            if fan["bytes"] > bytes_max:
                raise InvalidInput("fanId", f"has more than {bytes_max} bytes of interactions")
            key = key_of(fan, who, self._keyring)
            rows = await wall.fetch(
                connection, queries.read_history, creator_id, fan["subject"], entries_max + 1
            )
        # In a thread: thousands of entries take tens of milliseconds.
        return await asyncio.to_thread(_opened, key, fan["subject"], rows)

    def _row(self, row: Record, who: Relationship) -> SealedSnapshot:
        kek, wrapped_key = row["kek"], row["wrapped_key"]
        if not is_bound(wrapped_key):
            # Until `fanmemory keys bind` has been run. What leaves Postgres is bound already.
            kek, wrapped_key = self._keyring.wrap(
                row["subject"], who, key_of(row, who, self._keyring)
            )
        found = {
            key: Fragment(time, offset, key, body, None if edit is None else (by, edit))
            for time, offset, key, body, by, edit in zip(
                row["times"] or (),
                row["offsets"] or (),
                row["event_keys"] or (),
                row["bodies"] or (),
                row["edits"] or (),
                row["edit_bodies"] or (),
                strict=True,
            )
        }
        fragments = sorted(found.values(), key=lambda one: (one.time, one.offset))
        return SealedSnapshot(
            row["subject"],
            kek,
            wrapped_key,
            journal_partition(row["subject"], self._partitions),
            row["readable"],
            row["version"],
            row["state"],
            fragments,
        )


def _contain(row: Record, position: Position) -> bool:
    """`sources`: the highest offset of each partition that the views have."""
    if position.topic == JOURNAL.name:
        return bool(row["partition"] == position.partition and row["next"] > position.offset)
    sources: Sequence[int] = row["sources"] or ()
    return len(sources) > position.partition and sources[position.partition] >= position.offset


def _opened(key: bytes, subject: bytes, rows: list[Any]) -> list[tuple[int, JournalEntry]]:
    cipher = AESGCM(key)
    found = [
        (row["offset"], open_entry(cipher, subject, row["event_key"], row["body"])) for row in rows
    ]
    found.sort(key=lambda one: one[0])
    return found
