"""The rounds: one fan after the other is erased in flight with events, faults beside them.

A round, of a fan who is new or was erased before:

1. Events are sent, and sometimes read until they are seen, so that the cache has them.
2. The fan is erased over HTTP, sometimes twice at once, while more events are sent.
3. The API is asked until the erasure is complete, whoever dies meanwhile.
4. What it shows then holds nothing of 1.
5. Most come back: events are sent that must not be lost.

Several rounds run at once; the faults have lanes of their own. There are more rounds than asked for
if the faults need them: a fail point is passed only where somebody is erased.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from infra.clock import now_ms
from lab.chaos.erasing.client import Client
from lab.chaos.erasing.plan import Amounts, Step, make_plan
from lab.chaos.erasing.traffic import Traffic
from lab.chaos.fleet import Fleet, Worker
from lab.load import Event
from ops.services import EmbeddedServices
from schemas.relationship import Relationship
from schemas.times import render_time

LANES: Final = 4
POLL_SECONDS: Final = 0.05
CREATORS: Final = 5
CRASH_SECONDS_MAX: Final = 45.0
ANSWER_SECONDS_MAX: Final = 20.0
"""An API that was killed answers again long before."""
DOWN_SECONDS_MAX: Final = 2.0
RECOVERED_SECONDS_MAX: Final = 10.0
"""From the recovery of a service until all that was accepted before is complete."""
EXTRA_SECONDS: Final = 0.2
"""Between rounds that are only there for the faults that are left; each of those has an end."""


class Rounds:
    """Carries the seed's plan out; what was done and seen stands in its fields."""

    def __init__(
        self,
        amounts: Amounts,
        seed: int,
        services: EmbeddedServices,
        fleet: Fleet,
        client: Client,
        traffic: Traffic,
        tell: Callable[[str], Any],
    ) -> None:
        self._amounts = amounts
        self._services = services
        self._fleet = fleet
        self._client = client
        self._traffic = traffic
        self._tell = tell
        self._rng = random.Random(seed)
        self._plan = make_plan(seed, amounts)
        self._faults_left = sum(map(len, self._plan))
        self._events = 0
        self._resting: list[Relationship] = []
        """Erased, and in no round now."""
        self._waiting: Counter[str] = Counter()
        """Ids of erasures that were accepted and are not complete."""
        self.begun = 0
        self.done: Counter[str] = Counter()
        self.missed: list[str] = []
        self.erased: set[Relationship] = set()
        self.accepted: set[str] = set()
        """Ids of the erasures that the API has said to have begun."""
        self.resurrected = 0
        """Answers that held something of before a completed erasure."""
        self.recovery_seconds = 0.0
        """The longest."""

    async def run(self, api: Worker) -> None:
        """All rounds, and all faults. Raises `DeadlineExceeded` when one does not end."""
        async with asyncio.TaskGroup() as group:
            for lane in self._plan:
                group.create_task(self._faults(api, lane))
            for _ in range(LANES):
                group.create_task(self._lane())

    async def _lane(self) -> None:
        while self.begun < self._amounts.rounds or self._faults_left:
            if self.begun >= self._amounts.rounds:
                await asyncio.sleep(EXTRA_SECONDS)
            self.begun += 1
            await self._round(self.begun)

    async def _round(self, number: int) -> None:
        who = self._whom(number)
        before = self._made(who, self._rng.randint(1, 6))
        await self._traffic.send(before)
        if self._rng.random() < 0.5:
            await self._client.seen(who)
        during = self._made(who, self._rng.randint(0, 6))
        self.erased.add(who)
        asked = [self._erase(who) for _ in range(2 if self._rng.random() < 0.2 else 1)]
        *_, ids = await asyncio.gather(self._sprinkle(during), asyncio.gather(*asked))
        for erasure in ids:
            await self._client.completed(who[0], erasure)
            self._waiting.pop(erasure, None)
        shown = await self._client.context(who)
        if shown is not None:
            text = msgspec.json.encode(shown)
            old = any(_id(event).encode() + b" " in text for event in before)
            count = shown["personalityProfile"]["interactionCount"]
            self.resurrected += old or count > len(during)
        if self._rng.random() < 0.6:
            await self._traffic.send(self._made(who, self._rng.randint(1, 4)))
        self.done["rounds"] += 1
        self._resting.append(who)
        if number % 25 == 0:
            self._tell(f"{number} rounds begun")

    def _whom(self, number: int) -> Relationship:
        if self._resting and self._rng.random() < 0.3:
            return self._resting.pop(self._rng.randrange(len(self._resting)))
        return f"erasing-{number % CREATORS}", f"erased-{number}"

    def _made(self, who: Relationship, count: int) -> list[Event]:
        made = []
        for _ in range(count):
            self._events += 1
            id = f"round-event-{self._events}"
            wire = {
                "eventId": id,
                "creatorId": who[0],
                "fanId": who[1],
                "type": "message",
                "content": f"{id} is what I said.",
                "timestamp": render_time(now_ms() - 1000),
            }
            made.append(Event(who, msgspec.json.encode(wire), "fresh", "message"))
        return made

    async def _sprinkle(self, events: list[Event]) -> None:
        for event in events:
            await asyncio.sleep(self._rng.uniform(0.0, 0.02))
            await self._traffic.send([event])

    async def _erase(self, who: Relationship) -> str:
        await asyncio.sleep(self._rng.uniform(0.0, 0.05))
        erasure = await self._client.erase(who)
        self.accepted.add(erasure)
        self._waiting[erasure] += 1
        return erasure

    # Faults.

    async def _faults(self, api: Worker, lane: list[Step]) -> None:
        crashed = False
        for number, step in enumerate(lane):
            due = number / len(lane) * self._amounts.rounds
            # Who has just crashed is armed at once: nobody has to be killed for it.
            if not (crashed and step.point):
                await self._reached(due)
            crashed = bool(step.point)
            if step.point:
                await self._crash(api if step.target == "api" else self._worker(), step.point)
            elif step.target == "api":
                self.done["api killed"] += api.send(signal.SIGKILL)
            elif step.target == "worker":
                self.done["worker killed"] += self._worker().send(signal.SIGKILL)
            else:
                await self._kill_service(step.target)
            self._faults_left -= 1

    async def _reached(self, rounds: float) -> None:
        while True:
            if self.begun >= rounds:
                return
            await asyncio.sleep(POLL_SECONDS)

    def _worker(self) -> Worker:
        found = [one for one in self._fleet.workers.values() if one.name.startswith("worker")]
        return self._rng.choice(found)

    async def _crash(self, process: Worker, point: str) -> None:
        if await process.fail_at(point, CRASH_SECONDS_MAX):
            self.done[point] += 1
            self._tell(f"{process.name} crashed at {point}")
        else:
            self.missed.append(point)

    async def _kill_service(self, name: str) -> None:
        """Killed while erasures are under way; what was accepted ends by itself."""
        await asyncio.to_thread(self._services.kill, name)
        if name == "postgres":
            status = await self._client.erase_once(("erasing-0", "nobody"), ANSWER_SECONDS_MAX)
            self.done["clear refused without postgres"] += status in (503, 504)
        await asyncio.sleep(self._rng.uniform(0.0, DOWN_SECONDS_MAX))
        await asyncio.to_thread(self._services.start_one, name)
        recovered, waiting = time.monotonic(), set(self._waiting)
        while waiting & self._waiting.keys():
            if time.monotonic() - recovered > CRASH_SECONDS_MAX:
                break
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.monotonic() - recovered
        self.recovery_seconds = max(self.recovery_seconds, seconds)
        self.done[f"{name} killed"] += 1
        self._tell(f"{name} was killed; {len(waiting)} erasures done {seconds:.1f} s after it")


def _id(event: Event) -> str:
    return str(msgspec.json.decode(event.value or b"")["eventId"])
