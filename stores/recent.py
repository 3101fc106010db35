"""The newest messages of a fan, and the notes, rendered: what a reader sends without decoding it.

A block is the JSON array of `recentMessages` with the place of each message, and that of `notes`,
sealed as one under the fan's key. A read of fifty messages opens one seal and decodes nothing:
2 us, where fifty seals and their rendering took 150. Messages pushed since the block was made stand
beside it as the journal has them; a reader puts them into their place. Notes are not pushed: a new
one drops the entry, because how many are shown depends on all of them (`views.notes`).

Layout of what is sealed: the lengths in bytes of the next two, 4 bytes each; the index, MessagePack
[time, offset, length in bytes, rank] of each message; the JSON array of the messages; that of the
notes, or nothing.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self, cast

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.seal import seal, unseal
from schemas.context import ConversationMessage, Note
from schemas.errors import SealBroken
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from stores.snapshot import Fragment
from views import messages, notes
from views.context import Beside

FORM: Final = b"3"
"""Of the block and of what is in it: to be raised with any change of how that is rendered.
A reader takes a block of another form for a miss."""

_TOPIC: Final = b"recent messages"
_LENGTH_BYTES: Final = 4
_HEAD_BYTES: Final = 2 * _LENGTH_BYTES
_encode_index = msgspec.msgpack.Encoder().encode
_decode_index = msgspec.msgpack.Decoder(list[tuple[int, int, int, messages.Rank]]).decode
_decode = msgspec.json.Decoder(tuple[ConversationMessage, ...]).decode
_decode_notes = msgspec.json.Decoder(tuple[Note, ...]).decode
_encode = msgspec.json.Encoder().encode


class Shown(NamedTuple):
    """One rendered message and its place."""

    time: int
    offset: int
    text: bytes
    rank: messages.Rank = messages.Rank()


def show(who: Relationship, time: int, offset: int, entry: JournalEntry) -> Shown:
    return Shown(time, offset, _encode(messages.render_one(who, entry)), messages.rank_of(entry))


def show_notes(entries: Sequence[JournalEntry]) -> bytes:
    """The JSON array of notes that are shown, as `views.notes.newest` gives them; empty without."""
    return _encode(notes.render_all(entries)) if entries else b""


class Recent:
    """The messages that are shown (`views.messages.newest_of`), oldest first, and the notes."""

    __slots__ = ("_plain",)

    def __init__(self, plain: bytes) -> None:
        self._plain = plain

    @classmethod
    def of(cls, shown: Sequence[Shown], written: bytes = b"") -> Self:
        """Of messages in any order, the newest of them; `written` is what `show_notes` gives."""
        newest = messages.newest_of(shown)
        index = _encode_index([(one.time, one.offset, len(one.text), one.rank) for one in newest])
        array = b"[" + b",".join([one.text for one in newest]) + b"]"
        lengths = [len(one).to_bytes(_LENGTH_BYTES, "little") for one in (index, array)]
        return cls(b"".join((*lengths, index, array, written)))

    @classmethod
    def unseal(cls, cipher: AESGCM, subject: bytes, block: bytes) -> Self:
        """Raises `SealBroken` for a block that was altered or is another fan's."""
        return cls(unseal(cipher, block, _TOPIC, subject, FORM))

    def seal(self, cipher: AESGCM, subject: bytes) -> bytes:
        return seal(cipher, self._plain, _TOPIC, subject, FORM)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recent) and other._plain == self._plain

    __hash__ = None  # type: ignore[assignment]

    @property
    def json(self) -> Beside:
        """The JSON arrays, for whoever encodes them and looks at nothing: the same to msgspec."""
        start, end = self._array()
        array = cast("tuple[ConversationMessage, ...]", msgspec.Raw(self._plain[start:end]))
        written = msgspec.Raw(self._plain[end:]) if end < len(self._plain) else msgspec.UNSET
        return Beside(array, cast("tuple[Note, ...]", written))

    def decoded(self) -> Beside:
        start, end = self._array()
        written = _decode_notes(self._plain[end:]) if end < len(self._plain) else msgspec.UNSET
        return Beside(_decode(self._plain[start:end]), written)

    def shown(self) -> list[Shown]:
        start, _ = self._array()
        found = []
        at = start + 1
        for time, offset, length, rank in _decode_index(self._plain[_HEAD_BYTES:start]):
            found.append(Shown(time, offset, self._plain[at : at + length], rank))
            at += length + 1
        return found

    def adding(self, more: Sequence[Shown]) -> "Recent":
        """With these messages in their places."""
        _, end = self._array()
        return Recent.of([*self.shown(), *more], self._plain[end:])

    def _array(self) -> tuple[int, int]:
        """Where the array of the messages begins and ends."""
        start = _HEAD_BYTES + int.from_bytes(self._plain[:_LENGTH_BYTES], "little")
        return start, start + int.from_bytes(self._plain[_LENGTH_BYTES:_HEAD_BYTES], "little")


NO_MESSAGES: Final = Recent.of(())

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Fragment]).decode
_BATCH_BYTES: Final = 4


def pack_fragments(fragments: Sequence[Fragment]) -> bytes:
    """One push's messages, so that packed ones can follow each other."""
    packed = _pack(fragments)
    return len(packed).to_bytes(_BATCH_BYTES, "little") + packed


def unpack_fragments(packed: bytes) -> list[Fragment]:
    """Those of several pushes. Raises `SealBroken` for what was not packed here."""
    found: list[Fragment] = []
    at = 0
    try:
        while at < len(packed):
            start = at + _BATCH_BYTES
            at = start + int.from_bytes(packed[at:start], "little")
            found += _unpack(packed[start:at])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SealBroken from None
    return found
