"""What is remembered of one fan, as the stores hand it to be rendered."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import Record
from privacy.keys import Keyring
from privacy.seal import open_entry
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from stores.sealing import open_state
from views import facts, notes
from views import state as states
from views.corrections import edited
from views.messages import Message, newest


class Fragment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message or note as stored: still sealed.

    A struct: a frozen dataclass takes 5 times as long."""

    time: int
    offset: int
    event_key: bytes
    body: bytes
    edit: tuple[bytes, bytes] | None = None
    """Event key and body of the edit whose text the message has."""

    def open(self, cipher: AESGCM, subject: bytes) -> JournalEntry:
        """As it stands. Raises `SealBroken` when anything of it was altered."""
        entry = open_entry(cipher, subject, self.event_key, self.body)
        if self.edit is None:
            return entry
        return edited(entry, open_entry(cipher, subject, *self.edit))


@dataclass(frozen=True, slots=True)
class SealedSnapshot:
    """A fan's memory as it stands in a store: one consistent version, messages and notes together,
    oldest first, and perhaps more of them than are shown.

    The wrapped key is always a bound one, so that whose memory it is can be checked wherever it is
    kept.
    """

    subject: bytes
    kek: str
    wrapped_key: bytes
    partition: int
    generation: int
    version: int
    state: bytes
    """Sealed by `stores.sealing`."""
    fragments: Sequence[Fragment]

    def document(self, cipher: AESGCM) -> bytes:
        """The state's document. Raises `SealBroken`."""
        return open_state(cipher, self.subject, self.generation, self.state)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The same, opened: ready for `views.context.render_context`."""

    subject: bytes
    partition: int
    generation: int
    version: int
    state: states.FanState
    document: bytes
    """The state, encoded."""
    messages: list[Message]
    notes: list[JournalEntry]
    """The newest first."""
    telling: list[JournalEntry]
    """What tells facts, the newest first."""

    @property
    def entries(self) -> list[JournalEntry]:
        """Of the messages that are shown, in their order."""
        return [one.entry for one in self.messages]


def key_of(row: Record, who: Relationship, keyring: Keyring) -> bytes:
    """The subject's key out of a row of `subject`. Raises `SealBroken` when it is another's."""
    return keyring.unwrap(
        row["subject"],
        who,
        row["kek"],
        row["wrapped_key"],
        unbound_opens=bool(row["unbound_opens"]),
    )


def open_snapshot(stored: SealedSnapshot, who: Relationship, keyring: Keyring) -> Snapshot | None:
    """None when nothing stands of all that was remembered: readers know no such fan.

    Raises `SealBroken` when it is not this relationship's, or a state, body or key was altered.
    """
    cipher = AESGCM(keyring.unwrap(stored.subject, who, stored.kek, stored.wrapped_key))
    document = stored.document(cipher)
    if states.is_nobody(document):
        return None
    opened = [(one.offset, one.open(cipher, stored.subject)) for one in stored.fragments]
    return Snapshot(
        stored.subject,
        stored.partition,
        stored.generation,
        stored.version,
        states.decode(document),
        document,
        newest(opened),
        notes.newest(opened),
        facts.telling(opened),
    )
