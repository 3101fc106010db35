"""Keep programs and embedded services running: start, watch, restart, stop.

A worker that finds it must not continue exits; so does one that is killed. Restarting is this
module's work alone. A program that keeps failing is started again ever more slowly, never given
up: what it waits for may be a cluster that an operator is mending.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.retry import Backoff
from ops.services import EmbeddedServices
from ops.services.process import bound_logs, last_error, launcher, log_size, open_log
from schemas.errors import FanMemoryError

BACKOFF = Backoff(0.1, 10.0, low=0.5)  # spread: programs may have died together
STEADY_SECONDS = 30.0  # a program that has run this long starts again with the shortest pause
STOP_SECONDS_MAX = 8.0  # then SIGKILL: a worker's commit is one transaction, nothing is torn
SERVICE_POLL_SECONDS = 0.2
LOG_POLL_SECONDS = 5.0


@dataclass(frozen=True)
class Program:
    """A command line of ours to keep running; it logs to `log`."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Restart:
    """Something ended by itself and will be started again in `pause_seconds`."""

    name: str
    reason: str
    count: int
    pause_seconds: float
    said: str = ""
    """The last error that it wrote to its log, empty when there was none."""


class Process(Protocol):
    """A program that runs, as asyncio tells of one."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, signal: int, /) -> None: ...
    async def wait(self) -> int: ...


class Supervisor:
    """Runs programs as children and watches services that already run.

    `on_restart` is told of everything that had to be restarted, from the event loop.
    """

    def __init__(
        self,
        services: EmbeddedServices | None = None,
        on_restart: Callable[[Restart], None] = lambda _restart: None,
    ) -> None:
        self._services = services
        self._on_restart = on_restart
        self._children: dict[str, Child] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.restarts: dict[str, int] = {}

    def pids(self) -> dict[str, int]:
        """The process of each program that runs at the moment."""
        return {name: child.pid for name, child in self._children.items() if child.pid}

    def add(self, program: Program) -> None:
        """Start a program and keep it running."""
        if program.name in self._children:
            raise ValueError(f"{program.name} already runs")
        failures = _Failures()
        written = 0

        def wanted() -> Program:
            nonlocal written
            failures.began()
            written = log_size(program.log)
            return program

        def ended(_pid: int, _code: int, how: str) -> float:
            said = last_error(program.log, written)
            return self._restarted(program.name, how, failures.another(), said)

        self._children[program.name] = Child(wanted, ended)

    async def remove(self, name: str, seconds_max: float = STOP_SECONDS_MAX) -> None:
        """Stop a program for good; SIGKILL after `seconds_max`."""
        child = self._children.pop(name, None)
        if child is not None:
            await child.stop(seconds_max)

    def watch_services(self, logs: Path) -> None:
        """Restart services that die, from now on, and keep the logs in `logs` short."""
        services = self._services
        if services is not None:
            self._watching += [
                asyncio.create_task(self._watch(services, name)) for name in services.alive()
            ]
        self._watching.append(asyncio.create_task(self._bound_logs(logs)))

    async def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> None:
        """Stop every program side by side and watch no more; the services are left running."""
        self._stopping.set()
        await asyncio.gather(*(self.remove(name, seconds_max) for name in list(self._children)))
        await asyncio.gather(*self._watching)
        self._watching.clear()

    def _restarted(self, name: str, reason: str, failures: int, said: str = "") -> float:
        pause = BACKOFF.seconds(failures)
        count = self.restarts.get(name, 0) + 1
        self.restarts[name] = count
        self._on_restart(Restart(name, reason, count, pause, said))
        return pause

    async def _watch(self, services: EmbeddedServices, name: str) -> None:
        failures = _Failures()
        while not await _happens(self._stopping, SERVICE_POLL_SECONDS):
            if services.alive().get(name, True):
                continue
            pause = self._restarted(name, "it died", failures.another())
            if await _happens(self._stopping, pause):
                return
            with contextlib.suppress(FanMemoryError):  # the next round tries again
                await asyncio.to_thread(services.start_one, name)
            failures.began()

    async def _bound_logs(self, logs: Path) -> None:
        while not await _happens(self._stopping, LOG_POLL_SECONDS):
            await asyncio.to_thread(bound_logs, logs)


class Child:
    """One program: the task that runs it again and again, and the process of the moment.

    `wanted` is asked before each start; `ended` is told (pid, code, how) after each end that
    nobody asked for, and says after how many seconds the next one starts. A start that failed has
    pid 0. The fault suite brings its own two, because it arms starts and causes ends.
    """

    def __init__(
        self, wanted: Callable[[], Program], ended: Callable[[int, int, str], float]
    ) -> None:
        self._wanted = wanted
        self._ended = ended
        self._stopping = asyncio.Event()
        self._process: Process | None = None
        self._task = asyncio.create_task(self._keep_running())

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def stop(self, seconds_max: float) -> bool:
        """Stop it for good; SIGKILL after `seconds_max`. Whether it ended by being asked."""
        self._stopping.set()
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused process can't hear SIGTERM
        try:
            await asyncio.wait_for(asyncio.shield(self._task), seconds_max)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._task
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process of the moment, if there is one."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            pid, code, how = await self._run_once(self._wanted())
            if self._stopping.is_set():
                return
            await _happens(self._stopping, self._ended(pid, code, how))

    async def _run_once(self, program: Program) -> tuple[int, int, str]:
        """Run the program to its end; returns its pid, its code and how it ended."""
        try:
            self._process = await start(program)
        except OSError as error:  # no memory or no process slot: that may pass
            return 0, 0, f"could not be started: {error.strerror}"
        if self._stopping.is_set():  # stop() came before there was anyone to signal
            self.signal(signal.SIGTERM)
        code = await self._process.wait()
        return self._process.pid, code, ended_how(code)


async def start(program: Program) -> Process:
    """The program as a child that can't outlive us; raises OSError when there is no room for it."""
    log = open_log(program.log)
    try:
        return await asyncio.create_subprocess_exec(
            *launcher(signal.SIGKILL),
            *program.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **program.environment},
            start_new_session=True,  # Ctrl-C reaches us; we pass it on in order
        )
    finally:
        os.close(log)


class _Failures:
    """How often in a row one program has failed, for its next pause."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._since = self._clock()
        self._count = 0

    def began(self) -> None:
        self._since = self._clock()

    def another(self) -> int:
        """Count one more failure; after a steady run the count starts again."""
        steady = self._clock() - self._since > STEADY_SECONDS
        self._count = 1 if steady else self._count + 1
        return self._count


def ended_how(code: int) -> str:
    """An exit code in words: `exit code 1`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for so long; whether it happened."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
