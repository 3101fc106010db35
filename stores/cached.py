"""What the cache holds of one fan, sealed and opened."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.keys import Keyring
from privacy.seal import seal, unseal
from schemas.errors import SealBroken
from schemas.relationship import Relationship
from schemas.topics import JOURNAL
from stores.recent import FORM, Recent, show, show_facts, show_notes, unpack_fragments
from stores.snapshot import Fragment, SealedSnapshot, open_snapshot

_STATE: Final = b"cached state"


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """A fan's memory, opened, its messages rendered: ready for `views.context`.

    Structs here: frozen dataclasses take 5 times as long."""

    subject: bytes
    partition: int
    generation: int
    version: int
    state: bytes
    """The state's document, not decoded."""
    recent: Recent

    @property
    def position(self) -> str:
        """The newest interaction in it: what `memory-updates` calls the version."""
        return f"{JOURNAL.name}-{self.partition}:{self.version - 1}"


class Cached(msgspec.Struct, frozen=True, gc=False):
    """A fan's entry: one consistent version, state and messages sealed."""

    subject: bytes
    kek: str
    wrapped_key: bytes
    partition: int
    generation: int
    version: int
    state: bytes
    """Sealed by `seal_state`."""
    form: bytes
    block: bytes
    fragments: Sequence[Fragment]
    """Pushed since the block was made."""

    def opened(self, cipher: AESGCM, recent: Recent) -> Remembered:
        """Raises `SealBroken` when the state was altered, or is of another fan or version."""
        at = version_of(self.generation, self.version)
        state = unseal(cipher, self.state, _STATE, self.subject, at)
        return Remembered(
            self.subject, self.partition, self.generation, self.version, state, recent
        )


class Who(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whose entry it is, as the entry says it."""

    subject: bytes
    kek: str
    wrapped_key: bytes
    partition: int


_encode_who = msgspec.msgpack.Encoder().encode
_decode_who = msgspec.msgpack.Decoder(Who).decode


def version_of(generation: int, version: int) -> bytes:
    """As the cache compares them: as strings."""
    return b"%08d%020d" % (generation, version)


def seal_state(
    cipher: AESGCM, subject: bytes, generation: int, version: int, document: bytes
) -> bytes:
    """A state as the cache keeps it: it opens as that version of this fan only."""
    return seal(cipher, document, _STATE, subject, version_of(generation, version))


def who_stored(stored: SealedSnapshot) -> bytes:
    return _encode_who(Who(stored.subject, stored.kek, stored.wrapped_key, stored.partition))


def who_of(encoded: bytes) -> Who:
    """Raises `SealBroken` for what `who_stored` did not make."""
    try:
        return _decode_who(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SealBroken from None


def cached_of(reply: Sequence[Any]) -> Cached:
    """Of what the cache's function `read` answers; raises `SealBroken`."""
    _, generation, _, version, encoded, state, *messages = reply
    form, block, packed = messages or (FORM, b"", None)
    who = who_of(encoded)
    return Cached(
        who.subject,
        who.kek,
        who.wrapped_key,
        who.partition,
        int(generation),
        int(version[8:]),
        state,
        form,
        block,
        unpack_fragments(packed) if packed else (),
    )


def open_cached(cached: Cached, who: Relationship, keyring: Keyring) -> Remembered:
    """Raises `SealBroken` when something was altered or is another fan's."""
    cipher = AESGCM(keyring.unwrap(cached.subject, who, cached.kek, cached.wrapped_key))
    return cached.opened(cipher, open_messages(cached, who, cipher))


def open_messages(cached: Cached, who: Relationship, cipher: AESGCM) -> Recent:
    """Raises `SealBroken` as above, and for a block of another release."""
    if cached.form != FORM:
        raise SealBroken("A cached memory is of another release.")
    recent = Recent.unseal(cipher, cached.subject, cached.block)
    if not cached.fragments:
        return recent
    return recent.adding(
        [
            show(who, one.time, one.offset, one.open(cipher, cached.subject))
            for one in cached.fragments
        ]
    )


def remembered(stored: SealedSnapshot, who: Relationship, keyring: Keyring) -> Remembered | None:
    """The same of what Postgres gave; None for a fan of whom nothing stands. Raises as above."""
    opened = open_snapshot(stored, who, keyring)
    if opened is None:
        return None
    messages = [show(who, one.time, one.offset, one.entry) for one in opened.messages]
    recent = Recent.of(messages, show_notes(opened.notes), show_facts(opened.telling))
    return Remembered(
        stored.subject, stored.partition, stored.generation, stored.version, opened.document, recent
    )
