"""What `doctor` says of how Redis is set up."""

from collections.abc import AsyncIterator

import pytest

from infra.redis import Redis
from infra.settings import Settings
from ops.doctor.cache import redis
from ops.doctor.findings import Note


@pytest.fixture
async def client(store_settings: Settings) -> AsyncIterator[Redis]:
    """Puts the limits back."""
    made = Redis(store_settings.redis_url)
    names = ("maxmemory", "maxmemory-policy")
    former = [(await made.call("CONFIG", "GET", name))[1] for name in names]
    yield made
    for name, value in zip(names, former, strict=True):
        await made.call("CONFIG", "SET", name, value)
    await made.close()


async def test_the_documented_policy_is_right(store_settings: Settings, client: Redis) -> None:
    assert "Valkey" in await redis(store_settings)


@pytest.mark.parametrize(
    ("policy", "says"),
    [("noeviction", "refuses writes"), ("allkeys-random", "forgets what is read most")],
)
async def test_a_policy_that_costs_reads_is_noted(
    store_settings: Settings, client: Redis, policy: str, says: str
) -> None:
    await client.call("CONFIG", "SET", "maxmemory-policy", policy)
    with pytest.raises(Note, match=says) as noted:
        await redis(store_settings)
    assert "allkeys-lru" in noted.value.advice
    assert store_settings.redis_url not in str(noted.value)
