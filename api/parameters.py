"""Query parameters: read strictly, refused with their name."""

from datetime import UTC, datetime

import msgspec
from starlette.datastructures import QueryParams

from schemas.errors import InvalidInput
from schemas.positions import Position, parse_position
from schemas.relationship import check_id
from schemas.times import from_datetime


def identifier(query: QueryParams, name: str) -> str:
    """An id: 1 to 128 characters, not blank, no control characters, given once."""
    value = required(query, name)
    check_id(name, value)
    return value


def position(query: QueryParams, name: str) -> Position | None:
    value = optional(query, name)
    return None if value is None else parse_position(value, name)


def moment(query: QueryParams, name: str) -> int | None:
    """An RFC 3339 time with a zone, as ms since the epoch."""
    value = optional(query, name)
    if value is None:
        return None
    try:
        found = msgspec.convert(value, datetime)
        # Also that it is one of the years 1 to 9999 in UTC, out of which an offset can lead.
        if found.tzinfo is not None and found.astimezone(UTC):
            return from_datetime(found)
    except (msgspec.ValidationError, OverflowError):
        pass
    # A plus sign in a query is a space unless it is written %2B: say so, it is a classic.
    raise InvalidInput(name, "must be an RFC 3339 time with a zone (write + as %2B)")


def required(query: QueryParams, name: str) -> str:
    value = optional(query, name)
    if value is None:
        raise InvalidInput(name, "is required")
    return value


def optional(query: QueryParams, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise InvalidInput(name, "must be given once")
    return values[0] if values else None
