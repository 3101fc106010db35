"""Messages: all that was said between a fan and a creator, page by page, the newest first.

A page goes along the indexes of messages from where the page before ended, and looks at so many
rows and bytes at the most; then it has what it has found, and says where to go on. So what a page
costs has a bound, whatever is looked for. A place is a time and an offset in the journal: whatever
is written meanwhile, a message is met once, if it stands when its part is read.

Corrections are what the rows say, as for every reader (`stores.corrections`): what was deleted is
no message, and an edited one has its edit's text. A page is read by the readers' connections; a
search, which opens 40 times as many, in a turn of the bulkhead of whole histories.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.breaker import Guard
from infra.postgres import Pool, Record, database_errors
from infra.sql import load_queries
from privacy.keys import Keyring
from schemas.context import ConversationMessage
from schemas.errors import FanNotFound
from schemas.positions import Place
from schemas.relationship import Relationship
from stores import wall
from stores.past import Past
from stores.snapshot import Fragment, key_of
from views.messages import Message, in_order, rank_of, render_one
from views.search import has

PAGE_MAX: Final = 200
PAGE_BYTES_MAX: Final = 1 << 22
"""Sealed bytes that a page is made of: 100 of the longest messages."""
LOOKS_MAX: Final = 2_000
"""Messages that a search looks at for one page: 10 to 20 ms of a thread."""
LOOKS_BYTES_MAX: Final = 1 << 23

_SQL: Final = load_queries(Path(__file__).parent / "sql" / "messages.sql")


NEWEST: Final = Place(1 << 62, 0)
"""Behind every message."""


class Page(NamedTuple):
    """Some messages, the newest first."""

    messages: list[ConversationMessage]
    end: Place | None
    """None: there is none that is older."""


class _Read(NamedTuple):
    """Rows, and what opens them."""

    cipher: AESGCM
    subject: bytes
    rows: list[Record]


class Messages:
    """Raises `FanNotFound`, `DatabaseUnavailable`; `Overloaded` when too many search."""

    def __init__(
        self, pool: Pool, keyring: Keyring, guard: Guard, past: Past, *, looks_max: int = LOOKS_MAX
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._guard = guard
        self._past = past
        self._looks_max = looks_max

    async def page(self, who: Relationship, before: Place, limit: int) -> Page:
        """Up to `limit` messages before a place. It can have fewer although there are more: those
        of one time are not parted."""

        async def read() -> _Read:
            return await self._read(self._pool, who, before, limit + 1, PAGE_BYTES_MAX)

        found = await self._guard.call(read)
        return await asyncio.to_thread(_page, who, found, limit, limit, PAGE_BYTES_MAX)

    async def search(
        self, who: Relationship, words: Sequence[str], before: Place, limit: int
    ) -> Page:
        """The same of those that have these words (`views.search`). It can have none although there
        are more: so many are looked at, and no more."""
        looks = self._looks_max

        async def read(pool: Pool) -> _Read:
            return await self._read(pool, who, before, looks + 1, LOOKS_BYTES_MAX)

        def find(found: _Read) -> Page:
            return _page(who, found, looks, limit, LOOKS_BYTES_MAX, lambda text: has(text, words))

        return await self._past.in_turn(who[0], read, find)

    async def _read(
        self, pool: Pool, who: Relationship, before: Place, rows_max: int, bytes_max: int
    ) -> _Read:
        async with database_errors():
            rows = await wall.fetch(pool, _SQL.before, who[0], *who, *before, rows_max, bytes_max)
        if not rows:
            raise FanNotFound
        first = rows[0]
        key = key_of(first, who, self._keyring)
        return _Read(AESGCM(key), first["subject"], rows if first["body"] is not None else [])


def _page(
    who: Relationship,
    found: _Read,
    looks: int,
    limit: int,
    bytes_max: int,
    wanted: Callable[[str], bool] | None = None,
) -> Page:
    """Of the first `looks` rows, up to `bytes_max`, those that are wanted."""
    rows = found.rows
    within = [row for row in rows[:looks] if row["bytes"] <= bytes_max] or rows[:1]
    rest = rows[len(within) :]
    groups = [list(group) for _, group in groupby(within, key=lambda row: row["time"])]
    parted = bool(rest) and rest[0]["time"] == within[-1]["time"]
    if parted and len(groups) > 1:
        groups.pop()  # all of it is the next page's
        parted, rest = False, within
    shown: list[Message] = []
    end: Place | None = None
    for number, group in enumerate(groups, 1):
        told = [one for row in group if (one := _open(found, row, wanted)) is not None]
        if len(told) > limit - len(shown):
            if not shown:  # more of one time than a page has: in log order
                shown = told[:limit]
                end = Place(shown[-1].time, shown[-1].offset)
            return Page(_rendered(who, shown), end)
        shown += told if parted else reversed(in_order(told[::-1]))
        end = Place(group[-1]["time"], group[-1]["offset"])
        if len(shown) == limit and number < len(groups):
            return Page(_rendered(who, shown), end)
    return Page(_rendered(who, shown), end if rest else None)


def _open(found: _Read, row: Record, wanted: Callable[[str], bool] | None) -> Message | None:
    edit = None if row["edit_body"] is None else (row["edited_by"], row["edit_body"])
    sealed = Fragment(row["time"], row["offset"], row["event_key"], row["body"], edit)
    entry = sealed.open(found.cipher, found.subject)
    if wanted is not None and not wanted(entry.content or ""):
        return None
    return Message(row["time"], row["offset"], rank_of(entry), entry)


def _rendered(who: Relationship, shown: Sequence[Message]) -> list[ConversationMessage]:
    return [render_one(who, one.entry) for one in shown]
