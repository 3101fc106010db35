"""Control records: orders among the events of `interactions`, in order with what they concern.

Their key is the relationship's, like that of its events, so they stand in the partition of those.
Whoever may write events may not give orders: a header proves that one of our own processes did
(`privacy.control`). Without it they are refused like any other record that is no event.
"""

from typing import Final

import msgspec

from schemas.errors import InvalidInput
from schemas.relationship import Relationship

HEADER: Final = "fanmemory-control"
"""Of each control record: its signature, 64 hexadecimal digits."""
UNPROVEN: Final = "is an order that this system has not given"


class Erase(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    tag_field="control",
    tag="erase",
    forbid_unknown_fields=True,
    gc=False,
):
    """Erase whatever is held of this relationship by now."""

    creator_id: str
    fan_id: str
    erasure_id: str
    """A UUID: an order counts once."""

    @property
    def who(self) -> Relationship:
        return self.creator_id, self.fan_id


encode_control = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Erase).decode


def decode_control(value: bytes) -> Erase:
    """Raises `InvalidInput` for what is no order."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInput("$", "is no order that is known") from None
