"""The ledger outside the database: which random ids stand for nobody any more."""

from typing import Final

import msgspec

from schemas.errors import InvalidInput
from schemas.times import Time

KIND: Final = "fan"
EVENTS: Final = "events"


class Erased(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Value of a record on `erasures`; its key is the erasure's id. Names nobody."""

    erasure: str
    subject: str
    """The random id that stood for a relationship: a UUID, like the erasure's."""
    kind: str
    """`fan`: everything of the subject; `events`: some events, and the relationship stands under
    another subject since."""
    erased_at: Time
    events: tuple[str, ...] = ()
    """The forgotten events' keys, in hexadecimal: keyed hashes, whose key was destroyed."""
    before: int | None = None
    """Whatever happened before this time, ms since the epoch, was forgotten."""
    places: tuple[tuple[int, int], ...] = ()
    """Where the forgotten events stood in `interactions`: (partition, offset). They name them in a
    backup that is older than the subject, and has them under the keys of a former one."""
    successor: str | None = None
    """Under which random id the relationship stood from then on; null: under none."""


encode_erased = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Erased).decode


def decode_erased(value: bytes) -> Erased:
    """Raises `InvalidInput`."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInput("$", "is no record of the ledger") from None
