"""How soon a client is told: the figures behind "1,000 streams at 200 updates/s: p99 ≤ 250 ms".

A whole system of its own (worker, API, embedded services; everything on this machine, the listeners
included). Events of many creators flow at `rate` a second, each of a fan of its own, so that each
is one update; every stream of its creator has to tell it. Latency is from the event's own time,
when it is sent, to the client's having the whole of it: ingest, projection, relay and feed
included; the feed's part is given besides, from the record on `memory-updates`.
"""

import asyncio
import json
import re
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from admin.emit import Emitter
from api.tokens import issue_token
from infra.clock import now_ms
from infra.settings import Settings
from lab.bench.cpu import CpuMeter
from lab.bench.http import get_request
from ops.system import System, running_system
from schemas.errors import ServiceFailed
from schemas.times import from_datetime, render_time

TICK_SECONDS: Final = 0.02
OPENED_AT_ONCE: Final = 50
OPEN_SECONDS_MAX: Final = 60.0
STANDSTILL_SECONDS_MAX: Final = 15.0
WARM_UP_SECONDS: Final = 3.0
LISTENERS: Final = "listeners"

_told: Final = re.compile(
    rb'id: [0-9a-f]+\.([0-9a-f]+)-[^\n]*\nevent: update\ndata: [^\n]*?"timestamp":"([^"]+)"'
).finditer
_END: Final = b"\n\n"


class Listener(asyncio.Protocol):
    """One stream: when it was told what."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.open = asyncio.get_running_loop().create_future()
        self.heard: list[tuple[int, int, bytes]] = []
        """When, when it was on `memory-updates` (both ms since the epoch), the event's own time."""
        self.resets = 0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = now_ms()
        whole, end, self._rest = (self._rest + data).rpartition(_END)
        if not self.open.done() and b"\nid: " in whole:
            self.open.set_result(None)
        if end:
            self.resets += whole.count(b"event: reset")
            self.heard += [(now, int(found[1], 16), found[2]) for found in _told(whole)]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(ServiceFailed("The API refused a stream."))


async def measure(streams: int, creators: int, rate: float, seconds: float) -> dict[str, Any]:
    """All figures; raises `ServiceFailed` when a stream is not opened."""
    unlimited = {"user_requests_per_minute": 0, "creator_requests_per_minute": 0}
    settings = Settings().model_copy(update={**unlimited, "streams_max": max(streams, 1_000)})
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_system(settings, Path(folder), workers=1, api_port=0) as system:
            listeners = await _opened(system, streams, creators)
            await _flow(system, creators, rate, WARM_UP_SECONDS, "warm")
            await _all_heard(listeners, creators, round(rate * WARM_UP_SECONDS))
            for listener in listeners:
                listener.heard.clear()
            meter = CpuMeter(system.supervisor.pids())
            began, own = time.perf_counter(), time.process_time()
            sent = await _flow(system, creators, rate, seconds, "fan")
            flowed = time.perf_counter() - began
            await _all_heard(listeners, creators, sent)
            cpu = meter.seconds() | {LISTENERS: time.process_time() - own}
            return _figures(listeners, creators, sent, flowed, cpu) | {"rate": rate}


async def _opened(system: System, streams: int, creators: int) -> list[Listener]:
    loop = asyncio.get_running_loop()
    host, _, port = system.endpoints.api_url.rpartition("//")[2].partition(":")
    requests = []
    for number in range(creators):
        token = issue_token(system.settings, f"creator-{number}", "bench", 3600)
        path = f"/api/of-memory/stream?creatorId=creator-{number}"
        requests.append(get_request(path, token, host))
    listeners: list[Listener] = []
    async with asyncio.timeout(OPEN_SECONDS_MAX):
        for begin in range(0, streams, OPENED_AT_ONCE):
            some = [
                Listener(requests[number % creators])
                for number in range(begin, min(begin + OPENED_AT_ONCE, streams))
            ]
            for one in some:
                await loop.create_connection(lambda one=one: one, host, int(port))  # type: ignore[misc]
            await asyncio.gather(*(one.open for one in some))
            listeners += some
    return listeners


async def _flow(system: System, creators: int, rate: float, seconds: float, fan: str) -> int:
    """Send events evenly, each with the time of its sending; returns how many."""
    emitter = Emitter(system.settings)
    count = round(rate * seconds)
    began = time.perf_counter()
    sent = 0
    try:
        while sent < count:
            due = min(count, int((time.perf_counter() - began) * rate) + 1)
            await emitter.send([_event(number, creators, fan) for number in range(sent, due)])
            sent = due
            await asyncio.sleep(TICK_SECONDS)
    finally:
        await emitter.stop()
    return sent


def _event(number: int, creators: int, fan: str) -> bytes:
    event = {
        "creatorId": f"creator-{number % creators}",
        "fanId": f"{fan}-{number}",
        "type": "message",
        "content": "are you there?",
        "timestamp": render_time(now_ms()),
    }
    return json.dumps(event).encode()


async def _all_heard(listeners: list[Listener], creators: int, sent: int) -> None:
    """Wait until all was told, or nothing more comes."""
    expected = _expected(len(listeners), creators, sent)
    heard, moved = -1, time.perf_counter()
    while (now := sum(len(one.heard) for one in listeners)) < expected:
        if now != heard:
            heard, moved = now, time.perf_counter()
        elif time.perf_counter() - moved > STANDSTILL_SECONDS_MAX:
            return
        await asyncio.sleep(0.05)


def _expected(streams: int, creators: int, sent: int) -> int:
    of_creator = [len(range(number, streams, creators)) for number in range(creators)]
    return sum(of_creator[number % creators] for number in range(sent))


def _figures(
    listeners: list[Listener], creators: int, sent: int, seconds: float, cpu: dict[str, float]
) -> dict[str, Any]:
    times = {text for one in listeners for *_, text in one.heard}
    at = {text: _ms(text) for text in times}
    latencies = sorted(now - at[text] for one in listeners for now, _, text in one.heard)
    feed = sorted(now - there for one in listeners for now, there, _ in one.heard)
    told = len(latencies)
    if not told:
        raise ServiceFailed("Nothing was told.")
    api = cpu["api"]
    workers = sum(used for name, used in cpu.items() if name.startswith("worker"))
    return {
        "streams": len(listeners),
        "creators": creators,
        "updates": sent,
        "told": told,
        "lost": _expected(len(listeners), creators, sent) - told,
        "resets": sum(one.resets for one in listeners),
        "toldPerSecond": round(told / seconds, 1),
        "p50Ms": latencies[told // 2],
        "p99Ms": latencies[int(told * 0.99)],
        "maxMs": latencies[-1],
        "feedP50Ms": feed[told // 2],
        "feedP99Ms": feed[int(told * 0.99)],
        "apiCpuMicrosPerTold": round(api / told * 1e6, 1),
        "apiCpuShare": round(api / seconds, 3),
        "workerCpuShare": round(workers / seconds, 3),
        "listenersCpuShare": round(cpu[LISTENERS] / seconds, 3),
    }


def _ms(text: bytes) -> int:
    return from_datetime(datetime.fromisoformat(text.decode()))
