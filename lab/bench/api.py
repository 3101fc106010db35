"""What the API costs and how fast it answers: the figures behind the table in `docs/api.md`.

Runs the real API process on real, embedded services of its own, seeded with made-up fans of 50
messages, and asks it over HTTP on this machine:

- **most**: closed loops, that is as fast as it answers: cached contexts, scores, bulk reads of 100,
  batches of 500 events as NDJSON, with the CPU of each and how much of a core the API process used;
- **steady**: open loops at `rate` a second, latency from the appointed time: misses, cached
  contexts, scores, single writes; bulk reads at as many *fans* a second;
- **feast**, when asked for: Feast's Python feature server beside it (`lab.bench.feast`).
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from api.tokens import issue_token
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.http import (
    Connection,
    Load,
    closed_loop,
    connect,
    get_request,
    open_loop,
    post_request,
)
from lab.bench.seed import seed
from lab.bench.serving import api_process, check, cpu_seconds
from ops.system import running_services

CREATOR: Final = "bench"
FANS: Final = 1000
CONNECTIONS: Final = 32
"""Of the open loops: enough that none waits for a free one."""
CONNECTIONS_MOST: Final = 8
BATCH: Final = 500
WHEN: Final = "2026-01-01T10:30:00Z"
PREFIX: Final = "/api/of-memory"
JSON, NDJSON = "application/json", "application/x-ndjson"


async def measure(rate: float, seconds: float, feast: bool) -> dict[str, Any]:
    """All figures; raises `ServiceFailed` when anything is answered with other than 200."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, *_):
            histories = {(CREATOR, f"fan-{n}"): interactions(80, n) for n in range(FANS)}
            events = await seed(settings, histories)
            async with api_process(settings, Path(folder)) as (port, pid):
                token = issue_token(settings, CREATOR, "bench", 3600)
                asked = Asked(settings.api_host, token)
                connections = await connect(settings.api_host, port, CONNECTIONS)
                try:
                    figures = {
                        "fans": FANS,
                        "events": events,
                        "steady": await _steady(connections, asked, rate, seconds),
                        "most": await _most(connections, asked, pid, seconds),
                    }
                finally:
                    for connection in connections:
                        connection.close()
            if feast:
                from lab.bench.feast import measure as measure_feast

                figures["feast"] = await measure_feast(settings, Path(folder), seconds)
            return figures


class Asked:
    """Requests, made beforehand."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._token = token

    def read(self, route: str, fan: int) -> bytes:
        path = f"{PREFIX}/{route}?creatorId={CREATOR}&fanId=fan-{fan % FANS}"
        return get_request(path, self._token, self._host)

    def bulk(self, first: int, fans: int) -> bytes:
        names = [f"fan-{(first + n) % FANS}" for n in range(fans)]
        body = json.dumps({"creatorId": CREATOR, "fanIds": names}).encode()
        return post_request(f"{PREFIX}/bulk", self._token, self._host, JSON, body)

    def write(self, number: int) -> bytes:
        body = json.dumps(_event(number)).encode()
        return post_request(f"{PREFIX}/interaction", self._token, self._host, JSON, body)

    def batch(self, first: int) -> bytes:
        lines = (json.dumps(_event(first + n)).encode() for n in range(BATCH))
        path = f"{PREFIX}/interactions"
        return post_request(path, self._token, self._host, NDJSON, b"\n".join(lines))


def _event(number: int) -> dict[str, Any]:
    """Of fans whom nobody reads here: a read waits for what its fan was sent."""
    return {
        "eventId": f"written-{number}",
        "creatorId": CREATOR,
        "fanId": f"writer-{number % 997}",
        "type": "message",
        "content": f"Hey, thank you for number {number}, that was lovely! See you soon 😍",
        "timestamp": WHEN,
    }


async def _steady(
    connections: Sequence[Connection], asked: Asked, rate: float, seconds: float
) -> dict[str, Any]:
    """p99 and the like at a fixed rate. The misses come first, while the cache is empty."""

    async def at(rate: float, make: Callable[[int], bytes], count: int) -> dict[str, Any]:
        load = await open_loop(connections, [make(n) for n in range(count)], rate)
        check(load)
        return load.summary() | {"rate": rate}

    many = int(rate * seconds)
    return {
        "uncached": await at(rate, lambda n: asked.read("context", n), FANS),
        "cached": await at(rate, lambda n: asked.read("context", n * 7), many),
        "score": await at(rate, lambda n: asked.read("engagement-score", n * 7), many),
        "bulk-10": await at(rate / 10, lambda n: asked.bulk(n * 70, 10), max(1, many // 10)),
        "bulk-100": await at(rate / 100, lambda n: asked.bulk(n * 700, 100), max(1, many // 100)),
        "write": await at(rate, asked.write, many),
    }


async def _most(
    connections: Sequence[Connection], asked: Asked, pid: int, seconds: float
) -> dict[str, Any]:
    async def of(requests: list[bytes], count: int = CONNECTIONS_MOST) -> dict[str, Any]:
        before = cpu_seconds(pid)
        load = await closed_loop(connections[:count], requests, seconds)
        check(load)
        return _costs(load, cpu_seconds(pid) - before) | {"connections": count}

    batches = await of([asked.batch(n * BATCH) for n in range(200)], 2)
    return {
        "cached": await of([asked.read("context", n) for n in range(FANS)]),
        "score": await of([asked.read("engagement-score", n) for n in range(FANS)]),
        "bulk-100": await of([asked.bulk(n * 100, 100) for n in range(FANS // 100)], 2),
        "batch": batches | {"eventsPerSecond": round(batches["perSecond"] * BATCH)},
    }


def _costs(load: Load, cpu: float) -> dict[str, Any]:
    """`apiCores`: near 1, and the API process's CPU is what bounds it."""
    return load.summary() | {
        "cpuMicrosPerRequest": round(cpu / len(load.latencies) * 1e6, 1),
        "apiCores": round(cpu / load.seconds, 2),
    }
