"""Subjects: the random id, and the key, that stand for one relationship inside the system.

Ingest resolves relationships to subjects and makes new ones; project and the readers resolve
subjects back. Both keep a bounded number in memory, each its own: projection knows no subject
before it has read a record of it, so a database that was restored to before that subject was made
has other positions as well, and the fence tells. What they keep can be older than an erasure: the
position row's `erasures` fence makes projection drop it (`streams.projection`).
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import Connection
from infra.sql import load_queries
from privacy.keys import Keyring, new_key
from schemas.errors import Misconfigured, SealBroken
from schemas.relationship import Relationship

_SQL: Final = load_queries(Path(__file__).parent / "sql" / "subjects.sql")

Key = TypeVar("Key")


def journal_partition(subject: bytes, partitions: int) -> int:
    """The journal partition of a subject: random ids need no hash to spread evenly."""
    return int.from_bytes(subject[:4], "big") % partitions


class Subject:
    """One relationship: its random id, who it is, and its key. Never logged."""

    __slots__ = ("cipher", "creator_id", "fan_id", "id", "kek", "key", "wrapped_key")

    def __init__(
        self, id: bytes, creator_id: str, fan_id: str, kek: str, wrapped_key: bytes, key: bytes
    ) -> None:
        self.id = id
        self.creator_id = creator_id
        self.fan_id = fan_id
        self.kek = kek
        self.wrapped_key = wrapped_key
        self.key = key
        self.cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "Subject(…)"


class Subjects:
    """Looks subjects up, a batch at a time, and keeps at most `limit` of them."""

    def __init__(self, keyring: Keyring, limit: int) -> None:
        self._keyring = keyring
        self._limit = limit
        self._by_relationship: dict[Relationship, Subject] = {}
        self._by_id: dict[bytes, Subject] = {}
        self._forgotten = 0

    def forget_all(self) -> None:
        """Drop what is kept: the next look-up asks Postgres.

        What was asked before is not kept either, when its answer comes: several share this, and
        the answer can be older than the erasure for which another forgets.
        """
        self._forgotten += 1
        self._by_relationship.clear()
        self._by_id.clear()

    def forget(self, who: Relationship) -> None:
        """Drop one relationship, who was erased: the next look-up asks Postgres."""
        self._forgotten += 1
        known = self._by_relationship.pop(who, None)
        if known is not None:
            self._by_id.pop(known.id, None)

    async def resolve(
        self,
        connection: Connection,
        relationships: Iterable[Relationship],
        locked: dict[Relationship, SealBroken] | None = None,
    ) -> dict[Relationship, Subject]:
        """The subject of every relationship, made where there is none yet.

        Those whose key does not open are named in `locked`; without it they raise `SealBroken`.
        """
        known = self._by_relationship
        wanted = set(relationships)
        found = {pair: known[pair] for pair in wanted if pair in known}
        missing = sorted(wanted - found.keys())
        if missing:
            closed: dict[Relationship, SealBroken] = {}
            forgotten = self._forgotten
            fresh = await self._fetch(connection, missing, closed)
            unmade = [pair for pair in missing if pair not in fresh and pair not in closed]
            if unmade:
                fresh |= await self._create(connection, unmade)
                rivals = [pair for pair in unmade if pair not in fresh]
                if rivals:
                    # Another worker was first, maybe with a key that our ring lacks.
                    fresh |= await self._fetch(connection, rivals, closed)
            _tell(closed, locked)
            if forgotten == self._forgotten:
                _keep(known, fresh, self._limit)
            found |= fresh
        return found

    async def find(
        self,
        connection: Connection,
        relationships: Iterable[Relationship],
        locked: dict[Relationship, SealBroken] | None = None,
    ) -> dict[Relationship, Subject]:
        """The subjects of those relationships that have one; makes none, keeps none.

        Those whose key does not open are named in `locked`; without it they raise `SealBroken`.
        """
        wanted = sorted(set(relationships))
        closed: dict[Relationship, SealBroken] = {}
        found = await self._fetch(connection, wanted, closed) if wanted else {}
        _tell(closed, locked)
        return found

    async def of_creator(
        self, connection: Connection, creator_id: str, limit: int
    ) -> AsyncIterator[list[Subject]]:
        """All of a creator's, at most `limit` at a time; keeps none, and passes over those whose
        key does not open."""
        after, closed = "", dict[bytes, SealBroken]()
        while True:
            rows = await connection.fetch(_SQL.find_by_creator, creator_id, after, limit)
            yield list(self._opened(rows, closed, itemgetter("subject")))
            if len(rows) < limit:
                return
            after = rows[-1]["fan_id"]

    async def lookup(
        self,
        connection: Connection,
        ids: Iterable[bytes],
        locked: dict[bytes, SealBroken] | None = None,
    ) -> dict[bytes, Subject]:
        """The subjects that still exist: an erased one is absent.

        Those whose key does not open are named in `locked`; without it they raise `SealBroken`.
        """
        known = self._by_id
        wanted = set(ids)
        found = {id: known[id] for id in wanted if id in known}
        missing = wanted - found.keys()
        if missing:
            forgotten = self._forgotten
            rows = await connection.fetch(_SQL.find_by_subject, sorted(missing))
            closed: dict[bytes, SealBroken] = {}
            fresh = {one.id: one for one in self._opened(rows, closed, itemgetter("subject"))}
            _tell(closed, locked)
            if forgotten == self._forgotten:
                _keep(known, fresh, self._limit)
            found |= fresh
        return found

    async def _fetch(
        self,
        connection: Connection,
        pairs: list[Relationship],
        closed: dict[Relationship, SealBroken],
    ) -> dict[Relationship, Subject]:
        creators, fans = zip(*pairs, strict=True)
        rows = await connection.fetch(_SQL.find_by_relationship, creators, fans)
        opened = self._opened(rows, closed, itemgetter("creator_id", "fan_id"))
        return {(one.creator_id, one.fan_id): one for one in opened}

    def _opened(
        self, rows: Iterable[Any], closed: dict[Key, SealBroken], name: Callable[[Any], Key]
    ) -> Iterator[Subject]:
        """One key that does not open must not stop the other fans of its batch."""
        for row in rows:
            try:
                yield subject_of(self._keyring, row)
            except SealBroken as broken:
                closed[name(row)] = broken

    async def _create(
        self, connection: Connection, pairs: list[Relationship]
    ) -> dict[Relationship, Subject]:
        """Those that no other worker has made meanwhile."""
        ids = [uuid.uuid4().bytes for _ in pairs]
        creators, fans = zip(*pairs, strict=True)
        fresh = [new_key() for _ in pairs]
        bound = [self._keyring.wrap(*one) for one in zip(ids, pairs, fresh, strict=True)]
        unbound = [self._keyring.wrap_unbound(*one)[1] for one in zip(ids, fresh, strict=True)]
        keks, keys = zip(*bound, strict=True)
        rows = await connection.fetch(_SQL.create, ids, creators, fans, keks, keys, unbound)
        made = {id: (pair, key) for id, pair, key in zip(ids, pairs, fresh, strict=True)}
        found = {}
        for id, kek, wrapped in rows:
            pair, key = made[id]
            found[pair] = Subject(id, *pair, kek, wrapped, key)
        return found


async def replace(connection: Connection, keyring: Keyring, old: Subject, new: Subject) -> bool:
    """Let `new` stand for the relationship of `old`, whose key is gone with its row; False when
    there is no such row. In the caller's transaction."""
    if await connection.fetchval(_SQL.delete, old.id) is None:
        return False
    _, unbound = keyring.wrap_unbound(new.id, new.key)
    row = [new.id], [new.creator_id], [new.fan_id], [new.kek], [new.wrapped_key], [unbound]
    return bool(await connection.fetch(_SQL.create, *row))


def successor(keyring: Keyring, old: Subject, partitions: int) -> Subject:
    """A subject for the same relationship in the same partition of the journal, not stored yet."""
    id = bytearray(uuid.uuid4().bytes)
    first = int.from_bytes(id[:4], "big")
    first += journal_partition(old.id, partitions) - first % partitions
    id[:4] = (first if first < 1 << 32 else first - partitions).to_bytes(4, "big")
    key = new_key()
    kek, wrapped = keyring.wrap(bytes(id), (old.creator_id, old.fan_id), key)
    return Subject(bytes(id), old.creator_id, old.fan_id, kek, wrapped, key)


def _tell(closed: dict[Key, SealBroken], locked: dict[Key, SealBroken] | None) -> None:
    if closed and locked is None:
        raise next(iter(closed.values()))
    if locked is not None:
        locked |= closed


def _keep(kept: dict[Key, Subject], fresh: dict[Key, Subject], limit: int) -> None:
    """Add to a bounded map; when it is full, its older half goes."""
    if len(kept) + len(fresh) > limit:
        for key in list(kept)[: max(len(kept) // 2, len(kept) + len(fresh) - limit)]:
            del kept[key]
    kept.update(islice(fresh.items(), limit))


def subject_of(keyring: Keyring, row: Iterable[Any]) -> Subject:
    """A row as the queries of this room give it, opened. Raises `SealBroken`."""
    id, creator_id, fan_id, kek, wrapped, unbound_opens = row
    key = keyring.unwrap(id, (creator_id, fan_id), kek, wrapped, unbound_opens=unbound_opens)
    return Subject(id, creator_id, fan_id, kek, wrapped, key)


async def require_keys(connection: Connection, keyring: Keyring) -> None:
    """Raise `Misconfigured` when the keyring lacks a key that subjects are wrapped under."""
    lacking = await connection.fetchval(_SQL.find_other_kek, sorted(keyring.names))
    if lacking is not None:
        raise Misconfigured(
            f"The keyring lacks key {lacking}, under which fans' keys are wrapped.",
            hint="Add it to FANMEMORY_KEYRING, behind the newest. If it is lost for good, set"
            " FANMEMORY_ACCEPT_MISSING_KEYS=1: those fans' events become dead letters, their"
            " journal records are quarantined, and all others continue.",
        )
