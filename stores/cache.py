"""Redis: a copy of what was read or moved lately. Losing it costs latency only.

The rules that keep it honest are in `lua/cache.lua`: a push lands only on the version it builds
on, a fill never brings back an older version, and nothing is filled for a partition whose owner
has not said how far it has pushed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from privacy.keys import Keyring
from schemas.errors import CacheUnavailable
from schemas.positions import Position
from schemas.topics import INTERACTIONS
from stores.snapshot import (
    Fragment,
    SealedSnapshot,
    Snapshot,
    fragment_member,
    member_fragment,
    open_snapshot,
)
from views.messages import MESSAGES_MAX
from views.state import VIEW_VERSION

_LIBRARY: Final = (Path(__file__).parent / "lua" / "cache.lua").read_text(encoding="utf-8")
_PUSH_FANS_MAX: Final = 256
"""Fans in one call: it keeps Redis busy for about 2 ms at the most."""


class Pushed(NamedTuple):
    """One fan's move from version `base` to `version`."""

    creator_id: str
    fan_id: str
    base: int
    version: int
    state: bytes
    fragments: Sequence[Fragment]


class Published(NamedTuple):
    """What the owner of a partition says that it has pushed."""

    partition: int
    generation: int
    next: int
    sources: dict[int, int]


class _Who(NamedTuple):
    subject: bytes
    kek: str
    wrapped_key: bytes
    partition: int


_encode_who = msgspec.msgpack.Encoder().encode
_decode_who = msgspec.msgpack.Decoder(_Who).decode


class Cache:
    """Every method raises `CacheUnavailable` when Redis does not answer in `timeout` seconds."""

    def __init__(
        self, url: str, keyring: Keyring, *, ttl_seconds: int, timeout: float = 1.0
    ) -> None:
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            max_connections=32,
            retry=None,
            protocol=3,
        )
        self._keyring = keyring
        self._secret = keyring.derive(b"cache name")
        self._ttl = ttl_seconds
        self._loaded = False

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        await self._call("PING")

    async def read(self, creator_id: str, fan_id: str) -> Snapshot | None:
        """One consistent version of a fan's memory; None when it is not cached."""
        reply = await self._function("fanmemory_read", self._name(creator_id, fan_id))
        if reply is None:
            return None
        return open_snapshot(_stored(reply), (creator_id, fan_id), self._keyring)

    async def stored(self, relationships: Sequence[tuple[str, str]]) -> list[SealedSnapshot | None]:
        """What readers would get of each of these fans, sealed; None where it is not cached."""
        if not self._loaded:
            await self._load()
        found: list[SealedSnapshot | None] = []
        for start in range(0, len(relationships), _PUSH_FANS_MAX):
            names = [self._name(*pair) for pair in relationships[start : start + _PUSH_FANS_MAX]]
            replies = await self._pipeline([("FCALL", "fanmemory_read", 0, n) for n in names])
            found += [None if reply is None else _stored(reply) for reply in replies]
        return found

    async def subjects(self) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """(name, subject) of everything cached, some at a time; one can come more than once."""
        async for keys in self._scan(b"c:*"):
            owners = await self._pipeline([("HGET", key, "s") for key in keys])
            yield [
                (key[2:], _decode_who(who).subject)
                for key, who in zip(keys, owners, strict=True)
                if who is not None
            ]

    async def holds(self, name: bytes) -> bool:
        """Whether something is cached under a name that `subjects` gave."""
        return bool(await self._call("EXISTS", b"c:" + name))

    async def fill(self, creator_id: str, fan_id: str, stored: SealedSnapshot) -> bool:
        """Keep what was read from Postgres; False when it was refused as possibly stale."""
        arguments: list[Any] = [
            _generation(stored.generation),
            stored.partition,
            self._ttl,
            self._name(creator_id, fan_id),
            _version(stored.generation, stored.version),
            _encode_who((stored.subject, stored.kek, stored.wrapped_key, stored.partition)),
            stored.state,
        ]
        for fragment in stored.fragments:
            arguments += (fragment.time, fragment_member(fragment))
        return bool(await self._function("fanmemory_fill", *arguments))

    async def push(self, generation: int, moves: Sequence[Pushed]) -> None:
        """Bring the cached ones of these fans to their new versions."""
        for start in range(0, len(moves), _PUSH_FANS_MAX):
            arguments: list[Any] = [_generation(generation), MESSAGES_MAX, self._ttl]
            for move in moves[start : start + _PUSH_FANS_MAX]:
                arguments += (
                    self._name(move.creator_id, move.fan_id),
                    _version(generation, move.base),
                    _version(generation, move.version),
                    move.state,
                    len(move.fragments),
                )
                for fragment in move.fragments:
                    arguments += (fragment.time, fragment_member(fragment))
            await self._function("fanmemory_push", *arguments)

    async def publish(
        self, generation: int, partition: int, next: int, sources: dict[int, int]
    ) -> None:
        """Say that everything below journal offset `next` of `partition` has been pushed."""
        arguments: list[Any] = [_generation(generation), partition, b"%020d" % next]
        for source, offset in sources.items():
            arguments += (source, offset)
        await self._function("fanmemory_publish", *arguments)

    async def published(self, generation: int, partition: int) -> int | None:
        """The journal offset below which everything was pushed; None when nobody said."""
        known, next = await self._call("HMGET", f"p:{partition}", "g", "n")
        return int(next) if known == _generation(generation) else None

    async def publications(self, partitions: Iterable[int]) -> list[Published]:
        """What each partition's owner says of itself, for `fanmemory verify`; absent where nobody
        does."""
        wanted = list(partitions)
        replies = await self._pipeline([("HGETALL", f"p:{partition}") for partition in wanted])
        return [_published(p, reply) for p, reply in zip(wanted, replies, strict=True) if reply]

    async def drop(
        self, generation: int, version: int, relationships: Sequence[tuple[str, str]]
    ) -> None:
        """Forget these fans; fills below `version` stay refused for a while."""
        for start in range(0, len(relationships), _PUSH_FANS_MAX):
            names = [self._name(*pair) for pair in relationships[start : start + _PUSH_FANS_MAX]]
            await self._function("fanmemory_drop", _version(generation, version), *names)

    async def drop_all(self) -> None:
        """Forget every fan, without blocking Redis for long."""
        async for keys in self._scan(b"[cm]:*"):
            await self._call("UNLINK", *keys)

    async def drop_former(self, generation: int) -> None:
        """Forget what was cached of generations before this one; nobody reads it any more."""
        async for keys in self._scan(b"c:*"):
            known = await self._pipeline([("HGET", key, "g") for key in keys])
            former = [
                key
                for key, cached in zip(keys, known, strict=True)
                if cached is not None and cached < _generation(generation)
            ]
            if former:
                await self._call("UNLINK", *former, *(b"m:" + key[2:] for key in former))

    async def _scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        cursor = 0
        while True:
            cursor, keys = await self._call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            if keys:
                yield keys
            cursor = int(cursor)
            if cursor == 0:
                return

    async def reached(self, creator_id: str, fan_id: str, position: Position) -> bool | None:
        """Whether what was accepted at `position` is in this fan's views; None: can't tell."""
        if position.topic != INTERACTIONS.name:
            return False
        who = await self._call("HGET", b"c:" + self._name(creator_id, fan_id), "s")
        if who is None:
            return None
        offset = await self._call(
            "HGET", f"p:{_decode_who(who).partition}", f"s{position.partition}"
        )
        return offset is not None and int(offset) >= position.offset

    def _name(self, creator_id: str, fan_id: str) -> bytes:
        """16 bytes that stand for a relationship: keys of the cache name nobody.

        Other versions of the views have other names: during a rebuild to a new version, old and
        new code never read each other's states.
        """
        named = "\0".join((VIEW_VERSION, creator_id, fan_id))
        return blake2b(named.encode(), key=self._secret, digest_size=16).digest()

    async def _function(self, name: str, *arguments: Any) -> Any:
        try:
            if not self._loaded:
                await self._load()
            return await self._call("FCALL", name, 0, *arguments)
        except ResponseError:
            # Function not found: Redis was restarted empty.
            await self._load()
            return await self._call("FCALL", name, 0, *arguments)

    async def _pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            return list(await _cancellable(pipeline.execute()))
        except (RedisError, OSError, TimeoutError) as error:
            self._loaded = False  # it may have been restarted empty
            raise CacheUnavailable from error

    async def _load(self) -> None:
        await self._call("FUNCTION", "LOAD", "REPLACE", _LIBRARY)
        self._loaded = True

    async def _call(self, *command: Any) -> Any:
        try:
            return await _cancellable(
                self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
            )
        except ResponseError as error:
            if "Function not found" in str(error):
                raise
            raise CacheUnavailable from error
        except (RedisError, OSError, TimeoutError) as error:
            raise CacheUnavailable from error


async def _cancellable(reply: Awaitable[Any]) -> Any:
    """Await redis-py, and notice a cancellation that it swallowed.

    It sends through `asyncio.wait_for`, which before Python 3.12 loses a cancellation that arrives
    just as the sending ends: a deadline would pass unnoticed, a task be told to stop and go on.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    result = await reply
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


def _stored(reply: Sequence[Any]) -> SealedSnapshot:
    generation, version, who, state, members = reply
    subject, kek, wrapped_key, partition = _decode_who(who)
    return SealedSnapshot(
        subject,
        kek,
        wrapped_key,
        partition,
        int(generation),
        int(version[8:]),
        state,
        [member_fragment(member) for member in members],
    )


def _published(partition: int, reply: Any) -> Published:
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    fields = dict(pairs)
    sources = {int(key[1:]): int(value) for key, value in fields.items() if key[:1] == b"s"}
    return Published(partition, int(fields[b"g"]), int(fields[b"n"]), sources)


def _generation(generation: int) -> bytes:
    return b"%08d" % generation


def _version(generation: int, version: int) -> bytes:
    return b"%08d%020d" % (generation, version)
