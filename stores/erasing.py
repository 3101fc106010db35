"""Erasing outside Postgres: the ledger, the order, and the cache; each until it is confirmed.

An erasure is written down (`stores.erasure`) before anything else is done, so whoever asks can be
told where to ask again, however long the rest takes. In transactions of so many rows what is held
is deleted, short histories first: `Eraser` does it. What was deleted is carried on, in rounds; what
a crash after each step costs is in brackets:

1. The ledger (topic `erasures`) gets each erased subject: a restored database would not know it.
   [it is written again: the ledger is read as a set]
2. The order goes to `interactions`, behind what is on its way there. [it is given again, and counts
   once]
3. The cache forgets the fan, leases included. [it is told again]
4. One statement remembers what is done, and completes what nothing is left of. [done again]

Steps 1 and 2 need Kafka, 3 needs Redis: neither waits for the other. The process that was asked
does all of this at once, for its own (`Eraser.erase`), for all that were asked for meanwhile in one
round; what it can't do, or dies of, some worker finds within a second (what it has not deleted,
within `UNERASED_SECONDS` and one more), and tries each second until it is done. And each worker
makes the cache forget what it has not confirmed before it vouches for the cache (`drop_left`).
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from infra.clock import now_ms
from infra.failpoints import fail_point
from infra.kafka import partition_of, relationship_key
from infra.parts import bounded
from infra.postgres import Connection, Pool, database_errors
from infra.producer import BatchProducer, Delivery, Keyed
from infra.settings import Settings
from infra.sql import Queries
from infra.together import Together
from privacy.control import ControlSigner
from privacy.keys import Keyring
from schemas.control import Erase, Order, encode_control
from schemas.erased import KIND, Erased, encode_erased
from schemas.errors import (
    BrokerUnavailable,
    CacheUnavailable,
    DatabaseUnavailable,
    SealBroken,
)
from schemas.random_ids import id_text
from schemas.relationship import Relationship
from schemas.times import render_time
from schemas.topics import ERASURES, INTERACTIONS
from stores import erasure, history
from stores.cache import Cache
from stores.erasure import ERASURE_SQL, Names, Status

log = logging.getLogger(__name__)

ROUND_MAX: Final = 500
"""Erasures of one round."""
ROUND_SECONDS: Final = 0.05
"""From one round of whoever was asked to the next, at least: one alone does not wait, and 50 a
second cost little more than 20 would."""
UNERASED_MAX: Final = 1_000
"""Erasures that whoever was asked deletes for; what is beyond is the workers'."""
UNERASED_SECONDS: Final = 3.0
"""If nothing was deleted for an erasure by then, the workers do it, too."""
ERASED_MAX: Final = 50
"""Fans whose rows one transaction deletes: it holds the positions of their partitions."""
ERASED_ROWS_MAX: Final = 20_000
"""Rows of history of all these together, or of one fan: those partitions stand still while they are
deleted, about a second."""
POLL_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.03
"""Between two looks at what is over by now, for all who wait for something."""
SOON_SECONDS: Final = 0.008
"""The same while few do: it is a good part of what they wait for, and few looks cost little."""
FEW: Final = 4
DROP_SECONDS_MAX: Final = 1.0
"""Postgres may hang: the cache must not run out with it."""
BROKER_SECONDS_MAX: Final = 3.0
"""Of one round; the next one tries again."""


class _Unfinished(NamedTuple):
    """One erasure, and what is left to do for it."""

    id: bytes
    who: Relationship
    unordered: bool
    drops: int
    dropped: int
    unnoted: Sequence[tuple[bytes, bytes | None]]
    """(subject, what the ledger is to have of it, if that is known)"""
    order: Order


class _Awaited:
    """Somebody waits for the end of a request, until then at the most."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.until = 0.0
        self.status: Status | None = None
        """At the end; None: it is not known."""


class _Done(NamedTuple):
    """What a round has done."""

    noted: list[bytes]
    ordered: list[tuple[bytes, int, int]]
    dropped: list[tuple[bytes, int, bytes]]
    """(id, how often, the fan's name in the cache)"""


class Requests(ABC):
    """Carries on requests of one kind, erasures or forgettings. Belongs to one event loop."""

    _sql: Queries
    _lock: int
    """One worker at a time finishes what is left."""

    def __init__(self, settings: Settings, pool: Pool, cache: Cache, keyring: Keyring) -> None:
        self._settings = settings
        self._pool = pool
        self._cache = cache
        self.names = Names(keyring)
        self._signer = ControlSigner(keyring)
        self._producer = BatchProducer(settings, "fanmemory-erasures")
        self._woken = asyncio.Event()
        self._asked: set[bytes] = set()
        self._going_on: asyncio.Task[None] | None = None
        self._awaited: dict[bytes, _Awaited] = {}
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        await self._end(self._going_on, self._looking)
        await self._producer.stop()

    async def _end(self, *doing: asyncio.Task[None] | None) -> None:
        tasks = [task for task in doing if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Whoever was asked.

    def _carry_on(self, ids: Iterable[bytes]) -> None:
        """Do at once what can be done for requests."""
        self._asked.update(ids)
        if self._going_on is None or self._going_on.done():
            self._going_on = asyncio.create_task(self._go_on())

    async def status(self, id: bytes) -> Status | None:
        """How far one has got; None for one that was never asked for. Raises
        `DatabaseUnavailable`."""
        return (await self._statuses([id])).get(id)

    async def _statuses(self, ids: Sequence[bytes]) -> dict[bytes, Status]:
        async with database_errors():
            rows = await self._pool.fetch(self._sql.status, ids)
        return {row["erasure"]: Status(**row) for row in rows}

    async def _until_complete(self, id: bytes, seconds: float) -> Status:
        """How far one has got when it is complete, or after so many seconds."""
        awaited = self._awaited.setdefault(id, _Awaited())
        awaited.until = max(awaited.until, asyncio.get_running_loop().time() + seconds)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds):
                await awaited.over.wait()
        except TimeoutError:
            pass
        found = awaited.status or await self.status(id)
        if found is None:
            raise DatabaseUnavailable("The database has gone back, and lost the erasure.")
        return found

    async def _look(self) -> None:
        """Look for all at once, as long as anybody waits: however many they are, it costs the
        database the same."""
        clock = asyncio.get_running_loop().time
        while self._awaited:
            await asyncio.sleep(SOON_SECONDS if len(self._awaited) <= FEW else LOOK_SECONDS)
            ended: dict[bytes, Status] = {}
            try:
                async with database_errors():
                    rows = await self._pool.fetch(self._sql.over, list(self._awaited))
                over = {row["id"] for row in rows}
                if over:
                    ended = await self._statuses(list(over))
            except DatabaseUnavailable:
                over = set(self._awaited)  # each asks by itself, and says what is wrong
            now = clock()
            for id, awaited in list(self._awaited.items()):
                if id in over or now >= awaited.until:
                    awaited.status = ended.get(id)
                    awaited.over.set()
                    del self._awaited[id]

    async def _go_on(self) -> None:
        """One round for each that was asked for; what it leaves is the workers'."""
        clock = asyncio.get_running_loop().time
        while self._asked:
            began = clock()
            asked, self._asked = list(self._asked)[:ROUND_MAX], set(list(self._asked)[ROUND_MAX:])
            try:
                async with database_errors():
                    rows = await self._pool.fetch(self._sql.unfinished_of, asked)
                    done = await self._do(self._opened(rows))
                    async with self._pool.acquire() as connection, connection.transaction():
                        await self._remember(connection, asked, done)
            except DatabaseUnavailable as error:
                log.warning("erasures wait for %s", type(error).__name__)
            await asyncio.sleep(max(0.0, began + ROUND_SECONDS - clock()))

    # A worker.

    def wake(self) -> None:
        """Ingest has come to an order, and something is left to do for it."""
        self._woken.set()

    async def run(self) -> None:
        """Finish what is left, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                await self.finish()
            except DatabaseUnavailable as error:
                log.debug("erasures wait for %s", type(error).__name__)

    async def finish(self) -> int:
        """One round for whatever is left; how many that were. Raises `DatabaseUnavailable`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(self._sql.lock, self._lock):
                return 0
            rows = await connection.fetch(self._sql.unfinished, ROUND_MAX)
            if rows:
                done = await self._do(self._opened(rows))
                await self._remember(connection, [row["erasure"] for row in rows], done)
            return len(rows)

    async def drop_left(self) -> None:
        """Make the cache forget what it has not confirmed; raises nothing: what can't be done now
        is done by the next round."""
        try:
            async with asyncio.timeout(DROP_SECONDS_MAX), database_errors():
                rows = await self._pool.fetch(self._sql.undropped, ROUND_MAX)
                if rows:
                    done = _Done([], [], [])
                    await self._drop(self._opened(rows), done)
                    async with self._pool.acquire() as connection, connection.transaction():
                        await self._remember(connection, [one for one, *_ in done.dropped], done)
        except (CacheUnavailable, DatabaseUnavailable, TimeoutError) as error:
            log.debug("the cache has still to forget: %s", type(error).__name__)

    # Both.

    def _opened(self, rows: Sequence[Any]) -> list[_Unfinished]:
        found = []
        for row in rows:
            try:
                sealed = self.names.open(row["erasure"], row["kek"], row["sealed"])
            except SealBroken as broken:
                log.error("an erasure can't go on: %s", broken)  # noqa: TRY400 # no trace needed
                continue
            order, unnoted = self._meant(row, sealed)
            found.append(
                _Unfinished(
                    row["erasure"],
                    order.who,
                    row["unordered"],
                    row["drops"],
                    row["dropped"],
                    unnoted,
                    order,
                )
            )
        return found

    @abstractmethod
    def _meant(self, row: Any, sealed: str) -> tuple[Order, Sequence[tuple[bytes, bytes | None]]]:
        """The order of a request, and what of it the ledger lacks; `sealed` is opened by now."""

    async def _do(self, left: Sequence[_Unfinished]) -> _Done:
        done = _Done([], [], [])
        outcomes = await asyncio.gather(
            self._bounded(self._note_and_order(left, done)),
            self._drop(left, done),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, (BrokerUnavailable, CacheUnavailable)):
                log.warning(
                    "erasures wait for %s", type(outcome).__name__, extra={"count": len(left)}
                )
            elif isinstance(outcome, BaseException):
                raise outcome
        return done

    async def _bounded(self, doing: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(BROKER_SECONDS_MAX):
                await doing
        except TimeoutError:
            raise BrokerUnavailable from None

    async def _note_and_order(self, left: Sequence[_Unfinished], done: _Done) -> None:
        unnoted = [(one.id, *subject) for one in left for subject in one.unnoted]
        if unnoted:
            now = render_time(now_ms())
            records: dict[int, list[Keyed]] = {}
            partitions = await self._producer.partitions(ERASURES.name)
            for id, subject, told in unnoted:
                key = id_text(id).encode()
                value = told or encode_erased(Erased(id_text(id), id_text(subject), KIND, now))
                records.setdefault(partition_of(key, partitions), []).append((key, value))
            await self._producer.send(ERASURES.name, records)
            done.noted.extend(subject for _, subject, _ in unnoted)
        unordered = [one for one in left if one.unordered]
        if not unordered:
            return
        fail_point("erase.before_record")
        orders: dict[int, list[_Unfinished]] = {}
        partitions = await self._producer.partitions(INTERACTIONS.name)
        for one in unordered:
            key = relationship_key(*one.who)
            orders.setdefault(partition_of(key, partitions), []).append(one)
        delivery = Delivery()
        await self._producer.send(
            INTERACTIONS.name,
            {p: [self._order(one) for one in ones] for p, ones in orders.items()},
            delivery,
        )
        fail_point("erase.after_record")
        # Where the last of them stands: the others are before it, which is near enough.
        done.ordered.extend(
            (one.id, partition, delivery.last.get(partition, 0))
            for partition, ones in orders.items()
            for one in ones
        )

    def _order(self, one: _Unfinished) -> Keyed:
        key = relationship_key(*one.who)
        value = encode_control(one.order)
        return key, value, [self._signer.header(key, value)]

    async def _drop(self, left: Sequence[_Unfinished], done: _Done) -> None:
        undropped = [one for one in left if one.dropped < one.drops]
        if undropped:
            await self._cache.drop([one.who for one in undropped])
            fail_point("erase.after_drop")
            done.dropped.extend(
                (one.id, one.drops, self._cache.name(*one.who)) for one in undropped
            )

    async def _remember(self, connection: Connection, ids: Sequence[bytes], done: _Done) -> None:
        """In the caller's transaction."""
        ordered = {id: (partition, offset) for id, partition, offset in done.ordered}
        dropped = {id: (drops, name) for id, drops, name in done.dropped}
        rows = [(id, *ordered.get(id, (None, None)), *dropped.get(id, (0, None))) for id in ids]
        columns = map(list, zip(*rows, strict=True))
        await connection.execute(self._sql.remember, *columns, done.noted)
        await connection.execute(self._sql.complete, ids)


class Eraser(Requests):
    """Whoever is asked to erase uses `erase`; workers `run` it."""

    _sql = ERASURE_SQL
    _lock = 0x66616E6572  # "faner"

    def __init__(self, settings: Settings, pool: Pool, cache: Cache, keyring: Keyring) -> None:
        super().__init__(settings, pool, cache, keyring)
        self._together = Together(self._begin, ROUND_MAX, ROUND_SECONDS)
        self._unerased: dict[bytes, Relationship] = {}
        self._deleting: asyncio.Task[None] | None = None

    async def close(self) -> None:
        await self._together.close()
        await self._end(self._deleting)
        await super().close()

    async def erase(self, who: Relationship, seconds: float) -> Status:
        """Erase what is held of a relationship; how far that has got when it is complete, or after
        so many seconds. Raises `DatabaseUnavailable`: then it may have begun, or not."""
        until = asyncio.get_running_loop().time() + seconds
        id = await self._together.ask(who)
        return await self._until_complete(id, until - asyncio.get_running_loop().time())

    async def deleted(self) -> None:
        """Wait until what was asked of this process is deleted, or left to the workers."""
        if self._deleting is not None:
            await asyncio.shield(self._deleting)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(super().run())
            both.create_task(self._delete_left())

    async def _begin(self, wanted: Sequence[Relationship]) -> list[bytes]:
        ids = await erasure.begin(self._pool, self.names, wanted)
        fail_point("erase.after_request")
        room = max(0, UNERASED_MAX - len(self._unerased))
        self._unerased.update(list(zip(ids, wanted, strict=True))[:room])
        if self._unerased and (self._deleting is None or self._deleting.done()):
            self._deleting = asyncio.create_task(self._delete_asked())
        return ids

    async def _delete_asked(self) -> None:
        """Delete for all that were asked for: who has a short history does not wait for who has a
        long one."""
        sizes: dict[bytes, int] = {}
        while self._unerased:
            now = [id for id in self._unerased if id not in sizes]
            try:
                sizes |= await self._sized({id: self._unerased[id] for id in now})
                now = _part(sorted(sizes, key=sizes.__getitem__), sizes)
                self._carry_on(await self._delete({id: self._unerased[id] for id in now}))
            except DatabaseUnavailable as error:
                log.warning("erasures wait for %s", type(error).__name__)
            for id in now:
                del self._unerased[id]
                sizes.pop(id, None)

    async def _delete_left(self) -> None:
        """Delete for whom nobody else does, until cancelled."""
        while True:
            deleted: list[bytes] = []
            try:
                asked = await erasure.unerased(self._pool, self.names, UNERASED_SECONDS, ERASED_MAX)
                if asked:
                    now = _part(list(asked), await self._sized(asked))
                    deleted = await self._delete({id: asked[id] for id in now})
            except DatabaseUnavailable as error:
                log.debug("erasures wait for %s", type(error).__name__)
            self._carry_on(deleted)
            if not deleted:
                await asyncio.sleep(POLL_SECONDS)

    async def _sized(self, asked: Mapping[bytes, Relationship]) -> dict[bytes, int]:
        """How many rows of history there are for each, as far as it matters."""
        if not asked:
            return {}
        async with database_errors():
            sizes = await history.sizes(self._pool, list(asked.values()), ERASED_ROWS_MAX)
        return {id: sizes.get(who, 0) for id, who in asked.items()}

    async def _delete(self, asked: Mapping[bytes, Relationship]) -> list[bytes]:
        partitions = self._settings.journal_partitions
        deleted = await erasure.delete(self._pool, self.names, partitions, asked)
        fail_point("erase.after_delete")
        return deleted

    def _meant(self, row: Any, sealed: str) -> tuple[Order, Sequence[tuple[bytes, bytes | None]]]:
        order = Erase(row["creator_id"], sealed, id_text(row["erasure"]))
        return order, [(subject, None) for subject in row["unnoted"]]


def _part(ids: Sequence[bytes], sizes: Mapping[bytes, int]) -> list[bytes]:
    """The first of these, as many as one transaction deletes for."""
    return next(bounded([(id, sizes[id]) for id in ids[:ERASED_MAX]], ERASED_ROWS_MAX))
