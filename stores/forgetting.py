"""Forgetting some events of a fan: the fan moves to a new subject without them.

In order among the events, in the transaction in which ingest moves past the order (`take`); what a
crash costs is in brackets:

1. The rows of the fan's journal partition are held, in every generation: the live views have all
   that ingest knows to be there, and nobody folds meanwhile. [all of it is rolled back]
2. The history is read, and sealed again for a new subject of the same partition (`stores.moving`).
3. It is appended to the journal, acknowledged. [records of a subject whom nobody knows: they are
   passed by, and the next attempt writes others]
4. The old subject goes, with its key, its rows and its quarantine; the new one gets the history,
   at the places that the journal gave it, and the state that a rebuild would fold from there.

So whoever reads the journal from its beginning finds an old subject that was erased, and a new one
like any other. Ingest waits in 1 for the live views, a moment at most: else it moves past the
order, which is given again. What it sends for this fan later stands behind the move, and is sealed
for the new subject. That holds for a fan whose events come by one partition of `interactions`, as
the key of the contract has it.

Outside Postgres (the order, the ledger, the cache) a forgetting is carried on as an erasure is
(`stores.erasing`). The ledger says which events of the old subject they were: a database that was
restored has that subject again, so `hide` takes them out of the views, and the order is given once
more.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.clock import now_ms
from infra.failpoints import fail_point
from infra.postgres import Connection, Executor, Pool, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from privacy import subjects as mapping
from privacy.keys import Keyring
from privacy.seal import seal_entry, text_keys
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.control import Forget, Order, decode_control, encode_control
from schemas.erased import EVENTS, Erased, encode_erased
from schemas.errors import Misconfigured, SealBroken
from schemas.journal import JournalEntry, forgotten, is_forgotten
from schemas.positions import Position
from schemas.random_ids import id_text
from schemas.relationship import Relationship
from schemas.times import render_time
from schemas.topics import INTERACTIONS, JOURNAL
from stores import corrections, generations, history, outbox, quarantine, refused, states
from stores.attempts import Risk
from stores.cache import Cache
from stores.erasing import Requests
from stores.erasure import ERASURE_SQL, REQUESTS, Names, Status
from stores.folding import FramedBatch, fold_whole
from stores.moving import Boundaries, Moved, move, place_of
from stores.record import OpenedRecord
from stores.refolding import Limits
from stores.tally import Tally
from stores.workflows import erasing as workflows
from views import engagement
from views.state import moved as moved_views

FORGETTING_SQL: Final = load_queries(
    Path(__file__).parent / "sql" / "forgetting.sql",
    REQUESTS,
    requests="forgetting",
    deleted="requested_at",
)

Append = Callable[[int, Sequence[tuple[bytes, bytes]]], Awaitable[list[int]]]
"""Append (key, value) to a partition of the journal; the offset of each."""


class NotNow(Exception):
    """The fan can't move now: the order has to be given again."""


class Taken(NamedTuple):
    """What `take` did."""

    fresh: bool
    """False: the order has been taken before, and nothing was changed."""
    events: int
    """Forgotten just now."""


@dataclass(frozen=True, slots=True)
class Mover:
    """What is needed to move a fan."""

    keyring: Keyring
    names: Names
    partitions: int
    """Of the journal."""
    limits: Limits
    append: Append

    async def take(
        self,
        connection: Connection,
        order: Forget,
        place: Position,
        logs: Boundaries,
        risk: Risk,
    ) -> Taken:
        """Do what an order says, in the transaction in which ingest moves past it.

        Raises `NotNow`; then the transaction has to be rolled back.
        """
        hidden = await connection.fetchval(FORGETTING_SQL.take, *_met(self.names, order, place))
        if hidden is None:
            return Taken(False, 0)
        live = await generations.lock_live(connection)
        if live is None:
            raise NotNow
        try:
            generations.require_version(live)
            old = await self._held(connection, order.who)
        except (Misconfigured, SealBroken):
            raise NotNow from None
        if old is None:
            return Taken(True, 0)
        partition = journal_partition(old.id, self.partitions)
        new = mapping.successor(self.keyring, old, self.partitions)
        rows = await history.read(connection, [old.id])
        # In a thread: thousands of entries take tens of milliseconds.
        async with risk():
            moved = await asyncio.to_thread(move, rows, partition, old, new, order, logs)
        if not moved.forgotten and not hidden:
            return Taken(True, 0)
        offsets = await self.append(partition, moved.records) if moved.records else []
        fail_point("ingest.before_forget")
        await self._leave(connection, old, new, order, moved)
        if moved.records:
            await self._arrive(connection, live.number, new, moved.placed(offsets), risk)
        await connection.execute(FORGETTING_SQL.drop_again, [_id(order)])
        fail_point("projection.after_forget")
        return Taken(True, len(moved.forgotten))

    async def _held(self, connection: Connection, who: Relationship) -> Subject | None:
        """The fan, whose journal partition stands still from here on."""
        id = await connection.fetchval(ERASURE_SQL.find_subject, *who)
        if id is None:
            return None
        partition = journal_partition(id, self.partitions)
        await connection.execute(FORGETTING_SQL.hold, JOURNAL.name, partition)
        if not await is_folded(connection, partition):
            raise NotNow
        old = (await Subjects(self.keyring, 1).find(connection, [who])).get(who)
        if old is not None and old.id != id:
            raise NotNow
        return old

    async def _leave(
        self, connection: Connection, old: Subject, new: Subject, order: Forget, moved: Moved
    ) -> None:
        partition = journal_partition(old.id, self.partitions)
        await connection.execute(ERASURE_SQL.fence, JOURNAL.name, [partition])
        if moved.records:
            await mapping.replace(connection, self.keyring, old, new)
            await workflows.move(connection, old.id, new.id)
        else:
            await connection.execute(ERASURE_SQL.delete_subjects, [old.id])
            await workflows.erase(connection, [old.id])
        deleted = 0
        for each in await generations.all_generations(connection):
            deleted += len(await states.delete(connection, each.number, [old.id]))
        await history.delete(connection, [old.id])
        aside = (await quarantine.delete(connection, [old.id])).get(old.id, 0)
        await refused.forget(connection, self.names.refused, [order.who])
        await outbox.forget(connection, [old.id])
        told = _ledger(order, old.id, new.id if moved.records else None, moved)
        row = old.id, _id(order), deleted, len(moved.forgotten), aside, told
        await connection.execute(FORGETTING_SQL.took, *row)

    async def _arrive(
        self,
        connection: Connection,
        generation: int,
        new: Subject,
        opened: Sequence[OpenedRecord],
        risk: Risk,
    ) -> None:
        await history.insert(connection, history.history_rows(opened))
        framed = FramedBatch(tallies={opened[0].partition: Tally()})
        async with risk():
            folded = await asyncio.to_thread(fold_whole, opened, self.limits, framed)
        await _write(connection, generation, framed, folded, new)
        await outbox.write(
            connection,
            [
                outbox.moved(
                    new.id,
                    opened[0].partition,
                    fan.version,
                    moved_views((), first=True),
                    engagement.score(fan.state.engagement, fan.opened[-1].entry.time),
                    fan.opened[-1].entry.time,
                )
                for fan in folded
            ],
        )


async def _write(
    connection: Connection,
    generation: int,
    framed: FramedBatch,
    folded: Sequence[Any],
    fan: Subject,
) -> None:
    """Write what a whole history was folded to, and what its rows must say."""
    rows = states.state_rows(folded, {fan.id: fan}, generation)
    await states.write(connection, generation, rows)
    if framed.columns:
        known = await history.read(connection, [fan.id])
        changes = corrections.changed(known, framed.columns)
        await history.correct_columns(connection, changes)
    await quarantine.insert(connection, framed.quarantined)


async def is_folded(connection: Executor, partition: int) -> bool:
    """Whether the live views have all that ingest knows to be in this partition of the journal."""
    written = await connection.fetchval(FORGETTING_SQL.written, INTERACTIONS.name, partition)
    folded = await connection.fetchval(FORGETTING_SQL.folded, JOURNAL.name, partition)
    return bool(folded >= written)


async def partition_of(connection: Executor, who: Relationship, partitions: int) -> int | None:
    """In which partition of the journal a fan is; None for somebody unknown."""
    id = await connection.fetchval(ERASURE_SQL.find_subject, *who)
    return None if id is None else journal_partition(id, partitions)


async def postpone(connection: Connection, names: Names, order: Forget, place: Position) -> None:
    """Remember that an order was met and not done, in the transaction that moves past it."""
    await connection.execute(FORGETTING_SQL.postpone, *_met(names, order, place))


async def hide(
    connection: Connection, keyring: Keyring, partitions: int, limits: Limits, erased: Erased
) -> bool:
    """Take out of the views what the ledger says to be forgotten of a subject whom a restored
    database has again, in one transaction, and let the order be given again.

    False when there is no such subject. Raises `SealBroken` when its key does not open.
    """
    id = uuid.UUID(erased.subject).bytes
    partition = journal_partition(id, partitions)
    async with connection.transaction():
        live = generations.require_live(await generations.lock_live(connection))
        await connection.execute(ERASURE_SQL.fence, JOURNAL.name, [partition])
        fan = (await Subjects(keyring, 1).lookup(connection, [id])).get(id)
        if fan is None:
            return False
        opened = await _opened(connection, fan)
        places = set(erased.places)
        keys = {bytes.fromhex(key) for key in erased.events} | {
            one.event_key for one in opened if place_of(one.entry) in places
        }
        buried = [_buried(one, fan) for one in opened if one.event_key in keys]
        # What this database has not folded yet, is known when it comes.
        unknown = keys - {one.event_key for one in buried}
        nothing = JournalEntry(event_id="", kind="delete", time=0)
        buried += [
            _buried(OpenedRecord(partition, -1, id, key, b"", nothing), fan)
            for key in sorted(unknown)
        ]
        await history.bury(connection, history.history_rows(buried))
        before = erased.before or 0
        old = [
            one.event_key
            for one in opened
            if one.entry.time < before and not is_forgotten(one.entry)
        ]
        await history.remove(connection, id, old)
        framed = FramedBatch(tallies={partition: Tally()})
        left = await _opened(connection, fan)
        folded = await asyncio.to_thread(fold_whole, left, limits, framed)
        if not left:
            await states.delete(connection, live.number, [id])
        await _write(connection, live.number, framed, folded, fan)
        order = Forget(
            *(fan.creator_id, fan.fan_id, erased.erasure),
            before=erased.before,
            places=erased.places,
        )
        row = _request(Names(keyring), order)
        await connection.execute(FORGETTING_SQL.begin_again, *row)
    return True


async def _opened(connection: Connection, fan: Subject) -> list[OpenedRecord]:
    rows = await history.read(connection, [fan.id])
    return [one for row in rows if (one := corrections.opened(row, fan)) is not None]


def _buried(one: OpenedRecord, fan: Subject) -> OpenedRecord:
    entry = one.entry if is_forgotten(one.entry) else forgotten(one.entry)
    body = seal_entry(fan.cipher, fan.id, one.event_key, entry)
    return one._replace(entry=entry, body=body)


class Forgetter(Requests):
    """Whoever is asked to forget uses `forget`; workers `run` it."""

    _sql = FORGETTING_SQL
    _lock = 0x66616E666F  # "fanfo"

    def __init__(self, settings: Settings, pool: Pool, cache: Cache, keyring: Keyring) -> None:
        super().__init__(settings, pool, cache, keyring)
        self._subjects = Subjects(keyring, 1)

    async def forget(
        self,
        who: Relationship,
        event_ids: Sequence[str] = (),
        seconds: float = 0.0,
        *,
        before: int | None = None,
    ) -> Status:
        """Forget these messages of a fan, or all that happened before a time; how far that has got
        when it is complete, or after so many seconds.

        Raises `DatabaseUnavailable`: then it may have begun, or not.
        """
        order = Forget(*who, str(uuid.uuid4()), tuple(event_ids), before)
        async with database_errors():
            await self._pool.execute(FORGETTING_SQL.begin, *_request(self.names, order))
        self._carry_on([_id(order)])
        return await self._until_complete(_id(order), seconds)

    async def knows(self, who: Relationship, event_ids: Iterable[str]) -> set[str]:
        """Those of these messages and notes that a fan's history has, or had before they were
        forgotten.

        Raises `DatabaseUnavailable`, and `SealBroken` for a fan whose key does not open.
        """
        async with database_errors(), self._pool.acquire() as connection:
            fan = (await self._subjects.find(connection, [who])).get(who)
            if fan is None:
                return set()
            keys = {key: id for id in event_ids for key in text_keys(fan.key, id)}
            return {keys[key] for key in await history.holds(connection, fan.id, list(keys))}

    def _meant(self, row: Any, sealed: str) -> tuple[Order, Sequence[tuple[bytes, bytes | None]]]:
        unnoted = list(zip(row["unnoted"], row["ledger"], strict=True))
        return decode_control(sealed.encode()), unnoted


def _id(order: Forget) -> bytes:
    return uuid.UUID(order.forgetting_id).bytes


def _request(names: Names, order: Forget) -> tuple[bytes, str, str, bytes]:
    """(id, creator, key-encryption key, the order sealed)"""
    id = _id(order)
    return id, order.creator_id, *names.seal(id, encode_control(order).decode())


def _met(names: Names, order: Forget, place: Position) -> tuple[Any, ...]:
    return *_request(names, order), place.partition, place.offset


def _ledger(order: Forget, subject: bytes, successor: bytes | None, moved: Moved) -> bytes:
    """What the topic is to have: the events where they were named, else the time."""
    named = order.before is None
    return encode_erased(
        Erased(
            order.forgetting_id,
            id_text(subject),
            EVENTS,
            render_time(now_ms()),
            tuple(key.hex() for key in moved.forgotten) if named else (),
            order.before,
            tuple(moved.places) if named else (),
            None if successor is None else id_text(successor),
        )
    )
