"""What erasing costs: how long `clear` takes, and what it takes from the pipeline beside it.

A whole system of its own, everything on this machine, the load included:

- **clear**: events flow at `rate` a second; beside them, `erasures` times a second, a fan is erased
  by `DELETE clear`. Latency is until 200, which comes when every copy has confirmed; 202 is counted
  apart.
- **pipeline**: the same events as fast as they are taken, once alone and once with so many erasures
  a second beside them: the share of its rate that they cost.
- **forget**: with nothing beside, one message after another of a fan of `history` messages is
  forgotten by `DELETE messages/{eventId}`; latency is until 200.
"""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp

from admin.accounting import account
from admin.emit import emit
from api.tokens import issue_token
from infra.clock import now_ms
from infra.settings import Settings
from lab.load import Mix, events
from ops.system import System, running_system
from schemas.times import render_time
from stores.opened import open_stores
from stores.store import Store

CREATOR: Final = "erasing"
FANS: Final = 20_000
EVENTS_OF_EACH: Final = 3
FOLDED_SECONDS_MAX: Final = 300.0
FORGOTTEN: Final = 30
"""Messages of one fan, one after another."""


async def measure(
    rate: float, erasures: float, seconds: float, count: int, history: int, workers: int
) -> dict[str, Any]:
    """`count` are the events of each half of the second part."""
    unlimited = {"user_requests_per_minute": 0, "creator_requests_per_minute": 0}
    settings = Settings().model_copy(update=unlimited)
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with (
            running_system(settings, Path(folder), workers=workers, api_port=0) as system,
            open_stores(system.settings) as stores,
            _Bench(system, stores.store) as bench,
        ):
            return {
                "workers": workers,
                "forget": await bench.forget(history),
                "clear": await bench.clear(rate, erasures, seconds),
                "pipeline": await bench.pipeline(count, erasures),
            }


class _Bench:
    def __init__(self, system: System, store: Store) -> None:
        self._system = system
        self._store = store
        self._fans = 0
        self._loads = 0
        token = issue_token(system.settings, CREATOR, "bench", 3600)
        self._session = aiohttp.ClientSession(
            system.endpoints.api_url, headers={"Authorization": f"Bearer {token}"}
        )

    async def __aenter__(self) -> "_Bench":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def clear(self, rate: float, erasures: float, seconds: float) -> dict[str, Any]:
        fans = await self._known(int(erasures * seconds))
        flowing = asyncio.create_task(
            emit(self._system.settings, self._load(int(rate * seconds)), rate=rate)
        )
        answers = await self._erase(fans, erasures)
        await flowing
        return {"eventsPerSecond": rate, "erasuresPerSecond": erasures} | _summed(answers)

    async def forget(self, history: int) -> dict[str, Any]:
        fan = "talkative"
        await self._folded([_event(fan, number) for number in range(history)])
        taken = []
        for number in range(min(FORGOTTEN, history)):
            path = f"/api/of-memory/messages/{fan}-{number}"
            taken.append(await self._delete(path, fan))
        return {"messages": history} | _summed(taken)

    async def pipeline(self, count: int, erasures: float) -> dict[str, Any]:
        alone = await self._through(count)
        fans = await self._known(int(erasures * alone * 3) + 1)
        erasing = asyncio.create_task(self._erase(fans, erasures))
        beside = await self._through(count)
        erasing.cancel()
        await asyncio.gather(erasing, return_exceptions=True)
        return {
            "events": count,
            "aloneEventsPerSecond": round(count / alone, 1),
            "besideEventsPerSecond": round(count / beside, 1),
            "cost": round(1 - alone / beside, 3),
        }

    async def _known(self, count: int) -> list[str]:
        """New fans of whom something is remembered."""
        fans = [f"fan-{number}" for number in range(self._fans, self._fans + count)]
        self._fans += count
        made = [_event(fan, number) for fan in fans for number in range(EVENTS_OF_EACH)]
        await self._folded(made)
        return fans

    async def _through(self, count: int) -> float:
        load = self._load(count)
        started = time.perf_counter()
        await self._folded(load)
        return time.perf_counter() - started

    async def _folded(self, lines: list[bytes]) -> None:
        """By what was accepted: orders are counted as read, too. Raises `TimeoutError`."""
        before = await account(self._store)
        await emit(self._system.settings, lines)
        wanted = before.accepted + len(lines)
        async with asyncio.timeout(FOLDED_SECONDS_MAX):
            now = await account(self._store)
            while now.accepted < wanted or now.folded < wanted:  # it asks Postgres
                await asyncio.sleep(0.05)
                now = await account(self._store)

    def _load(self, count: int) -> list[bytes]:
        self._loads += 1
        made = events(self._loads, count, FANS, Mix(0, 0, 0))
        return [event.value for event in made if event.value]

    async def _erase(self, fans: list[str], rate: float) -> list[tuple[int, float]]:
        async with asyncio.TaskGroup() as group:
            asked = []
            for fan in fans:
                asked.append(group.create_task(self._clear(fan)))
                await asyncio.sleep(1 / rate)
        return [one.result() for one in asked]

    async def _clear(self, fan: str) -> tuple[int, float]:
        return await self._delete("/api/of-memory/clear", fan)

    async def _delete(self, path: str, fan: str) -> tuple[int, float]:
        started = time.perf_counter()
        query = {"creatorId": CREATOR, "fanId": fan}
        async with self._session.delete(path, params=query) as answer:
            await answer.read()
        return answer.status, (time.perf_counter() - started) * 1000


def _summed(answers: list[tuple[int, float]]) -> dict[str, Any]:
    taken = sorted(ms for _, ms in answers)
    return {
        "answers": {str(status): n for status, n in Counter(s for s, _ in answers).items()},
        "p50Ms": round(taken[len(taken) // 2], 1),
        "p99Ms": round(taken[int(len(taken) * 0.99)], 1),
        "maxMs": round(taken[-1], 1),
    }


def _event(fan: str, number: int) -> bytes:
    when = render_time(now_ms() - 1000)
    return (
        f'{{"eventId": "{fan}-{number}", "creatorId": "{CREATOR}", "fanId": "{fan}",'
        f' "type": "message", "content": "Message {number} of a fan", "timestamp": "{when}"}}'
    ).encode()
