"""How fast a context is read: the figures behind "cached p99 ≤ 5 ms at 300 requests per second".

Runs the real API process on real, embedded services of its own, seeded with made-up fans of 50
messages, and asks it over HTTP on this machine:

- **miss**: every fan once, open loop, with an empty cache;
- **cached**: open loop at `rate`, latency from the appointed time;
- **score**: the same of /engagement-score;
- **most**: closed loop on 8 connections, and the API process's CPU per request;
- **short**: the cache at three quarters of its need, each answer compared (`lab.bench.short`).
"""

import tempfile
from pathlib import Path
from typing import Any, Final

from api.tokens import issue_token
from infra.redis import open_redis
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.http import closed_loop, connect, get_request, open_loop
from lab.bench.seed import seed
from lab.bench.serving import api_process, check, cpu_seconds
from lab.bench.short import answers_with_short_memory, true_answers, used_memory
from ops.system import running_services

CREATOR: Final = "bench"
FANS: Final = 500
CONNECTIONS: Final = 32
"""Of the open loops: enough that none waits for a free one."""
CONNECTIONS_MOST: Final = 8
MISSES_PER_SECOND: Final = 100.0


async def measure(rate: float, seconds: float, short_answers: int) -> dict[str, Any]:
    """All figures; raises `ServiceFailed` when anything is answered with other than 200."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, *_):
            events = await seed(
                settings, {(CREATOR, f"fan-{n}"): interactions(80, n) for n in range(FANS)}
            )
            async with api_process(settings, Path(folder)) as (port, pid):
                return {"fans": FANS, "events": events} | await _measure(
                    settings, port, pid, rate, seconds, short_answers
                )


async def _measure(
    settings: Settings, port: int, pid: int, rate: float, seconds: float, short_answers: int
) -> dict[str, Any]:
    host = settings.api_host
    token = issue_token(settings, CREATOR, "bench", 3600)

    def requests(route: str) -> list[bytes]:
        return [
            get_request(f"/api/of-memory/{route}?creatorId={CREATOR}&fanId=fan-{n}", token, host)
            for n in range(FANS)
        ]

    def many(some: list[bytes]) -> list[bytes]:
        return [some[n * 7 % FANS] for n in range(int(rate * seconds))]

    contexts, scores = requests("context"), requests("engagement-score")
    connections = await connect(host, port, CONNECTIONS)
    client = open_redis(settings)
    try:
        empty = await used_memory(client)
        missed = await open_loop(connections, contexts, MISSES_PER_SECOND)
        cached = await open_loop(connections, many(contexts), rate)
        scored = await open_loop(connections, many(scores), rate)
        before = cpu_seconds(pid)
        most = await closed_loop(connections[:CONNECTIONS_MOST], contexts, seconds)
        cpu = cpu_seconds(pid) - before
        truth = await true_answers(connections[0], contexts)
        short = await answers_with_short_memory(
            client, empty, connections[:CONNECTIONS_MOST], contexts, truth, short_answers
        )
    finally:
        await client.close()
        for connection in connections:
            connection.close()
    for load in (missed, cached, scored, most):
        check(load)
    return {
        "contextBytes": most.body_bytes,
        "miss": missed.summary(),
        "cached": cached.summary() | {"rate": rate},
        "score": scored.summary() | {"rate": rate},
        "most": most.summary()
        | {
            "connections": CONNECTIONS_MOST,
            "cpuMicrosPerRequest": round(cpu / len(most.latencies) * 1e6, 1),
        },
        "short": short,
    }
