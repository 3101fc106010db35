"""The ledger outside the database: which random ids stand for nobody any more."""

from typing import Final

import msgspec

from schemas.errors import InvalidInput
from schemas.times import Time

KIND: Final = "fan"


class Erased(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Value of a record on `erasures`; its key is the erasure's id. Names nobody."""

    erasure: str
    subject: str
    """The random id that stood for a relationship: a UUID, like the erasure's."""
    kind: str
    """`fan`: everything of the subject."""
    erased_at: Time


encode_erased = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Erased).decode


def decode_erased(value: bytes) -> Erased:
    """Raises `InvalidInput`."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInput("$", "is no record of the ledger") from None
