"""The newest messages of a fan, notes and facts, rendered: what a reader sends without decoding it.

A block is the JSON array of `recentMessages` with the place of each message, and those of `notes`
and `facts`, sealed as one under the fan's key. A read of fifty messages opens one seal and decodes
nothing: 2 us, where fifty seals and their rendering took 150. Messages pushed since the block was
made stand beside it as the journal has them; a reader puts them into their place. Notes and what
tells facts are not pushed: a new one drops the entry, since what is shown depends on all of them.

Layout of what is sealed: the lengths in bytes of the next three, 4 bytes each; the index,
MessagePack [time, offset, length in bytes, rank] of each message; the JSON array of the messages;
that of the notes, or nothing; that of the facts, or nothing.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple, Self, cast

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.seal import seal, unseal
from schemas.context import ConversationMessage, KnownFact, Note
from schemas.errors import SealBroken
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from stores.snapshot import Fragment
from views import facts, messages, notes
from views.context import Beside

FORM: Final = b"4"
"""Of the block and of what is in it: to be raised with any change of how that is rendered.
A reader takes a block of another form for a miss."""

_TOPIC: Final = b"recent messages"
_LENGTH_BYTES: Final = 4
_lengths: Final = Struct("<III").unpack_from
_HEAD_BYTES: Final = 3 * _LENGTH_BYTES
_encode_index = msgspec.msgpack.Encoder().encode
_decode_index = msgspec.msgpack.Decoder(list[tuple[int, int, int, messages.Rank]]).decode
_decode = msgspec.json.Decoder(tuple[ConversationMessage, ...]).decode
_decode_notes = msgspec.json.Decoder(tuple[Note, ...]).decode
_decode_facts = msgspec.json.Decoder(tuple[KnownFact, ...]).decode
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


def show_facts(telling: Sequence[JournalEntry]) -> bytes:
    """The JSON array of what `views.facts.telling` comes to; empty without."""
    found = facts.render_all(telling)
    return _encode(found) if found else b""


class Recent:
    """The messages that are shown (`views.messages.newest_of`), oldest first, notes and facts."""

    __slots__ = ("_plain",)

    def __init__(self, plain: bytes) -> None:
        self._plain = plain

    @classmethod
    def of(cls, shown: Sequence[Shown], written: bytes = b"", told: bytes = b"") -> Self:
        """Of messages in any order, the newest of them; `written` is what `show_notes` gives,
        `told` what `show_facts` does."""
        newest = messages.newest_of(shown)
        index = _encode_index([(one.time, one.offset, len(one.text), one.rank) for one in newest])
        array = b"[" + b",".join([one.text for one in newest]) + b"]"
        parts = (index, array, written)
        lengths = [len(one).to_bytes(_LENGTH_BYTES, "little") for one in parts]
        return cls(b"".join((*lengths, *parts, told)))

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
        _, array, written, told = self._parts()
        return Beside(
            cast("tuple[ConversationMessage, ...]", msgspec.Raw(array)),
            cast("tuple[Note, ...]", msgspec.Raw(written)) if written else msgspec.UNSET,
            cast("tuple[KnownFact, ...]", msgspec.Raw(told)) if told else msgspec.UNSET,
        )

    def decoded(self) -> Beside:
        _, array, written, told = self._parts()
        return Beside(
            _decode(array),
            _decode_notes(written) if written else msgspec.UNSET,
            _decode_facts(told) if told else msgspec.UNSET,
        )

    def shown(self) -> list[Shown]:
        index, array, _, _ = self._parts()
        found = []
        at = 1
        for time, offset, length, rank in _decode_index(index):
            found.append(Shown(time, offset, bytes(array[at : at + length]), rank))
            at += length + 1
        return found

    def adding(self, more: Sequence[Shown]) -> "Recent":
        """With these messages in their places."""
        _, _, written, told = self._parts()
        return Recent.of([*self.shown(), *more], bytes(written), bytes(told))

    def _parts(self) -> tuple[memoryview, memoryview, memoryview, memoryview]:
        """Index, messages, notes, facts: no copies, which a read of a hundred fans would hold."""
        plain = memoryview(self._plain)
        lengths = _lengths(plain)
        first = _HEAD_BYTES
        second = first + lengths[0]
        third = second + lengths[1]
        last = third + lengths[2]
        return plain[first:second], plain[second:third], plain[third:last], plain[last:]


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
