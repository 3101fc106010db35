"""Commands and workers in processes of their own, without importing everything anew for each.

A test run calls `fanmemory` about two hundred times, and from half a second to one and a half of
CPU in each are imports; a worker reads the text model besides (half a second). So one process
imports every command once, which does nothing else (`tests/test_house.py`), and forks for each
call. The child has its own environment, directory, session and standard streams, and ends like any
other. `up`, the demo and `fanmemory chaos` start theirs as always.

    python -m tests.forked

reads one JSON object a line. `words`, `environment`, `directory`, `streams` (three paths, the last
two appended to) start a command; the answer is its process id. `ended` with such an id is answered
with the exit code, or null while it runs. Who closes the input ends it, and all of its children.
"""

import asyncio
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any, NoReturn

from analysis import default_model
from analysis.characters import tables
from ops.services.process import open_log
from ops.supervisor import Program

COMMAND = (sys.executable, "-m", "ops.cli")
PR_SET_PDEATHSIG = 1  # linux/prctl.h
ANSWER_SECONDS_MAX = 120.0
"""Generous: the first answer waits for all imports, on a machine that may be busy."""


class Forked:
    """Starts commands."""

    def __init__(self) -> None:
        self._process: Popen[str] | None = None
        self._lock = threading.Lock()

    def start(self, **order: Any) -> "Process":
        """A command, begun; see above for what an order says."""
        return Process(self, int(self.ask(order)))

    def ask(self, order: dict[str, Any]) -> Any:
        with self._lock:
            if self._process is None:
                self._process = Popen(
                    [sys.executable, "-m", "tests.forked"], stdin=PIPE, stdout=PIPE, text=True
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            # One line is one answer, so nothing of it can be buffered yet.
            came = select.select([self._process.stdout], [], [], ANSWER_SECONDS_MAX)[0]
            assert came, f"the forking process does not answer {sorted(order)}"
            answer = self._process.stdout.readline()
            assert answer, f"the forking process ended with {self._process.wait()}"
            return json.loads(answer)


class Process:
    """What `subprocess.Popen` would give, as far as tests ask for it.

    The id stays ours until the exit code has been asked for: only then is the child reaped.
    """

    def __init__(self, forked: Forked, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forked = forked
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forked.ask({"ended": self.pid})
            if self.returncode is not None:
                os.close(self._end)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises `subprocess.TimeoutExpired`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            ended = select.poll()
            ended.register(self._end, select.POLLIN)
            ended.poll(None if left is None else left * 1000)
        assert self.returncode is not None
        return self.returncode

    async def ended(self) -> None:
        """Come back when it has ended."""
        if self.returncode is not None:
            return
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        loop.add_reader(self._end, end.set)
        try:
            await end.wait()
        finally:
            loop.remove_reader(self._end)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Supervised:
    """The same as `ops.supervisor` knows a process."""

    def __init__(self, process: Process) -> None:
        self.pid = process.pid
        self.send_signal = process.send_signal
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        await self._process.ended()
        return self._process.wait()


async def start(program: Program) -> Supervised:
    """In the place of `ops.supervisor.start`, for programs of ours."""
    assert program.arguments[:3] == COMMAND
    os.close(open_log(program.log))
    started = FORKED.start(
        words=program.arguments[3:],
        environment=os.environ | program.environment,
        directory=str(Path.cwd()),
        streams=[os.devnull, str(program.log), str(program.log)],
    )
    return Supervised(started)


def serve() -> None:
    """Obey until nobody gives orders any more."""
    from ops.cli import fanmemory
    from ops.reference import leaves

    list(leaves(fanmemory))
    for process in ("streams.app", "api.serve"):
        import_module(process)
    default_model()
    tables()
    # By descriptor: a child must not find what we have buffered.
    orders = os.fdopen(os.dup(0), "r")
    answers = os.dup(1)
    os.set_inheritable(answers, False)
    for line in orders:
        order = json.loads(line)
        answer = _ended(order["ended"]) if "ended" in order else _started(order, answers)
        os.write(answers, json.dumps(answer).encode() + b"\n")


def _ended(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _started(order: dict[str, Any], answers: int) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(answers)  # or whoever waits for one would not notice the end of us
        _run(parent, **order)
    return child


def _run(
    parent: int,
    words: list[str],
    environment: dict[str, str],
    directory: str,
    streams: list[str],
) -> NoReturn:
    code = 70
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(code)
        output = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        for number, (path, flag) in enumerate(
            zip(streams, (os.O_RDONLY, output, output), strict=True)
        ):
            opened = os.open(path, flag, 0o600)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
        )
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        sys.argv = ["fanmemory", *words]
        from ops.cli import main

        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 # as the interpreter itself: say it, end with 1
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        code = 1
    finally:
        os._exit(code)


FORKED = Forked()
"""One for all tests of a session."""

if __name__ == "__main__":
    serve()
