"""The members of a segment, page by page: found by columns, judged by what the views render.

A page is one statement, and so one snapshot. It goes along an index from where the page before
ended, looks at `LOOKS_MAX` rows at most, and reads the states of those whose columns are within the
segment's bounds; who is a member, and what is shown of them, is rendered from the state. So what a
page costs has a bound, whatever it is asked for; one of a rare kind can be short, or empty, and say
where to go on.

Pages go on from a place in the order, not from a number. A fan whose key stands still is met
exactly once, whatever is written meanwhile; one who moves is met where they stand when that part is
read. The ids stand still, so `members`, in their order, meets everybody once. The moment is frozen:
what decays is as of the first page in all of them.

Whether columns are still to be written is asked before the page is read: a state that is written
without them in between is found where it stood before, as by a page that was read then. That is
asked of all fans at once, as a role that sees them, for behind the wall each would be looked up.

Each fan's key is opened with the ids that are shown, and the state with that key: a mapping that
was swapped shows nobody.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from infra.breaker import Guard
from infra.clock import now_ms
from infra.postgres import Pool, Record
from infra.sql import Queries, load_queries
from privacy.subjects import journal_partition
from schemas.errors import FansUnindexed, SealBroken
from schemas.relationship import Relationship
from schemas.segments import FanSummary, Segment, Sort
from schemas.topics import JOURNAL
from stores import wall
from stores.generations import schema_name
from stores.percentiles import Ranking
from stores.states import creator_hash
from stores.store import Store
from views.segments import Bounds, bounds, matches, rank_of, summarize
from views.state import VIEW_VERSION, Fan, decode, is_nobody

LOOKS_MAX: Final = 2_000
"""Rows that one page looks at."""
TURN: Final = 32
"""Fans opened and rendered before other requests get the loop: 20 us each."""
PAGE_MAX: Final = 200
LAST: Final = b"\xff" * 16
"""A subject behind which every other one stands."""

_SQL: Final = Path(__file__).parent / "sql" / "segments.sql"
_KEYS: Final[dict[Sort, tuple[str, str, str]]] = {
    "score": ("rank", "by_rank", "double precision"),
    "revenue": ("revenue", "by_revenue", "bigint"),
    "lastInteraction": ("last_interaction", "by_last_interaction", "bigint"),
    "waitingSince": ("nullif(-waiting_since, 0)", "by_waiting", "bigint"),
}
"""What it is ordered by -> the column, its copy in the index, their type."""

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a page has ended: the next one begins behind it."""

    key: float
    """`rank`, `revenue` in cents, `last_interaction` in ms, or `waiting_since` in ms with a minus:
    what the pages are ordered by."""
    subject: bytes


class Page(NamedTuple):
    """Some members, in order."""

    fans: list[FanSummary]
    end: Place | None
    """None: nobody is left."""


class _Found(NamedTuple):
    """What a statement gave."""

    rows: list[Record]
    more: bool


@cache
def _queries(generation: int, sort: Sort) -> Queries:
    key, by, type = _KEYS[sort]
    return load_queries(_SQL, generation=schema_name(generation), key=key, by=by, type=type)


def _page(sort: Sort, generation: int) -> str:
    return _queries(generation, sort).page


def _by_id(generation: int) -> str:
    return _queries(generation, "score").by_id


class Segments:
    """Reads of a creator's fans. Every method raises `DatabaseUnavailable` when Postgres does not
    answer, and `FansUnindexed` while the columns of some state are not written yet."""

    def __init__(
        self,
        pool: Pool,
        whole: Pool,
        store: Store,
        journal_partitions: int,
        currency: str,
        *,
        guard: Guard | None = None,
        looks_max: int = LOOKS_MAX,
    ) -> None:
        """`whole`: as a role that sees the rows of all creators, of which it tells nothing."""
        self._pool = pool
        self._whole = whole
        self._store = store
        self._partitions = journal_partitions
        self._currency = currency
        self._guard = guard
        self._looks_max = looks_max

    async def page(
        self,
        creator_id: str,
        segment: Segment,
        sort: Sort,
        moment: int,
        limit: int,
        after: Place | None = None,
        ranking: Ranking | None = None,
    ) -> Page:
        """Up to `limit` members at `moment` (ms), in the order of `sort`, from behind `after`.

        It can have fewer, or none, although there are more: `end` says it. `ranking` is that of the
        creator's fans, if their percentiles are to be shown.
        """
        if sort == "waitingSince":
            segment = replace(segment, waiting=True)
        within = bounds(segment, moment, max(moment, now_ms()))
        least, most = _range(sort, within)
        place = Place(most, LAST) if after is None else after
        asked = (
            creator_id,
            *place,
            least,
            VIEW_VERSION,
            self._looks_max,
            limit + 1,
            *within,
            creator_hash(creator_id),
        )
        found = await self._find(partial(_page, sort), limit, asked)
        fans = await self._members(creator_id, segment, moment, found, ranking)
        if not found.more:
            return Page(fans, None)
        return Page(fans, Place(found.rows[-1]["key"], found.rows[-1]["subject"]))

    async def members(
        self, creator_id: str, segment: Segment, moment: int, *, page: int = PAGE_MAX
    ) -> AsyncIterator[list[FanSummary]]:
        """All members at `moment` (ms), each once, in the order of their ids, `page` at a time.

        The clock stands at the moment, memory does not: who writes meanwhile is judged by what is
        remembered when their page is read.
        """
        within = bounds(segment, moment, max(moment, now_ms()))
        after, more = "", True
        while more:
            asked = (creator_id, after, VIEW_VERSION, self._looks_max, page + 1, *within)
            found = await self._find(_by_id, page, asked)
            fans = await self._members(creator_id, segment, moment, found)
            if fans:
                yield fans
            more = found.more
            if more:
                after = found.rows[-1]["key"]

    async def _find(
        self, queries: Callable[[int], str], limit: int, asked: tuple[Any, ...]
    ) -> _Found:
        """The rows that fit, and the last one looked at, which may not."""

        async def read() -> list[Record]:
            return await self._read(queries, asked)

        rows = await (read() if self._guard is None else self._guard.call(read))
        if not rows:
            raise FansUnindexed
        if rows[0]["subject"] is None:
            return _Found([], False)
        # One more than was asked for says that there is one; it is the next page's.
        more = len(rows) > limit or rows[-1]["place"] == self._looks_max
        return _Found(rows[:limit], more)

    async def _read(self, query: Callable[[int], str], asked: tuple[Any, ...]) -> list[Record]:
        """None at all while some are not indexed."""
        unindexed = False

        async def read(generation: int) -> list[Record]:
            nonlocal unindexed
            unindexed = await self._whole.fetchval(_queries(generation, "score").unindexed)
            return await wall.fetch(self._pool, query(generation), asked[0], *asked)

        rows = await self._store.of_one_generation(read)
        return [] if unindexed else rows

    async def _members(
        self,
        creator_id: str,
        segment: Segment,
        moment: int,
        found: _Found,
        ranking: Ranking | None = None,
    ) -> list[FanSummary]:
        fans = []
        for number, row in enumerate(found.rows, 1):
            fan = self._member((creator_id, row["fan_id"]), segment, moment, row, ranking)
            if fan is not None:
                fans.append(fan)
            if number % TURN == 0:
                await asyncio.sleep(0)
        return fans

    def _member(
        self,
        who: Relationship,
        segment: Segment,
        moment: int,
        row: Record,
        ranking: Ranking | None,
    ) -> FanSummary | None:
        if not row["fits"] or row["fan_id"] is None:
            return None
        try:
            document = self._store.state(row, who, row["readable"])
        except SealBroken:
            log.exception("a fan's state is not of their name", extra={"operation": "readFans"})
            return None
        if is_nobody(document):
            return None
        state = decode(document)
        if not matches(segment, state, moment):
            return None
        partition = journal_partition(row["subject"], self._partitions)
        version = f"{JOURNAL.name}-{partition}:{row['version'] - 1}"
        percentile = None if ranking is None else ranking.percentile(rank_of(state.engagement))
        return summarize(Fan(state, (), self._currency), who, moment, version, percentile)


def _range(sort: Sort, within: Bounds) -> tuple[float, float]:
    """The smallest and the largest key of a member."""
    if sort == "score":
        return within.rank_min, within.rank_max
    if sort == "revenue":
        return within.revenue_min, within.revenue_max
    if sort == "waitingSince":
        return -within.waiting_since_max, -within.waiting_since_min
    return within.last_interaction_min, within.last_interaction_max
