"""A dead letter: why a record of `interactions` was refused, and a sealed copy of it."""

import contextlib
from typing import Any, Final, cast

import msgspec

from schemas.details import Kind
from schemas.errors import InvalidInput
from schemas.events import KINDS, VALUE_BYTES_MAX, Wire
from schemas.refusals import DELIVERY_REASON, NO_FAN_REASON
from schemas.relationship import check_event_id, check_id

HEAD_BYTES_MAX: Final = VALUE_BYTES_MAX
"""Of the refused value: whatever could have been an event is whole, and of what is larger, which a
compressed batch may be by a hundred times, the head is kept. Sealed and in base64 that is 350 KB:
below the limit of any topic."""


CONFLICT: Final = "conflict"
CONFLICT_REASON: Final = "conflict: an event of this type and id came before, with other content"
DELIVERY: Final = "delivery"
OTHERS: Final = "other"
_FIELDS: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Wire))


def reason_class(field: str, reason: str) -> str:
    """The reason in one word of few, for counting.

    `conflict`, `delivery` (a platform's, kept because it became no event), the name of a field of
    the contract without what is below it, `record` for the value as a whole, or `other`.
    """
    if reason == CONFLICT_REASON:
        return CONFLICT
    if reason in (DELIVERY_REASON, NO_FAN_REASON):
        return DELIVERY
    if field == "$":
        return "record"
    name = field.split(".", 1)[0].split("[", 1)[0]
    return name if name in _FIELDS else OTHERS


class About(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Whose event was refused, as far as that could be read."""

    creator_id: str
    fan_id: str | None = None
    event_id: str | None = None
    type: Kind | None = None


class _Loose(msgspec.Struct, rename="camel", gc=False):
    creator_id: Any = None
    fan_id: Any = None
    event_id: Any = None
    type: Any = None


_decode_loose: Final = msgspec.json.Decoder(_Loose).decode


def about(value: bytes | None) -> About | None:
    """Whose event a refused value is; None where it names no creator."""
    try:
        named = _decode_loose(value or b"")
        creator_id = check_id("creatorId", _text(named.creator_id))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidInput):
        return None
    fan_id = event_id = None
    with contextlib.suppress(InvalidInput):
        fan_id = check_id("fanId", _text(named.fan_id))
    with contextlib.suppress(InvalidInput):
        check_event_id("eventId", event := _text(named.event_id))
        event_id = event
    kind = named.type if isinstance(named.type, str) and named.type in KINDS else None
    return About(creator_id, fan_id, event_id, cast("Kind | None", kind))


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


encode_about = msgspec.json.Encoder().encode
decode_about = msgspec.json.Decoder(About).decode


class DeadLetter(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Value of a record on `interactions.dlq`; its key is the source position."""

    source: str
    """`topic-partition:offset` of the refused record."""
    field: str
    """Public path of the offending field; `$` for the record as a whole."""
    reason: str
    """What is wrong, without repeating the value."""
    refused_at: str
    """Kafka's time of the refused record: the same whenever ingest tries again."""
    kek: str
    """Id of the keyring's key that the copy is sealed under; empty where `key` says it."""
    sealed: bytes | None
    """AES-256-GCM of the refused value's first `HEAD_BYTES_MAX` bytes (base64 in JSON); null for a
    record without a value."""
    length: int | None = None
    """Bytes of the whole value; null for a record without one, and in letters of earlier versions,
    which hold the whole value."""
    digest: str | None = None
    """BLAKE2b of the whole value, under a key of the keyring's: equal values have equal ones."""
    key: str | None = None
    """What the copy is sealed under: `subject:UUID`, the key of the fan that it names, gone when
    the fan is erased; or `day:YYYY-MM-DD`, destroyed when the topic has let go of it. Null in
    letters of earlier versions, which are sealed under the keyring itself."""
    about: bytes | None = None
    """Whose event it is: JSON of what could be read of creatorId, fanId, eventId and type, sealed
    like the copy; null where no creator could be, and in letters of earlier versions."""


encode_dead_letter = msgspec.json.Encoder().encode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
