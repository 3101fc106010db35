"""Limits: how many requests a minute a user may make, and all users of a creator together.

A quota is a bucket of tokens that holds a minute's and fills up evenly. It stands in Redis, for all
API processes; a process takes the tokens of about a second at a time, so that most requests pay
with a subtraction (1 us), and one in twenty with a call (100 us). What was taken and not used is
forgotten after a minute.

While Redis is away each process counts by itself, with a full bucket of its own: nobody is locked
out by an outage of the cache, and the database behind it still has a bound.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from unicodedata import normalize

import pybreaker

from api.auth import Principal
from infra.breaker import Breaker
from infra.deadlines import Deadlines
from infra.settings import Settings
from schemas.errors import CacheUnavailable, RateLimited

WINDOW_SECONDS: Final = 60
BATCHES: Final = 60
"""In a quota: the tokens of a second are taken at once."""
KEPT_MAX: Final = 10_000
"""Users, and creators, whose tokens a process keeps."""
TAKE_SECONDS_MAX: Final = 0.05
"""How long a request waits for Redis, which takes 0.2 ms; then the process counts by itself."""
WEIGHT: Final = 10
"""Fans of a bulk read, or events of a batch, that count as one request."""

Take = Callable[[str, int, float, int], Awaitable[tuple[int, int]]]
"""As `stores.cache.Cache.take`."""


def cost_of(many: int) -> float:
    """What a request of so many fans or events counts: a tenth of them, and one at least."""
    return max(1.0, many / WEIGHT)


class Bucket:
    """The same as in Redis, of one process."""

    __slots__ = ("_at", "_clock", "_left", "_quota")

    def __init__(self, quota: int, clock: Callable[[], float]) -> None:
        self._quota = quota
        self._clock = clock
        self._left = float(quota)
        self._at = clock()

    def take(self, wanted: int) -> tuple[int, int]:
        now = self._clock()
        filled = (now - self._at) * self._quota / WINDOW_SECONDS
        self._left, self._at = min(self._left + filled, self._quota), now
        taken = min(wanted, math.floor(self._left))
        self._left -= taken
        return taken, math.floor(self._left)


class Purse:
    """One user's or creator's tokens, as far as this process has taken them."""

    __slots__ = ("alone", "empty_until", "left", "remaining", "since", "taking")

    def __init__(self) -> None:
        self.left = 0.0
        self.since = 0.0
        """When they were taken."""
        self.remaining = 0
        """In the bucket, when it was seen last."""
        self.empty_until = 0.0
        """No use asking before."""
        self.taking: asyncio.Task[None] | None = None
        self.alone: Bucket | None = None


class Quota:
    """One kind of limit, of everybody whom it is for."""

    def __init__(self, name: str, quota: int, take: Take, clock: Callable[[], float]) -> None:
        self.name = name
        self.quota = quota
        self._batch = max(quota // BATCHES, 1)
        self._take = take
        self._clock = clock
        self._purses: dict[str, Purse] = {}

    def pay(self, whose: str, cost: float) -> bool:
        """Out of what was taken; False when that does not suffice."""
        purse = self._purses.get(whose)
        if purse is None or purse.left < cost or self._clock() - purse.since > WINDOW_SECONDS:
            return False
        purse.left -= cost
        return True

    async def pay_after_taking(self, whose: str, cost: float) -> None:
        """Take what is needed; raises `RateLimited` when that is not there."""
        # One has been paid for: what costs more than there ever is takes all the others.
        cost = min(cost, max(self.quota - 1, 1))
        purse = self._purse(whose)
        while True:
            now = self._clock()
            if now - purse.since > WINDOW_SECONDS:
                purse.left = 0.0
            if purse.left >= cost:
                purse.left -= cost
                return
            if purse.taking is None:
                missing = cost - purse.left
                if now < purse.empty_until:
                    raise self._refusal(purse, missing)
                wanted = max(self._batch, math.ceil(missing))
                purse.taking = asyncio.create_task(self._fill(purse, whose, wanted, cost))
            await asyncio.shield(purse.taking)

    async def _fill(self, purse: Purse, whose: str, wanted: int, cost: float) -> None:
        """One for all who wait."""
        try:
            try:
                taken, purse.remaining = await self._take(
                    f"{self.name}\0{normalize('NFC', whose)}", self.quota, WINDOW_SECONDS, wanted
                )
                purse.alone = None
            except (CacheUnavailable, pybreaker.CircuitBreakerError, TimeoutError):
                if purse.alone is None:
                    purse.alone = Bucket(self.quota, self._clock)
                taken, purse.remaining = purse.alone.take(wanted)
            now = self._clock()
            purse.left += taken
            purse.since = now
            if purse.left < cost:
                purse.empty_until = now + self._seconds(cost - purse.left)
        finally:
            purse.taking = None

    def _seconds(self, tokens: float) -> float:
        """Until so many have come in."""
        return tokens * WINDOW_SECONDS / self.quota

    def _refusal(self, purse: Purse, missing: float) -> RateLimited:
        wait = max(purse.empty_until - self._clock(), self._seconds(missing - purse.remaining))
        left = max(math.floor(purse.left) + purse.remaining, 0)
        return RateLimited(self.name, max(math.ceil(wait), 1), left)

    def _purse(self, whose: str) -> Purse:
        purse = self._purses.pop(whose, None) or Purse()
        while len(self._purses) >= KEPT_MAX:
            del self._purses[next(iter(self._purses))]
        self._purses[whose] = purse  # the one used last stands last
        return purse


class Limits:
    """Belongs to one event loop."""

    def __init__(
        self,
        settings: Settings,
        take: Take,
        breaker: Breaker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`take` and `breaker` are the cache's."""
        self._breaker = breaker
        self._deadlines = Deadlines(TAKE_SECONDS_MAX)
        self._cache_take = take
        users, creators = settings.user_requests_per_minute, settings.creator_requests_per_minute
        self._user = Quota("user", users, self._take, clock) if users else None
        self._creator = Quota("creator", creators, self._take, clock) if creators else None
        self.quotas: Sequence[Quota] = [one for one in (self._user, self._creator) if one]

    async def pay(self, principal: Principal, cost: float = 1.0) -> None:
        """Count a request; raises `RateLimited`."""
        user, creator = self._user, self._creator
        if user is not None and not user.pay(principal.user_id, cost):
            await user.pay_after_taking(principal.user_id, cost)
        if creator is None or principal.creator_id is None:
            return
        if not creator.pay(principal.creator_id, cost):
            await creator.pay_after_taking(principal.creator_id, cost)

    async def _take(self, whose: str, quota: int, seconds: float, wanted: int) -> tuple[int, int]:
        with self._deadlines.limit():
            return await self._breaker.call(lambda: self._cache_take(whose, quota, seconds, wanted))

    def headers(self, refused: RateLimited) -> list[tuple[bytes, bytes]]:
        """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
        policies = ", ".join(
            f'"{one.name}";q={one.quota};w={WINDOW_SECONDS}' for one in self.quotas
        )
        now = f'"{refused.policy}";r={refused.left};t={refused.retry_seconds}'
        return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", now.encode())]
