"""Sealing: AES-256-GCM bound to where the sealed bytes belong.

What is authenticated but not encrypted is topic, subject and event key, so a sealed body can't be
moved to another fan, another event or another topic. Layout: 12-byte random nonce, ciphertext,
16-byte tag. 0.5 us each way once the key's cipher exists.
"""

import os
import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.wrappers import NONCE_BYTES
from schemas.details import Kind
from schemas.errors import SealBroken
from schemas.journal import JournalEntry, decode_entry, encode_entry, is_forgotten
from schemas.topics import INTERACTIONS, JOURNAL

EVENT_KEY_BYTES = 16
FORMER_KINDS: Final = frozenset(("purchase", "tip", "like", "view"))
"""Types that shared one namespace of ids with messages in former releases."""
_JOURNAL_NAME = JOURNAL.name.encode()
_like_source = re.compile(re.escape(INTERACTIONS.name) + r"-[0-9]+:[0-9]+").fullmatch


def event_key(key: bytes, event_id: str, kind: Kind = "message") -> bytes:
    """16 bytes that stand for a producer's eventId and its type within its subject.

    They mean nothing without the key, and never equal a `source_key`: an id that is written like a
    source position would otherwise swallow the event that stands there. A message has the key that
    former releases gave to every type (`former_event_key`).
    """
    if kind != "message":
        return _identity(key, f"{kind}\0{event_id}", b"event-typed")
    return former_event_key(key, event_id)


def former_event_key(key: bytes, event_id: str) -> bytes:
    """The key of an event of any type in records of former releases."""
    person = b"event-named" if _like_source(event_id) else b"event"
    return _identity(key, event_id, person)


def other_key(key: bytes, event_id: str, kind: Kind, event: bytes) -> bytes | None:
    """Under which a former release knew the event that has the key `event` now, or the reverse.

    None for what has one key only: messages, later types, and events without an id of their own.
    """
    if kind not in FORMER_KINDS:
        return None
    former = former_event_key(key, event_id)
    if event == former:
        return event_key(key, event_id, kind)
    if _like_source(event_id) and event != event_key(key, event_id, kind):
        return None
    return former


def text_keys(key: bytes, event_id: str) -> tuple[bytes, ...]:
    """Under which a message or a note may be known that is shown with this id: its producer's, or
    its place.

    Of the place only as long as `interactions` has not been made again."""
    own = event_key(key, event_id), event_key(key, event_id, "note")
    return *own, source_key(key, event_id)


def moved_key(
    old: bytes, new: bytes, event: bytes, entry: JournalEntry, sources: Iterable[str]
) -> bytes:
    """What stands under the key `new` for an event that had the key `event` under `old`.

    `sources` are the names that its place may have had. An event whose identity can't be found out
    gets another one, which is only its own.
    """
    kind = cast(Kind, entry.content_type) if is_forgotten(entry) else entry.kind
    if event == event_key(old, entry.event_id, kind):
        return event_key(new, entry.event_id, kind)
    if event == former_event_key(old, entry.event_id):
        return former_event_key(new, entry.event_id)
    for source in sources:
        if event == source_key(old, source):
            return source_key(new, source)
    return _identity(new, event.hex(), b"event-moved")


def source_key(key: bytes, source: str) -> bytes:
    """The same for an event without an id of its producer's: its source position is its id."""
    return _identity(key, source, b"event")


def _identity(key: bytes, text: str, person: bytes) -> bytes:
    return blake2b(text.encode(), key=key, digest_size=EVENT_KEY_BYTES, person=person).digest()


def nonces(count: int) -> Iterator[bytes]:
    """Fresh nonces, each for one `seal`, to be used up at once: drawn singly they cost as much as
    sealing. None is kept, so no copy of a process has them too."""
    drawn = os.urandom(NONCE_BYTES * count)
    return (drawn[i : i + NONCE_BYTES] for i in range(0, len(drawn), NONCE_BYTES))


def seal(
    cipher: AESGCM,
    plain: bytes,
    topic: bytes,
    subject: bytes,
    event: bytes,
    nonce: bytes | None = None,
) -> bytes:
    """`nonce` is one of `nonces`, or drawn here."""
    if nonce is None:
        nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, topic + subject + event)


def unseal(cipher: AESGCM, sealed: bytes, topic: bytes, subject: bytes, event: bytes) -> bytes:
    """Raises `SealBroken` when anything of it was altered or belongs elsewhere."""
    try:
        view = memoryview(sealed)  # a block of messages is 20 KB: not to be copied
        return cipher.decrypt(view[:NONCE_BYTES], view[NONCE_BYTES:], topic + subject + event)
    except (InvalidTag, ValueError):
        raise SealBroken from None


def seal_entry(
    cipher: AESGCM,
    subject: bytes,
    event: bytes,
    entry: JournalEntry,
    nonce: bytes | None = None,
) -> bytes:
    """The sealed body of one interaction, as journal, history and cache keep it."""
    return seal(cipher, encode_entry(entry), _JOURNAL_NAME, subject, event, nonce)


def open_entry(cipher: AESGCM, subject: bytes, event: bytes, body: bytes) -> JournalEntry:
    """Open such a body; raises `SealBroken` when anything was altered or belongs elsewhere."""
    return decode_entry(unseal(cipher, body, _JOURNAL_NAME, subject, event))


def open_if_intact(
    cipher: AESGCM, subject: bytes, event: bytes, body: bytes
) -> JournalEntry | None:
    """The same for who passes over what was altered or belongs elsewhere: None then."""
    try:
        return open_entry(cipher, subject, event, body)
    except SealBroken:
        return None
