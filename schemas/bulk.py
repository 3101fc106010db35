"""What a bulk read asks for."""

from typing import Annotated, Final

import msgspec

from schemas.errors import InvalidInput
from schemas.refusals import explain
from schemas.relationship import check_id

FANS_MAX: Final = 100


class BulkRequest(msgspec.Struct, rename="camel", gc=False):
    """Fans of one creator. One that is named again is answered once."""

    fan_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=FANS_MAX)]
    creator_id: str


_decode = msgspec.json.Decoder(BulkRequest).decode
_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(BulkRequest))


def parse_bulk(value: bytes) -> BulkRequest:
    """Raises `InvalidInput` with the field and a reason that repeats no value."""
    try:
        asked = _decode(value)
    except UnicodeDecodeError:
        raise InvalidInput("$", "must be valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("$", "is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise explain(error, value, _FIELDS, ()) from None
    check_id("creatorId", asked.creator_id)
    for fan_id in asked.fan_ids:
        check_id("fanIds", fan_id)
    return asked
