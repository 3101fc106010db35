"""Watchdog: ends a worker that stands still, so that its supervisor starts a fresh one.

It runs on a thread of its own, so it also sees an event loop that hangs. A worker stands still
when a partition it holds has lag and its position has not moved for `stall_seconds_max`, whatever
the reason: Faust gives up a slow seek or an exceeded poll interval without a word.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from faust.types import TP

from infra.exit_codes import STALLED
from streams.batching import BatchLoop

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 2.0


class Stall(NamedTuple):
    """Why a worker has to end."""

    reason: str
    topic: str | None = None
    partition: int | None = None


class Behind(NamedTuple):
    """How far a partition that we hold is behind its log."""

    lag: int
    """Records; below 0 the log ends before the position."""
    seconds: float
    """Since when the position has not moved although there are some, as far as we have seen."""


class Watchdog:
    """Watches every loop of one app."""

    def __init__(self, app: Any, loops: Sequence[BatchLoop], stall_seconds_max: float) -> None:
        self._app = app
        self._loops = loops
        self._stall_seconds_max = stall_seconds_max
        self._seen: dict[TP, tuple[int, float]] = {}
        self._ends: dict[TP, int] = {}
        self._lags: dict[TP, int] = {}
        self._beat = time.monotonic()
        self._stopped = threading.Event()

    async def run(self) -> None:
        """Feed the thread: ask for the ends of our partitions, and say that the loop lives."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            while True:
                self._beat = time.monotonic()
                await self._read_ends()
                await asyncio.sleep(CHECK_SECONDS)
        finally:
            self._stopped.set()

    async def _read_ends(self) -> None:
        try:
            # What a rebalance gave to others is theirs to move; `held` hears of it at claims only.
            assigned = self._app.consumer.assignment()
            tps = [
                tp
                for loop in self._loops
                for partition in loop.positions.held
                if (tp := TP(loop.positions.topic, partition)) in assigned
            ]
            nexts = {
                TP(loop.positions.topic, partition): held.next
                for loop in self._loops
                for partition, held in loop.positions.held.items()
            }
            async with asyncio.timeout(self._stall_seconds_max / 2):
                self._ends = dict(await self._app.consumer.highwaters(*tps)) if tps else {}
            # Against the positions of before: an end that is asked for later is none behind them.
            self._lags = {tp: end - nexts[tp] for tp, end in self._ends.items()}
        except Exception as error:  # noqa: BLE001 # Kafka away: what was known of lag stays true
            log.debug("ends unknown: %s", type(error).__name__)

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            stall = self.standing_still(time.monotonic())
            if stall is not None:
                log.critical(
                    "watchdog: %s; exiting",
                    stall.reason,
                    extra={"topic": stall.topic, "partition": stall.partition},
                )
                logging.shutdown()
                os._exit(STALLED)

    def behind(self, topic: str, partition: int, now: float) -> Behind | None:
        """As it was seen last, at most some seconds ago; None when that is unknown."""
        tp = TP(topic, partition)
        lag = self._lags.get(tp)
        if lag is None:
            return None
        _, since = self._seen.get(tp, (-1, now))
        return Behind(lag, now - since)

    def standing_still(self, now: float) -> Stall | None:
        """Why this worker should end, or None."""
        if now - self._beat > self._stall_seconds_max:
            return Stall("the event loop hangs")
        for loop in self._loops:
            for partition, held in list(loop.positions.held.items()):
                tp = TP(loop.positions.topic, partition)
                position, since = self._seen.get(tp, (-1, now))
                if partition in loop.stopped:
                    self._seen[tp] = (held.next, now)  # it waits for its operator
                elif held.next != position or self._ends.get(tp, 0) <= held.next:
                    self._seen[tp] = (held.next, now)
                elif now - since > self._stall_seconds_max:
                    return Stall("a partition has lag and does not move", tp.topic, tp.partition)
        return None
