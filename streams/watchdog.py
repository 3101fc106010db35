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
from typing import Final, NamedTuple

from infra.exit_codes import STALLED
from streams.batching import BatchLoop

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 2.0


Place = tuple[str, int]
"""A topic, by its name in `schemas.topics`, and a partition of it."""


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

    def __init__(self, loops: Sequence[BatchLoop], stall_seconds_max: float) -> None:
        self._loops = loops
        self._stall_seconds_max = stall_seconds_max
        self._seen: dict[Place, tuple[int, float]] = {}
        self._ends: dict[Place, int] = {}
        self._lags: dict[Place, int] = {}
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
            nexts = {
                (loop.positions.topic, partition): held.next
                for loop in self._loops
                for partition, held in loop.positions.held.items()
            }
            ends: dict[Place, int] = {}
            async with asyncio.timeout(self._stall_seconds_max / 2):
                for loop in self._loops:
                    # What a rebalance gave to others is theirs to move, and is not among the ends;
                    # `held` hears of it at claims only.
                    found = await loop.partitions.ends(list(loop.positions.held))
                    ends |= {(loop.positions.topic, p): end for p, end in found.items()}
            self._ends = ends
            # Against the positions of before: an end that is asked for later is none behind them.
            self._lags = {place: end - nexts[place] for place, end in ends.items()}
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
        place = topic, partition
        lag = self._lags.get(place)
        if lag is None:
            return None
        _, since = self._seen.get(place, (-1, now))
        return Behind(lag, now - since)

    def standing_still(self, now: float) -> Stall | None:
        """Why this worker should end, or None."""
        if now - self._beat > self._stall_seconds_max:
            return Stall("the event loop hangs")
        for loop in self._loops:
            for partition, held in list(loop.positions.held.items()):
                place = loop.positions.topic, partition
                position, since = self._seen.get(place, (-1, now))
                if partition in loop.stopped:
                    self._seen[place] = (held.next, now)  # it waits for its operator
                elif held.next != position or self._ends.get(place, 0) <= held.next:
                    self._seen[place] = (held.next, now)
                elif now - since > self._stall_seconds_max:
                    return Stall("a partition has lag and does not move", *place)
        return None
