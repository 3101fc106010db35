"""Fans whose memory grows as Postgres would have it, and what readers of the cache do."""

import base64
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.redis import Redis
from privacy.keys import Keyring, new_key
from privacy.seal import event_key, seal
from schemas.journal import encode_entry
from schemas.relationship import Relationship
from schemas.topics import JOURNAL
from stores.cache import Cache, Lease, Pushed
from stores.cached import Remembered, remembered
from stores.sealing import seal_state
from stores.snapshot import Fragment, SealedSnapshot
from tests.views.interactions import NOON, message
from views.messages import MESSAGES_MAX
from views.state import FanState, encode, fold

PARTITION = 2
KEYRING = Keyring.parse("k:" + base64.b64encode(os.urandom(32)).decode())


def cache_at(url: str, keyring: Keyring = KEYRING, timeout: float = 1.0) -> Cache:
    return Cache(Redis(url, timeout=timeout), keyring, ttl_seconds=600)


async def speak(cache: Cache, next: int = 0, partition: int = PARTITION) -> None:
    """As the partition's owner, who stays for as long as any test lasts."""
    await cache.adopt(1, partition, next, {}, seconds=600)


class Fan:
    """One fan of the creator `c`."""

    def __init__(self, name: str = "fan", keyring: Keyring = KEYRING) -> None:
        self.who: Relationship = ("c", name)
        self.keyring = keyring
        self.subject, self.key = os.urandom(16), new_key()
        self.kek, self.wrapped_key = keyring.wrap(self.subject, self.who, self.key)
        self.state: FanState | None = None
        self.version = 0
        self.fragments: list[Fragment] = []

    def says(self, offset: int, time: int | None = None) -> Pushed:
        """Takes one message in, at a journal offset; returns the move for the cache."""
        base = self.version
        entry = message(NOON + offset if time is None else time, event_id=f"e{offset}")
        self.state = fold(self.state, entry, offset)
        self.version = offset + 1
        identity = event_key(self.key, entry.event_id)
        body = seal(
            AESGCM(self.key), encode_entry(entry), JOURNAL.name.encode(), self.subject, identity
        )
        fragment = Fragment(entry.time, offset, identity, body)
        newest = sorted([*self.fragments, fragment], key=lambda f: (f.time, f.offset))
        self.fragments = newest[-MESSAGES_MAX:]
        document = encode(self.state)
        return Pushed(
            *self.who,
            PARTITION,
            base,
            self.version,
            self.subject,
            AESGCM(self.key),
            document,
            [fragment],
        )

    def stored(self, generation: int = 1) -> SealedSnapshot:
        """What a read of Postgres gives now."""
        assert self.state is not None
        return SealedSnapshot(
            self.subject,
            self.kek,
            self.wrapped_key,
            PARTITION,
            generation,
            self.version,
            seal_state(AESGCM(self.key), self.subject, generation, encode(self.state)),
            list(self.fragments),
        )

    def truth(self, generation: int = 1) -> Remembered:
        """What a reader must be told, if anything."""
        stored = self.stored(generation)
        found = remembered(stored, self.who, self.keyring)
        assert found is not None
        return found


class SlowReader:
    """Has a lease and the answer of Postgres, and has not filled yet."""

    def __init__(self, cache: Cache, fan: Fan, lease: Lease | None, generation: int) -> None:
        self._cache, self._fan, self.lease = cache, fan, lease
        self._stored, self._truth = fan.stored(generation), fan.truth(generation)

    @classmethod
    async def of(cls, cache: Cache, fan: Fan, generation: int = 1) -> "SlowReader":
        return cls(cache, fan, await cache.lease(*fan.who), generation)

    async def fill(self) -> bool:
        if self.lease is None:
            return False
        return await self._cache.fill(self.lease, *self._fan.who, self._stored, self._truth.recent)


async def fill(cache: Cache, fan: Fan, generation: int = 1) -> bool:
    """As a reader does who finds the fan cold."""
    return await (await SlowReader.of(cache, fan, generation)).fill()


async def ids(cache: Cache, fan: Fan) -> list[str] | None:
    """Of the messages that a reader gets; None when the fan is cold."""
    read = await cache.read(*fan.who)
    return None if read is None else [one.id for one in read.recent.decoded().messages]
