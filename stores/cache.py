"""Redis: a copy of what was read or moved lately. Losing it costs latency only.

What keeps it honest stands in `lua/cache.lua`, where each rule is one atomic function:

- A fan is one entry, so there is all of it or nothing.
- A fill needs the *lease* that its reader took before asking Postgres; a push or a drop ends it.
  Whatever is evicted, flushed or restored, the answer is "no", never "stale".
- The owner of a partition vouches for what is kept of it, for `VOUCHED_SECONDS`, again and again.
  When it can't, or no worker owns the partition, reads are misses.
- A publication is taken only in the place of the one that its owner knows, so a cache that went
  back to an older copy is noticed by its owner.
- An entry of another era is a miss: dropping everything is one new number.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple, NewType

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.redis import ErrorReply, Redis, open_redis
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.errors import CacheFull, CacheUnavailable, SealBroken
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS
from stores.cached import (
    Cached,
    Remembered,
    cached_of,
    open_cached,
    open_messages,
    seal_state,
    version_of,
    who_of,
    who_stored,
)
from stores.recent import FORM, NO_MESSAGES, Recent, pack_fragments
from stores.snapshot import Fragment, SealedSnapshot
from views.state import VIEW_VERSION

VOUCHED_SECONDS: Final = 5.0
"""The staleness that readers can meet when an owner falls silent; five times its rhythm."""
LEASE_SECONDS: Final = 30
"""A fill comes within the database's budget of 3 s; a lease that is used lives on."""
FRAGMENTS_MAX: Final = 64
"""Messages beside a fan's block. More were pushed without a reader: then the fan goes cold."""
COMPACT_MIN: Final = 8
"""A reader that found so many beside the block makes one block of all: each costs it 5 us."""

_FORM: Final = "4"
"""Of the keys and their fields; raised when former code must not read them."""
_SOURCE: Final = (Path(__file__).parent / "lua" / "cache.lua").read_text(encoding="utf-8")
_RELEASE: Final = blake2b(_SOURCE.encode(), digest_size=4).hexdigest()
"""In the functions' names: another release's do not replace ours while both run."""
_LIBRARY: Final = _SOURCE.replace("RELEASE", _RELEASE)
_FUNCTION: Final = f"fanmemory_{_RELEASE}_"
_CALL_FANS_MAX: Final = 256
"""Fans in one call: it keeps Redis busy for about 2 ms at the most."""
_NUMBER_BYTES: Final = 8
_ENTRY_FIELDS: Final = (9, 6)
"""Of an entry with its messages, and without them."""


class Pushed(NamedTuple):
    """One fan's move from version `base` to `version`."""

    creator_id: str
    fan_id: str
    partition: int
    """Of the journal."""
    base: int
    version: int
    subject: bytes
    cipher: AESGCM
    """The subject's, which seals the state."""
    state: bytes
    """The state's document."""
    fragments: Sequence[Fragment]


class Published(NamedTuple):
    """What was said last of a journal partition."""

    partition: int
    generation: int
    next: int
    """Everything below this offset was pushed."""
    erasures: int
    number: bytes
    """Of this very publication: random."""
    sources: Mapping[int, int]
    """Highest offset of each `interactions` partition that was pushed."""


class Looked(NamedTuple):
    """What one read of a fan gave."""

    found: Remembered | SealBroken | None
    """One consistent version; an error for an entry that can't be used; None: it is not cached."""
    pending: Position | None
    """Where something stands that was written lately and is not in it."""


Lease = NewType("Lease", bytes)
"""May fill one fan's entry, unless somebody pushes or drops it meanwhile."""


def open_cache(settings: Settings, keyring: Keyring, *, timeout: float = 1.0) -> "Cache":
    """The cache that the settings describe; `timeout` seconds for each answer."""
    return Cache(open_redis(settings, timeout), keyring, ttl_seconds=settings.cache_ttl_seconds)


class Cache:
    """Every method raises `CacheUnavailable` when Redis does not answer in time or refuses."""

    def __init__(self, redis: Redis, keyring: Keyring, *, ttl_seconds: int) -> None:
        self._redis = redis
        self._keyring = keyring
        self._secret = keyring.derive(b"cache name")
        self._ttl = ttl_seconds
        self.prefix = _prefix(self._secret)

    async def close(self) -> None:
        await self._redis.close()

    async def ping(self) -> None:
        await self._call("PING")

    # What readers do.

    async def read(
        self, creator_id: str, fan_id: str, *, messages: bool = True
    ) -> Remembered | None:
        """One consistent version of a fan's memory, without its messages if they are not wanted;
        None when it is not cached. Raises `SealBroken` for an entry that can't be used."""
        found = (await self.look(creator_id, fan_id, messages=messages)).found
        if isinstance(found, SealBroken):
            raise found
        return found

    async def look(self, creator_id: str, fan_id: str, *, messages: bool = True) -> Looked:
        """The same, and what was written lately and is not in it."""
        name = self.name(creator_id, fan_id)
        reply = await self._function("read", name, b"1" if messages else b"0")
        entry, pending = _parted(reply)
        if entry is None:
            return Looked(None, pending)
        try:
            cached = cached_of(entry)
            who = creator_id, fan_id
            key = self._keyring.unwrap(cached.subject, who, cached.kek, cached.wrapped_key)
            cipher = AESGCM(key)
            recent = open_messages(cached, who, cipher) if messages else NO_MESSAGES
            found = cached.opened(cipher, recent)
        except SealBroken as error:
            return Looked(error, pending)
        if len(cached.fragments) >= COMPACT_MIN:
            version = version_of(cached.generation, cached.version)
            with contextlib.suppress(CacheUnavailable):  # it is full: so the next one tries
                await self._function(
                    "compact", name, version, FORM, recent.seal(cipher, cached.subject)
                )
        return Looked(found, pending)

    async def look_at_several(self, creator_id: str, fan_ids: Sequence[str]) -> list[Looked]:
        """The same of several fans, by one round trip."""
        names = [(self.name(creator_id, fan_id), b"1") for fan_id in fan_ids]
        replies = await self._functions("read", names)
        looked: list[Looked] = []
        for fan_id, reply in zip(fan_ids, replies, strict=True):
            entry, pending = _parted(reply)
            found: Remembered | SealBroken | None = None
            if entry is not None:
                try:
                    found = open_cached(cached_of(entry), (creator_id, fan_id), self._keyring)
                except SealBroken as error:
                    found = error
            looked.append(Looked(found, pending))
        return looked

    async def lease(self, creator_id: str, fan_id: str, *, unusable: bool = False) -> Lease | None:
        """To be taken before Postgres is asked, for `fill`. None: nothing is to be filled.

        `unusable`: there is an entry, and the caller can't use it.
        """
        (lease,) = await self.leases(creator_id, [(fan_id, unusable)])
        return lease

    async def leases(
        self, creator_id: str, wanted: Sequence[tuple[str, bool]]
    ) -> list[Lease | None]:
        """The same for several (fan, unusable) by one round trip."""
        numbers = await self._functions(
            "lease",
            [
                (
                    self.name(creator_id, fan_id),
                    os.urandom(_NUMBER_BYTES),
                    LEASE_SECONDS,
                    b"1" if unusable else b"0",
                )
                for fan_id, unusable in wanted
            ],
        )
        return [None if number is None else Lease(number) for number in numbers]

    async def fill(
        self, lease: Lease, creator_id: str, fan_id: str, stored: SealedSnapshot, recent: Recent
    ) -> bool:
        """Keep what Postgres answered after `lease` was taken; `recent` are its messages.

        False when it was refused as possibly stale.
        """
        who = creator_id, fan_id
        key = self._keyring.unwrap(stored.subject, who, stored.kek, stored.wrapped_key)
        cipher, subject = AESGCM(key), stored.subject
        generation, version = stored.generation, stored.version
        return bool(
            await self._function(
                "fill",
                _generation(generation),
                stored.partition,
                self._ttl,
                self.name(creator_id, fan_id),
                lease,
                version_of(generation, version),
                who_stored(stored),
                seal_state(cipher, subject, generation, version, stored.document(cipher)),
                FORM,
                recent.seal(cipher, subject),
            )
        )

    async def reached(self, creator_id: str, fan_id: str, position: Position) -> bool | None:
        """Whether what was accepted at `position` is in this fan's views; None: can't tell, as of
        a place in the journal."""
        (known,) = await self.reached_several(creator_id, {fan_id: position})
        return known

    async def reached_several(
        self, creator_id: str, positions: Mapping[str, Position]
    ) -> list[bool | None]:
        """The same of several fans, each with a position of its own, by one round trip."""
        asked = [(self.name(creator_id, fan), one.partition) for fan, one in positions.items()]
        known: list[bool | None] = []
        for position, offset in zip(
            positions.values(), await self._functions("reached", asked), strict=True
        ):
            if position.topic != INTERACTIONS.name or offset is None:
                known.append(None)
            else:
                known.append(offset != b"" and int(offset) >= position.offset)
        return known

    # What writers do.

    async def written(
        self, writes: Iterable[tuple[Relationship, Position]], seconds: float
    ) -> None:
        """Leave where in `interactions` these stand: for `seconds` their fans' readers are told,
        until the views contain them."""
        arguments: list[Any] = [int(seconds * 1000)]
        for who, position in writes:
            arguments += (self.name(*who), position.partition, position.offset)
        await self._function("written", *arguments)

    async def take(self, whose: str, quota: int, seconds: float, wanted: int) -> tuple[int, int]:
        """Tokens out of a bucket that holds `quota` and fills up in `seconds`: how many of the
        `wanted` were there, and how many are left."""
        name = blake2b(whose.encode(), key=self._secret, digest_size=16).digest()
        taken, left = await self._function("take", name, quota, int(seconds * 1000), wanted)
        return taken, left

    # What the owner of a partition does.

    async def push(self, generation: int, moves: Sequence[Pushed]) -> None:
        """Bring the cached ones of these fans to their new versions; raises `CacheFull` too."""
        for start in range(0, len(moves), _CALL_FANS_MAX):
            arguments: list[Any] = [FRAGMENTS_MAX, self._ttl]
            for move in moves[start : start + _CALL_FANS_MAX]:
                arguments += (
                    self.name(move.creator_id, move.fan_id),
                    move.partition,
                    version_of(generation, move.base),
                    version_of(generation, move.version),
                    seal_state(move.cipher, move.subject, generation, move.version, move.state),
                    len(move.fragments),
                    pack_fragments(move.fragments) if move.fragments else b"",
                )
            await self._function("push", *arguments)

    async def drop(self, relationships: Sequence[tuple[str, str]]) -> None:
        """Forget these fans; what was read of them before fills nothing any more."""
        for start in range(0, len(relationships), _CALL_FANS_MAX):
            names = [self.name(*pair) for pair in relationships[start : start + _CALL_FANS_MAX]]
            await self._function("drop", *names)

    async def drop_all(self) -> None:
        """Forget every fan: what is kept is of a former era from now on, and so is every lease."""
        await self._function("renew", os.urandom(_NUMBER_BYTES))

    async def published(self, partition: int) -> Published | None:
        """What was said last of a partition; None when it is not known."""
        found = await self.publications([partition])
        return found[0] if found else None

    async def publish(
        self, said: Published, expected: bytes | None, *, seconds: float = VOUCHED_SECONDS
    ) -> bool:
        """Say that everything below `said.next` of its partition was pushed, and vouch for it.

        Only in the place of the publication with the number `expected`, None: of none at all;
        False when another one, or none, stands there.
        """
        arguments: list[Any] = [
            _generation(said.generation),
            said.partition,
            expected or b"",
            said.number,
            b"%020d" % said.next,
            int(seconds * 1000),
            self._ttl,
            said.erasures,
            os.urandom(_NUMBER_BYTES),
        ]
        for source, offset in said.sources.items():
            arguments += (source, offset)
        return bool(await self._function("publish", *arguments))

    async def adopt(
        self,
        generation: int,
        partition: int,
        next: int,
        sources: Mapping[int, int],
        *,
        erasures: int = 0,
        seconds: float = VOUCHED_SECONDS,
    ) -> None:
        """Publish in the place of whatever stands there, for a partition without a worker."""
        found = await self.published(partition)
        said = Published(partition, generation, next, erasures, new_number(), sources)
        await self.publish(said, found and found.number, seconds=seconds)

    # What an operator's commands look at.

    async def publications(self, partitions: Iterable[int]) -> list[Published]:
        """What was said last of each of these; nothing of those of which nothing is known."""
        wanted = list(partitions)
        answers = await self._calls([("HGETALL", self.prefix + b"p:%d" % one) for one in wanted])
        return [
            _published(partition, answer)
            for partition, answer in zip(wanted, answers, strict=True)
            if answer
        ]

    async def stored(self, relationships: Sequence[tuple[str, str]]) -> list[Cached | None]:
        """What readers would get of each of these fans, sealed; None where it is not cached."""
        found: list[Cached | None] = []
        for start in range(0, len(relationships), _CALL_FANS_MAX):
            names = [self.name(*pair) for pair in relationships[start : start + _CALL_FANS_MAX]]
            replies = await self._functions("read", [(name, b"1") for name in names])
            found += [
                None if entry is None else cached_of(entry)
                for entry, _ in (_parted(reply) for reply in replies)
            ]
        return found

    async def subjects(self) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """(name, subject) of everything that can be read, some at a time; some come twice."""
        start = self.prefix + b"c:"
        cursor = b"0"
        while True:
            cursor, keys = await self._call("SCAN", cursor, "MATCH", start + b"*", "COUNT", 1000)
            names = [key[len(start) :] for key in keys]
            owners = await self._function("owners", *names) if names else []
            yield [
                (name, who_of(who).subject)
                for name, who in zip(names, owners, strict=True)
                if who is not None
            ]
            if cursor == b"0":
                return

    async def holds(self, name: bytes) -> bool:
        """Whether something can be read under a name that `subjects` gave."""
        (owner,) = await self._function("owners", name)
        return owner is not None

    async def kept(self, name: bytes) -> bytes | None:
        """Whose entry stands under a name (`name`), readable or not: the subject; None where there
        is none. Raises `SealBroken` for one that we have not written."""
        who = await self._call("HGET", self.prefix + b"c:" + name, b"s")
        return None if who is None else who_of(who).subject

    def name(self, creator_id: str, fan_id: str) -> bytes:
        """16 bytes that stand for a relationship: keys of the cache name no one."""
        named = f"{creator_id}\0{fan_id}".encode()
        return blake2b(named, key=self._secret, digest_size=16).digest()

    async def _function(self, name: str, *arguments: Any) -> Any:
        command = ("FCALL", _FUNCTION + name, 0, self.prefix, *arguments)
        try:
            # Not loaded before it is missed: a full Redis would refuse that.
            return await self._call(*command)
        except _Unloaded:
            await self._load()
            return await self._call(*command)

    async def _functions(self, name: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        commands = [("FCALL", _FUNCTION + name, 0, self.prefix, *arguments) for arguments in calls]
        try:
            return await self._calls(commands)
        except _Unloaded:
            await self._load()
            return await self._calls(commands)

    async def _load(self) -> None:
        await self._call("FUNCTION", "LOAD", "REPLACE", _LIBRARY)

    async def _call(self, *command: Any) -> Any:
        try:
            return await self._redis.call(*command)
        except ErrorReply as error:
            raise _refused(error) from None

    async def _calls(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        try:
            return await self._redis.calls(commands)
        except ErrorReply as error:
            raise _refused(error) from None


class _Unloaded(Exception):
    """Redis was restarted empty, or its functions were flushed."""


def _refused(error: Exception) -> Exception:
    """What an error that Redis answered with means."""
    text = str(error)
    if "Function not found" in text:
        return _Unloaded()
    # Only the code: the rest of a reply may quote what was sent.
    code = text.partition(" ")[0]
    return CacheFull() if code == "OOM" else CacheUnavailable(f"Redis answered {code}.")


def new_number() -> bytes:
    return os.urandom(_NUMBER_BYTES)


def _parted(reply: Any) -> tuple[Sequence[Any] | None, Position | None]:
    """A fan's entry, and where something newer stands: what the function `read` answers."""
    if reply is None:
        return None, None
    if isinstance(reply, bytes):
        return None, _written_at(reply)
    if len(reply) in _ENTRY_FIELDS:
        return reply, None
    return reply[:-1], _written_at(reply[-1])


def _written_at(text: bytes) -> Position:
    partition, _, offset = text.partition(b":")
    return Position(INTERACTIONS.name, int(partition), int(offset))


def _published(partition: int, answer: Sequence[bytes]) -> Published:
    said = dict(zip(answer[::2], answer[1::2], strict=True))
    sources = {int(field[1:]): int(value) for field, value in said.items() if field[:1] == b"s"}
    generation, next, erasures = (int(said[field]) for field in (b"g", b"n", b"x"))
    return Published(partition, generation, next, erasures, said[b"t"], sources)


def _prefix(secret: bytes) -> bytes:
    """Of every key. Processes with other names, other views or another form share nothing with us,
    so none of them counts on what the others push and drop."""
    shared = blake2b(f"{_FORM}\0{VIEW_VERSION}".encode(), key=secret, digest_size=6)
    return b"fanmemory:%s:" % shared.hexdigest().encode()


def _generation(generation: int) -> bytes:
    return b"%08d" % generation
