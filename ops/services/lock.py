"""Who may touch a data directory, and whether a former service still does.

Two kinds of lock, both `flock`, so that the kernel frees them however a process ends:

- the *directory lock* is held by the process that supervises; a second one is told its pid;
- the *service lock* is held by none of our processes: its descriptor is inherited by the service
  and its children, so it is free exactly when the last of them is gone. Waiting for it is what
  makes it safe to clear a stale pid file.
"""

import fcntl
import os
from pathlib import Path

from infra.retry import Backoff, retried_blocking
from schemas.errors import DataDirectoryInUse, ServiceFailed

LOCK_NAME = "lock"
# `is_held` takes the lock shared for a moment; an `acquire` that meets it tries again this long.
PROBE_SECONDS_MAX = 0.3
POLL_SECONDS = 0.02


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(descriptor: int, seconds_max: float) -> bool:
    try:
        retried_blocking(
            lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB),
            Backoff(POLL_SECONDS, POLL_SECONDS),
            on=BlockingIOError,
            attempts_max=1 + round(seconds_max / POLL_SECONDS),
        )
    except BlockingIOError:
        return False
    return True


class DirectoryLock:
    """The right to run services on a data directory."""

    def __init__(self, data: Path) -> None:
        self._path = data / LOCK_NAME
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises DataDirectoryInUse, naming the holder, when it is taken."""
        descriptor = _open(self._path)
        if not _take(descriptor, PROBE_SECONDS_MAX):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DataDirectoryInUse(
                f"Another Fan Memory (pid {holder or 'unknown'}) runs on {self._path.parent}."
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(data: Path) -> str:
    """The pid written in the directory lock; meaningful only while it is held."""
    try:
        return (data / LOCK_NAME).read_text("ascii", "replace").strip()
    except OSError:
        return ""


def is_held(data: Path) -> bool:
    """Whether a live process holds the directory lock of `data`."""
    try:
        descriptor = os.open(data / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def service_lock(home: Path, seconds_max: float) -> int:
    """A locked descriptor to be inherited by the service that lives in `home`.

    Waits until every process of a former run is gone; raises ServiceFailed when one still lives
    after `seconds_max`. The caller closes the descriptor once the service has inherited it.
    """
    descriptor = _open(home / LOCK_NAME)
    if not _take(descriptor, seconds_max):
        os.close(descriptor)
        raise ServiceFailed(
            f"A process of a former run still lives in {home}.",
            hint=f"`fuser {home / LOCK_NAME}` names it; end it and start again.",
        )
    return descriptor
