"""A cache with memory for three quarters of what is read: its answers must be true all the same.

Valkey evicts all the while, under `allkeys-lru`. Each answer is held against what Postgres gave of
the same fan before; nothing moves meanwhile.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from infra.redis import Redis
from lab.bench.http import Connection
from schemas.errors import ServiceFailed

SHARE: Final = 0.75


async def used_memory(client: Redis) -> int:
    """Bytes that count against Valkey's limit."""
    return int((await client.info("memory"))["used_memory"])


async def true_answers(connection: Connection, requests: Sequence[bytes]) -> list[Any]:
    """What each request is answered, one after another."""
    found = []
    for request in requests:
        status, _ = await connection.ask(request)
        if status != 200:
            raise ServiceFailed(f"The API answered {status}.")
        found.append(_remembered(connection.body))
    return found


async def answers_with_short_memory(
    client: Redis,
    empty: int,
    connections: Sequence[Connection],
    requests: Sequence[bytes],
    truth: Sequence[Any],
    count: int,
) -> dict[str, int]:
    """Ask `count` times; `empty` is what Valkey used before anything was cached."""
    limit = empty + int((await used_memory(client) - empty) * SHARE)
    evicted = int((await client.info("stats"))["evicted_keys"])
    await client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await client.call("CONFIG", "SET", "maxmemory", limit)
    left = iter(range(count))
    wrong = 0

    async def ask(connection: Connection) -> None:
        nonlocal wrong
        for number in left:
            # Some fans much more often than others, as it is.
            place = (number * 7919 % len(requests)) ** 2 // len(requests)
            status, _ = await connection.ask(requests[place])
            wrong += status != 200 or _remembered(connection.body) != truth[place]

    await asyncio.gather(*(ask(connection) for connection in connections))
    return {
        "answers": count,
        "wrong": wrong,
        "evictions": int((await client.info("stats"))["evicted_keys"]) - evicted,
    }


def _remembered(body: bytes) -> Any:
    """What of a context does not change with the hour."""
    data = msgspec.json.decode(body)["data"]
    return data["recentMessages"], data["personalityProfile"]["interactionCount"]
