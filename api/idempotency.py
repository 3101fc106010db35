"""`Idempotency-Key`: the id of an event whose body names none, so that sending again is safe.

The key is the `eventId` itself, in a batch `KEY:index`. What is longer than an id may be is put in
by its digest.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from schemas.errors import InvalidInput
from schemas.events import VALUE_BYTES_MAX, Interaction
from schemas.relationship import ID_LENGTH_MAX

NAME: Final = "Idempotency-Key"
LENGTH_MAX: Final = 255

_HEADER: Final = NAME.lower().encode()
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The key that was sent; raises `InvalidInput` for one that is no key."""
    sent = headers.get(_HEADER)
    if sent is None:
        return None
    text = sent.decode("latin-1")
    if not 0 < len(text) <= LENGTH_MAX or not text.isascii() or not text.isprintable():
        raise InvalidInput(NAME, f"must be 1 to {LENGTH_MAX} printable ASCII characters")
    if text.isspace():
        raise InvalidInput(NAME, "must not be blank")
    return text


def event_id(key: str) -> str:
    if len(key) <= ID_LENGTH_MAX:
        return key
    return "key-" + blake2b(key.encode(), digest_size=32).hexdigest()


def identified(value: bytes, interaction: Interaction, key: str) -> bytes:
    """The event with the key as its `eventId`; all else in it stays byte for byte.

    `interaction` is what was read from `value`. Raises `InvalidInput` if that has another id.
    """
    wanted = event_id(key)
    if interaction.event_id is not None:
        if interaction.event_id not in (key, wanted):
            raise InvalidInput("eventId", f"is not the one that {NAME} gives")
        return value
    fields: dict[str, object] = {**_decode(value), "eventId": wanted}
    changed = _encode(fields)
    if len(changed) > VALUE_BYTES_MAX:
        raise InvalidInput("$", f"must be at most {VALUE_BYTES_MAX} bytes")
    return changed
