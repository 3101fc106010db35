"""What each key-encryption key wraps, in the database and on the topics, and retiring one.

In the cache too, but an entry there is no copy that counts: what its key can't be opened with is a
miss, and it expires.
"""

from collections import Counter
from dataclasses import dataclass

import msgspec

from admin.journal import open_journal
from infra.postgres import Connection
from infra.settings import Settings
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.topics import DEAD_LETTERS, INTENT_DEAD_LETTERS
from stores import outbox, rotation

LETTERS = "dead letters"


@dataclass(frozen=True, slots=True)
class Survey:
    """Every key that wraps something, or was retired."""

    wrapped: dict[str, dict[str, int]]
    """id -> `fans`, `connections`, `dead letters` … -> how many."""
    retired: frozenset[str]


async def survey(connection: Connection, settings: Settings) -> Survey:
    """Reads all dead letters; raises `BrokerUnavailable`, `DatabaseUnavailable`."""
    letters = await _letters(connection, settings)
    wrapped = await rotation.wrapped(connection)
    for kek, count in letters.items():
        wrapped.setdefault(kek, {})[LETTERS] = count
    return Survey(wrapped, frozenset(await rotation.retired(connection)))


async def retire(connection: Connection, settings: Settings, kek: str) -> dict[str, int]:
    """Retire a key, unless it wraps something; returns what that is, if so.

    A dead letter is not wrapped again: it goes with its topic's retention.
    """
    letters = (await _letters(connection, settings))[kek]
    if letters:
        return (await rotation.wrapped(connection)).get(kek, {}) | {LETTERS: letters}
    return await rotation.retire(connection, kek)


async def _letters(connection: Connection, settings: Settings) -> Counter[str]:
    """How many dead letters are sealed under each key, published or not."""
    found: Counter[str] = Counter()
    for name in (DEAD_LETTERS.name, INTENT_DEAD_LETTERS.name):
        async with connection.transaction():
            # First: a letter that is published meanwhile is found on the topic.
            async for one in outbox.unpublished(connection, name):
                _count(found, one.value)
        async with open_journal(settings, name) as topic:
            for partition, bounds in (await topic.bounds()).items():
                async for raws in topic.read(partition, bounds.first, bounds.end):
                    for raw in raws:
                        _count(found, raw.value)
    return found


def _count(found: Counter[str], value: bytes | None) -> None:
    try:
        letter: DeadLetter = decode_dead_letter(value or b"")
    except msgspec.MsgspecError:
        return  # nothing of ours
    if letter.sealed is not None and letter.key is None:
        found[letter.kek] += 1
