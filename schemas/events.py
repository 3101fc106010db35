"""InteractionEvent: the public input, and the one place that decides what is accepted.

HTTP and Kafka share `parse_interaction`, so both refuse the same things with the same words. The
parser is msgspec's (0.9 us for this shape): it already refuses NaN, infinities, lone surrogates and
malformed UTF-8. What it lets pass is looked for here: NUL, duplicate keys, depth, bounds.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from schemas.errors import InvalidInput
from schemas.refusals import explain, refuse_duplicate_keys
from schemas.relationship import check_id
from schemas.times import MINUTE_MS, from_datetime

Kind = Literal["message", "purchase", "tip", "like", "view"]
Sender = Literal["fan", "creator"]
Author = Literal["creator", "chatter", "ai"]

KINDS: Final = get_args(Kind)

CONTENT_LENGTH_MAX: Final = 10_000
AMOUNT_MAX: Final = 1_000_000
METADATA_BYTES_MAX: Final = 16 * 1024
METADATA_DEPTH_MAX: Final = 8
CONTENT_TYPE_LENGTH_MAX: Final = 64
TIME_MIN_MS: Final = 631_152_000_000
"""1990-01-01T00:00:00Z: older times are a client's mistake (zero, seconds for milliseconds)."""
AHEAD_MS_MAX: Final = 5 * MINUTE_MS
"""How far an event's time may lie after its Kafka record's own time: clocks differ."""
VALUE_BYTES_MAX: Final = 262_144
"""Largest accepted value: 10,000 characters as JSON escapes, 16 KiB metadata, and room."""


class Interaction(msgspec.Struct, frozen=True, gc=False):
    """An accepted InteractionEvent in normal form."""

    creator_id: str
    fan_id: str
    kind: Kind
    time: int
    """Event time, ms since the epoch, UTC."""
    event_id: str | None = None
    """The producer's own id; without one the source position becomes the id."""
    sender: Sender = "fan"
    author: Author | None = None
    content: str | None = None
    amount: int | None = None
    """Minor units (cents)."""
    content_type: str | None = None
    gif: bool = False
    metadata: bytes | None = None
    """JSON object, as received."""


class Wire(msgspec.Struct, rename="camel", gc=False):
    """The JSON shape. Unknown fields are ignored, so that producers can be newer."""

    fan_id: str
    creator_id: str
    type: Kind
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    content: str | None = None
    amount: float | None = None
    metadata: dict[str, Any] | None = None
    event_id: str | None = None
    sender: Sender = "fan"
    author: Author | None = None
    schema_version: int | str | None = None


_decode = msgspec.json.Decoder(Wire).decode
_encode_metadata = msgspec.json.Encoder().encode
_control = re.compile("[\x00-\x1f\x7f-\x9f]").search
_key_marks = re.compile(rb'"\s*:').findall
_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(Wire))


def parse_interaction(value: bytes, record_time: int) -> Interaction:
    """Validate one InteractionEvent.

    `record_time` is the Kafka record's time (or the request's arrival), ms. Raises
    `InvalidInput` with the public name of the field and a reason that repeats no value; never
    anything else, because that would end the worker.
    """
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidInput("$", f"must be at most {VALUE_BYTES_MAX} bytes")
    try:
        return _parse(value, record_time)
    except UnicodeDecodeError:
        raise InvalidInput("$", "must be valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("$", "is nested too deeply") from None


def _parse(value: bytes, record_time: int) -> Interaction:
    try:
        wire = _decode(value)
    except msgspec.DecodeError as error:
        raise explain(error, value, _FIELDS, KINDS) from None
    if len(_key_marks(value)) != _keys_expected(wire):
        refuse_duplicate_keys(value, _FIELDS)
    check_id("fanId", wire.fan_id)
    check_id("creatorId", wire.creator_id)
    if wire.event_id is not None:
        check_id("eventId", wire.event_id)
    time = from_datetime(wire.timestamp)
    if time < TIME_MIN_MS:
        raise InvalidInput("timestamp", "must not be before 1990")
    if time > record_time + AHEAD_MS_MAX:
        raise InvalidInput("timestamp", "must not be more than 5 minutes in the future")
    content_type, gif, metadata = _metadata(wire.metadata)
    return Interaction(
        wire.creator_id,
        wire.fan_id,
        wire.type,
        time,
        wire.event_id,
        wire.sender,
        wire.author,
        _content(wire),
        _amount(wire),
        content_type,
        gif,
        metadata,
    )


def _content(wire: Wire) -> str | None:
    content = wire.content
    if content is None:
        if wire.type == "message":
            raise InvalidInput("content", "is required for a message")
        return None
    if len(content) > CONTENT_LENGTH_MAX:
        raise InvalidInput("content", f"must be at most {CONTENT_LENGTH_MAX} characters")
    if "\x00" in content:
        raise InvalidInput("content", "must not contain NUL")
    if wire.type == "message" and (not content or content.isspace()):
        raise InvalidInput("content", "must not be blank in a message")
    return content


def _amount(wire: Wire) -> int | None:
    amount = wire.amount
    if amount is None:
        if wire.type in ("purchase", "tip"):
            raise InvalidInput("amount", f"is required for a {wire.type}")
        return None
    if not 0 <= amount <= AMOUNT_MAX:
        raise InvalidInput("amount", f"must be between 0 and {AMOUNT_MAX}")
    return round(amount * 100)


def _metadata(metadata: dict[str, Any] | None) -> tuple[str | None, bool, bytes | None]:
    if not metadata:
        return None, False, None
    if _depth(metadata, METADATA_DEPTH_MAX) > METADATA_DEPTH_MAX:
        raise InvalidInput("metadata", f"must be at most {METADATA_DEPTH_MAX} levels deep")
    try:
        encoded = _encode_metadata(metadata)
    except (OverflowError, ValueError):
        raise InvalidInput("metadata", "must hold only numbers of up to 64 bits") from None
    if len(encoded) > METADATA_BYTES_MAX:
        raise InvalidInput("metadata", f"must be at most {METADATA_BYTES_MAX} bytes")
    if b"\\u0000" in encoded and "\x00" in "".join(_strings(metadata)):
        raise InvalidInput("metadata", "must not contain NUL")
    content_type = metadata.get("contentType")
    if content_type is not None:
        if not isinstance(content_type, str) or not content_type or content_type.isspace():
            raise InvalidInput("metadata.contentType", "must be a non-blank string")
        if len(content_type) > CONTENT_TYPE_LENGTH_MAX or _control(content_type):
            raise InvalidInput(
                "metadata.contentType",
                f"must be at most {CONTENT_TYPE_LENGTH_MAX} characters, none a control character",
            )
    return content_type, metadata.get("gif") is True, encoded


def _depth(value: Any, limit: int) -> int:
    """Levels of nesting; stops counting one past `limit`, so recursion is bounded."""
    children: Iterable[Any]
    if isinstance(value, dict):
        children = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return 0
    if limit <= 0:
        return 1
    return 1 + max((_depth(child, limit - 1) for child in children), default=0)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return []


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_keys(child) for child in value.values())
    if isinstance(value, list):
        return sum(_keys(child) for child in value)
    return 0


def _keys_expected(wire: Wire) -> int:
    """Keys that an event with these fields has when none is given twice.

    A fast guess: more marks in the text (an unknown field, a quote and a colon inside a text, an
    explicit null or default) only cost the slow, exact check.
    """
    count = 4
    count += wire.content is not None
    count += wire.amount is not None
    count += wire.event_id is not None
    count += wire.author is not None
    count += wire.schema_version is not None
    count += wire.sender != "fan"
    if wire.metadata is not None:
        count += 1 + _keys(wire.metadata)
    return count
