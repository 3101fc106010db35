"""The faults: what the plan says is done here, and counted.

A pause proves the fence only if the sleeper was in the midst of a batch, which can be read from
its log alone. So a pause begins with a burst of events, and is repeated until a fence was seen.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from functools import partial
from typing import Final

from lab.chaos.fault import Stage, carry_out
from lab.chaos.fleet import Worker, fences_seen
from lab.chaos.plan import ServiceStep, WorkerStep, make_plan
from lab.chaos.progress import wait_for
from lab.chaos.registry import FAULTS
from schemas.errors import ServiceFailed

START_SECONDS_MAX: Final = 120.0
FIRST_RATE: Final = 100.0
"""Events a second until the first fault."""
SETTLE_SECONDS_MAX: Final = 30.0
CRASH_SECONDS_MAX: Final = 90.0
TAKE_OVER_SECONDS_MAX: Final = 45.0
FENCE_SECONDS_MAX: Final = 15.0
PAUSES_MAX: Final = 12
"""Pauses without a fence before the suite gives up seeing one."""
PAUSE_BURST: Final = 1_500
"""Events that keep a worker busy while it is put to sleep: their way takes about 0.15 s."""
SPARE_PAUSES: Final = 2
"""Bursts kept for pauses after the plan, should none have shown the fence."""
SPREAD_SECONDS: Final = 6.0
"""Each step's share of the events comes at a rate that falls by 1/e in so long: never to nothing,
however long the step takes, so that everything that is done happens while events flow."""
RATE_MIN: Final = 20.0
PACE_SECONDS: Final = 0.2
IDLE_WORKER_SECONDS_MAX: Final = 60.0
BACKLOG_MAX: Final = 5_000
"""Events that wait, above which no worker joins or leaves."""
LANE_SECONDS_MAX: Final = 300.0
"""How long one step of the worker lane may hold up the services' lane."""


class Faults:
    """Carries the seed's plan out; `done` counts what was injected."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._amounts = stage.amounts
        self._plan = make_plan(seed, stage.amounts)
        self._settings = stage.settings
        self._fleet = stage.fleet
        self._emitter = stage.emitter
        self._progress = stage.progress
        self._on_step = stage.tell
        self._rng = stage.rng
        self._churn_rng = random.Random(seed)
        self._steps_done = 0
        self._over = False
        self.done: Counter[str] = Counter()
        self.points_missed: list[str] = []

    async def run(self) -> None:
        """Both lanes to their end, workers joining and leaving meanwhile.

        Raises `ServiceFailed` when the system does not come to work in the first place.
        """
        self._emitter.reserved = sum(FAULTS[one.fault].reserve for one in self._plan.services)
        self._emitter.rate = FIRST_RATE
        if not await self._progress.every_partition_moves(START_SECONDS_MAX):
            raise ServiceFailed("Not every partition has moved since the start.")
        self._on_step("every partition moves")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_pace())
            group.create_task(self._join_and_leave())
            lanes = (self._run_workers(), self._run_services())
            await asyncio.gather(*(group.create_task(lane) for lane in lanes))
            self._over = True
        self._emitter.reserved = 0

    async def _run_workers(self) -> None:
        for step in self._plan.workers:
            if step.settle:
                since = time.monotonic()
                moves = await self._progress.every_partition_moves(SETTLE_SECONDS_MAX)
                said = "every partition moves" if moves else "not every partition moves"
                self._on_step(f"{said} after {time.monotonic() - since:.1f} s")
            await asyncio.sleep(self._rng.uniform(0.1, 1.5))
            await self._do_to_workers(step)
            self._steps_done += 1
        while self.done["fences seen"] < self._amounts.fences and self.done["pauses"] < PAUSES_MAX:
            await self._pause()

    async def _keep_pace(self) -> None:
        """Spread the events over the steps, bursts kept apart."""
        steps = len(self._plan.workers)
        pauses = SPARE_PAUSES + sum(step.fault == "pause" for step in self._plan.workers)
        spread = self._emitter.left - pauses * PAUSE_BURST
        while not self._over:
            sent = self._emitter.sent - self.done["pauses"] * PAUSE_BURST
            due = min(1.0, (self._steps_done + 1) / steps) * spread - sent
            self._emitter.rate = max(RATE_MIN, due / SPREAD_SECONDS)
            await asyncio.sleep(PACE_SECONDS)

    async def _do_to_workers(self, step: WorkerStep) -> None:
        if step.fault == "kill":
            for _ in range(step.workers):
                await self._kill()
        elif step.fault == "crash":
            await self._crash(step.point)
        else:
            await self._pause()

    async def _idle_worker(self) -> Worker:
        if not await wait_for(self._fleet.idle, IDLE_WORKER_SECONDS_MAX):
            raise ServiceFailed("No worker has been running for a while.")
        return self._rng.choice(self._fleet.idle())

    async def _kill(self) -> None:
        worker = await self._idle_worker()
        if worker.send(signal.SIGKILL):
            self._note("worker kills", f"killed {worker.name}")

    async def _crash(self, point: str) -> None:
        worker = await self._idle_worker()
        worker.busy = True
        try:
            self._note("worker kills", f"killed {worker.name}, its next start crashes at {point}")
            if await worker.fail_at(point, CRASH_SECONDS_MAX):
                self._note("crashes", f"{worker.name} crashed at {point}")
            else:
                self.points_missed.append(point)
        finally:
            worker.busy = False

    async def _pause(self) -> None:
        """Put a worker to sleep in the midst of its work, until others have its partitions."""
        worker = await self._idle_worker()
        worker.busy = True
        try:
            log, before = worker.log, fences_seen(worker.log)
            self._emitter.burst(PAUSE_BURST)
            await asyncio.sleep(self._rng.uniform(0.02, 0.15))
            if not worker.send(signal.SIGSTOP):
                return
            self._note("pauses", f"paused {worker.name}")
            await asyncio.sleep(self._settings.session_seconds + 1.0)
            await self._progress.every_partition_moves(TAKE_OVER_SECONDS_MAX)
            worker.send(signal.SIGCONT)
            await wait_for(lambda: fences_seen(log) > before, FENCE_SECONDS_MAX)
            seen = fences_seen(log) - before
            self.done["fences seen"] += seen
            self._on_step(f"woke {worker.name}: fenced {seen} times")
        finally:
            worker.busy = False

    async def _join_and_leave(self) -> None:
        """Every few seconds one more or one less, unless much waits: a busy machine would do
        nothing but hand partitions over."""
        rng = self._churn_rng
        least = len(self._fleet.workers)
        while not self._over:
            await asyncio.sleep(rng.uniform(2.0, 5.0))
            if self._emitter.sent - self._progress.folded > BACKLOG_MAX:
                continue
            idle = self._fleet.idle()
            if len(self._fleet.workers) > least and idle and rng.random() < 0.6:
                worker = rng.choice(idle)
                self._note("leaves", f"{worker.name} leaves")
                await self._fleet.leave(worker)
            elif len(self._fleet.workers) < least + 2:
                self._note("joins", f"{self._fleet.join().name} joins")

    async def _run_services(self) -> None:
        steps = len(self._plan.workers)
        for step in self._plan.services:
            await wait_for(partial(self._reached, step.at * steps), LANE_SECONDS_MAX)
            await self._do_to_service(step)

    def _reached(self, steps: float) -> bool:
        return self._steps_done >= steps

    async def _do_to_service(self, step: ServiceStep) -> None:
        fault = FAULTS[step.fault](step.seconds)
        self._emitter.reserved -= fault.reserve
        if await carry_out(fault, self._stage):
            self.done[fault.name] += 1

    def _note(self, counter: str, step: str) -> None:
        self.done[counter] += 1
        self._on_step(step)
