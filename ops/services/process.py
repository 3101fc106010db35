"""Run one program as a child: started through `launch`, logged to a file, stopped by steps."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ops.services import launch

LOG_BYTES_MAX = 8 << 20  # of one log; one former part is kept beside it
ERROR_BYTES_MAX = 65_536  # of a log's end in which the last error is looked for
KILLED_SECONDS_MAX = 10.0  # how long the kernel may take to end what got SIGKILL
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Command:
    """A program to run, and how.

    `arguments[0]` is an absolute path. `identity` is one of `launch`'s. `death_signal` is what
    the program gets when we die. `stop` lists (signal, seconds to wait); SIGKILL follows.
    """

    arguments: Sequence[str]
    home: Path
    log: Path
    identity: str = "same"
    death_signal: signal.Signals = signal.SIGKILL
    stop: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 5.0),)
    environment: Mapping[str, str] = field(default_factory=dict)


def launcher(death_signal: signal.Signals, identity: str = "same") -> list[str]:
    """The words to put before a command so that it can't outlive this process."""
    python = [sys.executable, "-I", "-S", launch.__file__]
    return [*python, str(os.getpid()), str(int(death_signal)), identity]


@cache
def _forker() -> ThreadPoolExecutor:
    """The one thread that starts children.

    The kernel sends the death signal when the *thread* that forked ends, so that thread has to
    live as long as we do, no matter which thread started it.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="forker")


def _base_environment() -> dict[str, str]:
    """What any program needs; our own settings and secrets are none of a server's business."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


def bound_log(path: Path) -> None:
    """Copy a log that has grown too long to `.old` and empty it; its writers need not notice.

    They append, so they continue at the new beginning. What is written between the copy and the
    cut is lost.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(path, path.with_name(path.name + ".old"))
            os.truncate(path, 0)


def bound_logs(logs: Path) -> None:
    """The same for every log of a directory."""
    for path in logs.glob("*.log"):
        bound_log(path)


def open_log(path: Path) -> int:
    """A descriptor that appends to a log which only its owner may read."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    bound_log(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def spawn(command: Command, *, inherited: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a command in its own session; it dies with this process, whatever kills it."""

    def fork() -> subprocess.Popen[bytes]:
        log = open_log(command.log)
        try:
            return subprocess.Popen(
                [*launcher(command.death_signal, command.identity), *command.arguments],
                cwd=command.home,
                env=_base_environment() | dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is ours to hand on
                pass_fds=inherited,
            )
        finally:
            os.close(log)

    return _forker().submit(fork).result()


def run(command: Command, *, seconds_max: float, inherited: Sequence[int] = ()) -> int:
    """Run a command to its end; returns its exit code. Kills it after `seconds_max`."""
    process = spawn(command, inherited=inherited)
    try:
        return process.wait(seconds_max)
    except BaseException:
        process.kill()
        process.wait(KILLED_SECONDS_MAX)
        raise


def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> int:
    """End a child politely, then less so; returns its exit code. A paused child is woken first."""
    for number, seconds in steps:
        if process.poll() is not None:
            break
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(seconds)
    if process.poll() is None:
        process.kill()
    return process.wait(KILLED_SECONDS_MAX)


def tail(path: Path, lines: int = 8) -> str:
    """The end of a log file, for an error message about a server's start."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def log_size(path: Path) -> int:
    """Bytes of a log so far."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_error(path: Path, since: int) -> str:
    """The last error that a process of ours wrote to its log after the first `since` bytes.

    Either a JSON line of level `error`, or the command line's own `error: ...`.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            # A log that has become shorter was cut meanwhile.
            file.seek(max(since if since <= size else 0, size - ERROR_BYTES_MAX))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next(filter(None, map(_error_in, reversed(lines))), "")


def _error_in(line: str) -> str:
    if line.startswith("error: "):
        return line.removeprefix("error: ")
    try:
        record = json.loads(line)
    except ValueError:
        return ""
    if isinstance(record, dict) and record.get("level") == "error":
        return str(record.get("message", ""))
    return ""


def wait_until(condition: Callable[[], bool], seconds_max: float) -> bool:
    """Poll a callable until it is true; false when time is up."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
