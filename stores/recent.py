"""The newest messages of a fan, rendered: what a reader sends without decoding it.

A block is the JSON array of `recentMessages` with the place of each message, sealed as one under
the fan's key. A read of fifty messages opens one seal and decodes nothing: 2 us, where fifty seals
and their rendering took 150. Messages pushed since the block was made stand beside it as the
journal has them; a reader puts them into their place.

Layout of what is sealed: 4 bytes, the length of the index; the index, MessagePack [time, offset,
length in bytes, rank] of each message; the JSON array.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.seal import seal, unseal
from schemas.context import ConversationMessage
from schemas.errors import SealBroken
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from stores.snapshot import Fragment
from views import messages

FORM: Final = b"2"
"""Of the block and of the messages in it: to be raised with any change of how they are rendered.
A reader takes a block of another form for a miss."""

_TOPIC: Final = b"recent messages"
_LENGTH_BYTES: Final = 4
_encode_index = msgspec.msgpack.Encoder().encode
_decode_index = msgspec.msgpack.Decoder(list[tuple[int, int, int, messages.Rank]]).decode
_decode = msgspec.json.Decoder(tuple[ConversationMessage, ...]).decode
_encode = msgspec.json.Encoder().encode


class Shown(NamedTuple):
    """One rendered message and its place."""

    time: int
    offset: int
    text: bytes
    rank: messages.Rank = messages.Rank()


def show(who: Relationship, time: int, offset: int, entry: JournalEntry) -> Shown:
    return Shown(time, offset, _encode(messages.render_one(who, entry)), messages.rank_of(entry))


class Recent:
    """The messages that are shown (`views.messages.newest_of`), oldest first."""

    __slots__ = ("_plain",)

    def __init__(self, plain: bytes) -> None:
        self._plain = plain

    @classmethod
    def of(cls, shown: Sequence[Shown]) -> Self:
        """Of messages in any order; the newest of them."""
        newest = messages.newest_of(shown)
        index = _encode_index([(one.time, one.offset, len(one.text), one.rank) for one in newest])
        array = b"[" + b",".join([one.text for one in newest]) + b"]"
        return cls(len(index).to_bytes(_LENGTH_BYTES, "little") + index + array)

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
    def json(self) -> msgspec.Raw:
        """The JSON array."""
        return msgspec.Raw(self._plain[self._array_start() :])

    def decoded(self) -> tuple[ConversationMessage, ...]:
        return _decode(self._plain[self._array_start() :])

    def shown(self) -> list[Shown]:
        start = self._array_start()
        found = []
        at = start + 1
        for time, offset, length, rank in _decode_index(self._plain[_LENGTH_BYTES:start]):
            found.append(Shown(time, offset, self._plain[at : at + length], rank))
            at += length + 1
        return found

    def adding(self, more: Sequence[Shown]) -> "Recent":
        """With these in their places."""
        return Recent.of([*self.shown(), *more])

    def _array_start(self) -> int:
        return _LENGTH_BYTES + int.from_bytes(self._plain[:_LENGTH_BYTES], "little")


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
