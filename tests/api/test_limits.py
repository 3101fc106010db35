"""Requests a minute: of a user, of a creator, over all processes, and with Redis away."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.auth import Principal
from api.limits import BATCHES, WINDOW_SECONDS, Bucket, Limits, cost_of
from api.tokens import issue_token
from infra.breaker import Breaker
from infra.settings import Settings
from schemas.errors import CacheUnavailable, RateLimited
from stores.cache import Cache
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client, running_api
from tests.clock import Clock
from tests.proxy import before
from tests.stores.fans import cache_at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Cache]:
    made = cache_at(redis_url)
    yield made
    await made.close()


def breaker() -> Breaker:
    return Breaker("memory-cache", failures_max=3, window_seconds=5, reset_seconds=30)


def limits(take: Any, clock: Clock, user: int = 60, creator: int = 600) -> Limits:
    settings = Settings(
        _env_file=None, user_requests_per_minute=user, creator_requests_per_minute=creator
    )
    return Limits(settings, take, breaker(), clock)


def user(name: str, creator: str = CREATOR) -> Principal:
    return Principal(name, creator, 1e12)


async def paid(some: Limits, who: Principal, most: int, cost: float = 1.0) -> int:
    """How many requests are let through before one is refused."""
    for number in range(most):
        try:
            await some.pay(who, cost)
        except RateLimited:
            return number
    return most


async def away(*_: object) -> tuple[int, int]:
    raise CacheUnavailable


@pytest.mark.parametrize(("many", "cost"), [(1, 1), (10, 1), (11, 1.1), (100, 10), (500, 50)])
def test_a_tenth_of_many_and_one_at_least_is_counted(many: int, cost: float) -> None:
    assert cost_of(many) == cost


async def test_a_user_has_a_quota_and_another_one_their_own(cache: Cache, clock: Clock) -> None:
    some = limits(cache.take, clock)
    assert 60 <= await paid(some, user("u1"), 1000) < 90  # it fills up meanwhile
    assert await paid(some, user("u2"), 10) == 10
    assert await paid(some, user("u1"), 1) in (0, 1)


async def test_all_users_of_a_creator_share_one_however_many_processes_there_are(
    cache: Cache, clock: Clock
) -> None:
    processes = [limits(cache.take, clock, creator=120) for _ in range(3)]
    through = 0
    for number in range(300):
        through += await paid(processes[number % 3], user(f"u{number}"), 1)
    # Two that are left in each process, and what comes in meanwhile: 2 a second.
    assert 110 <= through <= 160
    assert await paid(processes[0], user("u1", "creator_other"), 5) == 5


async def test_most_requests_ask_nobody(cache: Cache, clock: Clock) -> None:
    asked = 0

    async def take(*arguments: Any) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return await cache.take(*arguments)

    some = limits(take, clock, user=1200, creator=12_000)
    assert await paid(some, user("u1"), 400) == 400
    assert asked == 400 * BATCHES // 1200 + 400 * BATCHES // 12_000


async def test_whoever_is_refused_asks_redis_no_more_until_something_can_be_there(
    clock: Clock,
) -> None:
    asked = 0

    async def nothing(*_: object) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return 0, 0

    some = limits(nothing, clock)
    for _ in range(50):
        with pytest.raises(RateLimited) as refused:
            await some.pay(user("u1"))
    assert asked == 1
    assert (refused.value.policy, refused.value.retry_seconds) == ("user", 1)
    clock.now += 1.001
    with pytest.raises(RateLimited):
        await some.pay(user("u1"))
    assert asked == 2


async def test_many_at_once_take_once_and_none_pays_twice(clock: Clock) -> None:
    gate = asyncio.Event()
    asked: list[int] = []

    async def take(_whose: str, _quota: int, _seconds: float, wanted: int) -> tuple[int, int]:
        asked.append(wanted)
        await gate.wait()
        return wanted, 0

    some = limits(take, clock, user=1200, creator=0)
    paying = [asyncio.create_task(some.pay(user("u1"))) for _ in range(50)]
    await asyncio.sleep(0)
    paying[0].cancel()  # whoever began it may hang up
    gate.set()
    outcomes = await asyncio.gather(*paying, return_exceptions=True)
    assert sum(one is None for one in outcomes) == 49
    assert asked == [20, 20, 20]


async def test_what_was_taken_long_ago_is_not_used(clock: Clock) -> None:
    asked = 0

    async def take(*_: object) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return 20, 0

    some = limits(take, clock, user=1200, creator=0)
    await some.pay(user("u1"))
    clock.now += WINDOW_SECONDS + 1
    await some.pay(user("u1"))
    assert asked == 2


async def test_while_redis_is_away_each_process_counts_by_itself(clock: Clock) -> None:
    first, second = limits(away, clock), limits(away, clock)
    assert await paid(first, user("u1"), 1000) == 60
    assert await paid(second, user("u1"), 1000) == 60
    clock.now += 10
    assert await paid(first, user("u1"), 1000) == 10


async def test_a_redis_that_hangs_holds_nobody_up(clock: Clock) -> None:
    some = limits(lambda *_: asyncio.sleep(60), clock)
    async with asyncio.timeout(20):
        assert await paid(some, user("u1"), 3) == 3


async def test_what_is_dear_beside_a_small_quota_is_let_through_when_it_is_full(
    clock: Clock,
) -> None:
    some = limits(away, clock, user=20, creator=0)
    await some.pay(user("u1"))
    await some.pay(user("u1"), cost_of(500) - 1)
    with pytest.raises(RateLimited) as refused:
        await some.pay(user("u1"))
    assert refused.value.retry_seconds == 3


async def test_zero_is_no_limit(clock: Clock) -> None:
    some = limits(away, clock, user=0, creator=0)
    assert await paid(some, user("u1"), 5000) == 5000
    assert some.quotas == []


def test_a_bucket_holds_a_quota_and_fills_up_evenly(clock: Clock) -> None:
    bucket = Bucket(60, clock)
    assert bucket.take(20) == (20, 40)
    assert bucket.take(100) == (40, 0)
    clock.now += 1.5
    assert bucket.take(5) == (1, 0)
    clock.now += 0.5
    assert bucket.take(5) == (1, 0)
    clock.now += 1e6
    assert bucket.take(100) == (60, 0)


async def test_the_bucket_in_redis_is_the_same(cache: Cache) -> None:
    assert await cache.take("a", 60, 3600, 20) == (20, 40)
    assert await cache.take("a", 60, 3600, 100) == (40, 0)
    assert await cache.take("a", 60, 3600, 5) == (0, 0)
    assert await cache.take("b", 60, 3600, 5) == (5, 55)
    assert await cache.take("c", 100, 0.05, 100) == (100, 0)
    await asyncio.sleep(0.2)
    assert await cache.take("c", 100, 0.05, 100) == (100, 0)


# Over HTTP.


async def ask(api: Client, who: str, creator: str = CREATOR, **more: Any) -> Answer:
    token = issue_token(api.settings, creator, who, 600)
    return await api.ask(
        "GET",
        f"{PREFIX}/engagement-score",
        params={"fanId": FAN, "creatorId": creator},
        headers={"Authorization": f"Bearer {token}"},
        **more,
    )


async def test_too_many_requests_are_429_with_what_there_is_and_when(api: Client) -> None:
    changes = {"user_requests_per_minute": 6, "creator_requests_per_minute": 600}
    async with running_api(api.settings.model_copy(update=changes)) as limited:
        answers = [await ask(limited, "hasty") for _ in range(12)]
        refused = next(one for one in answers if one.status == 429)
        assert {one.status for one in answers} == {200, 429}
        assert answers[5].status == 200
        assert refused.body["error"] == "Too many requests"
        assert refused.body["correlationId"] == refused.headers["X-Correlation-Id"]
        assert refused.headers["RateLimit-Policy"] == '"user";q=6;w=60, "creator";q=600;w=60'
        match = re.fullmatch(r'"user";r=0;t=(\d+)', refused.headers["RateLimit"])
        assert match is not None
        assert 1 <= int(match[1]) <= 10
        assert refused.headers["Retry-After"] == match[1]
        assert (await ask(limited, "calm")).status == 200
        assert (await ask(limited, "hasty2", "creator_other")).status == 200
        # What is not let in is not counted, and what machines ask neither.
        for _ in range(10):
            assert (await limited.ask("GET", f"{PREFIX}/stats", headers={})).status == 401
            assert (await limited.ask("GET", "/health/live")).status == 200


async def test_a_bulk_read_and_a_batch_count_a_tenth_of_what_they_hold(api: Client) -> None:
    changes = {"user_requests_per_minute": 25, "creator_requests_per_minute": 0}
    fans = {"fanIds": [f"f{number}" for number in range(100)], "creatorId": CREATOR}
    events = [{"creatorId": CREATOR, "fanId": FAN, "type": "bad"}] * 200
    async with running_api(api.settings.model_copy(update=changes)) as limited:
        statuses = [
            (await limited.ask("POST", f"{PREFIX}/bulk", json=fans)).status for _ in range(4)
        ]
        assert (statuses[:2], statuses[-1]) == ([200, 200], 429)
    changes["creator_requests_per_minute"], changes["user_requests_per_minute"] = 25, 0
    async with running_api(api.settings.model_copy(update=changes)) as limited:
        statuses = [
            (await limited.ask("POST", f"{PREFIX}/interactions", json=events)).status
            for _ in range(2)
        ]
        assert statuses == [200, 429]


async def test_a_limit_holds_when_redis_goes_away(api: Client) -> None:
    async with before(api.settings.redis_url) as redis:
        changes = {"user_requests_per_minute": 30, "redis_url": redis.url}
        async with running_api(api.settings.model_copy(update=changes)) as limited:
            assert (await ask(limited, "steady")).status == 200
            await redis.vanish()
            answers = [(await ask(limited, "steady")).status for _ in range(60)]
            assert answers[0] == 200
            assert 429 in answers
