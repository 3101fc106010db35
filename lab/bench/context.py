"""How fast a context is read: the figures behind "cached p99 ≤ 5 ms at 300 requests per second".

Runs the real API process on real, embedded services of its own, seeded with made-up fans of 50
messages, and asks it over HTTP on this machine:

- **miss**: every fan once, open loop, with an empty cache;
- **cached**: open loop at `rate`, latency from the appointed time;
- **score**: the same of /engagement-score;
- **most**: closed loop on 8 connections, and the API process's CPU per request;
- **short**: the cache at three quarters of its need, each answer compared (`lab.bench.short`).
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from api.tokens import issue_token
from infra.redis import open_redis
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.http import Load, closed_loop, connect, get_request, open_loop
from lab.bench.seed import seed
from lab.bench.short import answers_with_short_memory, true_answers, used_memory
from ops.services.ports import free_port
from ops.system import running_services
from schemas.errors import ServiceFailed

CREATOR: Final = "bench"
FANS: Final = 500
CONNECTIONS: Final = 32
"""Of the open loops: enough that none waits for a free one."""
CONNECTIONS_MOST: Final = 8
MISSES_PER_SECOND: Final = 100.0
START_SECONDS_MAX: Final = 20.0
LIMITS: Final = ("FANMEMORY_USER_REQUESTS_PER_MINUTE", "FANMEMORY_CREATOR_REQUESTS_PER_MINUTE")
REQUESTS_PER_MINUTE: Final = 10_000_000
"""Out of reach, and not 0: that a request is counted belongs to what it costs."""


async def measure(rate: float, seconds: float, short_answers: int) -> dict[str, Any]:
    """All figures; raises `ServiceFailed` when anything is answered with other than 200."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, *_):
            events = await seed(
                settings, {(CREATOR, f"fan-{n}"): interactions(80, n) for n in range(FANS)}
            )
            async with _api(settings, Path(folder)) as (port, pid):
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
        before = _cpu_seconds(pid)
        most = await closed_loop(connections[:CONNECTIONS_MOST], contexts, seconds)
        cpu = _cpu_seconds(pid) - before
        truth = await true_answers(connections[0], contexts)
        short = await answers_with_short_memory(
            client, empty, connections[:CONNECTIONS_MOST], contexts, truth, short_answers
        )
    finally:
        await client.close()
        for connection in connections:
            connection.close()
    for load in (missed, cached, scored, most):
        _check(load)
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


def _check(load: Load) -> None:
    if set(load.statuses) != {200}:
        raise ServiceFailed(f"The API answered {load.statuses}.")


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, from the kernel's own counters."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _api(settings: Settings, data: Path) -> AsyncIterator[tuple[int, int]]:
    """(port, pid) of an API process of its own, as `fanmemory api` runs it."""
    port = free_port()
    with (data / "api.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("env", *(f"{name}={REQUESTS_PER_MINUTE}" for name in LIMITS)),
            *(sys.executable, "-m", "ops.cli", "api", "--data", str(data), "--port", str(port)),
            stdout=log,
            stderr=log,
        )
    try:
        await _wait_for(settings.api_host, port, process)
        yield port, process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _wait_for(host: str, port: int, process: asyncio.subprocess.Process) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_SECONDS_MAX
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        except OSError:
            if process.returncode is not None or loop.time() > deadline:
                raise ServiceFailed("The API did not start.") from None
            await asyncio.sleep(0.05)
