"""Query parameters: read strictly, refused with their name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_plus

import msgspec
from starlette.requests import Request

from schemas.errors import InvalidInput
from schemas.positions import Position, parse_position
from schemas.relationship import check_id
from schemas.times import from_datetime

Query = Mapping[str, str | None]
"""Parameters by name; None for one that is given more than once."""


def query_of(request: Request) -> Query:
    return read_query(request.scope["query_string"])


def read_query(raw: bytes) -> Query:
    """As browsers' forms write it. What needs no decoding, as most ids, is not decoded."""
    text = raw.decode("latin-1")
    escaped = "%" in text or "+" in text
    found: dict[str, str | None] = {}
    for part in text.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if escaped:
            name, value = unquote_plus(name), unquote_plus(value)
        found[name] = None if name in found else value
    return found


def identifier(query: Query, name: str) -> str:
    """The id of a fan or a creator in its normal form, given once."""
    return check_id(name, required(query, name))


def position(query: Query, name: str) -> Position | None:
    value = optional(query, name)
    return None if value is None else parse_position(value, name)


def own_writes(query: Query) -> bool:
    """Whether what was written lately is waited for, as `consistency` says; it is by default."""
    consistency = optional(query, "consistency")
    if consistency not in (None, "own-writes", "eventual"):
        raise InvalidInput("consistency", "must be own-writes or eventual")
    return consistency != "eventual"


def strict(query: Query) -> bool:
    """Whether an answer without memories is worse than none."""
    value = optional(query, "strict")
    if value not in (None, "true", "false"):
        raise InvalidInput("strict", "must be true or false")
    return value == "true"


def moment(query: Query, name: str) -> int | None:
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


def required(query: Query, name: str) -> str:
    value = optional(query, name)
    if value is None:
        raise InvalidInput(name, "is required")
    return value


def optional(query: Query, name: str) -> str | None:
    if name not in query:
        return None
    value = query[name]
    if value is None:
        raise InvalidInput(name, "must be given once")
    return value
