"""Publish dead letters again: what was refused, and is acceptable now.

A letter stays on its topic after it was published again. So which were is remembered in Postgres,
and they are not offered another time; that is written after the brokers have them, a few hundred at
a time. A crash between the two publishes some twice, which counts nothing twice: an event without
an id of its own is given its letter's source position as one.

What conflicts with a known event would do so again. It is published only *as new*, under an id that
stands for its content without the time, as `stores.conflicts` compares events: then it counts
beside the event whose id it had, and however often its producer had sent it, and stamped it, once.
"""

import json
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import msgspec

from admin.emit import Emitter
from admin.judging import Refusal, reason_of
from infra.clock import now_ms
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.dead_letters import CONFLICT_REASON, HEAD_BYTES_MAX, DeadLetter
from schemas.errors import InvalidInput, SealBroken
from schemas.events import parse_interaction
from schemas.topics import DEAD_LETTERS
from stores import letters as stored
from stores.letters import LetterKeys

Reread = Callable[[Connection, bytes], Awaitable[Sequence[bytes]]]
"""The events that a refused value holds: itself, unless it is a delivery that nobody could read."""

PAGE_LETTERS: Final = 500
"""A good number to give it at a time."""


@dataclass(slots=True)
class Looked:
    """What letters of one reason hold."""

    letters: int = 0
    acceptable: int = 0
    """Events."""


@dataclass(slots=True)
class Retried:
    """What became of the letters that were looked at."""

    looked_at: int = 0
    """Letters."""
    published: int = 0
    """Events; 0 in a dry run."""
    acceptable: int = 0
    """Events that are or would be published."""
    reasons: dict[Refusal, Looked] = field(default_factory=dict)
    """Of all that were not published before, by why they were refused."""
    refused: Counter[Refusal] = field(default_factory=Counter)
    """Still, and why now."""
    conflicts: int = 0
    """Events whose id stands for another one: left out unless they are published as new."""
    before: int = 0
    """Letters that were published before."""
    lost: int = 0
    """Not whole, without a value, or sealed under a key that the keyring lacks."""


async def retry(
    settings: Settings,
    pages: AsyncIterable[Sequence[DeadLetter]],
    keyring: Keyring,
    reread: Reread,
    *,
    wanted: Callable[[DeadLetter], bool] = lambda _letter: True,
    as_new: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], Any] = lambda _count: None,
) -> Retried:
    """Publish what is acceptable now of the letters that are `wanted`; each value once.

    `progress` is told how many more letters were dealt with, wanted or not. Raises
    `BrokerUnavailable` and `DatabaseUnavailable`; then some may have been published, and may be
    again.
    """
    retried, reading = Retried(), _Reading(settings, keyring, reread, as_new)
    emitter = Emitter(settings)
    try:
        async with (
            database_errors(),
            connecting(settings.postgres_url, command_timeout=60) as connection,
        ):
            await stored.forget_retried(connection, DEAD_LETTERS.retention_ms)
            async for page in pages:
                chunk = reading.new(one for one in page if wanted(one))
                retried.looked_at += len(chunk)
                known = await stored.retried(connection, chunk)
                fresh = [one for one in chunk if (one.source, one.refused_at) not in known]
                retried.before += len(chunk) - len(fresh)
                keys = await stored.keys_of(connection, keyring, fresh)
                events, whole = await reading.read(connection, fresh, keys, retried)
                retried.acceptable += len(events)
                if not dry_run:
                    await emitter.send(events)
                    await stored.remember_retried(connection, whole)
                    retried.published += len(events)
                progress(len(page))
    finally:
        await emitter.stop()
    return retried


class _Reading:
    """Reads letters; knows which of them, and which values, came before: 8 bytes of each."""

    def __init__(self, settings: Settings, keyring: Keyring, reread: Reread, as_new: bool) -> None:
        self._currency = settings.currency
        self._contents = keyring.derive(b"conflict-as-new")
        self._reread = reread
        self._as_new = as_new
        self._seen: set[bytes] = set()

    def new(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Those that did not come before: after a crash ingest may have written one twice."""
        return [one for one in letters if self._first(f"{one.source} {one.refused_at}".encode())]

    def _first(self, value: bytes) -> bool:
        digest = blake2b(value, digest_size=8).digest()
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True

    async def read(
        self,
        connection: Connection,
        letters: Sequence[DeadLetter],
        keys: LetterKeys,
        retried: Retried,
    ) -> tuple[list[bytes], list[DeadLetter]]:
        """The events to publish, and the letters of which nothing is left out."""
        events: list[bytes] = []
        whole = []
        for letter in letters:
            looked = retried.reasons.setdefault(Refusal(letter.field, letter.reason), Looked())
            looked.letters += 1
            conflict = letter.reason == CONFLICT_REASON
            if conflict and not self._as_new:
                retried.conflicts += 1
                continue
            value = _whole(letter, keys)
            if value is None:
                retried.lost += 1
                continue
            values = await self._reread(connection, value)
            found, refused = self._events(letter, values, conflict, retried)
            looked.acceptable += len(found)
            events += [event for event in found if self._first(event)]
            if found and not refused:
                whole.append(letter)
        return events, whole

    def _events(
        self, letter: DeadLetter, values: Sequence[bytes], conflict: bool, retried: Retried
    ) -> tuple[list[bytes], bool]:
        """What of a letter is acceptable, and whether some of it is not."""
        found, refused = [], False
        for number, event in enumerate(values):
            try:
                accepted = parse_interaction(event, now_ms(), self._currency)
            except InvalidInput as error:
                retried.refused[reason_of(error)] += 1
                refused = True
                continue
            if conflict:
                event = _named(event, f"conflict-{self._content(event)}")
            elif accepted.event_id is None:
                event = _named(event, letter.source if number == 0 else f"{letter.source}#{number}")
            found.append(event)
        return found, refused

    def _content(self, event: bytes) -> str:
        """Keyed, because a short text could be guessed from a plain one; without the time, which
        some producers stamp anew. Two of one content that lie more than a day apart are a conflict
        once more, which has the id that is made here, so another one comes of it."""
        said = {name: value for name, value in _read(event).items() if name != "timestamp"}
        canonical = msgspec.json.encode(said, order="deterministic")
        return blake2b(canonical, key=self._contents, digest_size=16).hexdigest()


def _whole(letter: DeadLetter, keys: LetterKeys) -> bytes | None:
    if (letter.length or 0) > HEAD_BYTES_MAX:
        return None
    try:
        return keys.open(letter)
    except SealBroken:
        return None


def _named(event: bytes, source: str) -> bytes:
    """With this id; nothing else of it is rewritten, so that numbers stay as they were given."""
    fields = _decode(event)
    return _encode(
        {"eventId": msgspec.Raw(json.dumps(source).encode())}
        | {name: value for name, value in fields.items() if name != "eventId"}
    )


_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder(dict[str, Any]).decode
