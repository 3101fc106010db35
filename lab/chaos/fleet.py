"""The fleet: worker processes that the suite kills, pauses and arms, each start in its own log.

The supervisor of `up` runs them; what the suite adds is telling a death that it caused from any
other, and arming the next start of one worker with a fail point.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.settings import Settings
from ops.supervisor import Child, Program
from ops.system import program

RESTART_SECONDS: Final = 0.2
LEAVE_SECONDS_MAX: Final = 20.0
"""How long a worker that was asked to leave may take; then it is killed, and counted as such."""
ASLEEP_POLL_SECONDS: Final = 0.1
"""A worker that starts needs half a second until it claims."""
CRASH_POLL_SECONDS: Final = 0.05
CLAIMED: Final = b'"message":"claimed"'
REFUSED: Final = b"error: "
FENCED: Final = b'"message":"fenced"'


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that ended without having been told to."""

    name: str
    how: str
    said: str
    """The last error in its log."""


class Worker:
    """One place in the fleet: a process, and after its end the next one, as `ops.supervisor` does.

    What is ours: each start has a log of its own, one start may be armed with a fail point, and an
    end that the suite caused is told from any other.
    """

    def __init__(
        self, name: str, settings: Settings, logs: Path, fleet: "Fleet", command: str = "worker"
    ) -> None:
        self.name = name
        self._command = command
        self.busy = False
        """Something is being done to it: leave it alone."""
        self.log = logs / f"{name}.0.log"
        self._settings = settings
        self._logs = logs
        self._fleet = fleet
        self._crash_at = ""
        self._armed = ""
        """The fail point of the process of the moment."""
        self._crashed = asyncio.Event()
        self._killed: set[int] = set()
        self._starts = 0
        self._claimed = False
        self._child = Child(self._wanted, self._ended)

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def works(self) -> bool:
        """Whether the process of the moment has been given partitions."""
        if self.pid is None or self.pid in self._killed:
            return False
        if not self._claimed:
            self._claimed = CLAIMED in self.log.read_bytes()
        return self._claimed

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the process of the moment; False when there is none, or a dying one."""
        pid = self.pid
        if pid is None or pid in self._killed:
            return False
        if number == signal.SIGKILL:
            self._killed.add(pid)
        self._child.signal(number)
        return True

    async def fail_at(self, point: str, seconds_max: float) -> bool:
        """Kill it if it runs, arm its next start, and wait until that one has killed itself."""
        self._crash_at = point
        self._crashed.clear()
        try:
            async with asyncio.timeout(seconds_max):
                while not self._crashed.is_set():
                    if self._armed != point:  # also one that was just being started
                        self.send(signal.SIGKILL)
                    await asyncio.sleep(CRASH_POLL_SECONDS)
        except TimeoutError:
            return False
        finally:
            self._crash_at = ""
        return True

    async def leave(self) -> None:
        """Ask it to stop for good."""
        if not await self._child.stop(LEAVE_SECONDS_MAX):
            self._fleet.slow_leavers += 1

    def _wanted(self) -> Program:
        self._armed = self._crash_at
        self._starts += 1
        self._claimed = False
        settings = self._settings.model_copy(update={"fail_at": self._armed})
        wanted = program(f"{self.name}.{self._starts}", self._command, self._logs.parent, settings)
        self.log = wanted.log
        return wanted

    def _ended(self, pid: int, code: int, how: str) -> float:
        if code == -signal.SIGKILL and pid not in self._killed and self._armed:
            self._crash_at = self._armed = ""
            self._crashed.set()
        elif pid not in self._killed:
            self._fleet.died(Death(self.name, how, last_error(self.log)))
        return RESTART_SECONDS


class Fleet:
    """All workers of the run."""

    def __init__(
        self, settings: Settings, data: Path, on_step: Callable[[str], Any] = lambda _step: None
    ) -> None:
        self._settings = settings
        self._logs = data / "logs"
        self._on_step = on_step
        self._numbers = 0
        self.workers: dict[str, Worker] = {}
        self.deaths: list[Death] = []
        self.slow_leavers = 0

    def join(self, command: str = "worker", **changes: object) -> Worker:
        """One more; `changes` are settings of its own. Another `command` is another process of ours
        that is killed and armed in the same way."""
        self._numbers += 1
        name = f"{command}-{self._numbers}"
        settings = self._settings.model_copy(update=changes)
        worker = Worker(name, settings, self._logs, self, command)
        self.workers[name] = worker
        return worker

    async def leave(self, worker: Worker) -> None:
        del self.workers[worker.name]
        await worker.leave()

    def idle(self) -> list[Worker]:
        """Workers at work, to which nothing else is being done."""
        return [one for one in self.workers.values() if not one.busy and one.works]

    @asynccontextmanager
    async def asleep(self) -> AsyncIterator[None]:
        """Every worker is killed, and the next ones sleep inside, before they can have claimed."""
        for worker in self.workers.values():
            worker.send(signal.SIGKILL)
        bed = asyncio.create_task(self._keep_asleep())
        try:
            yield
        finally:
            bed.cancel()
            for worker in self.workers.values():
                worker.send(signal.SIGCONT)

    async def _keep_asleep(self) -> None:
        while True:
            for worker in self.workers.values():
                worker.send(signal.SIGSTOP)
            await asyncio.sleep(ASLEEP_POLL_SECONDS)

    async def stop(self) -> None:
        leaving = list(self.workers.values())
        self.workers.clear()
        await asyncio.gather(*(worker.leave() for worker in leaving))

    def died(self, death: Death) -> None:
        self.deaths.append(death)
        self._on_step(f"{death.name} ended by itself ({death.how}): {death.said}")


def fences_seen(log: Path) -> int:
    """How often the process that wrote this log was refused by the fence."""
    return log.read_bytes().count(FENCED)


def last_error(log: Path) -> str:
    """The last thing of level error in a log: message, class and place; it holds no content.

    A refusal to start is one line in words.
    """
    for line in reversed(log.read_bytes().splitlines()):
        if line.startswith(REFUSED):
            return line.decode("utf-8", "replace")
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("level") == "error":
            place = (said.get("stack") or [""])[-1]
            return " ".join(filter(None, (said["message"], said.get("error"), place)))
    return "no error in its log"
