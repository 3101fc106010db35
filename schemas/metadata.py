"""What may stand in `metadata`, and the words in it that mean something to us."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.characters import has_control
from schemas.errors import InvalidInput
from schemas.times import from_datetime

BYTES_MAX: Final = 32 * 1024
DEPTH_MAX: Final = 8
CONTENT_TYPE_LENGTH_MAX: Final = 64

_encode = msgspec.json.Encoder().encode


def encode_metadata(metadata: dict[str, Any], field: str = "metadata") -> bytes:
    """As JSON; raises `InvalidInput`, naming `field`, for more than `BYTES_MAX` bytes or
    `DEPTH_MAX` levels, and for what can't be kept."""
    if _depth(metadata, DEPTH_MAX) > DEPTH_MAX:
        raise InvalidInput(field, f"must be at most {DEPTH_MAX} levels deep")
    try:
        encoded = _encode(metadata)
    except (OverflowError, ValueError):
        raise InvalidInput(field, "must hold only numbers of up to 64 bits") from None
    if len(encoded) > BYTES_MAX:
        raise InvalidInput(field, f"must be at most {BYTES_MAX} bytes")
    if b"\\u0000" in encoded and "\x00" in "".join(_strings(metadata)):
        raise InvalidInput(field, "must not contain NUL")
    return encoded


def content_type_of(metadata: dict[str, Any]) -> str | None:
    """What was viewed, liked or bought; raises `InvalidInput` for what can't name it."""
    content_type = metadata.get("contentType")
    if content_type is None:
        return None
    if not isinstance(content_type, str) or not content_type or content_type.isspace():
        raise InvalidInput("metadata.contentType", "must be a non-blank string")
    if len(content_type) > CONTENT_TYPE_LENGTH_MAX or has_control(content_type):
        raise InvalidInput(
            "metadata.contentType",
            f"must be at most {CONTENT_TYPE_LENGTH_MAX} characters, none a control character",
        )
    return content_type


def time_in(metadata: dict[str, Any] | None, name: str) -> int | None:
    """A time that may stand there, ms; whatever else does is not ours to judge."""
    value = (metadata or {}).get(name)
    if not isinstance(value, str):
        return None
    try:
        found = msgspec.convert(value, datetime)
        return None if found.tzinfo is None else from_datetime(found)
    except (msgspec.ValidationError, OverflowError):
        return None


def keys_in(value: Any) -> int:
    """Keys of all objects."""
    if isinstance(value, dict):
        return len(value) + sum(keys_in(child) for child in value.values())
    if isinstance(value, list):
        return sum(keys_in(child) for child in value)
    return 0


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
