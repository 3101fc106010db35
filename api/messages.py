"""GET /api/of-memory/messages: what was said, beyond the newest 50, and a search in it.

The cursor is sealed, and bound to fan, creator, `q` and `before`. What is looked for is in no log,
metric or trace: of a request only its route is told.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.conditional import not_kept
from api.cursors import before_of, following
from api.endpoints import Parameter
from api.limits import cost_of
from api.parameters import (
    CREATOR_ID,
    CURSOR,
    FAN_ID,
    Query,
    moment,
    optional,
    page_limit,
    page_size,
    query_of,
    relationship_of,
)
from api.remarks import remarks_of
from schemas.context import ConversationMessage
from schemas.errors import InvalidInput
from schemas.positions import Place
from stores.messages import NEWEST, PAGE_MAX
from views.search import words_of

QUERY_LENGTH_MAX: Final = 200
SEARCH_FANS: Final = 100
"""A search counts as much as a bulk read of so many fans."""

PARAMETERS: Final = (
    FAN_ID,
    CREATOR_ID,
    Parameter(
        "before",
        "Only messages before this time; all, if left out.",
        schema={"type": "string", "format": "date-time"},
    ),
    Parameter(
        "q",
        "Only messages in which each of these words occurs, whatever their case and accents.",
        schema={"type": "string", "minLength": 1, "maxLength": QUERY_LENGTH_MAX},
    ),
    page_limit(PAGE_MAX),
    CURSOR,
)
_KNOWN: Final = frozenset(one.name for one in PARAMETERS)


class MessagesPage(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Some of what was said, the newest first."""

    messages: list[ConversationMessage]
    """As in `recentMessages`, mass messages too. Can be fewer than `limit`, or none, although
    `nextCursor` says that there are more."""
    next_cursor: str | None
    """Null: there is nothing older."""


async def list_messages(request: Request) -> Response:
    """What was said between a fan and the creator, the newest first; or what of it has some words.

    A search looks at 2,000 messages for one page.
    """
    query = query_of(request)
    who = relationship_of(request, query)
    if not _KNOWN.issuperset(query):
        # A misspelt `q` would find everything.
        raise InvalidInput("$", "must have no other parameters than " + ", ".join(sorted(_KNOWN)))
    limit, words, until = page_size(query, PAGE_MAX), _words(query), moment(query, "before")
    components = components_of(request)
    bound_to = msgspec.json.encode(["messages", who, words, until])
    before = NEWEST if until is None else Place(until, -1)
    before = before_of(query, components.cursors, bound_to) or before
    remembered = await components.memory.recall(
        *who, messages=False, remarks=remarks_of(request.scope)
    )
    request.scope["subject"] = remembered.subject
    if words:
        await components.limits.pay(principal_of(request), cost_of(SEARCH_FANS) - 1)
        found = await components.messages.search(who, words, before, limit)
    else:
        found = await components.messages.page(who, before, limit)
    cursor = following(found.end, components.cursors, bound_to)
    return not_kept(request, MessagesPage(found.messages, cursor))


def _words(query: Query) -> tuple[str, ...]:
    """What is looked for; nothing where all is wanted."""
    text = optional(query, "q")
    if text is None:
        return ()
    words = words_of(text) if len(text) <= QUERY_LENGTH_MAX else ()
    if not words:
        raise InvalidInput("q", f"must be words of 1 to {QUERY_LENGTH_MAX} characters together")
    return words
