"""The reader: asks the API for fans' contexts all the while, one after another.

What a reader may see while things are killed: a context, 404 for a fan not yet known, 503 or 504
when neither store answers. What it may not: any other error, a context that goes backwards, or one
whose parts don't belong together.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import msgspec

from api.table import PREFIX
from api.tokens import issue_token
from infra.settings import Settings
from schemas.relationship import Relationship
from views.messages import MESSAGES_MAX

READS_PER_SECOND: Final = 25.0
READERS: Final = 4
WATCHED_FANS: Final = 30
STALE_SECONDS_MAX: Final = 8.0
"""The cache's lease of 5 s and the way of one answer, with room for a busy machine."""

Counts = Mapping[Relationship, int]

ANSWER_SECONDS_MAX: Final = 15.0
TOKEN_SECONDS: Final = 6 * 3600
ALLOWED: Final = frozenset({200, 404, 503, 504})


class Reader:
    """Reads random fans' contexts and remembers what it saw."""

    def __init__(self, settings: Settings, fans: Iterable[Relationship], seed: int) -> None:
        self._settings = settings
        self._fans = sorted(set(fans))
        self._rng = random.Random(seed)
        self._often = self._rng.sample(self._fans, len(self._fans))
        self._tokens: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None
        self._seen: dict[Relationship, int] = {}
        self._restores = 0
        self._blind_until = 0.0
        self.statuses: Counter[int] = Counter()
        """Answers by HTTP status; 0 for none at all."""
        self.went_back = 0
        """Contexts with fewer interactions than an earlier one of the same fan."""
        self.torn = 0
        """Contexts whose recent messages are not as many as their own count of messages says."""
        self.stale = 0
        """Contexts older than what the database had `STALE_SECONDS_MAX` before they were asked."""
        self.held = 0
        """Contexts that were held against the database."""

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.read(self._rng.choice(self._fans))
            await asyncio.sleep(1 / READS_PER_SECOND)

    async def watch(self, look: Callable[[Sequence[Relationship]], Awaitable[Counts]]) -> None:
        """Hold answers against what the database said a lease ago, until cancelled.

        `look` gives the interactions of fans as the database has them now. Whatever is killed,
        full or restored, an answer so much later shows at least as many.
        """
        while True:
            fans = self._often[self._rng.randrange(len(self._often)) :][:WATCHED_FANS]
            restores = self._restores
            stored = await look(fans)
            await asyncio.sleep(STALE_SECONDS_MAX)
            for fan, interactions in stored.items():
                answered = await self.read(fan)
                if answered and restores == self._restores:
                    self.hold(fan, interactions)

    def hold(self, fan: Relationship, stored: int) -> None:
        """Judge the last answer by the interactions that the database had a lease before it."""
        if fan in self._seen:
            self.held += 1
            self.stale += self._seen[fan] < stored

    def forget(self, seconds: float) -> None:
        """The database itself goes back: for so long an answer may be older than one before."""
        self._blind_until = time.monotonic() + seconds
        self._restores += 1
        self._seen.clear()

    async def read_each(self, count: int) -> None:
        """Read so many different fans once, so that the cache holds them: always the same ones."""
        waiting = list(self._often[:count])

        async def work() -> None:
            while waiting:
                await self.read(waiting.pop())

        await asyncio.gather(*(work() for _ in range(READERS)))

    async def read(self, fan: Relationship) -> bool:
        """One context; whether there was an answer with one."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(ANSWER_SECONDS_MAX)
            url = f"http://{self._settings.api_host}:{self._settings.api_port}"
            self._session = aiohttp.ClientSession(url, timeout=timeout)
        headers = {"Authorization": f"Bearer {self._token(fan[0])}"}
        # Strictly: a context without memories is no answer that could be judged.
        query = {"creatorId": fan[0], "fanId": fan[1], "strict": "true"}
        try:
            path = f"{PREFIX}/context"
            async with self._session.get(path, params=query, headers=headers) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            status, body = 0, b""
        self.statuses[status] += 1
        if status == 200:
            self.look_at(fan, msgspec.json.decode(body)["data"])
        return status == 200

    def look_at(self, fan: Relationship, context: Any) -> None:
        """Judge one context by itself and by the one before."""
        interactions = int(context["personalityProfile"]["interactionCount"])
        if time.monotonic() > self._blind_until:
            self.went_back += interactions < self._seen.get(fan, 0)
            self._seen[fan] = interactions
        messages = context["engagementMetrics"]["totalMessages"]
        self.torn += len(context["recentMessages"]) != min(messages, MESSAGES_MAX)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _token(self, creator_id: str) -> str:
        token = self._tokens.get(creator_id)
        if token is None:
            token = issue_token(self._settings, creator_id, "chaos", TOKEN_SECONDS)
            self._tokens[creator_id] = token
        return token
