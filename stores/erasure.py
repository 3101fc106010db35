"""Erasures: deleting what is held of a relationship, in three steps, and how far each has got.

1. The request is written down (`begin`). [a crash costs nothing from here on: a worker deletes]
2. At once, one transaction (`delete`), in this order; what a crash costs is in brackets:
   a. the row of the request, so that nobody else does it at the same time, and ingest does not come
      to the order meanwhile;
   b. the fence of the subject's journal partition, in every generation: a batch that was opened
      before waits for us, or we for it, and then changes nothing; [all of it is rolled back]
   c. what of the fan was refused; the subject with its key, its states, history, quarantine; what
      this took, by random id.
3. In order, when ingest comes to the order among the events (`take`): whatever subject the
   relationship has by then, made of events that were on their way, in the transaction that moves
   ingest's position. An order counts once, so a copy of one changes nothing.

What lies outside Postgres (the order, the ledger, the cache) is `stores.erasing`'s. An erasure is
complete when ingest is past its order, the cache has confirmed to have forgotten, and the ledger
has every subject that was erased.

What `interactions` still holds of before the order may be read once more, when the journal has lost
its tail: `erased_before` says what of it is not to be written again.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from infra.postgres import Connection, Executor, Pool, database_errors
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import journal_partition
from schemas.answers import Waiting
from schemas.errors import DatabaseUnavailable, SealBroken
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.topics import JOURNAL
from stores import generations, history, outbox, quarantine, refused, states
from stores.refused import Marks
from stores.workflows import erasing as workflows

log = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent / "sql"
REQUESTS: Final = _FOLDER / "requests.sql"
"""Queries of both kinds of requests: `requests` is the kind's table, `deleted` a column of it."""
ERASURE_SQL: Final = load_queries(
    _FOLDER / "erasure.sql", REQUESTS, requests="erasure", deleted="erased_at"
)
SUBJECTS_MAX: Final = 100
"""Looks of one transaction for new subjects of a fan: somebody makes them faster than we erase."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Names:
    """What stands for a relationship in the table: sealed, and as a keyed hash."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._secret = keyring.derive(b"erased fan")
        self.refused = Marks(keyring)

    def hashed(self, who: Relationship) -> bytes:
        return blake2b("\0".join(who).encode(), key=self._secret, digest_size=16).digest()

    def seal(self, erasure: bytes, fan_id: str) -> tuple[str, bytes]:
        return self._keyring.seal(fan_id.encode(), _CONTEXT + erasure)

    def open(self, erasure: bytes, kek: str, sealed: bytes) -> str:
        """Raises `SealBroken`."""
        return self._keyring.open(kek, sealed, _CONTEXT + erasure).decode()


_CONTEXT: Final = b"erasure\0"


@dataclass(frozen=True, slots=True)
class Status:
    """How far an erasure has got."""

    erasure: bytes
    creator_id: str
    requested_at: datetime
    deleted_at: datetime | None
    """Since when nothing has to be deleted any more before the order is given. Of a forgetting
    nothing ever has to be: from the beginning."""
    ordered_at: datetime | None
    taken_at: datetime | None
    """When ingest was past the order."""
    completed_at: datetime | None
    dropped: bool
    """Whether the cache has confirmed."""
    noted: bool
    """Whether the ledger has it."""
    subjects: int
    """How many were erased: none, if nothing was held."""
    events: int

    @property
    def erased_at(self) -> datetime | None:
        """When everything that was held was deleted. Ingest does it where the order is there
        first."""
        return self.deleted_at or self.taken_at

    @property
    def waits_for(self) -> list[Waiting]:
        """What it is not completed for."""
        if self.completed_at is not None:
            return []
        waits: list[Waiting] = []
        if self.erased_at is None:
            waits.append("deletion")
        if self.ordered_at is None:
            waits.append("order")
        elif self.taken_at is None:
            waits.append("ingest")
        if not self.dropped:
            waits.append("cache")
        if not self.noted:
            waits.append("ledger")
        return waits


class Taken(NamedTuple):
    """One order that `take` has done."""

    who: Relationship
    place: Position
    held: bool
    """Whether its erasure has ever taken anybody."""
    complete: bool
    """Whether nothing is left to do for it."""


async def erase(pool: Pool, names: Names, partitions: int, who: Relationship) -> bytes:
    """Erase what is held of a relationship now; returns the erasure's id, under which it goes on.

    `partitions` are the journal's. Raises `DatabaseUnavailable`: then it may have begun, or not.
    """
    (id,) = await begin(pool, names, [who])
    await delete(pool, names, partitions, {id: who})
    return id


async def begin(pool: Pool, names: Names, wanted: Sequence[Relationship]) -> list[bytes]:
    """Write down that these are to be erased; the id of each. Whatever happens from here on, they
    are. Raises `DatabaseUnavailable`: then it has begun for all of them, or for none."""
    ids = [uuid.uuid4().bytes for _ in wanted]
    rows = [
        (id, who[0], names.hashed(who), *names.seal(id, who[1]))
        for id, who in zip(ids, wanted, strict=True)
    ]
    async with database_errors():
        await pool.execute(ERASURE_SQL.begin, *map(list, zip(*rows, strict=True)))
    return ids


async def delete(
    pool: Pool, names: Names, partitions: int, asked: Mapping[bytes, Relationship]
) -> list[bytes]:
    """Delete what is held of several, in one transaction; who is named twice is held for the first.

    `asked`: erasure -> whom. Returns those that nobody else has done or is doing. Raises
    `DatabaseUnavailable`: then nothing was deleted, or all.
    """
    async with database_errors(), pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(ERASURE_SQL.hold_unerased, list(asked))
        held = {row["erasure"] for row in rows}
        ours = [id for id in asked if id in held]
        if ours:
            wanted = _firsts((asked[id], id) for id in ours)
            await _erase_relationships(connection, names, partitions, wanted)
            await connection.execute(ERASURE_SQL.erased, ours)
    return ours


async def unerased(
    pool: Pool, names: Names, seconds: float, most: int
) -> dict[bytes, Relationship]:
    """Erasures for which nothing was deleted in so many seconds, and whom they name.

    Raises `DatabaseUnavailable`.
    """
    async with database_errors():
        rows = await pool.fetch(ERASURE_SQL.unerased, seconds, most)
    found = {}
    for row in rows:
        try:
            fan_id = names.open(row["erasure"], row["kek"], row["sealed"])
        except SealBroken as broken:
            log.error("an erasure can't begin: %s", broken)  # noqa: TRY400 # no trace needed
            continue
        found[row["erasure"]] = (row["creator_id"], fan_id)
    return found


async def take(
    connection: Connection,
    names: Names,
    partitions: int,
    orders: Sequence[tuple[Position, bytes, Relationship]],
) -> list[Taken]:
    """Do what orders say, (place, id, relationship), in the transaction in which ingest moves past
    them; returns those that had not been done before. All else of the transaction comes before."""
    met = _firsts((id, (who, place)) for place, id, who in orders)
    rows = [
        (id, who[0], names.hashed(who), *names.seal(id, who[1]), place.partition, place.offset)
        for id, (who, place) in met.items()
    ]
    columns = map(list, zip(*rows, strict=True))
    fresh = {
        row["erasure"]: row["held"] for row in await connection.fetch(ERASURE_SQL.take, *columns)
    }
    if not fresh:
        return []
    wanted = _firsts((who, id) for id, (who, _) in met.items() if id in fresh)
    erased = await _erase_relationships(connection, names, partitions, wanted)
    if erased:
        await connection.execute(ERASURE_SQL.drop_again, sorted(erased))
    done = await connection.fetch(ERASURE_SQL.complete, sorted(fresh))
    complete = {row["erasure"] for row in done}
    return [Taken(*met[id], held or id in erased, id in complete) for id, held in fresh.items()]


def _firsts(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, Value]:
    """The first value of each key: who is erased twice at once is gone by the first."""
    found: dict[Key, Value] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


async def _erase_relationships(
    connection: Connection, names: Names, partitions: int, wanted: Mapping[Relationship, bytes]
) -> set[bytes]:
    """`wanted`: relationship -> its erasure; returns the erasures that took somebody."""
    await refused.forget(connection, names.refused, wanted)
    took: set[bytes] = set()
    left = list(wanted)
    for _ in range(SUBJECTS_MAX):
        rows = await connection.fetch(
            ERASURE_SQL.find_subjects, *map(list, zip(*left, strict=True))
        )
        found = {row["subject"]: (row["creator_id"], row["fan_id"]) for row in rows}
        if not found:
            return took
        gone = await erase_subjects(
            connection, {subject: wanted[who] for subject, who in found.items()}, partitions
        )
        took |= {wanted[found[subject]] for subject in gone}
        # Where somebody else was first there may be a new subject by now; not where we were: who
        # would make it waits for us.
        left = [who for subject, who in found.items() if subject not in gone]
        if not left:
            return took
    raise DatabaseUnavailable("A relationship is made again faster than it is erased.")


async def erase_subjects(
    connection: Connection,
    wanted: Mapping[bytes, bytes],
    partitions: int,
    *,
    noted: bool = False,
) -> set[bytes]:
    """Delete subjects (each with the erasure that takes it) and all that hangs on them, in the
    caller's transaction; returns those that were not gone already. `noted`: the ledger has them."""
    fenced = sorted({journal_partition(subject, partitions) for subject in wanted})
    await connection.execute(ERASURE_SQL.fence, JOURNAL.name, fenced)
    rows = await connection.fetch(ERASURE_SQL.delete_subjects, list(wanted))
    gone = [row["subject"] for row in rows]
    if not gone:
        return set()
    deleted: Counter[bytes] = Counter()
    for each in await generations.all_generations(connection):
        deleted.update(await states.delete(connection, each.number, gone))
    events = await history.delete(connection, gone)
    aside = await quarantine.delete(connection, gone)
    await workflows.erase(connection, gone)
    await outbox.forget(connection, gone)
    took = [(one, wanted[one], deleted[one], events.get(one, 0), aside.get(one, 0)) for one in gone]
    await connection.execute(ERASURE_SQL.took, *map(list, zip(*took, strict=True)), noted)
    return set(gone)


async def forget_rows(connection: Connection, subjects: Sequence[bytes]) -> None:
    """Delete history and quarantine of those of these who are no more, in the caller's transaction:
    a rebuild had opened them before."""
    await connection.execute(ERASURE_SQL.forget_history, subjects)
    await connection.execute(ERASURE_SQL.forget_quarantine, subjects)


async def erased_before(
    connection: Executor, names: Names, wanted: Iterable[Relationship]
) -> dict[tuple[Relationship, int], int]:
    """(relationship, partition of `interactions`) -> offset of its newest order there."""
    hashes = {names.hashed(who): who for who in wanted}
    rows = await connection.fetch(ERASURE_SQL.taken_of, list(hashes))
    return {(hashes[row["relationship"]], row["partition"]): row["offset"] for row in rows}


async def erased_among(connection: Executor, subjects: Sequence[bytes]) -> set[bytes]:
    """Those of these subjects that were erased."""
    rows = await connection.fetch(ERASURE_SQL.erased_among, subjects)
    return {row["subject"] for row in rows}


async def erased_counts(connection: Executor, partitions: int) -> dict[int, int]:
    """Journal partition -> subjects of it that were erased."""
    rows = await connection.fetch(ERASURE_SQL.erased_counts, partitions)
    return {row["partition"]: row["subjects"] for row in rows}


async def existing(connection: Executor, subjects: Sequence[bytes]) -> list[bytes]:
    """Those of these subjects that there are."""
    return [row["subject"] for row in await connection.fetch(ERASURE_SQL.existing, subjects)]


async def erase_again(
    connection: Connection, names: Names, partitions: int, subject: bytes
) -> None:
    """Erase one whom the ledger says to be erased, in a transaction; the cache forgets by and by.

    It counts as an erasure of its own, without an order: the one that was given then is still to be
    met, if this database has not come to it yet.
    """
    id = uuid.uuid4().bytes
    async with connection.transaction():
        row = await connection.fetchrow(ERASURE_SQL.who_is, subject)
        if row is None:
            return
        who = (row["creator_id"], row["fan_id"])
        sealed = names.seal(id, who[1])
        await connection.execute(ERASURE_SQL.begin_again, id, who[0], names.hashed(who), *sealed)
        await refused.forget(connection, names.refused, [who])
        await erase_subjects(connection, {subject: id}, partitions, noted=True)


async def ledger_positions(connection: Executor) -> dict[int, int]:
    """Partition of the ledger -> how far it was applied to this database."""
    rows = await connection.fetch(ERASURE_SQL.ledger_positions)
    return {row["partition"]: row["next"] for row in rows}


async def move_ledger(connection: Executor, nexts: Mapping[int, int]) -> None:
    """It was applied up to there."""
    await connection.execute(ERASURE_SQL.move_ledger, list(nexts), list(nexts.values()))
