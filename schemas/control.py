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
EVENTS_MAX: Final = 100
"""Messages of one order to forget."""
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


class Forget(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    tag_field="control",
    tag="forget",
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """Forget some events of this relationship, of those that were sent before."""

    creator_id: str
    fan_id: str
    forgetting_id: str
    """A UUID: an order counts once."""
    event_ids: tuple[str, ...] = ()
    """Messages, with what they were edited to."""
    before: int | None = None
    """Whatever happened before this time, ms since the epoch."""
    places: tuple[tuple[int, int], ...] = ()
    """Events by where they stood in `interactions`, (partition, offset): whoever has no ids of them
    any more, since they were forgotten before the database was restored."""

    @property
    def who(self) -> Relationship:
        return self.creator_id, self.fan_id


Order = Erase | Forget

encode_control = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Erase | Forget).decode


def decode_control(value: bytes) -> Order:
    """Raises `InvalidInput` for what is no order."""
    try:
        order: Order = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInput("$", "is no order that is known") from None
    return order
