"""Subjects: the random id, and the key, that stand for one relationship inside the system.

Ingest resolves relationships to subjects and makes new ones; project and the readers resolve
subjects back. Both keep a bounded number in memory. What they keep can be older than an erasure:
the position row's `erasures` fence makes project drop it (`streams.projection`).
"""

import uuid
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.sql import load_queries
from privacy.keys import Keyring, new_key
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

    def forget_all(self) -> None:
        """Drop what is kept: the next look-up asks Postgres."""
        self._by_relationship.clear()
        self._by_id.clear()

    async def resolve(
        self, connection: Any, relationships: Iterable[Relationship]
    ) -> dict[Relationship, Subject]:
        """The subject of every relationship, made where there is none yet."""
        known = self._by_relationship
        wanted = set(relationships)
        found = {pair: known[pair] for pair in wanted if pair in known}
        missing = sorted(wanted - found.keys())
        if missing:
            fresh = await self._fetch(connection, missing)
            unmade = [pair for pair in missing if pair not in fresh]
            if unmade:
                await self._create(connection, unmade)
                fresh |= await self._fetch(connection, unmade)
            _keep(known, fresh, self._limit)
            found |= fresh
        return found

    async def find(
        self, connection: Any, relationships: Iterable[Relationship]
    ) -> dict[Relationship, Subject]:
        """The subjects of those relationships that have one; makes none, keeps none."""
        wanted = sorted(set(relationships))
        return await self._fetch(connection, wanted) if wanted else {}

    async def lookup(self, connection: Any, ids: Iterable[bytes]) -> dict[bytes, Subject]:
        """The subjects that still exist: an erased one is absent."""
        known = self._by_id
        wanted = set(ids)
        found = {id: known[id] for id in wanted if id in known}
        missing = wanted - found.keys()
        if missing:
            rows = await connection.fetch(_SQL.find_by_subject, sorted(missing))
            fresh = {subject.id: subject for subject in map(self._subject, rows)}
            _keep(known, fresh, self._limit)
            found |= fresh
        return found

    async def _fetch(
        self, connection: Any, pairs: list[Relationship]
    ) -> dict[Relationship, Subject]:
        creators, fans = zip(*pairs, strict=True)
        rows = await connection.fetch(_SQL.find_by_relationship, creators, fans)
        return {(s.creator_id, s.fan_id): s for s in map(self._subject, rows)}

    async def _create(self, connection: Any, pairs: list[Relationship]) -> None:
        ids = [uuid.uuid4().bytes for _ in pairs]
        creators, fans = zip(*pairs, strict=True)
        fresh = [new_key() for _ in pairs]
        bound = [self._keyring.wrap(*one) for one in zip(ids, pairs, fresh, strict=True)]
        unbound = [self._keyring.wrap_unbound(*one)[1] for one in zip(ids, fresh, strict=True)]
        keks, keys = zip(*bound, strict=True)
        await connection.execute(_SQL.create, ids, creators, fans, keks, keys, unbound)

    def _subject(self, row: Any) -> Subject:
        id, creator_id, fan_id, kek, wrapped, unbound_opens = row
        key = self._keyring.unwrap(
            id, (creator_id, fan_id), kek, wrapped, unbound_opens=unbound_opens
        )
        return Subject(id, creator_id, fan_id, kek, wrapped, key)


def _keep(kept: dict[Key, Subject], fresh: dict[Key, Subject], limit: int) -> None:
    """Add to a bounded map; when it is full, its older half goes."""
    if len(kept) + len(fresh) > limit:
        for key in list(kept)[: max(len(kept) // 2, len(kept) + len(fresh) - limit)]:
            del kept[key]
    kept.update(islice(fresh.items(), limit))
