"""Publish dead letters again: what was refused, and is acceptable now.

A letter stays on its topic after it was published again, and a retry can be run twice. So an event
without an id of its own is given its letter's source position as one, and counts once.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from admin.dead_letters import opened
from admin.emit import Refusal, emit, reason_of
from infra.clock import now_ms
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.dead_letters import CONFLICT_REASON, HEAD_BYTES_MAX, DeadLetter
from schemas.errors import InvalidInput, SealBroken
from schemas.events import parse_interaction

Reread = Callable[[bytes], Iterable[bytes]]
"""The events that a refused value holds: itself, unless it is a delivery that nobody could read."""


@dataclass(slots=True)
class Retried:
    """What became of the letters that were looked at."""

    published: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    """Still."""
    conflicts: int = 0
    """Events whose id stands for another one: published as they are, they would be so again."""
    lost: int = 0
    """Not whole, without a value, or sealed under a key that the keyring lacks."""


async def retry(
    settings: Settings, letters: Sequence[DeadLetter], keyring: Keyring, reread: Reread
) -> Retried:
    """Publish what is acceptable now, oldest first; each value once.

    Raises `BrokerUnavailable`; then some may have been published, and may be again.
    """
    retried = Retried()
    acceptable = list(_acceptable(settings, letters, keyring, reread, retried))
    retried.published = (await emit(settings, acceptable)).sent
    return retried


def _acceptable(
    settings: Settings,
    letters: Sequence[DeadLetter],
    keyring: Keyring,
    reread: Reread,
    retried: Retried,
) -> Iterator[bytes]:
    seen: set[bytes] = set()
    for letter in letters:
        if letter.reason == CONFLICT_REASON:
            retried.conflicts += 1
            continue
        value = _whole(letter, keyring)
        if value is None:
            retried.lost += 1
            continue
        for number, event in enumerate(reread(value)):
            try:
                accepted = parse_interaction(event, now_ms(), settings.currency)
            except InvalidInput as error:
                retried.refused[reason_of(error)] += 1
                continue
            if accepted.event_id is None:
                event = _named(event, letter.source if number == 0 else f"{letter.source}#{number}")
            elif event in seen:
                continue
            seen.add(event)
            yield event


def _whole(letter: DeadLetter, keyring: Keyring) -> bytes | None:
    if (letter.length or 0) > HEAD_BYTES_MAX:
        return None
    try:
        return opened(letter, keyring)
    except SealBroken:
        return None


def _named(event: bytes, source: str) -> bytes:
    """With an id; spliced in, so that nothing else is rewritten."""
    if b'"eventId"' in event:  # as null, or in a text
        return msgspec.json.encode(msgspec.json.decode(event) | {"eventId": source})
    head, brace, rest = event.partition(b"{")
    return head + brace + b'"eventId":' + json.dumps(source).encode() + b"," + rest
