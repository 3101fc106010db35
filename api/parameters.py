"""Query parameters: read strictly, refused with their name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus

import msgspec
from starlette.requests import Request

from api import idempotency
from api.auth import principal_of
from api.endpoints import Parameter
from schemas.errors import InvalidInput
from schemas.positions import PATTERN as POSITION_PATTERN
from schemas.positions import Position, parse_position
from schemas.relationship import ID_LENGTH_MAX, Relationship, check_id
from schemas.times import from_datetime
from views.explain import PATTERN as FIELD_PATTERN

Query = Mapping[str, str | None]
"""Parameters by name; None for one that is given more than once."""

_ID: Final = {"type": "string", "minLength": 1, "maxLength": ID_LENGTH_MAX}
_MOMENT: Final = {"type": "string", "format": "date-time"}

FAN_ID: Final = Parameter("fanId", "The fan.", schema=_ID, required=True)
ONE_FAN: Final = Parameter("fanId", "Only this fan; all, if left out.", schema=_ID)
CREATOR_ID: Final = Parameter("creatorId", "The token's creator.", schema=_ID, required=True)
WHICH_CREATOR: Final = Parameter(
    "creatorId", "Which of the token's creators; needed if there are several.", schema=_ID
)
MIN_POSITION: Final = Parameter(
    "minPosition",
    "Wait until what was accepted there is in the answer; a write of this fan told it. Or the"
    " `version` that a memory or an update of this fan told: wait for that, or a later one.",
    schema={"type": "string", "pattern": POSITION_PATTERN},
)
CONSISTENCY: Final = Parameter(
    "consistency",
    "Whether to wait for what was written to the fan a moment ago; own-writes, if left out.",
    schema={"type": "string", "enum": ["own-writes", "eventual"]},
)
STRICT: Final = Parameter(
    "strict",
    "Rather an error than an answer without memories.",
    schema={"type": "boolean"},
)
AS_OF: Final = Parameter("asOf", "The memory as of this time.", schema=_MOMENT)
FIELD: Final = Parameter(
    "field",
    "The number to be explained.",
    schema={"type": "string", "pattern": FIELD_PATTERN},
    required=True,
)
FROM: Final = Parameter("from", "Only what happened after; ever, if left out.", schema=_MOMENT)
TO: Final = Parameter("to", "Only what happened until then; now, if left out.", schema=_MOMENT)
SINCE: Final = Parameter(
    "since",
    "A position, as a write or a version tells it: what arrived later. Or a time: what happened"
    " later.",
    required=True,
)
IF_NONE_MATCH: Final = Parameter("If-None-Match", "The ETag of what you have.", "header")
LAST_EVENT_ID: Final = Parameter(
    "Last-Event-ID", "The `id` that came last: the stream goes on behind it.", "header"
)
LAST_EVENT_ID_IN_QUERY: Final = Parameter(
    "lastEventId", "The same, for clients that can send no header."
)
TICKET: Final = Parameter("ticket", "In place of a token: what `POST stream/ticket` answered.")
PLATFORM: Final = Parameter("platform", "The platform that delivers.", "path")
CONNECTION: Final = Parameter("connection", "The id of the creator's connection to it.", "path")
ERASURE: Final = Parameter("erasure", "The id of the erasure.", "path")
FORGETTING: Final = Parameter("forgetting", "The id of the forgetting.", "path")
EVENT_ID: Final = Parameter("eventId", "The id of the message.", "path")
WHICH_EVENT: Final = Parameter("eventId", "The id of the event.", "path")
WORKFLOW: Final = Parameter("workflow", "The id of the workflow.", "path")
CAMPAIGN: Final = Parameter("campaign", "The id of the campaign's workflow.", "path")
STATE: Final = Parameter("state", "Only those in this state.", schema={"type": "string"})
CURSOR: Final = Parameter("cursor", "`nextCursor` of the page before.")
LIMIT: Final = Parameter(
    "limit", "How many at the most; 50.", schema={"type": "integer", "minimum": 1}
)
PAGE: Final = 50
"""What a page has where no `limit` is given."""


def page_limit(most: int) -> Parameter:
    """`limit` of a route whose pages have so many at the most."""
    return Parameter(
        "limit",
        f"How many at the most; {PAGE}, if left out.",
        schema={"type": "integer", "minimum": 1, "maximum": most},
    )


IDEMPOTENCY_KEY: Final = Parameter(
    idempotency.NAME,
    "The id of an event whose body has none; in a batch, of each with its number.",
    "header",
    {"type": "string", "minLength": 1, "maxLength": idempotency.LENGTH_MAX},
)


def relationship_of(request: Request, query: Query) -> Relationship:
    """The fan and the creator who are asked about. Raises `InvalidInput`, and `Forbidden` for a
    creator who is not the token's."""
    fan_id = identifier(query, "fanId")
    creator_id = identifier(query, "creatorId")
    principal_of(request).require(creator_id)
    return creator_id, fan_id


def creator_of(request: Request) -> str:
    """Whose things are asked for where no body or fan says it: the creator that is named, else the
    token's. Raises `Forbidden`; `InvalidInput` if an agency's token leaves it open."""
    principal = principal_of(request)
    named = optional(query_of(request), "creatorId")
    if named is None and principal.creator_ids:
        raise InvalidInput("creatorId", "is required, as the token is of several creators")
    if named is None:
        return check_id("creatorId", principal.creator_id or "")
    creator_id = check_id("creatorId", named)
    principal.require(creator_id)
    return creator_id


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


def page_size(query: Query, most: int) -> int:
    """How many a page has at the most."""
    text = optional(query, "limit")
    if text is None:
        return PAGE
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most:
        return int(text)
    raise InvalidInput("limit", f"must be a whole number of 1 to {most}")


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
