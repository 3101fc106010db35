"""GET /api/of-memory/fans: a creator's fans who belong to a segment, page by page.

The cursor is sealed, and bound to creator, segment, order and version of the views: with any other
it is refused. It holds the place where the page has ended and the moment of the first page, so all
pages are as of that moment; a day later it is too old. It goes on after a rebuild that changes no
view.
"""

from typing import Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.endpoints import Parameter
from api.envelopes import data
from api.limits import cost_of
from api.parameters import (
    CREATOR_ID,
    CURSOR,
    Query,
    identifier,
    optional,
    page_limit,
    page_size,
    query_of,
)
from infra.clock import now_ms
from schemas.errors import InvalidInput
from schemas.segments import (
    FIELDS,
    NAME_LENGTH_MAX,
    REVENUE_MAX,
    SORTS,
    FanSummary,
    Segment,
    Sort,
    parse_segment,
)
from schemas.text_features import SignalKind
from schemas.times import DAY_MS, Time, render_time
from stores.segments import PAGE_MAX, Place
from views.state import VIEW_VERSION

CURSOR_AGE_MS_MAX: Final = DAY_MS
RANKING_SECONDS_MAX: Final = 1.0
"""How long the first page waits for the percentiles; it would be without them."""
SORT_BY_SCORE: Final[Sort] = "score"

_SCORE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_DOLLARS: Final = {"type": "number", "minimum": -REVENUE_MAX, "maximum": REVENUE_MAX}
_MOMENT: Final = {"type": "string", "format": "date-time"}
CONDITIONS: Final = (
    Parameter(
        "sentiment",
        "Of this current sentiment.",
        schema={"type": "string", "enum": ["positive", "neutral", "negative"]},
    ),
    Parameter(
        "level",
        "Of this engagement level.",
        schema={"type": "string", "enum": ["high", "medium", "low"]},
    ),
    Parameter("minScore", "With this engagement score or more.", schema=_SCORE),
    Parameter("maxScore", "With this engagement score or less.", schema=_SCORE),
    Parameter(
        "topic",
        "Interested in this topic.",
        schema={"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX},
    ),
    Parameter("pattern", "With this purchase pattern.", schema={"type": "string", "minLength": 1}),
    Parameter("minRevenue", "Who have paid so much or more, in US dollars.", schema=_DOLLARS),
    Parameter("maxRevenue", "Who have paid so much or less, in US dollars.", schema=_DOLLARS),
    Parameter("activeSince", "Whose last interaction was then or later.", schema=_MOMENT),
    Parameter("silentSince", "Whose last interaction was before.", schema=_MOMENT),
    Parameter(
        "signal",
        "Who said something of this kind that a person may want to be called for.",
        schema={"type": "string", "enum": list(get_args(SignalKind))},
    ),
    Parameter("signalSince", "The newest message that said it was then or later.", schema=_MOMENT),
    Parameter(
        "waiting",
        "Who wait for an answer; or, if false, who do not.",
        schema={"type": "boolean"},
    ),
)
PARAMETERS: Final = (
    CREATOR_ID,
    *CONDITIONS,
    Parameter(
        "sort",
        "What comes first: the largest score or revenue, or the newest; score, if left out. By"
        " waitingSince only those who wait for an answer, the longest first.",
        schema={"type": "string", "enum": list(SORTS)},
    ),
    page_limit(PAGE_MAX),
    CURSOR,
)
_KNOWN: Final = frozenset(one.name for one in PARAMETERS)


class FansPage(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Some of the fans who were asked for, in order."""

    fans: list[FanSummary]
    """Can be fewer than `limit`, or none, although `nextCursor` says that there are more: a page
    looks at so many fans and no more."""
    next_cursor: str | None
    """Null: that was the last page."""
    as_of: Time
    """What decays is as of this moment, in all pages of the list."""


class _Where(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a cursor holds."""

    moment: int
    key: float | int
    subject: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Where).decode


async def list_fans(request: Request) -> Response:
    """The creator's fans who meet all conditions, in the order of `sort`."""
    query = query_of(request)
    creator_id = identifier(query, "creatorId")
    principal_of(request).require(creator_id)
    if not _KNOWN.issuperset(query):
        # A condition that is misspelt would mean everybody.
        raise InvalidInput("$", "must have no other parameters than " + ", ".join(sorted(_KNOWN)))
    segment, sort, limit = _segment(query), _sort(query), page_size(query, PAGE_MAX)
    if sort == "waitingSince" and segment.waiting is False:
        raise InvalidInput("waiting", "must be true, or left out: only who waits has that order")
    components = components_of(request)
    bound_to = msgspec.json.encode([creator_id, segment, sort, VIEW_VERSION])
    moment, after = now_ms(), None
    cursor = optional(query, "cursor")
    if cursor is not None:
        where = _decode(components.cursors.open(cursor, bound_to))
        if moment - where.moment > CURSOR_AGE_MS_MAX:
            raise InvalidInput("cursor", "must be of the last 24 hours: begin again without it")
        moment, after = where.moment, Place(where.key, where.subject)
    await components.limits.pay(principal_of(request), cost_of(limit) - 1)
    ranking = await components.percentiles.ranking(creator_id, RANKING_SECONDS_MAX)
    found = await components.segments.page(creator_id, segment, sort, moment, limit, after, ranking)
    following = None
    if found.end is not None:
        following = components.cursors.seal(_encode(_Where(moment, *found.end)), bound_to)
    response = data(request.scope, FansPage(found.fans, following, render_time(moment)))
    response.raw_headers.append((b"cache-control", b"no-store"))
    return response


def _segment(query: Query) -> Segment:
    given = {name: optional(query, name) for name in FIELDS}
    return parse_segment({name: text for name, text in given.items() if text is not None})


def _sort(query: Query) -> Sort:
    wanted = optional(query, "sort")
    if wanted is None:
        return SORT_BY_SCORE
    for sort in SORTS:
        if sort == wanted:
            return sort
    raise InvalidInput("sort", "must be one of " + ", ".join(SORTS))
