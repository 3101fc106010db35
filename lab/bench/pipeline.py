"""How many events a second become durable views, and how soon one is seen.

A whole system of its own (workers, API, embedded services; everything on this machine, the load
included):

- **throughput**: all events are sent as fast as the broker takes them; the clock runs from the
  first one sent to the last one committed. CPU per event is split by part, so it says what bounds;
- **visible**: events flow at `rate` a second; beside them, several times a second, one is POSTed
  to the API and its fan's context asked for with `minPosition`. Latency is from the start of the
  POST to the context that contains it;
- **called**: the same, with messages that ask for a person. Latency is from the start of the POST
  to the update on `memory-updates` that carries the signal.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from admin.accounting import wait_until_folded
from admin.emit import emit, event_key
from admin.reading import read_values
from api.tokens import issue_token
from infra.clock import now_ms
from infra.kafka import reading
from infra.settings import Settings
from lab.bench.cpu import CpuMeter
from lab.load import Mix, events
from ops.system import System, running_system
from schemas.errors import ServiceFailed
from schemas.times import render_time
from schemas.topics import MEMORY_UPDATES
from schemas.updates import decode_update
from stores.opened import open_stores
from stores.store import Store

FANS: Final = 20_000
WARM_UP_EVENTS: Final = 4_000
STANDSTILL_SECONDS_MAX: Final = 60.0
PROBES_PER_SECOND: Final = 20.0
CREATOR: Final = "probe"


async def measure(
    count: int, inputs: Sequence[Path], rate: float, seconds: float, workers: int
) -> dict[str, Any]:
    """All figures; of `inputs` when there are any, else of `count` synthetic events."""
    # One user writes and reads for all.
    unlimited = {"user_requests_per_minute": 0, "creator_requests_per_minute": 0}
    settings = Settings().model_copy(update=unlimited)
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with (
            running_system(settings, Path(folder), workers=workers, api_port=0) as system,
            open_stores(system.settings) as stores,
        ):
            store = stores.store
            lines = _lines(count, inputs)
            return {
                "workers": workers,
                "throughput": await _throughput(system, store, lines),
                "visible": await _visible(system, rate, seconds),
                "called": await _called(system, rate, seconds),
            }


def _lines(count: int, inputs: Sequence[Path]) -> list[bytes]:
    if inputs:
        return [line for path in inputs for line in read_values(path)]
    clean = Mix(duplicates=0.01, late=0.01, bad=0.0)
    return [event.value for event in events(1, count, FANS, clean) if event.value]


async def _throughput(system: System, store: Store, lines: list[bytes]) -> dict[str, Any]:
    warm = [event.value for event in events(2, WARM_UP_EVENTS, FANS, Mix(0, 0, 0)) if event.value]
    await emit(system.settings, warm)
    before = await wait_until_folded(store, system.settings, len(warm), STANDSTILL_SECONDS_MAX)
    pids = {name: pid for name, pid in system.services.pids().items() if pid}
    workers = {n: pid for n, pid in system.supervisor.pids().items() if n.startswith("worker")}
    meter = CpuMeter({**workers, **pids, "load and polling": os.getpid()})
    started = time.perf_counter()
    emitting = asyncio.create_task(emit(system.settings, lines))
    await asyncio.sleep(0)
    after = await wait_until_folded(
        store, system.settings, before.read + len(lines), STANDSTILL_SECONDS_MAX
    )
    seconds = time.perf_counter() - started
    emitted = await emitting
    # This process's own tree has all others as children: what is left is the load itself.
    cpu = meter.seconds()
    children = sum(used for name, used in cpu.items() if name != "load and polling")
    cpu["load and polling"] = max(0.0, cpu["load and polling"] - children)
    cpu["workers"] = sum(cpu.pop(name) for name in workers)
    return {
        "events": emitted.sent,
        "fans": len({event_key(line) for line in lines}),
        "seconds": round(seconds, 3),
        "eventsPerSecond": round(emitted.sent / seconds, 1),
        "emitSeconds": round(emitted.seconds, 3),
        "duplicates": after.duplicates - before.duplicates,
        "cpuMicrosPerEvent": {
            name: round(used / emitted.sent * 1e6, 1) for name, used in sorted(cpu.items())
        },
        "cpuShare": round(sum(cpu.values()) / (seconds * (os.cpu_count() or 1)), 3),
    }


async def _visible(system: System, rate: float, seconds: float) -> dict[str, Any]:
    async with _flowing(system, rate, seconds, seed=3) as session:
        return {"rate": rate} | await _latencies(seconds, lambda number: _probe(session, number))


async def _called(system: System, rate: float, seconds: float) -> dict[str, Any]:
    there: dict[str, asyncio.Future[float]] = {}
    async with (
        reading(system.settings, MEMORY_UPDATES.name) as updates,
        _flowing(system, rate, seconds, seed=4) as session,
    ):

        async def listen() -> None:
            async for record in updates:
                update = decode_update(record.value)
                if update.signals and update.fan_id in there:
                    seen = there.pop(update.fan_id)
                    seen.set_result(time.perf_counter())

        async def call(number: int) -> float:
            fan = f"call-{number}"
            seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            there[fan] = seen
            started = time.perf_counter()
            await _post(session, fan, "I can't go on living like this")
            async with asyncio.timeout(STANDSTILL_SECONDS_MAX):
                return (await seen - started) * 1000

        listening = asyncio.create_task(listen())
        try:
            return {"rate": rate} | await _latencies(seconds, call)
        finally:
            listening.cancel()


@asynccontextmanager
async def _flowing(
    system: System, rate: float, seconds: float, *, seed: int
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the API, beside so many events a second."""
    many = events(seed, int(rate * seconds), FANS, Mix(0, 0, 0))
    flow = [event.value for event in many if event.value]
    flowing = asyncio.create_task(emit(system.settings, flow, rate=rate))
    headers = {"Authorization": f"Bearer {issue_token(system.settings, CREATOR, 'bench', 3600)}"}
    async with aiohttp.ClientSession(system.endpoints.api_url, headers=headers) as session:
        yield session
    await flowing


async def _latencies(
    seconds: float, probe: Callable[[int], Awaitable[float]]
) -> dict[str, int | float]:
    """Of many probes at equal distances, after one that opens the connections."""
    await probe(0)
    probes = []
    for number in range(1, int(seconds * PROBES_PER_SECOND)):
        probes.append(asyncio.ensure_future(probe(number)))
        await asyncio.sleep(1 / PROBES_PER_SECOND)
    latencies = sorted(await asyncio.gather(*probes))
    return {
        "probes": len(latencies),
        "p50Ms": round(latencies[len(latencies) // 2], 2),
        "p99Ms": round(latencies[int(len(latencies) * 0.99)], 2),
        "maxMs": round(latencies[-1], 2),
    }


async def _probe(session: aiohttp.ClientSession, number: int) -> float:
    """Milliseconds from offering an event to seeing it."""
    fan, said = f"probe-{number % 50}", f"are you there? {number}"
    started = time.perf_counter()
    position = await _post(session, fan, said)
    query = {"creatorId": CREATOR, "fanId": fan, "minPosition": position}
    async with session.get("/api/of-memory/context", params=query) as reply:
        body = await reply.json()
        elapsed = (time.perf_counter() - started) * 1000
        if reply.status != 200:
            raise ServiceFailed(f"GET was answered with {reply.status}.")
    seen = [message["content"] for message in body["data"]["recentMessages"]]
    if said not in seen:
        raise ServiceFailed("A context with minPosition lacks the event.")
    return elapsed


async def _post(session: aiohttp.ClientSession, fan: str, said: str) -> str:
    """The position of a message that was accepted."""
    event = {
        "creatorId": CREATOR,
        "fanId": fan,
        "type": "message",
        "content": said,
        "timestamp": render_time(now_ms()),
    }
    async with session.post("/api/of-memory/interaction", json=event) as reply:
        if reply.status != 200:
            raise ServiceFailed(f"POST was answered with {reply.status}.")
        position: str = (await reply.json())["position"]
        return position
